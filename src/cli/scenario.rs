//! `khumbu scenario`: a recording as a scenario file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::module_flags::side;
use super::parity::{read_recording, read_station};
use super::{Exit, print};
use crate::author::{self, Authored, Bound, Span, Wish};
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity};
use crate::gateway;
use crate::protocol::channel::ApiType;
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::scenario::{self, Known};

/// Makes a scenario of a recording: what was done becomes steps, what was said becomes what is expected. What no step can
/// say stands in it as a comment.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::SCENARIO)]
pub struct Arguments {
    /// A recording: of `khumbu run --record`, `khumbu sim --record`, `khumbu record`, or of another tap
    #[arg(value_name = "RECORDING")]
    recording: PathBuf,
    /// The side of the module that will be under test [default: as the recording says, or else everest]
    #[arg(long, value_name = "client|everest", value_parser = side)]
    side: Option<Side>,
    /// The API of a client under test [default: as the recording says, or else the first that a client uses in it]
    #[arg(long, value_name = "API", value_parser = api)]
    api: Option<ApiType>,
    /// The release of EVerest that was recorded [default: as the recording says]
    #[arg(long, value_name = "1.0|2025.10|2025.12|2026.02|main|next")]
    release: Option<Release>,
    /// Begin here: a time of the recording, such as 1.5s, or a line of it, such as 40
    #[arg(long, value_name = "TIME|LINE")]
    from: Option<Bound>,
    /// End here
    #[arg(long, value_name = "TIME|LINE")]
    to: Option<Bound>,
    /// The station, as for `khumbu parity`; its `bindings` say what foreign topics mean [default: as the recording shows it]
    #[arg(long, value_name = "FILE")]
    station: Option<PathBuf>,
    /// Where the scenario goes; a file that is there is left as it is [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn api(text: &str) -> Result<ApiType, String> {
    let names = || ApiType::AUTH_APIS.map(ApiType::name).join(", ");
    let api = ApiType::AUTH_APIS.into_iter().find(|api| api.name() == text);
    api.ok_or_else(|| format!("there are {}", names()))
}

/// Makes the scenario.
pub fn run(arguments: &Arguments) -> Exit {
    let draft = match draft(arguments) {
        Ok(draft) => draft,
        Err(diagnostics) => return print::refused(diagnostics),
    };
    print::diagnostics(&unexpressed(&arguments.recording, &draft));
    match &arguments.output {
        None => print::out(&draft.text),
        Some(path) => {
            if let Err(diagnostic) = write(path, &draft.text) {
                return print::refused(vec![*diagnostic]);
            }
        }
    }
    Exit::Pass
}

fn draft(arguments: &Arguments) -> Result<Authored, Vec<Diagnostic>> {
    if let Some(path) = arguments.output.as_deref().filter(|path| path.exists()) {
        return Err(vec![*taken(path)]);
    }
    let file = arguments.station.as_deref().map(read_station).transpose()?;
    let recording = read_recording(&arguments.recording)?;
    let path = arguments.recording.display().to_string();
    let span = Span { from: arguments.from, to: arguments.to };
    let wish = Wish { side: arguments.side, api: arguments.api, release: arguments.release, span };
    let draft = author::scenario(&path, recording, file, &wish).map_err(|diagnostic| vec![*diagnostic])?;
    // Whoever gets it should not have to check it.
    let ids: Vec<_> = requirements::ids().collect();
    let known = Known { requirements: &ids, answers: Some(gateway::answer_schema) };
    let place = arguments.output.as_ref().map_or("the scenario".to_owned(), |path| path.display().to_string());
    scenario::parse(&place, &draft.text, known)?;
    Ok(draft)
}

fn unexpressed(path: &Path, draft: &Authored) -> Vec<Diagnostic> {
    if draft.remarks.is_empty() {
        return Vec::new();
    }
    /// The rest stands in the file.
    const MOST: usize = 10;
    let count = draft.remarks.len();
    let path = path.display();
    let what = if count == 1 { "one thing".to_owned() } else { format!("{count} things") };
    let headline = format!("recording `{path}` has {what} that the scenario cannot say");
    let mut lines: Vec<_> = draft
        .remarks
        .iter()
        .take(MOST)
        .map(
            |remark| {
                if remark.line > 0 { format!("line {}: {}", remark.line, remark.what) } else { remark.what.clone() }
            },
        )
        .collect();
    if count > MOST {
        lines.push(format!("{} more stand in the scenario", count - MOST));
    }
    vec![
        Diagnostic::new(Severity::Warning, "recording/not-expressed", headline)
            .with_lines(lines)
            .with_help("each stands as a comment where it was"),
    ]
}

fn write(path: &Path, text: &str) -> Result<(), Box<Diagnostic>> {
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(taken(path)),
        Err(error) => return Err(unwritable(path, &error)),
    };
    file.write_all(text.as_bytes()).map_err(|error| unwritable(path, &error))
}

fn taken(path: &Path) -> Box<Diagnostic> {
    let headline = format!("`{}` is there already, and nothing is overwritten", path.display());
    let help = "name another file, or take it away first";
    Box::new(Diagnostic::new(Severity::Error, "usage/other-file", headline).with_help(help))
}

fn unwritable(path: &Path, error: &io::Error) -> Box<Diagnostic> {
    let headline = format!("the scenario cannot be written to `{}`: {error}", path.display());
    Box::new(Diagnostic::new(Severity::Error, "file/unwritable", headline))
}
