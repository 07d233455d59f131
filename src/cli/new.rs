//! `khumbu new`: what a project needs that has a module and no scenario yet, or no module either. Overwrites nothing.

mod client;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use self::client::{Client, Lang};
use super::module_flags::{api, check_placeholders, side};
use super::{Exit, examples, print, quiet_runtime, signals};
use crate::diagnostic::words::cut;
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::ApiType;
use crate::protocol::side::Side;
use crate::yaml;

/// Files of a job of GitHub: where they go, and what they say.
const GITHUB: [(&str, &str); 4] = [
    (".github/khumbu/action.yml", include_str!("../../ci/templates/github/action.yml")),
    (".github/khumbu/install.sh", include_str!("../../ci/templates/github/install.sh")),
    (".github/khumbu/merge/action.yml", include_str!("../../ci/templates/github/merge/action.yml")),
    (".github/workflows/conformance.yml", include_str!("../../ci/templates/github/conformance.yml")),
];
/// The same of GitLab.
const GITLAB: [(&str, &str); 1] =
    [("khumbu.gitlab-ci.yml", include_str!("../../ci/templates/gitlab/khumbu.gitlab-ci.yml"))];

/// Begins a project: writes `khumbu.yaml`, a first scenario and, where wanted, a CI job for your module, and plays the
/// scenario. At a terminal it asks for what no flag says. With `--lang` it also writes a small client that conforms, to
/// start from.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::NEW)]
pub struct Arguments {
    /// Where; made if it is not there [default: the working directory]
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    directory: PathBuf,
    /// The side on which your module stands
    #[arg(long, value_name = "client|everest", value_parser = side)]
    side: Option<Side>,
    /// The API whose client it is [default: auth_consumer]
    #[arg(long, value_name = "NAME", value_parser = api)]
    api: Option<ApiType>,
    /// Its command line, run in DIR; {host}, {port} and {module_id} are filled in
    #[arg(long, value_name = "CMD")]
    module: Option<String>,
    /// There is no module yet: write a client in this language
    #[arg(long, value_name = "python|node|c|rust", value_enum, hide_possible_values = true, conflicts_with = "module")]
    lang: Option<Lang>,
    /// Also write a job for this CI system
    #[arg(long, value_name = "github|gitlab", value_enum, hide_possible_values = true)]
    ci: Option<Ci>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Ci {
    Github,
    Gitlab,
}

/// Asks, writes, plays.
pub fn run(arguments: Arguments) -> Exit {
    let directory = arguments.directory.clone();
    // Before anybody is asked anything.
    let first = [("khumbu.yaml", String::new()), ("scenarios/first.yaml", String::new())];
    if let Err(diagnostic) = is_free(&directory, &first) {
        return print::refused(vec![*diagnostic]);
    }
    let begun = asked(arguments).and_then(|wanted| written(&directory, &wanted.files()).map(|()| wanted));
    let wanted = match begun {
        Ok(wanted) => wanted,
        Err(diagnostic) => return print::refused(vec![*diagnostic]),
    };
    for (name, _) in wanted.files() {
        print::out(&format!("written: {}\n", below(&directory, name).display()));
    }
    let there = match directory == Path::new(".") {
        true => String::new(),
        false => format!("cd {} && ", shell_words::quote(&directory.display().to_string())),
    };
    let api = if wanted.side == Side::Client { format!(" --api {}", wanted.api.name()) } else { String::new() };
    let conform = format!("khumbu conform --side {}{api}", wanted.side.name());
    if let Some(client) = wanted.client {
        // What it needs is for the user to install.
        wanted.tell_of_ci();
        let steps = [format!("{there}{}", client.setup()), "khumbu run".to_owned(), conform];
        print::out(&format!("\nNext:\n  {}\n", steps.join("\n  ")));
        return Exit::Pass;
    }
    print::out("\nkhumbu run\n");
    let code = match play(&directory) {
        Ok(Some(code)) => code,
        Ok(None) => return Exit::Error,
        Err(exit) => return exit,
    };
    wanted.tell_of_ci();
    if code != 0 {
        let what = "(says what is missing; how the module is started stands in khumbu.yaml)";
        print::out(&format!("\nNext: {there}khumbu doctor   {what}\n"));
        return Exit::from(code);
    }
    print::out(&format!(
        "\nNext: change scenarios/first.yaml, or have the module judged by all that is required of it: {there}{conform}\n"
    ));
    Exit::from(code)
}

/// Plays as the user will, in that directory; the exit code, if it ended by itself. It ends when this process is to end.
fn play(directory: &Path) -> Result<Option<u8>, Exit> {
    let runtime = quiet_runtime()?;
    let played: io::Result<_> = runtime.block_on(async {
        let mut wishes = signals::wishes()?;
        // A group of its own: what the user wants comes from here alone, and so once.
        let mut command = tokio::process::Command::new(std::env::current_exe()?);
        let mut khumbu =
            command.arg("run").current_dir(directory).stdin(process::Stdio::null()).process_group(0).spawn()?;
        loop {
            tokio::select! {
                status = khumbu.wait() => return status,
                () = wishes.next() => {
                    if let Some(id) = khumbu.id().and_then(|id| i32::try_from(id).ok()) {
                        let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
                    }
                }
            }
        }
    });
    Ok(played.ok().and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok()))
}

