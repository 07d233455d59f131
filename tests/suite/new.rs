//! `khumbu new`: what it writes is right, plays, and overwrites nothing; the clients that it writes conform.

use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::clients;
use crate::project::{PASS, Project, Running, python_module, wait_for};

#[test]
fn a_project_begins_with_a_scenario_that_plays() {
    for (side, api, module) in [
        ("client", "auth_consumer", "builtin:client"),
        ("client", "auth_token_provider", "builtin:client"),
        ("client", "auth_token_validator", "builtin:client"),
        ("everest", "auth_consumer", "builtin:everest"),
    ] {
        let project = Project::new();
        let flags = ["new", "checks", "--side", side, "--api", api, "--module", module];
        let ran = project.run(&flags).exits(0);
        assert!(
            ran.stdout.contains("written: checks/khumbu.yaml\nwritten: checks/scenarios/first.yaml\n"),
            "{}",
            ran.stdout
        );
        assert!(ran.stdout.contains("\n1 passed, 0 failed"), "{}", ran.stdout);
        let again = project.run(&flags).exits(2);
        assert!(
            again.stderr.starts_with("error[usage/other-file]: `checks/khumbu.yaml` is there already"),
            "{}",
            again.stderr
        );
    }
}

#[test]
fn a_client_that_knows_nothing_of_khumbu_passes_its_first_scenario() {
    let Some(module) = python_module("stranger.py") else { return };
    let module = format!("{module} --way at-once");
    let project = Project::new();
    let ran = project.run(&["new", "--module", &module]).exits(0);
    assert!(ran.stdout.contains("\n1 passed, 0 failed"), "{}{}", ran.stdout, ran.stderr);
    project.assert_nothing_left();
}

#[test]
fn jobs_are_filled_in() {
    let module = "python3 'my \"own\" module.py' --port {port}";
    for (ci, file) in [("github", ".github/workflows/conformance.yml"), ("gitlab", "khumbu.gitlab-ci.yml")] {
        let project = Project::new();
        // There is no such module, which is no matter for what is written.
        project
            .run(&["new", "--side", "client", "--api", "auth_token_validator", "--module", module, "--ci", ci])
            .exits(3);
        let job = project.read(file);
        let written = Value::from(module).to_string();
        assert!(job.contains(&written) && job.contains("auth_token_validator"), "{job}");
        assert!(!job.contains("my_display"), "{job}");
        let config = project.read("khumbu.yaml");
        assert!(config.contains(&written), "{config}");
    }
}

#[test]
fn who_is_not_asked_has_to_say_how_the_module_is_started() {
    let project = Project::with(&[("file", "")]);
    let ran = project.run(&["new"]).exits(2);
    assert!(ran.stderr.starts_with("error[usage/no-module]: nobody says how the module is started"), "{}", ran.stderr);
    for (module, why) in [("", "is empty"), (" ", "is empty"), ("a 'b", "has a quote without its end")] {
        let ran = project.run(&["new", "there", "--module", module]).exits(2);
        let headline = format!("error[usage/bad-value]: the module's command line `{module}` {why}");
        assert!(ran.stderr.starts_with(&headline), "{}", ran.stderr);
        assert!(!project.path("there").exists());
    }
    let everest = ["new", "--side", "everest", "--api", "auth_token_provider", "--module", "x"];
    assert!(project.run(&everest).exits(2).stderr.starts_with("error[usage/other-side]"));
    let ran = project.run(&["new", "file", "--module", "x"]).exits(2);
    assert!(
        ran.stderr.starts_with("error[usage/no-directory]: `file/khumbu.yaml` cannot be written: "),
        "{}",
        ran.stderr
    );
}

/// `script` gives it a terminal.
#[test]
fn at_a_terminal_it_asks() {
    let project = Project::new();
    let khumbu = env!("CARGO_BIN_EXE_khumbu");
    let mut command = Command::new("script");
    command.env("NO_COLOR", "1").args(["-qec", &format!("{khumbu} new"), "/dev/null"]).current_dir(project.path("."));
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let Ok(mut asked) = command.spawn() else {
        println!("skipped: there is no `script`");
        return;
    };
    use std::io::Write as _;
    // A typing error is asked again, and an empty answer is the default.
    asked.stdin.take().unwrap().write_all(b"server\nclient\n\nbuiltin:client\n").unwrap();
    let told = asked.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("it is `client` or `everest`") && told.contains("1 passed, 0 failed"), "{told}");
    assert!(project.read("khumbu.yaml").contains("builtin:client"));
}

