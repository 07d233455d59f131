//! `khumbu check`, `khumbu schema` and `khumbu review` as a user meets them: files, exit codes, output.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use khumbu::cli::{files, goldens};
use khumbu::conformance::requirements;
use khumbu::protocol::api::{self, Api, Shape, When};
use khumbu::protocol::release::Release;
use khumbu::scenario;
use khumbu::scenario::model::Publish;
use khumbu::scenario::step::Step;
use serde_json::Value;

use crate::printed;
use crate::project::{PASS, Project};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn khumbu(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_khumbu"));
    printed::output(command.args(arguments).current_dir(directory)).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

const GOOD: &str = "description: Nothing.\nunder_test: client\nsteps: [note: x]\n";
const GOLDEN: &str = "description: Nothing.\nunder_test: client\ngolden: true\nsteps: [note: x]\n";

fn directory(entries: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, bytes) in entries {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    directory
}

/// EVerest's manifest has `connection_timeout` as an integer of seconds.
#[test]
fn a_real_everest_can_be_configured_as_the_scenarios_ask() {
    let scenarios = files::load(&[project().join("scenarios/everest")], &[]).unwrap();
    assert!(scenarios.len() > 60);
    for scenario in scenarios {
        let timeout = scenario.model.station.auth.connection_timeout.0;
        assert_eq!(timeout.subsec_nanos(), 0, "{}", scenario.source.path);
    }
}

#[test]
fn good_files_pass_and_are_counted() {
    let directory = directory(&[
        ("scenarios/b/two.yml", GOOD.as_bytes()),
        ("scenarios/a.yaml", GOOD.as_bytes()),
        ("scenarios/README.md", b"# no scenario"),
        ("scenarios/.hidden/c.yaml", b"- broken"),
        ("other.txt", GOOD.as_bytes()),
    ]);
    let all = khumbu(directory.path(), &["check"]);
    assert_eq!((all.status.code(), stdout(&all).as_str()), (Some(0), "2 scenarios checked, no errors\n"), "{all:?}");
    let one = khumbu(directory.path(), &["check", "other.txt"]);
    assert_eq!((one.status.code(), stdout(&one).as_str()), (Some(0), "1 scenario checked, no errors\n"), "{one:?}");
    let loaded = files::load(&[directory.path().join("scenarios")], &[]).unwrap();
    let paths: Vec<_> = loaded.iter().map(|scenario| scenario.source.path.clone()).collect();
    assert!(paths[0].ends_with("scenarios/a.yaml") && paths[1].ends_with("scenarios/b/two.yml"), "{paths:?}");
}

#[test]
fn every_broken_path_gets_its_message_and_exit_2() {
    let large = vec![b'x'; 10 * 1024 * 1024];
    let directory = directory(&[
        ("empty.yaml", b""),
        ("large.yaml", &large),
        ("binary.yaml", b"\x7fELF\x00\x01\x02"),
        ("latin1.yaml", b"description: caf\xe9\n"),
        ("bare/readme.txt", b""),
    ]);
    let cases: &[(&[&str], &str)] = &[
        (&["check"], "error[file/not-found]: there is no directory `scenarios` here\n"),
        (&["check", "missing.yaml"], "error[file/not-found]: file `missing.yaml` does not exist\n"),
        (&["check", "empty.yaml"], "error[scenario/empty]: scenario is empty\n"),
        (
            &["check", "large.yaml"],
            "error[file/too-large]: file `large.yaml` has 10485760 bytes, the most is 1048576\n",
        ),
        (&["check", "binary.yaml"], "error[scenario/binary]: scenario is no text: byte 0x7f\n"),
        (
            &["check", "latin1.yaml"],
            "error[file/not-utf8]: file `latin1.yaml` is not UTF-8 text\n   = byte 0xe9 at offset 16, line 1\n",
        ),
        (&["check", "bare"], "error[file/no-scenarios]: no scenarios in `bare`\n"),
        (&["check", "/dev/zero"], "error[file/no-file]: `/dev/zero` is no regular file\n"),
        (&["check", "../../../../../../../../etc/hostname/x.yaml"], "error[file/unreadable]: file "),
    ];
    for (arguments, message) in cases {
        let started = Instant::now();
        let output = khumbu(directory.path(), arguments);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.starts_with(message), "{arguments:?}: {text}");
        assert!(text.len() < 2000, "{arguments:?} floods the terminal");
        assert_eq!(stdout(&output), "");
        assert!(started.elapsed() < Duration::from_secs(5), "{arguments:?} took {:?}", started.elapsed());
    }
    let text = files::read_text(&directory.path().join("bare"), 10).unwrap_err();
    assert_eq!(text[0].id, "file/directory");
}