/// Where a file stands, as short as can be said.
fn below(directory: &Path, name: &str) -> PathBuf {
    if directory == Path::new(".") { PathBuf::from(name) } else { directory.join(name) }
}

/// What somebody wants.
struct Wanted {
    side: Side,
    api: ApiType,
    module: String,
    client: Option<Client>,
    ci: Option<Ci>,
}

/// What flags say, and at a terminal the user.
fn asked(given: Arguments) -> Result<Wanted, Box<Diagnostic>> {
    let is_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    let side = match given.side {
        None if given.lang.is_some() => Side::Client,
        None if is_terminal => ask("On which side is your module, client or everest?", "client", side)?,
        other => other.unwrap_or(Side::Client),
    };
    let api = match given.api {
        None if is_terminal && side == Side::Client => {
            let names = ApiType::AUTH_APIS.map(ApiType::name).join(", ");
            ask(&format!("Which API does it use ({names})?"), ApiType::AUTH_CONSUMER.name(), api)?
        }
        other => other.unwrap_or(ApiType::AUTH_CONSUMER),
    };
    if side == Side::Everest && given.lang.is_some() {
        let headline = "`--lang` writes a client, which does not stand on the side `everest`";
        return Err(Box::new(Diagnostic::new(Severity::Error, "usage/other-side", headline).with_help("leave it out")));
    }
    let client = given.lang.map(|lang| Client::new(lang, api)).transpose()?;
    let module = match given.module.or(client.map(|client| client.command().to_owned())) {
        Some(module) => module,
        None if is_terminal => ask("How is it started? {host} and {port} are the broker's.", "", |line| {
            can_be_started(line).map(|_| line.to_owned()).map_err(|why| format!("it {why}"))
        })?,
        None => {
            let missing = Diagnostic::new(Severity::Error, "usage/no-module", "nobody says how the module is started");
            return Err(Box::new(missing.with_help("`--module 'python3 my_display.py --port {port}'`")));
        }
    };
    if side == Side::Everest && given.api.is_some_and(|api| api != ApiType::AUTH_CONSUMER) {
        let headline = "an EVerest under test has all of its APIs, and `--api` is for clients";
        return Err(Box::new(Diagnostic::new(Severity::Error, "usage/other-side", headline).with_help("leave it out")));
    }
    let words = can_be_started(&module).map_err(|why| {
        let headline = format!("the module's command line `{}` {why}", cut(&module, 80));
        Box::new(Diagnostic::new(Severity::Error, "usage/bad-value", headline))
    })?;
    check_placeholders(&words)?;
    Ok(Wanted { side, api, module, client, ci: given.ci })
}

/// The words of a command line.
fn can_be_started(module: &str) -> Result<Vec<String>, String> {
    match shell_words::split(module) {
        Ok(words) if words.is_empty() => Err("is empty".to_owned()),
        Ok(words) => Ok(words),
        Err(_) => Err("has a quote without its end".to_owned()),
    }
}

