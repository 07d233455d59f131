//! Every file under `fixtures/bad` gets exactly the messages that stand beside it.
//!
//! `cargo insta review` shows what has changed.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use khumbu::cli::files;
use khumbu::diagnostic::{Diagnostic, Style};
use khumbu::{gateway, scenario};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::printed;
use crate::project::Project;

const KNOWN: [&str; 4] = ["RR-1", "WD-1", "WD-2", "TV-2"];

fn words() -> scenario::Known<'static> {
    scenario::Known { requirements: &KNOWN, answers: Some(gateway::answer_schema) }
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What `khumbu check` says of a text, or that it is good.
fn messages(name: &str, text: &str) -> String {
    match scenario::parse(name, text, words()) {
        Ok(_) => "no errors\n".to_owned(),
        Err(errors) => printed::told(&errors).join("\n"),
    }
}

#[test]
fn every_bad_file_gets_its_messages() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../fixtures/bad/expected");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut changed = Vec::new();
    for path in files::find_in(&project().join("fixtures/bad"), &["yaml"]) {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let name = format!("fixtures/bad/{stem}.yaml");
        let text = messages(&name, &fs::read_to_string(&path).unwrap());
        assert!(!text.contains("no errors"), "{name} has no errors");
        // Not `glob!`: while it runs, it swallows failures of snapshots in other tests.
        let checked = catch_unwind(AssertUnwindSafe(|| settings.bind(|| insta::assert_snapshot!(stem.as_str(), text))));
        if checked.is_err() {
            changed.push(stem);
        }
    }
    assert!(changed.is_empty(), "messages changed: {changed:?}");
}

#[test]
fn every_good_file_has_none() {
    for directory in ["fixtures/good", "scenarios"] {
        for path in files::find_in(&project().join(directory), &["yaml"]) {
            let text = fs::read_to_string(&path).unwrap();
            let told = match scenario::parse(&path.display().to_string(), &text, scenario::Known::default()) {
                Ok(good) => scenario::near_topics(&good),
                Err(errors) => errors,
            };
            assert!(told.is_empty(), "{}", told.iter().map(|told| told.render(Style::Plain)).collect::<String>());
        }
    }
}

/// Ids as they stand in the source, of one area.
fn ids(text: &str, area: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in text.split(area).skip(1) {
        let id: String =
            part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-' || c.is_ascii_digit()).collect();
        found.insert(format!("{area}{id}"));
    }
    found
}

#[test]
fn every_id_of_the_language_is_provoked_by_a_bad_file() {
    let mut known = BTreeSet::new();
    for path in files::find_in(&project().join("src/scenario"), &["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        known.extend(ids(&text, "\"scenario/").into_iter().map(|id| id.replace('"', "")));
    }
    // Warnings about files that are in order; `strangers` provokes the one, tests beside the code the other.
    known.remove("scenario/demands-nothing");
    known.remove("scenario/near-topic");
    let mut provoked = BTreeSet::new();
    for path in files::find_in(&project().join("fixtures/bad"), &["yaml"]) {
        let errors = scenario::parse("x", &fs::read_to_string(&path).unwrap(), words()).unwrap_err();
        provoked.extend(errors.into_iter().map(|error| error.id.to_owned()));
    }
    let missing: Vec<_> = known.difference(&provoked).collect();
    assert!(known.len() > 30, "{known:?}");
    assert!(missing.is_empty(), "no file under fixtures/bad provokes {missing:?}");
}

#[test]
fn a_topic_that_is_nearly_right_is_warned_of() {
    let steps = "description: x\nunder_test: client\nsteps:\n  - publish: {topic: \"{e2m}/hartbeat\", text: x}\n";
    let project = Project::with(&[("s.yaml", steps)]);
    project
        .run(&["check", "s.yaml"])
        .exits(0)
        .says("warning[scenario/near-topic]")
        .says("did you mean `{e2m}/heartbeat`?");
}

#[test]
fn a_fault_of_khumbu_is_told_as_such() {
    let told = printed::told([&Diagnostic::panicked("index out of bounds")]).concat();
    assert!(told.starts_with("error[harness/panic]: khumbu itself panicked: index out of bounds\n"), "{told}");
}

#[test]
fn other_files_get_messages_of_their_own() {
    let station = |text: &str| {
        let errors = scenario::parse_station("station.yaml", text).unwrap_err();
        printed::told(&errors).concat()
    };
    insta::assert_snapshot!(
        ["evces: 2\n", "evses: 0\ntokens: {A: {value: \"ü\", type: Central}}\n", "\ta: b\n", "a: 1\na: 2\n", "[1]\n"]
            .map(station)
            .join("\n")
    );
    assert_eq!(scenario::parse_station("x", "").unwrap().evses, 1);
    assert_eq!(scenario::parse_station("x", "# all defaults\n").unwrap().evses, 1);
    assert_eq!(scenario::parse_station("x", "evses: 3\n").unwrap().evses, 3);
}

/// A good file with one piece of it replaced.
fn mutated() -> impl Strategy<Value = String> {
    let good = fs::read_to_string(project().join("fixtures/good/everything.yaml")).unwrap();
    let piece = prop_oneof![
        "[ \\t\\n:,{}\\[\\]&*!|>'\"%@`#?$~.+/-]{0,6}",
        "\\PC{0,8}",
        Just("\u{feff}".to_owned()),
        Just("\r\n".to_owned()),
        Just("18446744073709551616".to_owned()),
        Just("{reply}".to_owned()),
    ];
    (any::<prop::sample::Index>(), 0usize..30, piece).prop_map(move |(at, length, piece)| {
        let characters: Vec<char> = good.chars().collect();
        let at = at.index(characters.len());
        let end = (at + length).min(characters.len());
        characters[..at].iter().chain(&piece.chars().collect::<Vec<_>>()).chain(&characters[end..]).collect()
    })
}

/// No text may end in a panic, and every message must be short, at a place within the text, and safe to print.
fn parses_or_explains(text: &str) -> Result<(), TestCaseError> {
    let Err(errors) = scenario::parse("x.yaml", text, words()) else { return Ok(()) };
    prop_assert!(!errors.is_empty());
    for error in errors {
        let place = error.place.clone().unwrap();
        prop_assert!(place.source.text.get(place.range.clone()).is_some(), "{:?}", place.range);
        for style in [Style::Plain, Style::Coloured] {
            let rendered = error.render(style);
            prop_assert!(rendered.lines().count() <= 20 && rendered.len() < 6000, "{rendered}");
        }
        let plain = error.render(Style::Plain);
        prop_assert!(plain.chars().all(|c| c == '\n' || !c.is_control()), "{plain:?}");
        prop_assert!(error.headline.chars().next().is_some_and(|c| !c.is_uppercase()), "{plain}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn mutated_files_parse_or_are_explained(text in mutated()) {
        parses_or_explains(&text)?;
    }

    #[test]
    fn any_text_parses_or_is_explained(text in "(\\PC|[\\x00-\\x20:{}\\[\\],&*-]){0,60}") {
        parses_or_explains(&text)?;
    }
}
