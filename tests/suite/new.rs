//! `khumbu new`: what it writes is right, plays, and overwrites nothing.

use std::process::Command;

use serde_json::Value;

use crate::project::{Project, python_module};

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
