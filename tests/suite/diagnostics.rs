//! Every file under `fixtures/bad` gets exactly the messages that stand beside it.
//!
//! `cargo insta review` shows what has changed.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use khumbu::cli::files;
use khumbu::diagnostic::Style;
use khumbu::scenario;

const KNOWN: [&str; 4] = ["RR-1", "WD-1", "WD-2", "TV-2"];

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What `khumbu check` says of a text, or that it is good.
fn messages(name: &str, text: &str) -> String {
    match scenario::parse(name, text, &KNOWN) {
        Ok(_) => "no errors\n".to_owned(),
        Err(errors) => errors.iter().map(|error| error.render(Style::Plain)).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn every_bad_file_gets_its_messages() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../fixtures/bad/expected");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        insta::glob!("../../fixtures/bad", "*.yaml", |path| {
            let name = format!("fixtures/bad/{}", path.file_name().unwrap().to_string_lossy());
            let text = messages(&name, &fs::read_to_string(path).unwrap());
            assert!(!text.contains("no errors"), "{name} has no errors");
            insta::assert_snapshot!("bad", text);
        });
    });
}

#[test]
fn every_good_file_has_none() {
    for directory in ["fixtures/good", "scenarios"] {
        for path in files::find_in(&project().join(directory), &["yaml"]) {
            let text = fs::read_to_string(&path).unwrap();
            if let Err(errors) = scenario::parse(&path.display().to_string(), &text, &[]) {
                panic!("{}", errors.iter().map(|error| error.render(Style::Plain)).collect::<String>());
            }
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
    let mut provoked = BTreeSet::new();
    for path in files::find_in(&project().join("fixtures/bad/expected"), &["snap"]) {
        provoked.extend(ids(&fs::read_to_string(&path).unwrap(), "error[scenario/"));
    }
    let provoked: BTreeSet<String> = provoked.into_iter().map(|id| id.replace("error[", "")).collect();
    let missing: Vec<_> = known.difference(&provoked).collect();
    assert!(known.len() > 30, "{known:?}");
    assert!(missing.is_empty(), "no file under fixtures/bad provokes {missing:?}");
}
