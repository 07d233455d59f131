//! `--annotations github`: workflow commands that GitHub's runner understands, at files that are there.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use khumbu::diagnostic::{Diagnostic, Place, Severity, Source};
use khumbu::report::annotations::{annotations, github};
use khumbu::verdict::{ScenarioResult, Verdict};

use crate::project::{FAIL, PASS, Project};

fn result(verdict: Verdict, severity: Severity) -> ScenarioResult {
    let source =
        Arc::new(Source { path: "s/a,b.yaml".to_owned(), text: "description: x\nsteps: [é, here]\n".to_owned() });
    let start = source.text.find("here").unwrap();
    let place = Place { source, range: start..start + 4, label: String::new() };
    let finding = Diagnostic::new(severity, "expect/missing", "100% of `a::b`\r\nis missing").at(place);
    ScenarioResult { path: "s/a,b.yaml".to_owned(), verdict, findings: vec![finding], ..ScenarioResult::default() }
}

fn there(source: &Source) -> Option<String> {
    Some(format!("below/{}", source.path))
}

#[test]
fn what_would_end_a_command_is_escaped() {
    let text = github(&annotations([&result(Verdict::Fail, Severity::Fail)], &there));
    assert!(
        text.starts_with(
            "::error file=below/s/a%2Cb.yaml,line=2,col=12,title=s/a%2Cb.yaml is fail::fail[expect/missing]"
        ),
        "{text}"
    );
    assert!(text.contains("100%25 of `a::b`\\r\\nis missing%0A"), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn a_file_that_is_not_there_is_named_in_the_title() {
    let text = github(&annotations([&result(Verdict::Error, Severity::Error)], &|_| None));
    assert!(text.starts_with("::error title=s/a%2Cb.yaml is error%2C at s/a%2Cb.yaml%3A2::error["), "{text}");
}

#[test]
fn what_decides_nothing_is_not_annotated_and_the_rest_by_its_weight() {
    for (verdict, severity, begins) in [
        (Verdict::Pass, Severity::Warning, ""),
        (Verdict::NotApplicable, Severity::Note, ""),
        (Verdict::Excused, Severity::Warning, ""),
        (Verdict::Inconclusive, Severity::Inconclusive, "::warning file="),
        (Verdict::Flaky, Severity::Fail, "::warning file="),
        (Verdict::Fail, Severity::Fail, "::error file="),
    ] {
        let text = github(&annotations([&result(verdict, severity)], &there));
        assert!(text.starts_with(begins) && text.is_empty() == begins.is_empty(), "{verdict:?}: {text}");
    }
}

#[test]
fn what_github_would_drop_is_counted() {
    let results = vec![result(Verdict::Fail, Severity::Fail); 12];
    let text = github(&annotations(&results, &there));
    assert_eq!(text.lines().count(), 10);
    assert!(text.lines().last().unwrap().starts_with("::error title=3 more::"), "{text}");
    assert_eq!(github(&annotations(&results[..10], &there)).matches("::error file=").count(), 10);
}

/// The command, with what it stands in a checkout: the runner is in a directory below its root.
#[test]
fn a_run_annotates_the_lines_of_the_checkout() {
    let project = Project::with(&[("s/a.yaml", PASS), ("s/b.yaml", FAIL)]);
    let root = project.path(".").display().to_string();
    let mut command = project.command(&["run", "b.yaml", "a.yaml", "--annotations", "github"]);
    command.current_dir(project.path("s")).env("GITHUB_WORKSPACE", root);
    let ran = crate::project::Running::start(command).finish().exits(1);
    let found: Vec<_> = ran.stdout.lines().filter(|line| line.starts_with("::")).collect();
    assert_eq!(found.len(), 1, "{}", ran.stdout);
    assert!(found[0].starts_with("::error file=s/b.yaml,line=5,col="), "{found:?}");
}

/// A scenario of the binary is in no checkout, unless it was extracted.
#[test]
fn conform_says_where_and_names_files_that_are_there() {
    let project = Project::new();
    let module = "builtin:client?bug=rejected_unforeseen";
    let flags = ["conform", "--side", "client", "--only", "WD-13", "--module", module, "--annotations", "github"];
    let annotated = || {
        let ran = project.run(&flags).exits(1);
        let mut commands = ran.stdout.lines().filter(|line| line.starts_with("::"));
        commands.find(|line| line.contains("WD-13")).unwrap_or_else(|| panic!("{}", ran.stdout)).to_owned()
    };
    let outside = annotated();
    assert!(outside.starts_with("::error title=WD-13 is broken (must)%2C at scenarios/client/"), "{outside}");
    assert!(outside.contains("see it again: khumbu conform"), "{outside}");
    project.run(&["conform", "--extract", "scenarios"]).exits(0);
    let inside = annotated();
    assert!(inside.starts_with("::error file=scenarios/client/"), "{inside}");
}
