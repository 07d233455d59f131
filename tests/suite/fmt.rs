//! `khumbu fmt` as a user meets it, and that what it writes says the same.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Output, Stdio};

use khumbu::cli::files;
use khumbu::scenario::{self, Known};
use proptest::prelude::*;

use crate::project::{Project, fixture};

const UGLY: &str = "description:   'Nothing.'\nunder_test: client\nsteps:\n- note:   x # why\n- {note: y,}\n";
const PRETTY: &str = "description: \"Nothing.\"\nunder_test: client\nsteps:\n  - note: x  # why\n  - {note: y}\n";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the formatter makes of standard input.
fn piped(project: &Project, arguments: &[&str], text: &[u8]) -> Output {
    let mut child = project.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
    // It may refuse before it has read all.
    let _ = child.stdin.take().unwrap().write_all(text);
    child.wait_with_output().unwrap()
}

/// What a text says to khumbu, if it is a scenario.
fn model(text: &str) -> Option<String> {
    scenario::parse("x.yaml", text, Known::default()).ok().map(|scenario| format!("{:?}", scenario.model))
}

/// It is refused, or says the same in a form that stays.
fn keeps_its_sense(path: &str, text: &str) {
    match scenario::format(path, text) {
        Ok(formatted) => {
            assert_eq!(scenario::format(path, &formatted).as_deref(), Ok(&*formatted), "{path}");
            assert_eq!(model(&formatted), model(text), "{path}");
        }
        Err(refused) => assert!(!refused.is_empty()),
    }
}

#[test]
fn what_stands_in_the_repository_is_formatted() {
    for directory in
        ["scenarios", "src/cli/new", "src/gateway", "fixtures/good", "fixtures/stations", "fixtures/verdicts"]
    {
        let files = files::find_in(&repository().join(directory), &["yaml"]);
        assert!(!files.is_empty(), "{directory}");
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.display().to_string();
            assert_eq!(scenario::format(&name, &text).as_deref(), Ok(&*text), "{name}: khumbu fmt {directory}");
        }
    }
}

#[test]
fn whatever_stands_in_fixtures_says_the_same_when_it_is_formatted() {
    let mut files = files::find_in(&repository().join("fixtures"), &["yaml", "yml"]);
    files.extend(files::find_in(&repository().join("src/protocol"), &["yaml"]));
    assert!(files.len() > 100, "{files:?}");
    for path in files {
        if let Ok(text) = files::read_text(&path, scenario::LARGEST) {
            keeps_its_sense(&path.display().to_string(), &text);
        }
    }
}