#[test]
fn errors_of_all_files_are_told_at_once() {
    let directory = directory(&[
        ("scenarios/a.yaml", b"- x"),
        ("scenarios/b.yaml", GOOD.as_bytes()),
        ("scenarios/c.yaml", b"description: x\nunder_test: clinet\nsteps: [nte: x]\n"),
    ]);
    let output = khumbu(directory.path(), &["check"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2));
    for line in ["--> scenarios/a.yaml:1:1", "--> scenarios/c.yaml:2:13", "--> scenarios/c.yaml:3:9"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.ends_with("3 scenarios checked, 3 errors\n"), "{text}");
    assert!(!text.contains('\x1b'), "colours without a terminal");
}

#[cfg(unix)]
#[test]
fn links_are_followed_within_the_directory_only() {
    use std::os::unix::fs::symlink;
    let directory = directory(&[("scenarios/a.yaml", GOOD.as_bytes()), ("outside/b.yaml", GOOD.as_bytes())]);
    let scenarios = directory.path().join("scenarios");
    symlink(".", scenarios.join("loop")).unwrap();
    symlink("a.yaml", scenarios.join("again.yaml")).unwrap();
    symlink("nowhere.yaml", scenarios.join("dangling.yaml")).unwrap();
    let output = khumbu(directory.path(), &["check"]);
    assert!(stderr(&output).starts_with("error[file/not-found]: file `scenarios/dangling.yaml`"), "{output:?}");
    fs::remove_file(scenarios.join("dangling.yaml")).unwrap();
    let output = khumbu(directory.path(), &["check"]);
    assert_eq!(stdout(&output), "1 scenario checked, no errors\n", "{output:?}");
    for (link, target) in [("out", "../outside"), ("b.yaml", "../outside/b.yaml")] {
        symlink(target, scenarios.join(link)).unwrap();
        let output = khumbu(directory.path(), &["check"]);
        let message = format!("error[file/outside]: `scenarios/{link}` leads out of its directory\n");
        assert!(stderr(&output).starts_with(&message), "{output:?}");
        assert_eq!(output.status.code(), Some(2));
        fs::remove_file(scenarios.join(link)).unwrap();
    }
}

#[test]
fn bombs_are_defused_at_once() {
    let mut bomb =
        "description: x\nunder_test: client\nsteps:\n  - publish: {topic: a, payload: {a: &a [x, x],\n".to_owned();
    for n in 0..60 {
        bomb.push_str(&format!(
            "      k{n}: &k{n} [{0}, {0}],\n",
            if n == 0 { "*a".to_owned() } else { format!("*k{}", n - 1) }
        ));
    }
    bomb.push_str("      }}\n");
    let wide = format!("{GOOD}# {}\n", "x".repeat(1_000_000));
    let items = format!("description: x\nunder_test: client\nsteps: [{}]\n", "a,".repeat(500_000));
    let open = format!("description: x\nunder_test: client\nsteps: {}\n", "[".repeat(1_000_000));
    let quotes = format!("description: \"{}\nunder_test: client\n", "\\n".repeat(500_000));
    let keys: String = (0..90_000).map(|n| format!("k{n}: 1\n")).collect();
    let steps: String = (0..60_000).map(|n| format!("- s{n}: 1\n")).collect();
    let steps = format!("description: x\nunder_test: client\nsteps:\n{steps}");
    for (what, text) in [
        ("aliases", &bomb),
        ("comment", &wide),
        ("items", &items),
        ("brackets", &open),
        ("quotes", &quotes),
        ("keys", &keys),
        ("steps", &steps),
    ] {
        let result = scenario::parse("x.yaml", text, scenario::Known::default());
        assert_eq!(result.is_ok(), what == "comment", "{what}");
    }
}

