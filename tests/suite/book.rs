//! The book: what README.md and docs/ show is so. Sessions are carried out, command lines and YAML are read by who reads
//! them from users, and links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::error::ErrorKind;
use khumbu::cli;
use khumbu::cli::config::Config;
use khumbu::diagnostic::{Diagnostic, Style};
use khumbu::gateway::{Chargers, Tokens};
use khumbu::parity::StationFile;
use khumbu::scenario;
use regex::Regex;

use crate::clients;
use crate::printed::{expected, settled};
use crate::project::{Project, Running};

/// Pages that are made from code, or are lists; all others are for reading.
const LISTS: [&str; 3] = ["docs/messages.md", "docs/requirements.md", "docs/scenario_language.md"];
/// The pages in which commands are shown with what they print.
const SESSIONS: [&str; 7] = [
    "README.md",
    "docs/a_failure.md",
    "docs/editors.md",
    "docs/recording.md",
    "docs/releases.md",
    "docs/tutorial.md",
    "docs/verdicts.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The pages of the book, README.md first.
fn pages() -> Vec<String> {
    let names =
        fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<_> = names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    assert!(pages.len() > 10, "{pages:?}");
    ["README.md".to_owned()].into_iter().chain(pages).collect()
}

/// A block between fences.
struct Block {
    page: String,
    line: usize,
    language: String,
    text: String,
}

impl Block {
    fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    /// The file that it is, where its first line says so.
    fn file(&self) -> Option<&str> {
        let name = self.text.lines().next()?.strip_prefix("# ")?.split([':', ',']).next()?;
        [".yaml", ".py"].iter().any(|end| name.ends_with(end)).then_some(name)
    }
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for (at, line) in read(page).lines().enumerate() {
        match line.strip_prefix("```") {
            Some(language) if !is_open => {
                is_open = true;
                let language = language.trim().to_owned();
                blocks.push(Block { page: page.to_owned(), line: at + 1, language, text: String::new() });
            }
            Some(_) => is_open = false,
            None if is_open => blocks.last_mut().unwrap().text.extend([line, "\n"]),
            None => {}
        }
    }
    assert!(!is_open, "{page}: a block without its end");
    blocks
}

fn blocks_in(language: &str) -> Vec<Block> {
    pages().iter().flat_map(|page| blocks(page)).filter(|block| block.language == language).collect()
}

/// The text of a page outside blocks, line by line with its number.
fn prose(page: &str) -> Vec<(usize, String)> {
    let mut is_open = false;
    let lines = read(page).lines().map(str::to_owned).enumerate().collect::<Vec<_>>();
    lines
        .into_iter()
        .filter(|(_, line)| {
            let is_fence = line.starts_with("```");
            is_open ^= is_fence;
            !is_open && !is_fence
        })
        .map(|(at, line)| (at + 1, line))
        .collect()
}

/// The command lines of khumbu in a line of a shell.
fn commands_in(line: &str) -> Vec<Vec<String>> {
    let line = line.replace("cargo run -- ", "khumbu ");
    let words = shell_words::split(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let commands = words.split(|word| ["&&", "|", ";"].contains(&word.as_str()));
    let commands = commands.map(|words| words.split(|word| word == ">").next().unwrap_or_default().to_vec());
    let commands = commands.filter_map(|mut words| {
        // A container has khumbu as its program.
        if let Some(image) = words.iter().position(|word| word.starts_with("khumbu:")) {
            words.splice(..=image, ["khumbu".to_owned()]);
        }
        (words.first()? == "khumbu").then_some(words)
    });
    commands.collect()
}

#[test]
fn khumbu_takes_every_command_line_of_the_book() {
    let mut seen = 0;
    for block in blocks_in("sh").into_iter().chain(blocks_in("console")) {
        let text = block.text.replace("\\\n", " ");
        for line in text.lines() {
            let line = match block.language.as_str() {
                "console" => line.strip_prefix("$ ").unwrap_or(""),
                _ => line,
            };
            for words in commands_in(line) {
                seen += 1;
                if let Err(error) = cli::usage(words) {
                    panic!("{}: {line}\n{error}", block.place());
                }
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

/// In a sentence, what has to be there may be missing, and words stand for values.
#[test]
fn khumbu_knows_every_command_and_flag_that_the_prose_names() {
    let code = Regex::new("`(khumbu [^`]+)`").unwrap();
    let mut seen = 0;
    for page in pages() {
        let prose: Vec<_> = prose(&page).into_iter().map(|(_, line)| line).collect();
        for found in code.captures_iter(&prose.join("\n")) {
            let Ok(words) = shell_words::split(&found[1].replace(['…', '\n'], " ")) else { continue };
            if words[1..].first().is_none_or(|word| word == "COMMAND") {
                continue;
            }
            seen += 1;
            if let Err(error) = cli::usage(words) {
                let kind = error.kind();
                let is_said = matches!(
                    kind,
                    ErrorKind::MissingRequiredArgument | ErrorKind::InvalidValue | ErrorKind::ValueValidation
                );
                assert!(is_said || kind == ErrorKind::DisplayHelp, "{page}: {}\n{error}", &found[1]);
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

/// A flag that stands alone in a sentence or a table, as in "with `--retries`".
#[test]
fn every_flag_that_the_prose_names_is_one_of_khumbu() {
    let known = Project::new().run(&["completions", "bash"]).exits(0).stdout;
    let known: BTreeSet<_> = known.split(|c: char| c.is_whitespace() || "\"()|".contains(c)).collect();
    let flag = Regex::new("`(--[a-z][a-z-]+)").unwrap();
    let of_others = ["--git", "--locked"];
    let mut seen = 0;
    for page in pages() {
        for (line, text) in prose(&page) {
            for found in flag.captures_iter(&text) {
                seen += 1;
                assert!(known.contains(&found[1]) || of_others.contains(&&found[1]), "{page}:{line}: {}", &found[1]);
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

fn told(errors: &[Diagnostic]) -> String {
    errors.iter().map(|error| error.render(Style::Plain)).collect()
}

/// Reads a block as what it is.
fn read_yaml(block: &Block) -> Result<(), String> {
    let (place, text) = (block.place(), block.text.as_str());
    let has = |key: &str| text.lines().any(|line| line.starts_with(&format!("{key}:")));
    if has("steps") && text.contains("\napi: display_message\n") {
        // Its API is that of a document which is not here; all else is the language.
        let structure =
            scenario::parse_as::<scenario::model::Model>(&place, &text.replace("api: display_message\n", ""));
        structure.map(|_| ()).map_err(|errors| told(&errors))
    } else if has("steps") {
        scenario::parse(&place, text, scenario::Known::default()).map(|_| ()).map_err(|errors| told(&errors))
    } else if has("chargers") {
        Chargers::parse(&place, text).map(|_| ()).map_err(|errors| told(&errors))
    } else if text.starts_with("tokens:\n  - token:") {
        Tokens::parse(&place, text, |id| id == "north").map(|_| ()).map_err(|errors| told(&errors))
    } else if has("module") || has("known_failures") {
        scenario::parse_as::<Config>(&place, text).map(|_| ()).map_err(|errors| told(&errors))
    } else {
        scenario::parse_around_station::<StationFile>(&place, text).map(|_| ()).map_err(|errors| told(&errors))
    }
}

#[test]
fn every_file_of_the_book_is_read() {
    let blocks = blocks_in("yaml");
    assert!(blocks.len() > 10);
    for block in blocks {
        if let Err(errors) = read_yaml(&block) {
            panic!("{}\n{errors}", block.place());
        }
    }
}

/// The anchors of a page, as GitHub and GitLab make them of its headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(page).into_iter().filter(|(_, line)| line.starts_with('#')) {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        let kept: String = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c)).collect();
        let anchor = kept.replace(' ', "-");
        let again = (1..).map(|number| format!("{anchor}-{number}"));
        let free = [anchor.clone()].into_iter().chain(again).find(|anchor| !anchors.contains(anchor)).unwrap();
        anchors.insert(free);
    }
    anchors
}

#[test]
fn every_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let code = Regex::new("`[^`]*`").unwrap();
    let others =
        ["ARCHITECTURE.md", "CONTRIBUTING.md", "RELEASING.md", "scenarios/README.md", "fixtures/modules/README.md"];
    let mut broken = Vec::new();
    let mut seen = 0;
    for page in pages().into_iter().chain(others.map(str::to_owned)) {
        for (line, text) in prose(&page) {
            for found in link.captures_iter(&code.replace_all(&text, "code")) {
                let target = &found[1];
                if target.contains("://") {
                    continue;
                }
                seen += 1;
                let (path, anchor) =
                    target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
                let file = match path {
                    "" => PathBuf::from(&page),
                    _ => Path::new(&page).parent().unwrap().join(path),
                };
                let is_there = root().join(&file).exists();
                if !is_there || anchor.is_some_and(|anchor| !anchors(file.to_str().unwrap()).contains(anchor)) {
                    broken.push(format!("{page}:{line}: {target}"));
                }
            }
        }
    }
    assert!(seen > 100, "{seen}");
    assert!(broken.is_empty(), "these lead nowhere: {broken:#?}");
}

#[test]
fn pages_are_short_and_all_of_them_are_in_the_index() {
    let readme = read("README.md");
    assert!(readme.len() < 9000, "README.md has {} bytes; what goes beyond the first minute has a page", readme.len());
    let commands = "With Rust 1.89 or newer on the machine:\n\n```sh\n\
        cargo run -- run     # plays scenarios/ against the built-in modules; exit code 0\n\
        ci/test              # the whole test gate; installs the clients it needs into target/provision\n```\n";
    assert!(readme.contains(&format!("## Two commands\n\n{commands}")));
    let scenario = format!("```yaml\n{}```\n", read("scenarios/everest/withdraw_by_evse.yaml"));
    assert!(
        readme.contains(&scenario) && read("scenarios/README.md").contains(&scenario),
        "they show another scenario"
    );
    let index = read("docs/README.md");
    for page in pages() {
        let name = page.trim_start_matches("docs/");
        let is_listed = page == "README.md" || name == "README.md" || index.contains(&format!("]({name})"));
        assert!(is_listed, "docs/README.md does not name {page}");
        let lines = read(&page).lines().count();
        assert!(lines <= 300 || LISTS.contains(&page.as_str()), "{page} has {lines} lines");
    }
}

/// Changes a file as a block in the language `diff` says, which has no numbers of lines.
fn change(project: &Project, block: &Block) {
    let (head, body) = block.text.split_once('\n').unwrap();
    let file = head.strip_prefix("--- ").unwrap_or_else(|| panic!("{}: it says no file", block.place()));
    let side = |other: char| {
        let lines = body.lines().filter(|line| !line.starts_with(other));
        lines.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect::<String>()
    };
    let (old, text) = (side('+'), project.read(file));
    assert_eq!(text.matches(&old).count(), 1, "{}: {file} has not these lines\n{text}", block.place());
    project.write(file, &text.replace(&old, &side('-')));
}

/// Runs a line in a shell, with khumbu and the provisioned Python on the path; what it printed, and its exit code.
fn shell(project: &Project, python: Option<&Path>, line: &str) -> (String, i32) {
    let mut command = Command::new("sh");
    let khumbu = Path::new(env!("CARGO_BIN_EXE_khumbu"));
    let paths = [Some(khumbu), python].into_iter().flatten().map(|program| program.parent().unwrap().to_path_buf());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(paths.chain(std::env::split_paths(&path))).unwrap();
    command.args(["-c", &format!("exec 2>&1; {line}")]).env("PATH", path).env_remove("CI");
    command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(project.path("."));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = Running::start(command).finish();
    (ran.stdout, ran.status.code().unwrap_or(-1))
}

/// Does all that a page says, from its first to its last block.
fn carry_out(page: &str, project: &Project) {
    let needs_python = blocks(page).iter().any(|block| block.language == "console" && block.text.contains("python3"));
    let python = if needs_python { clients::python() } else { None };
    if needs_python && python.is_none() {
        return;
    }
    let mut last = None;
    for block in blocks(page) {
        match (block.language.as_str(), block.file()) {
            ("diff", _) => change(project, &block),
            ("console", _) => {
                for session in format!("\n{}", block.text).split("\n$ ").skip(1) {
                    let (line, shown) = session.split_once('\n').unwrap_or((session, ""));
                    if line == "echo $?" {
                        assert_eq!(
                            last.map(|code: i32| code.to_string()).as_deref(),
                            Some(shown.trim()),
                            "{}",
                            block.place()
                        );
                        continue;
                    }
                    let (printed, code) = shell(project, python.as_deref(), line);
                    last = Some(code);
                    let is_so = expected(&settled(shown)).is_match(&settled(&printed));
                    assert!(is_so, "{}: {line}\nends with {code} and prints\n{printed}", block.place());
                }
            }
            (_, Some(file)) => project.write(file, &block.text),
            _ => {}
        }
    }
}

/// A directory with the scenarios, and the display of the tutorial.
fn checkout() -> Project {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), &to).unwrap();
            }
        }
    }
    let project = Project::with(&[("my_display.py", &read("docs/tutorial/my_display.py"))]);
    copy(&root().join("scenarios"), &project.path("scenarios"));
    project
}

#[test]
fn the_sessions_of_all_pages_are_carried_out() {
    let pages: BTreeSet<_> = blocks_in("console").into_iter().map(|block| block.page).collect();
    assert_eq!(pages, SESSIONS.map(str::to_owned).into(), "each page needs a test below");
}

#[test]
fn what_readme_shows_is_so() {
    carry_out("README.md", &checkout());
}

#[test]
fn the_failure_is_as_it_is_read() {
    carry_out("docs/a_failure.md", &checkout());
}

#[test]
fn what_is_shown_of_releases_and_of_messages_is_so() {
    carry_out("docs/releases.md", &checkout());
    carry_out("docs/verdicts.md", &checkout());
}

#[test]
fn a_recording_becomes_a_scenario_as_it_is_shown() {
    let project = checkout();
    for (name, file) in [("tap.jsonl", "withdraw.jsonl"), ("station.yaml", "withdraw.yaml")] {
        project.write(name, &read(&format!("fixtures/recordings/{file}")));
    }
    carry_out("docs/recording.md", &project);
}

#[test]
fn the_tutorial_works_from_an_empty_directory() {
    let display = blocks("docs/tutorial.md").into_iter().find(|block| block.language == "python").unwrap();
    assert_eq!(display.text, read("docs/tutorial/my_display.py"), "the page and the file beside it");
    carry_out("docs/tutorial.md", &Project::new());
}