/// A scenario of the suite whose lines are indented, quoted and spaced otherwise, some of them so that they say another thing.
fn written_otherwise() -> impl Strategy<Value = String> {
    let files = files::find_in(&repository().join("scenarios"), &["yaml"]);
    let texts: Vec<String> = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let change = (any::<prop::sample::Index>(), 0..9_usize);
    (prop::sample::select(texts), prop::collection::vec(change, 0..12)).prop_map(|(text, changes)| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (at, how) in changes {
            let at = at.index(lines.len());
            let line = &lines[at];
            lines[at] = match how {
                0 => line.replace(": ", ":    "),
                1 => line.replace('"', "'"),
                2 => format!("{line}   # said beside 🔌"),
                3 => format!("{line}\n\n\n"),
                4 => line.replace("- ", "-   "),
                5 => line.replace(", ", " ,"),
                6 => line.replacen('{', "{\n                 ", 1),
                7 => format!("# said before\n{line}"),
                _ => line.replace("  - ", "- "),
            };
        }
        lines.join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_scenario_that_is_written_otherwise_says_the_same_when_it_is_formatted(text in written_otherwise()) {
        keeps_its_sense("x.yaml", &text);
    }
}

#[test]
fn files_are_formatted_in_their_place_and_others_are_not_touched() {
    let project = Project::with(&[("scenarios/ugly.yaml", UGLY), ("scenarios/pretty.yaml", PRETTY)]);
    project.write("khumbu.yaml", "scenarios:   [scenarios]\nmodule: {station: station.yml}\n");
    project.write("station.yml", "evses:   2\n");
    fs::set_permissions(project.path("scenarios/ugly.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink(project.path("scenarios/ugly.yaml"), project.path("link.yaml")).unwrap();
    let inode = || fs::metadata(project.path("scenarios/pretty.yaml")).unwrap().ino();
    let before = inode();
    let ran = project.run(&["fmt"]).exits(0);
    assert_eq!(ran.stdout, "scenarios/ugly.yaml\nkhumbu.yaml\nstation.yml\n");
    assert_eq!(ran.stderr, "4 files read, 3 formatted\n");
    assert_eq!(project.read("scenarios/ugly.yaml"), PRETTY);
    assert_eq!(project.read("khumbu.yaml"), "scenarios: [scenarios]\nmodule: {station: station.yml}\n");
    assert_eq!(inode(), before);
    assert_eq!(fs::metadata(project.path("scenarios/ugly.yaml")).unwrap().mode() & 0o777, 0o640);
    project.write("scenarios/ugly.yaml", UGLY);
    project.run(&["fmt", "link.yaml"]).exits(0);
    assert!(project.path("link.yaml").is_symlink());
    assert_eq!(project.read("scenarios/ugly.yaml"), PRETTY);
    let left: Vec<_> =
        fs::read_dir(project.path("scenarios")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(project.run(&["fmt"]).exits(0).stderr, "4 files read, 0 formatted\n");
}

#[test]
fn a_file_that_is_named_twice_is_formatted_once() {
    let project = Project::with(&[("real/a.yaml", PRETTY), ("real/sub/b.yaml", PRETTY), ("deep/er/c.yaml", PRETTY)]);
    symlink(project.path("real"), project.path("link")).unwrap();
    fs::create_dir(project.path("real/bare")).unwrap();
    for (paths, count) in [
        (&["real", "real/sub"][..], 2),
        (&["real/sub", "real"], 2),
        (&["real", "real"], 2),
        (&["link", "real"], 2),
        (&["real", "real/a.yaml"], 2),
        (&["deep/er/c.yaml", "deep"], 1),
        (&["deep/er", "deep"], 1),
    ] {
        let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
        let ran = project.run(&[&["fmt"], paths].concat()).exits(0);
        assert_eq!(ran.stderr, format!("{files} read, 0 formatted\n"), "{paths:?}");
        let checked = project.run(&[&["check"], paths].concat()).exits(0);
        assert!(!checked.stderr.contains("file/no-scenarios"), "{paths:?}: {}", checked.stderr);
    }
    fs::create_dir(project.path("dangling")).unwrap();
    symlink("nothing.yaml", project.path("dangling/a.yaml")).unwrap();
    let ran = project.run(&["fmt", "dangling"]).exits(2);
    assert!(ran.stderr.contains("file/not-found") && !ran.stderr.contains("no-scenarios"), "{}", ran.stderr);
    project.run(&["fmt", "real", "real/bare"]).exits(2).says("error[file/no-scenarios]: no scenarios in `real/bare`");
}

#[test]
fn check_prints_a_patch_and_changes_nothing() {
    let project = Project::with(&[("scenarios/ugly.yaml", UGLY), ("scenarios/pretty.yaml", PRETTY)]);
    let ran = project.run(&["fmt", "--check"]).exits(1);
    assert!(ran.stdout.starts_with("--- scenarios/ugly.yaml\n+++ scenarios/ugly.yaml\n@@ "), "{}", ran.stdout);
    assert!(ran.stdout.contains("\n-- note:   x # why\n") && ran.stdout.contains("\n+  - note: x  # why\n"));
    assert_eq!(ran.stderr, "scenarios/ugly.yaml is not formatted\n2 files checked, 1 not formatted\n");
    assert_eq!(project.read("scenarios/ugly.yaml"), UGLY);
    assert_eq!(
        project.run(&["fmt", "--check", "scenarios/pretty.yaml"]).exits(0).stdout,
        "1 file checked, all formatted\n"
    );
}

#[test]
fn what_cannot_be_formatted_stays_as_it_is_and_the_rest_is_formatted() {
    let tabbed = "description: x\nunder_test: client\nsteps:\n  - note: |\n      \tx\n      y\n";
    let broken = "description: x\nsteps: [note: x\n";
    let project = Project::with(&[("a.yaml", tabbed), ("b.yaml", broken), ("c.yaml", UGLY), ("d.yaml", UGLY)]);
    fs::set_permissions(project.path("d.yaml"), fs::Permissions::from_mode(0o444)).unwrap();
    let ran = project.run(&["fmt", "."]).exits(2);
    for what in ["error[file/not-formatted]", "error[scenario/syntax]: file is no valid YAML", "error[file/unwritable]"]
    {
        assert!(ran.stderr.contains(what), "{}", ran.stderr);
    }
    assert!(ran.stderr.ends_with("4 files read, 1 formatted, 3 errors\n"), "{}", ran.stderr);
    assert_eq!([project.read("a.yaml"), project.read("b.yaml"), project.read("d.yaml")], [tabbed, broken, UGLY]);
    assert_eq!(project.read("c.yaml"), PRETTY);
}

#[test]
fn standard_input_becomes_standard_output_or_nothing() {
    let project = Project::new();
    let formatted = piped(&project, &["fmt", "-"], UGLY.as_bytes());
    assert_eq!((formatted.status.code(), &*formatted.stdout), (Some(0), PRETTY.as_bytes()));
    let checked = piped(&project, &["fmt", "--check", "-"], UGLY.as_bytes());
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!(piped(&project, &["fmt", "--check", "-"], PRETTY.as_bytes()).status.code(), Some(0));
    let large = vec![b'#'; scenario::LARGEST + 1];
    for (text, id) in [
        (&b"steps: [\n"[..], "scenario/syntax"),
        (&b"a: \xff\n"[..], "file/not-utf8"),
        (&b"a: \x00\n"[..], "scenario/binary"),
        (&b"a: 1\n---\nb: 2\n"[..], "scenario/several-documents"),
        (&large[..], "scenario/too-large"),
    ] {
        let refused = piped(&project, &["fmt", "-"], text);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains(&format!("error[{id}]")), "{said}");
        assert_eq!((refused.status.code(), &*refused.stdout), (Some(2), &b""[..]));
    }
    project.write("a.yaml", UGLY);
    project.run(&["fmt", "-", "a.yaml"]).exits(2).says("usage/bad-value");
}

#[test]
fn line_ends_and_a_byte_order_mark_stay() {
    let project = Project::new();
    for (before, after) in [
        (UGLY.replace('\n', "\r\n"), PRETTY.replace('\n', "\r\n")),
        (UGLY.trim_end().to_owned(), PRETTY.to_owned()),
        (format!("\u{feff}{UGLY}"), format!("\u{feff}{PRETTY}")),
        (format!("\u{feff}{PRETTY}"), format!("\u{feff}{PRETTY}")),
        ("# nothing yet".to_owned(), "# nothing yet\n".to_owned()),
        (String::new(), String::new()),
        ("\u{feff}".to_owned(), "\u{feff}".to_owned()),
    ] {
        assert_eq!(String::from_utf8(piped(&project, &["fmt", "-"], before.as_bytes()).stdout).unwrap(), after);
        project.write("a.yaml", &before);
        project.run(&["fmt", "a.yaml"]).exits(0);
        assert_eq!(project.read("a.yaml"), after);
    }
}

#[test]
fn what_khumbu_writes_is_formatted() {
    let project = Project::new();
    project.run(&["new", "made", "--module", "builtin:client", "--side", "client"]);
    project.run(&["fmt", "--check", "made/khumbu.yaml", "made/scenarios"]).exits(0);
    let recordings = fs::read_dir(fixture("recordings")).unwrap().map(|entry| entry.unwrap().path());
    let recordings: Vec<_> = recordings.filter(|path| path.extension().is_some_and(|it| it == "jsonl")).collect();
    assert!(!recordings.is_empty());
    for path in recordings {
        let made = project.run(&["scenario", &path.display().to_string()]).exits(0);
        project.write("recorded.yaml", &made.stdout);
        project.run(&["fmt", "--check", "recorded.yaml"]).exits(0);
    }
}