/// Asks until the answer can be read; an empty one is the default.
fn ask<T>(question: &str, default: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T, Box<Diagnostic>> {
    loop {
        let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        print::err(&format!("{question}{shown} "));
        let _ = io::stderr().flush();
        let mut line = String::new();
        if !matches!(io::stdin().lock().read_line(&mut line), Ok(1..)) {
            return Err(Box::new(Diagnostic::new(
                Severity::Error,
                "usage/no-module",
                "the questions were not answered",
            )));
        }
        let answer = if line.trim().is_empty() { default } else { line.trim() };
        match read(answer) {
            Ok(value) => return Ok(value),
            Err(why) => print::err(&format!("{why}\n")),
        }
    }
}

impl Wanted {
    /// What is left to do for the CI job.
    fn tell_of_ci(&self) {
        match self.ci {
            None => {}
            Some(Ci::Github) => print::out("\nThe CI job has to know where khumbu comes from: set KHUMBU in it.\n"),
            Some(Ci::Gitlab) => print::out(
                "\nThe CI job has to know where khumbu comes from: set KHUMBU in it. `.gitlab-ci.yml` has to include it: \
                 `include: khumbu.gitlab-ci.yml`.\n",
            ),
        }
    }

    fn files(&self) -> Vec<(&'static str, String)> {
        let Wanted { side, api, module, client, ci } = self;
        let first = match (*side, *api) {
            (Side::Everest, _) => include_str!("new/everest.yaml"),
            (_, ApiType::AUTH_TOKEN_PROVIDER) => include_str!("new/auth_token_provider.yaml"),
            (_, ApiType::AUTH_TOKEN_VALIDATOR) => include_str!("new/auth_token_validator.yaml"),
            _ => include_str!("new/auth_consumer.yaml"),
        };
        // JSON is YAML, whatever stands in it.
        let mut config = format!("scenarios: [scenarios]\nmodule:\n  command: {}\n", json!(module));
        if *side == Side::Client {
            let _ = writeln!(config, "  api: {}", api.name());
        }
        if let Some(bindings) = client.map(Client::bindings) {
            let _ = writeln!(config, "  bindings: {bindings}");
        }
        let config = yaml::format(&config).unwrap_or(config);
        let jobs = match ci {
            None => &[][..],
            Some(Ci::Github) => &GITHUB,
            Some(Ci::Gitlab) => &GITLAB,
        };
        let module = json!(module);
        let (side, api) = match side {
            Side::Client => ("client", api.name()),
            Side::Everest => ("everest", "''"),
        };
        // As the templates have it for a display of somebody's.
        let filled = [
            (
                "module: python3 my_display.py --broker {host}:{port} --id {module_id}",
                format!("module: {module}\n          side: {side}\n          api: {api}"),
            ),
            ("KHUMBU_MODULE: ''", format!("KHUMBU_MODULE: {module}")),
            ("KHUMBU_SIDE: client", format!("KHUMBU_SIDE: {side}")),
            ("KHUMBU_CLIENT_API: ''", format!("KHUMBU_CLIENT_API: {api}")),
        ];
        let fill = |text: &str| filled.iter().fold(text.to_owned(), |text, (empty, full)| text.replace(empty, full));
        let jobs = jobs.iter().map(|(name, text)| (*name, fill(text)));
        let client = client.map(Client::files).unwrap_or_default();
        let project = [("khumbu.yaml", config), ("scenarios/first.yaml", first.to_owned())];
        client.into_iter().chain(project).chain(jobs).collect()
    }
}

/// Whether none of them is there already.
fn is_free(directory: &Path, files: &[(&str, String)]) -> Result<(), Box<Diagnostic>> {
    if let Some((name, _)) = files.iter().find(|(name, _)| directory.join(name).exists()) {
        let headline = format!("`{}` is there already, and nothing is overwritten", below(directory, name).display());
        let help = "name another directory, or take it away first";
        return Err(Box::new(Diagnostic::new(Severity::Error, "usage/other-file", headline).with_help(help)));
    }
    Ok(())
}

/// Writes all of them, or none where one is there already.
fn written(directory: &Path, files: &[(&str, String)]) -> Result<(), Box<Diagnostic>> {
    is_free(directory, files)?;
    for (name, text) in files {
        let path = below(directory, name);
        let done = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        done.map_err(|error| {
            let headline = format!("`{}` cannot be written: {error}", path.display());
            Box::new(Diagnostic::new(Severity::Error, "usage/no-directory", headline))
        })?;
    }
    Ok(())
}