/// Writes a client, has `ready` do what the user is told to, and plays the first scenario and some that demand something of
/// it. Everything has to pass, and nothing may be left undriven.
fn a_client_conforms(lang: &str, api: &str, scenarios: &[&str], ready: impl FnOnce(&Project)) {
    let project = Project::new();
    let written = project.run(&["new", "--lang", lang, "--api", api]).exits(0);
    assert!(written.stdout.contains("\nNext:\n  "), "{}", written.stdout);
    ready(&project);
    let folder = match api {
        "auth_consumer" => "client",
        other => other.trim_start_matches("auth_token_"),
    };
    let scenario = |name: &&str| format!("{}/scenarios/{folder}/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let paths: Vec<_> = ["scenarios/first.yaml".to_owned()].into_iter().chain(scenarios.iter().map(scenario)).collect();
    let with_python = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        if let Some(python) = clients::provision().join("venv/bin").to_str() {
            command.env("PATH", format!("{python}:{}", std::env::var("PATH").unwrap_or_default()));
        }
        command
    };
    // It knows of which API the client is.
    let looked = Running::start(with_python(&["doctor"])).finish().exits(0);
    assert!(looked.stdout.contains(&format!("a client of `{api}`")), "{}", looked.stdout);
    assert!(looked.stdout.contains("\nnothing is missing\n"), "{}", looked.stdout);
    let mut command = with_python(&["run"]);
    command.args(paths);
    let ran = Running::start(command).finish().exits(0);
    assert!(ran.stdout.contains(&format!("\n{} passed, 0 failed", scenarios.len() + 1)), "{}", ran.stdout);
    project.assert_nothing_left();
}

const OF_DISPLAYS: [&str; 5] =
    ["withdraw_by_evse", "latched_get", "reconnect_cut_off", "withdraw_answered_late", "fault_connect_refused"];
const OF_READERS: [&str; 3] = ["token_presented", "token_rejected", "reconnect_cut_off"];
const OF_BACKENDS: [&str; 5] =
    ["token_accepted", "token_refused", "verdict_changes", "answer_takes_time", "result_updated"];

#[test]
fn clients_in_python_conform() {
    let Some(_) = clients::python() else { return };
    a_client_conforms("python", "auth_consumer", &OF_DISPLAYS, |_| {});
    a_client_conforms("python", "auth_token_provider", &OF_READERS, |_| {});
    a_client_conforms("python", "auth_token_validator", &OF_BACKENDS, |_| {});
}

#[test]
fn clients_for_node_conform() {
    let Some((_, folder)) = clients::node() else { return };
    let install = |project: &Project| {
        std::os::unix::fs::symlink(folder.join("node_modules"), project.path("node_modules")).unwrap();
    };
    a_client_conforms("node", "auth_consumer", &OF_DISPLAYS, install);
    a_client_conforms("node", "auth_token_provider", &OF_READERS, install);
    a_client_conforms("node", "auth_token_validator", &OF_BACKENDS, install);
}

#[test]
fn a_client_in_c_conforms() {
    let Some(cc) = clients::c_compiler() else { return };
    a_client_conforms("c", "auth_consumer", &OF_DISPLAYS, |project| {
        let flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-o"];
        let mut command = Command::new(cc);
        command.args(flags).arg(project.path("client")).arg(project.path("client.c")).arg("-lmosquitto");
        let compiled = command.output().unwrap();
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    });
}

#[test]
fn a_client_in_rust_conforms() {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args([
        "build",
        "--quiet",
        "--locked",
        "--example",
        "client_in_rust",
        "--message-format=json-render-diagnostics",
    ]);
    let built = command.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let told = String::from_utf8_lossy(&built.stdout).into_owned();
    let executable = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executable = executable.filter_map(|line| line["executable"].as_str().map(str::to_owned)).next_back().unwrap();
    a_client_conforms("rust", "auth_consumer", &OF_DISPLAYS, |project| {
        // Its own manifest has what it uses, and cargo reads it.
        let manifest = project.read("Cargo.toml");
        for dependency in ["rumqttc", "serde_json", "tokio", "uuid"] {
            assert!(manifest.contains(&format!("\n{dependency} = ")), "{manifest}");
        }
        let mut command = Command::new(env!("CARGO"));
        command.args(["metadata", "--no-deps", "--format-version=1"]).current_dir(project.path(""));
        let read = command.output().unwrap();
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        let folder = project.path("target/debug");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(&executable, folder.join("client")).unwrap();
    });
}