#[test]
fn schema_agrees_with_the_parser() {
    let schema = khumbu(project(), &["schema"]);
    assert_eq!(schema.status.code(), Some(0));
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(schema, scenario::schema());
    let validator = jsonschema::validator_for(&schema).unwrap();
    let value = |path: &Path| scenario::parse_as::<Value>("x", &fs::read_to_string(path).unwrap());
    for directory in ["fixtures/good", "scenarios"] {
        for path in files::find_in(&project().join(directory), &["yaml"]) {
            let errors: Vec<_> = validator.iter_errors(&value(&path).unwrap()).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        }
    }
    for name in
        ["unknown_field", "unknown_step", "unknown_value", "missing_field", "wrong_type", "two_steps_in_one", "repeats"]
    {
        let path = project().join(format!("fixtures/bad/{name}.yaml"));
        assert!(!validator.is_valid(&value(&path).unwrap()), "{name}");
    }
    // Each unknown field by itself, wire types included.
    for bad in [
        "{a: 1}",
        "{withdraw: {evse: 1}}",
        "{withdraw: {id_token: {value: \"1\", type: Central, typ: Central}}}",
        "{withdraw: {as: null}}",
        "{expect_reply: {payload: 1, too: x}}",
        "{expect: {message: heartbeat, within: 5}}",
    ] {
        let text = format!("description: x\nunder_test: client\nsteps: [{bad}]\n");
        assert!(scenario::parse("x", &text, scenario::Known::default()).is_err(), "{bad}");
        assert!(!validator.is_valid(&scenario::parse_as::<Value>("x", &text).unwrap()), "{bad}");
    }
    let described = schema["$defs"]["Step"]["oneOf"].as_array().unwrap();
    assert!(described.iter().all(|step| step["description"].is_string()), "steps without description");
}

#[test]
fn the_manual_names_every_step_and_every_marker() {
    let manual = fs::read_to_string(project().join("scenarios/README.md")).unwrap();
    let steps = scenario::step_names();
    assert!(steps.len() > 20, "{steps:?}");
    let markers = scenario::pattern::MARKERS.map(|(marker, _)| marker.to_owned());
    let placeholders = scenario::placeholder::IN_TOPICS.into_iter().chain(scenario::placeholder::IN_COMMANDS);
    for word in steps.into_iter().chain(markers).chain(placeholders.map(|name| format!("{{{name}}}"))) {
        assert!(manual.contains(&format!("`{word}")), "`{word}` is missing in scenarios/README.md");
    }
}

#[test]
fn every_requirement_has_a_scenario_or_a_reason_in_the_manual() {
    let manual = fs::read_to_string(project().join("scenarios/README.md")).unwrap();
    let (_, table) = manual.split_once("| requirement | why no scenario judges it |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let excused: BTreeSet<&str> = rows.flat_map(|row| row.split('|').nth(1).unwrap().trim().split(", ")).collect();
    let known: Vec<_> = requirements::ids().collect();
    let scenarios = files::load(&[project().join("scenarios")], &known).unwrap();
    let claimed = |id: &str| scenarios.iter().any(|it| it.model.requirements.iter().any(|claimed| claimed == id));
    let unclaimed: BTreeSet<_> = known.iter().copied().filter(|id| !claimed(id)).collect();
    assert_eq!(unclaimed, excused);
}

/// Whatever fails in a scenario breaks one of its requirements, so they have to bind who is under test.
#[test]
fn scenarios_name_requirements_of_the_side_under_test() {
    let known: Vec<_> = requirements::ids().collect();
    for scenario in files::load(&[project().join("scenarios")], &known).unwrap() {
        let named = scenario.model.requirements.iter().map(|id| requirements::find(id).unwrap());
        let strange: Vec<_> = named.filter(|it| !it.binds.is_side(scenario.model.under_test)).map(|it| it.id).collect();
        assert!(strange.is_empty(), "{}: {strange:?}", scenario.source.path);
        assert!(!scenario.model.requirements.is_empty(), "{} names none", scenario.source.path);
    }
}

/// The shape of what one of these may be shown at a place, with the words of enumerations; `*` stands for any element of a list.
fn places(api: &Api, shape: &Shape, at: &str, found: &mut BTreeSet<String>) {
    let holds = |when: &When| when.is_specified(Release::Main);
    match shape {
        Shape::Words(words) => {
            found.extend(words.iter().filter(|it| holds(&it.when)).map(|it| format!("{at} {}", it.text)))
        }
        Shape::Object { fields, .. } => {
            for field in fields.iter().filter(|it| holds(&it.when)) {
                let at = format!("{at}/{}", field.name);
                found.insert(at.clone());
                places(api, &field.shape, &at, found);
            }
        }
        Shape::List { of, .. } => places(api, of, &format!("{at}/*"), found),
        Shape::Named(name) => {
            let (api, _, shape) = api.resolve(name).unwrap();
            places(api, shape, at, found);
        }
        _ => {}
    }
}

/// What a message shows.
fn shown(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(found.insert(format!("{at} {text}"))),
        Value::Array(items) => items.iter().for_each(|item| shown(item, &format!("{at}/*"), found)),
        Value::Object(members) => {
            for (name, value) in members {
                let at = format!("{at}/{name}");
                found.insert(at.clone());
                shown(value, &at, found);
            }
        }
        _ => {}
    }
}

