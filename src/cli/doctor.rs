//! `khumbu doctor`: what a module does once it is started, moment by moment, and why it does not get ready. It is no test: it
//! plays one scenario that asks for a sign of life, and tells the module what bindings say how to tell.

mod played;
mod secrets;
mod story;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::config::Config;
use super::module_flags::{ModuleFlags, api, side};
use super::replay::without_places;
use super::{Exit, examples, playing, print};
use crate::diagnostic::Diagnostic;
use crate::protocol::channel::{ApiType, Topics};
use crate::protocol::side::Side;
use crate::report;
use crate::runner::{self, ModuleSource, Piece, Settings};
use crate::scenario::{self, Known};
use crate::transcript::record::Record;
use crate::verdict::ScenarioResult;
use played::Played;
use secrets::Secrets;
use story::{Sign, Story};

/// What is found where a module has ended before it was told to.
const ENDED: [&str; 3] = ["module/ended", "module/ended-by-itself", "module/ended-early"];

/// Starts a module and tells what it does: whether it connects, what it subscribes to, what it publishes, what it is handed, and
/// what is missing until it is ready. Topics that are nearly right are named with the right one, or with the flag under which they
/// are right. What khumbu.yaml has `bindings` for, the module is told once.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::DOCTOR)]
pub struct Arguments {
    /// The side on which the module stands [default: client]
    #[arg(long, value_name = "client|everest", value_parser = side)]
    side: Option<Side>,
    /// The API whose client it is [default: auth_consumer]
    #[arg(long, value_name = "NAME", value_parser = api)]
    api: Option<ApiType>,
    /// Show the values of id tokens, and certificates, which are hidden otherwise
    #[arg(long)]
    show_tokens: bool,
    #[command(flatten)]
    module: ModuleFlags,
}

/// Starts it, watches, tells.
pub fn run(arguments: &Arguments) -> Exit {
    prepared(arguments).map_or_else(print::refused, Prepared::perform)
}

struct Prepared {
    piece: Piece,
    settings: Settings,
    played: Played,
    side: Side,
    topics: Topics,
    records: Arc<Mutex<Vec<Record>>>,
    shows_tokens: bool,
}

fn prepared(arguments: &Arguments) -> Result<Prepared, Vec<Diagnostic>> {
    let flags = &arguments.module;
    let config = Config::load(flags.topics.config.as_deref())?;
    let settings = flags.settings(&config).map_err(|diagnostic| vec![*diagnostic])?;
    let side = arguments.side.unwrap_or(Side::Client);
    let api = arguments.api.or(config.module.api).unwrap_or(ApiType::AUTH_CONSUMER);
    let played = Played::of(side, api, &settings.bindings, &settings.cannot);
    let scenario = scenario::parse("doctor", &played.text, Known::default())?;
    flags.check_sides(std::slice::from_ref(&scenario), &config).map_err(|diagnostic| vec![*diagnostic])?;
    let release = scenario.release_unasked();
    let mut topics = settings.topics.clone().under(release);
    topics.api = if side == Side::Client { api } else { ApiType::AUTH_CONSUMER };
    let mut piece = Piece::new(Arc::new(scenario), release);
    let records: Arc<Mutex<Vec<Record>>> = Arc::default();
    let kept = Arc::clone(&records);
    piece.recorder =
        Some(Arc::new(move |record| kept.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone())));
    Ok(Prepared { piece, settings, played, side, topics, records, shows_tokens: arguments.show_tokens })
}

impl Prepared {
    fn perform(self) -> Exit {
        let Self { piece, settings, played, side, topics, records, shows_tokens } = self;
        let is_attached = settings.module == ModuleSource::Attached;
        let module = match &settings.module {
            ModuleSource::Builtin(_) | ModuleSource::Untold(_) => "khumbu's own module".to_owned(),
            ModuleSource::Command(words) => format!("`{}`", shell_words::join(words)),
            ModuleSource::Attached => format!("a module that runs already, at {}", settings.listen),
        };
        print::out(&format!("{module}, {}, topics below `{}`\n\n", what(side, &topics), topics.base()));
        let outcome = playing::perform(|interrupt| async move {
            // There is one scenario, whose end is told by what comes of it.
            let (events, _) = mpsc::unbounded_channel();
            runner::run(vec![piece], settings, events, interrupt, |_| false).await
        });
        let (results, is_interrupted) = match outcome {
            Ok(outcome) => outcome,
            Err(exit) => return exit,
        };
        let records = std::mem::take(&mut *records.lock().unwrap_or_else(PoisonError::into_inner));
        let secrets = if shows_tokens { Secrets::default() } else { Secrets::of(&records) };
        let results: Vec<_> = results.iter().map(|result| secrets.hide_in(ScenarioResult::clone(result))).collect();
        let result = results.first();
        // The end of one that runs already shows nowhere.
        let has_ended = result.filter(|_| !is_attached).map(has_ended);
        let story = Story::of(&records, (side, &topics), played.bindings(result), has_ended, &secrets);
        print::out(&story.text());
        print::out(&format!("\n{}", checklist(&story.signs())));
        let misses = story.misses();
        if !misses.is_empty() {
            print::out(&format!("\nit will not see: {misses}\n"));
        } else if results.iter().all(|result| told(result).findings.is_empty()) {
            print::out("\nnothing is missing\n");
        }
        for result in &results {
            print::out(&report::terminal::details(&told(result), print::screen()));
        }
        Exit::from(report::exit_code(results.iter().map(|result| result.verdict), is_interrupted))
    }
}

/// The result as it is told: what the module does not see, the story says already.
fn told(result: &ScenarioResult) -> ScenarioResult {
    let mut result = without_places(result);
    result.findings.retain(|found| found.id != "scenario/not-shown");
    result
}

/// Whether the module has ended before it was told to.
fn has_ended(result: &ScenarioResult) -> bool {
    result.findings.iter().any(|found| ENDED.contains(&found.id))
}

fn what(side: Side, topics: &Topics) -> String {
    match side {
        Side::Client => format!("a client of `{}`", topics.api.name()),
        Side::Everest => "in EVerest's place".to_owned(),
    }
}

fn checklist(signs: &[Sign]) -> String {
    let line = |sign: &Sign| {
        let mark = match sign.is_there {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        let detail = if sign.detail.is_empty() { String::new() } else { format!(": {}", sign.detail) };
        format!("{:<34}{mark}{detail}\n", sign.what)
    };
    signs.iter().map(line).collect()
}
