//! The notation of shapes that stand in one line, and of the releases in which something holds.
//!
//! `integer 1..`, `text ..36`, `text date-time`, `list 1..4 of Name`, `Name or null`, `Name (since 2026.02)`. In brackets stands
//! when it holds: `since RELEASE` and `until RELEASE` both by the specification and as it runs; with `specified` before
//! them, or `unspecified` instead, by the specification alone, and `runs if DEVIATION` or `runs unless DEVIATION` says the rest.
//! `required` in brackets has the same behind it.

use std::str::FromStr;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use super::{Runs, Shape, Variant, When};
use crate::protocol::deviations::Deviation;
use crate::protocol::release::Release;

/// What stands in brackets behind a shape, a word or the address of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// When it holds.
    pub when: When,
    /// When it must be there, if that is said.
    pub required: Option<When>,
}

/// A shape in one line.
pub(super) fn shape(text: &str) -> Result<(Shape, Terms), String> {
    let mut alternatives = alternatives(text);
    let or_null = alternatives.len() > 1 && alternatives.last() == Some(&"null");
    if or_null {
        alternatives.pop();
    }
    let (shape, terms) = match alternatives.as_slice() {
        [only] => {
            let (text, terms) = terms(only)?;
            (plain(text)?, terms)
        }
        several => {
            let variant = |text: &&str| {
                let (text, terms) = terms(text)?;
                Ok(Variant { shape: plain(text)?, when: terms.when })
            };
            let variants = several.iter().map(variant).collect::<Result<_, String>>()?;
            (Shape::Varying(variants), Terms { when: When::ALWAYS, required: None })
        }
    };
    Ok((if or_null { Shape::OrNull(Box::new(shape)) } else { shape }, terms))
}

/// The text before the brackets at its end, and what these say.
pub(super) fn terms(text: &str) -> Result<(&str, Terms), String> {
    let mut terms = Terms { when: When::ALWAYS, required: None };
    let Some((before, inner)) = text.strip_suffix(')').and_then(|text| text.split_once(" (")) else {
        return Ok((text, terms));
    };
    let mut about = &mut terms.when;
    for part in inner.split(", ") {
        let words: Vec<_> = part.split(' ').collect();
        let rest = match words.as_slice() {
            ["required", rest @ ..] => {
                about = terms.required.insert(When::ALWAYS);
                rest
            }
            rest => rest,
        };
        clause(rest, about).ok_or_else(|| format!("`{part}` is not understood"))?;
    }
    Ok((before, terms))
}

fn clause(words: &[&str], when: &mut When) -> Option<()> {
    match words {
        ["unspecified"] => when.specified = None,
        ["runs", "if", id] => when.runs = Runs::If(deviation(id)?),
        ["runs", "unless", id] => when.runs = Runs::Unless(deviation(id)?),
        ["specified", rest @ ..] => {
            when.runs = Runs::Always;
            span(rest, when)?;
        }
        rest => span(rest, when)?,
    }
    Some(())
}

fn span(words: &[&str], when: &mut When) -> Option<()> {
    let (first, last) = when.specified.as_mut()?;
    for pair in words.chunks(2) {
        match pair {
            ["since", release] => *first = Release::from_str(release).ok()?,
            ["until", release] => *last = Release::from_str(release).ok()?,
            _ => return None,
        }
    }
    Some(())
}

fn deviation(id: &str) -> Option<Deviation> {
    let deserializer: StrDeserializer<'_, Error> = id.into_deserializer();
    Deviation::deserialize(deserializer).ok()
}