/// Nobody has to tell the client anything for that.
#[test]
fn plays_show_every_field_and_every_word_of_what_everest_tells_and_asks() {
    let known: Vec<_> = requirements::ids().collect();
    let plays = files::load(&[project().join("scenarios/plays")], &known).unwrap();
    for (api, channel) in [("auth_consumer", "token_validation_status"), ("auth_token_validator", "validate_token")] {
        let api = api::of(api).unwrap();
        let channel = api.channel(channel).unwrap();
        let topic = format!("{{e2m}}/{}", channel.name);
        let (mut may_be, mut is) = (BTreeSet::new(), BTreeSet::new());
        places(api, &channel.payload, "", &mut may_be);
        assert!(may_be.len() > 30, "{may_be:?}");
        for step in plays.iter().flat_map(|play| &play.model.steps) {
            if let Step::Publish(Publish { topic: to, payload: Some(payload), .. }) = step
                && *to == topic
            {
                shown(payload, "", &mut is);
            }
        }
        let missing: Vec<_> = may_be.difference(&is).collect();
        assert!(missing.is_empty(), "{}: {missing:#?}", channel.name);
    }
}

#[test]
fn examples_of_the_manual_are_scenarios() {
    let manual = fs::read_to_string(project().join("scenarios/README.md")).unwrap();
    let examples: Vec<&str> = manual.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() > 3);
    for example in examples {
        let text = if example.contains("description:") {
            example.to_owned()
        } else {
            // A list of steps: put into a frame with two tokens.
            let tokens = "{ALICE: {value: \"1\", type: Central}, BOB: {value: \"2\", type: Central}}";
            format!("description: x\nunder_test: everest\nstation: {{evses: 2, tokens: {tokens}}}\nsteps:\n{example}")
        };
        if let Err(errors) = scenario::parse("scenarios/README.md", &text, scenario::Known::default()) {
            let errors: String = errors.iter().map(|e| e.render(khumbu::diagnostic::Style::Plain)).collect();
            panic!("{errors}");
        }
    }
}

fn pending(text: &str) -> Vec<u8> {
    khumbu::transcript::snapshot::pending("scenarios/a.yaml", "Nothing.", text).into_bytes()
}