#[test]
fn a_client_is_written_for_clients_only_and_in_languages_that_have_one() {
    let project = Project::new();
    for (flags, why) in [
        (
            &["--lang", "c", "--api", "auth_token_provider"][..],
            "there is no client of `auth_token_provider` in this language",
        ),
        (
            &["--lang", "python", "--side", "everest"],
            "`--lang` writes a client, which does not stand on the side `everest`",
        ),
        (&["--lang", "python", "--module", "x"], "the argument '--lang <python|node|c|rust>' cannot be used with"),
        (&["--lang", "cobol"], "cobol"),
    ] {
        let ran = project.run(&[&["new", "there"], flags].concat()).exits(2);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        assert!(!project.path("there").exists());
    }
}

#[test]
fn a_module_that_cannot_be_started_is_looked_at_next() {
    let project = Project::new();
    let ran = project.run(&["new", "--module", "./nonexistent --port {port}"]).exits(3);
    assert!(ran.stdout.contains("\nNext: khumbu doctor   (says what is missing; "), "{}", ran.stdout);
    assert!(!ran.stdout.contains("khumbu conform"), "{}", ran.stdout);
}

#[test]
fn a_word_that_is_nearly_a_placeholder_is_refused() {
    let project = Project::with(&[("p.yaml", PASS)]);
    for (written, meant) in
        [("{prt}", "{port}"), ("{module-id}", "{module_id}"), ("{id}", "{module_id}"), ("{Host}", "{host}")]
    {
        let why = format!(
            "error[usage/bad-value]: `{written}` in the module's command line is no placeholder; did you mean `{meant}`?"
        );
        let module = format!("./display --port={written}");
        for command in [&["new", "made", "--module", &module][..], &["run", "p.yaml", "--module", &module]] {
            let refused = project.run(command).exits(2);
            assert!(
                refused.stderr.starts_with(&why) && refused.stderr.contains("{external_prefix}"),
                "{}",
                refused.stderr
            );
        }
    }
    assert!(!project.path("made").exists());
    // Braces of others stay as they stand; the command ends, which is another matter.
    for module in ["awk 'BEGIN {print}'", "sh -c 'echo ${prt} {prt,x} { prt; } {\"prt\":1}'", "echo {} {0} {whatever}"]
    {
        let ran = project.run(&["run", "p.yaml", "--module", module]);
        assert!(!ran.stderr.contains("is no placeholder"), "{module}: {}", ran.stderr);
    }
}

#[test]
fn a_word_in_a_binding_that_is_nearly_a_placeholder_is_refused() {
    let project = Project::with(&[("p.yaml", PASS)]);
    let binding = |binding: &str| format!("{{bindings: {{withdraw: {binding}}}}}");
    let (of_binding, of_command) = ("the binding for `withdraw`", "the module's command line");
    for (module, what, written, meant) in [
        (binding("{run: 'tell --port {prt}'}"), of_binding, "{prt}", "{port}"),
        (binding("{run: 'tell {arguments} {argumnets}'}"), of_binding, "{argumnets}", "{arguments}"),
        (binding("{stdin: 'withdraw {argument}'}"), of_binding, "{argument}", "{arguments}"),
        (binding("{publish: {topic: 'cmd/{module-id}'}}"), of_binding, "{module-id}", "{module_id}"),
        (binding("{publish: {topic: cmd, payload: {a: ['{comand}']}}}"), of_binding, "{comand}", "{command}"),
        ("{command: './display {prt}'}".to_owned(), of_command, "{prt}", "{port}"),
    ] {
        project.write("khumbu.yaml", &format!("module: {module}\n"));
        let why = format!("error[config/invalid]: `{written}` in {what} is no placeholder; did you mean `{meant}`?");
        for command in [&["run", "p.yaml"][..], &["check", "p.yaml"]] {
            let refused = project.run(command).exits(2);
            assert!(refused.stderr.contains(&why) && refused.stderr.contains("^^^"), "{}", refused.stderr);
        }
    }
    let fine = "module: {bindings: {withdraw: {run: \"sh -c 'echo ${prt} {print} {arguments} {command} {port}'\"}}}\n";
    project.write("khumbu.yaml", fine);
    project.run(&["check", "p.yaml"]).exits(0);
}

#[test]
fn nothing_of_a_module_is_left_when_it_is_ended() {
    let project = Project::new();
    let running = project.start(&["new", "--module", "sh -c 'touch begun; exec sleep 100'"]);
    wait_for("the module", || project.path("begun").exists().then_some(()));
    running.signal(Signal::SIGTERM);
    running.finish();
    project.assert_nothing_left();
}