/// What stands between ` or `, outside of brackets.
fn alternatives(text: &str) -> Vec<&str> {
    let (mut found, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 && text[at..].starts_with(" or ") => {
                found.push(&text[start..at]);
                start = at + " or ".len();
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found
}

fn plain(text: &str) -> Result<Shape, String> {
    let unknown = || format!("`{text}` is no shape");
    let words: Vec<_> = text.split(' ').collect();
    Ok(match words.as_slice() {
        ["any"] => Shape::Any,
        ["null"] => Shape::Null,
        ["boolean"] => Shape::Boolean,
        ["object"] => Shape::Object { fields: Vec::new(), is_closed: false },
        ["empty", "object"] => Shape::Object { fields: Vec::new(), is_closed: true },
        ["integer", limits @ ..] => {
            let (min, max) = range(limits).ok_or_else(unknown)?;
            Shape::Integer { min, max }
        }
        ["number", limits @ ..] => {
            let (min, max) = range(limits).ok_or_else(unknown)?;
            Shape::Number { min, max }
        }
        ["text", format] if !format.contains("..") => {
            Shape::Text { shortest: None, longest: None, format: Some((*format).to_owned()), pattern: None }
        }
        ["text", limits @ ..] => {
            let (shortest, longest) = range(limits).ok_or_else(unknown)?;
            Shape::Text { shortest, longest, format: None, pattern: None }
        }
        ["list", "of", ..] | ["list", _, "of", ..] => {
            let (before, of) = text.split_once(" of ").ok_or_else(unknown)?;
            let limits: Vec<_> = before.split(' ').skip(1).collect();
            let (shortest, longest) = range(&limits).ok_or_else(unknown)?;
            Shape::List { of: Box::new(plain(of)?), shortest, longest }
        }
        [name] if name.rsplit('.').next().is_some_and(|name| name.starts_with(|first: char| first.is_uppercase())) => {
            Shape::Named((*name).to_owned())
        }
        _ => return Err(unknown()),
    })
}

/// `1..4`, `1..`, `..4` or nothing.
fn range<T: FromStr>(words: &[&str]) -> Option<(Option<T>, Option<T>)> {
    let side = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    match words {
        [] => Some((None, None)),
        [limits] => {
            let (least, most) = limits.split_once("..")?;
            Some((side(least)?, side(most)?))
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::protocol::deviations::Deviations;

    #[test]
    fn a_line_says_a_shape() {
        let integer = |min, max| Shape::Integer { min, max };
        let text = |shortest, longest| Shape::Text { shortest, longest, format: None, pattern: None };
        for (line, expected) in [
            ("integer", integer(None, None)),
            ("integer 10..300", integer(Some(10), Some(300))),
            ("integer -1..", integer(Some(-1), None)),
            ("text ..36", text(None, Some(36))),
            ("auth_consumer.IdToken", Shape::Named("auth_consumer.IdToken".to_owned())),
            ("Name or null", Shape::OrNull(Box::new(Shape::Named("Name".to_owned())))),
            (
                "list 1..4 of list of text 1..",
                Shape::List {
                    of: Box::new(Shape::List { of: Box::new(text(Some(1), None)), shortest: None, longest: None }),
                    shortest: Some(1),
                    longest: Some(4),
                },
            ),
        ] {
            assert_eq!(shape(line).unwrap().0, expected, "{line}");
        }
        for line in ["", "int", "integer 1", "integer a..", "list of", "name", "Name (sometimes)", "Name (since 1999)"]
        {
            assert!(shape(line).is_err(), "{line}");
        }
    }

    #[test]
    fn brackets_say_what_is_specified_and_what_runs() {
        let when = |line: &str| terms(line).unwrap().1.when;
        let releases = |when: When| Release::PROFILES.map(|release| when.is_specified(release));
        let runs = |when: When| {
            Release::PROFILES
                .map(|release| when.runs(Deviations::new(release, Default::default(), &Default::default())))
        };
        let since = [false, false, false, true, true, true];
        assert_eq!((releases(when("x")), runs(when("x"))), ([true; 6], [true; 6]));
        assert_eq!((releases(when("x (since 2026.02)")), runs(when("x (since 2026.02)"))), (since, since));
        let specified = when("x (specified since 2026.02)");
        assert_eq!((releases(specified), runs(specified)), (since, [true; 6]));
        let former = when("x (specified until 2025.10, runs if setter-commands)");
        let first = [true, true, false, false, false, false];
        assert_eq!((releases(former), runs(former)), (first, first));
        let forecast = when("x (unspecified, runs if validation-results)");
        assert_eq!((releases(forecast), runs(forecast)), ([false; 6], [false, false, false, false, false, true]));
        let (text, said) = terms("Name (required since 2026.02)").unwrap();
        assert_eq!((text, said.when), ("Name", When::ALWAYS));
        assert_eq!(releases(said.required.unwrap()), since);
    }
}
