//! Text of the pages can be read in light and dark: the contrasts that WCAG 2.2 (1.4.3) asks for at level AA.

use std::collections::BTreeMap;

const LIVE: &str = include_str!("../../src/gateway/page/page.css");
const REPORT: &str = include_str!("../../src/report/html/page.css");
/// Of text that is not large.
const LEAST: f64 = 4.5;

/// The colours of a style by their names, each for light and dark.
fn palette(style: &str) -> BTreeMap<&str, [&str; 2]> {
    let lines = style.lines().filter_map(|line| line.trim().strip_prefix("--")?.strip_suffix(");"));
    let colours = lines.filter_map(|line| {
        let (name, colours) = line.split_once(": light-dark(")?;
        let (light, dark) = colours.split_once(", ")?;
        Some((name, [light, dark]))
    });
    colours.collect()
}

/// WCAG 2.2, relative luminance.
fn luminance(colour: &str) -> f64 {
    let digits = colour.strip_prefix('#').unwrap();
    let width = digits.len() / 3;
    let channel = |at: usize| {
        let hex = digits[at * width..(at + 1) * width].repeat(3 - width);
        let share = f64::from(u8::from_str_radix(&hex, 16).unwrap()) / 255.0;
        if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn it_is_that_of_the_recommendation() {
    assert!((contrast("#fff", "#000000") - 21.0).abs() < 1e-9);
    assert!((contrast("#777777", "#fff") - 4.48).abs() < 0.005);
}

#[test]
fn every_text_stands_out_from_every_ground() {
    for (style, texts, grounds) in [
        (LIVE, &["text", "dim", "main", "good", "bad", "energy"][..], ["page", "soft", "raised"]),
        (LIVE, &["text", "dim"], ["mark", "bad-soft", "page"]),
        (LIVE, &["bad"], ["bad-soft", "page", "soft"]),
        (REPORT, &["text", "dim", "link", "bad", "good", "open", "excused"], ["page", "card", "soft"]),
        (REPORT, &["text", "dim", "bad"], ["bad-soft", "page", "card"]),
    ] {
        let palette = palette(style);
        for (text, ground) in texts.iter().flat_map(|text| grounds.iter().map(move |ground| (text, ground))) {
            for scheme in [0, 1] {
                let found = contrast(palette[text][scheme], palette[ground][scheme]);
                assert!(found >= LEAST, "{text} on {ground}, {}: {found:.2}", ["light", "dark"][scheme]);
            }
        }
    }
    let live = palette(LIVE);
    for scheme in [0, 1] {
        assert!(contrast(live["on-main"][scheme], live["main"][scheme]) >= LEAST);
    }
}

/// What is made paler as a whole has no colour that anybody has chosen.
#[test]
fn no_text_is_made_paler_by_opacity() {
    for style in [LIVE, REPORT] {
        let rules = style.lines().filter(|line| line.contains("opacity: ") && !line.contains("opacity: 1;"));
        // The ground of the plot, and a checkbox that another picture stands for.
        let rules: Vec<_> =
            rules.filter(|rule| !rule.starts_with(".power-area") && !rule.starts_with(".pill input")).collect();
        assert_eq!(rules, Vec::<&str>::new());
    }
}