#[test]
fn goldens_are_listed_accepted_and_rejected() {
    let directory = directory(&[
        ("scenarios/a.yaml", GOLDEN.as_bytes()),
        ("scenarios/a.snap", &pending("one\ntwo\n")),
        ("scenarios/a.snap.new", &pending("one\nthree\n")),
        ("scenarios/x/b.yaml", GOLDEN.as_bytes()),
        ("scenarios/x/b.snap.new", &pending("new\n")),
    ]);
    let at = |name: &str| directory.path().join(name);
    let list = khumbu(directory.path(), &["review"]);
    let expected = "\
scenarios/a.snap.new (1 of 2)
  one
- two
+ three

scenarios/x/b.snap.new (2 of 2)
+ new

2 goldens wait for review
khumbu review --accept | --reject [PATH…], or khumbu review on a terminal
";
    assert_eq!((list.status.code(), stdout(&list).as_str()), (Some(1), expected));
    assert_eq!(khumbu(directory.path(), &["review", "--list"]).status.code(), Some(1));
    let reject = khumbu(directory.path(), &["review", "--reject", "scenarios/x/b.yaml"]);
    assert_eq!(reject.status.code(), Some(0), "{reject:?}");
    assert!(!at("scenarios/x/b.snap.new").exists() && !at("scenarios/x/b.snap").exists());
    let accept = khumbu(directory.path(), &["review", "--accept"]);
    assert_eq!(accept.status.code(), Some(0), "{accept:?}");
    assert!(!at("scenarios/a.snap.new").exists());
    assert_eq!(fs::read(at("scenarios/a.snap")).unwrap(), pending("one\nthree\n"));
    let none = khumbu(directory.path(), &["review", "--accept"]);
    assert_eq!((none.status.code(), stdout(&none).as_str()), (Some(0), "no goldens wait for review\n"));
    let both = khumbu(directory.path(), &["review", "--accept", "--reject"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn a_broken_pending_golden_is_not_accepted() {
    let directory =
        directory(&[("scenarios/a.yaml", GOLDEN.as_bytes()), ("scenarios/a.snap.new", b"no front matter\n")]);
    let accept = khumbu(directory.path(), &["review", "--accept"]);
    assert_eq!(accept.status.code(), Some(2));
    assert!(stderr(&accept).starts_with("error[golden/unreadable]: golden `scenarios/a.snap.new`"), "{accept:?}");
    assert!(!directory.path().join("scenarios/a.snap").exists());
    let reject = khumbu(directory.path(), &["review", "--reject"]);
    assert_eq!(reject.status.code(), Some(2), "it could not be shown");
    assert!(!directory.path().join("scenarios/a.snap.new").exists());
}

#[test]
fn a_golden_that_cannot_be_written_is_said_so() {
    // A directory stands where the golden belongs; `x` in it keeps it from being replaced.
    let directory = directory(&[("scenarios/a.snap.new", &pending("one\n")), ("scenarios/a.snap/x", b"")]);
    let accept = khumbu(directory.path(), &["review", "--accept"]);
    assert_eq!(accept.status.code(), Some(3));
    assert!(stderr(&accept).starts_with("error[golden/unwritable]: golden `scenarios/a.snap.new`"), "{accept:?}");
}

#[test]
fn goldens_that_nobody_claims_are_found() {
    let directory = directory(&[
        ("scenarios/a.yaml", GOLDEN.as_bytes()),
        ("scenarios/a.snap", &pending("x")),
        ("scenarios/b.yaml", GOOD.as_bytes()),
        ("scenarios/b.snap", &pending("x")),
        ("scenarios/x/gone.snap", &pending("x")),
    ]);
    let paths = [directory.path().join("scenarios")];
    let scenarios = files::load(&paths, &[]).unwrap();
    let orphans: Vec<String> = goldens::orphans(&paths, &scenarios).into_iter().map(|orphan| orphan.headline).collect();
    assert_eq!(orphans.len(), 2, "{orphans:?}");
    assert!(orphans[0].contains("/b.snap`") && orphans[1].contains("/gone.snap`"), "{orphans:?}");
    let golden = goldens::read(&directory.path().join("scenarios/a.yaml")).unwrap().unwrap();
    assert!(golden.path.ends_with("a.snap"));
    goldens::update(&directory.path().join("scenarios/a.yaml"), &golden.text).unwrap();
    goldens::write_pending(&directory.path().join("scenarios/a.yaml"), "x").unwrap();
    goldens::drop_pending(&directory.path().join("scenarios/a.yaml"));
    assert_eq!(goldens::all_pending(&paths), Vec::<std::path::PathBuf>::new());
    assert!(goldens::read(&directory.path().join("scenarios/none.yaml")).unwrap().is_none());
}

#[test]
fn usage_errors_exit_2_and_help_exits_0() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, code) in [
        (vec![], 2),
        (vec!["nonsense"], 2),
        (vec!["check", "--nonsense"], 2),
        (vec!["--help"], 0),
        (vec!["check", "--help"], 0),
        (vec!["--version"], 0),
    ] {
        let output = khumbu(directory.path(), &arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert_eq!(output.stdout.is_empty(), code == 2, "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_read_is_not_counted() {
    let project = Project::with(&[("p.yaml", PASS)]);
    let nowhere = project.run(&["check", "nowhere.yaml"]).exits(2);
    assert!(
        nowhere.stderr.contains("error[file/not-found]")
            && nowhere.stderr.ends_with("\n0 scenarios checked, 1 error\n"),
        "{}",
        nowhere.stderr
    );
    let one = project.run(&["check", "nowhere.yaml", "p.yaml"]).exits(2);
    assert!(one.stderr.ends_with("\n1 scenario checked, 1 error\n"), "{}", one.stderr);
}
