//! `khumbu doctor`: what a module does once it is started, moment by moment, and why it does not get ready. It is no test: it
//! plays one scenario that asks for a single sign of life.

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
use story::{Sign, Story};

/// Starts a module and tells what it does: whether it connects, what it subscribes to, what it publishes, and what is missing
/// until it is ready. Topics that are nearly right are named with the right one.
#[derive(Debug, clap::Args)]
#[command(after_help = examples::DOCTOR)]
pub struct Arguments {
    /// The side on which the module stands [default: client]
    #[arg(long, value_name = "client|everest", value_parser = side)]
    side: Option<Side>,
    /// The API whose client it is [default: auth_consumer]
    #[arg(long, value_name = "NAME", value_parser = api)]
    api: Option<ApiType>,
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
    side: Side,
    topics: Topics,
    records: Arc<Mutex<Vec<Record>>>,
}

fn prepared(arguments: &Arguments) -> Result<Prepared, Vec<Diagnostic>> {
    let flags = &arguments.module;
    let config = Config::load(flags.topics.config.as_deref())?;
    let settings = flags.settings(&config).map_err(|diagnostic| vec![*diagnostic])?;
    let side = arguments.side.unwrap_or(Side::Client);
    let api = arguments.api.or(config.module.api).unwrap_or(ApiType::AUTH_CONSUMER);
    // Whoever is there says so, again and again.
    let (under_test, sign) = match side {
        Side::Client => ("client", "communication_check, payload: true"),
        Side::Everest => ("everest", "heartbeat"),
    };
    let of_api = if side == Side::Client { format!("api: {}\n", api.name()) } else { String::new() };
    let text = format!(
        "description: A module is started.\nunder_test: {under_test}\n{of_api}steps:\n  - expect: {{message: {sign}, within: 10s}}\n"
    );
    let scenario = scenario::parse("doctor", &text, Known::default())?;
    flags.check_sides(std::slice::from_ref(&scenario), &config).map_err(|diagnostic| vec![*diagnostic])?;
    let release = scenario.release_unasked();
    let mut topics = settings.topics.clone().under(release);
    topics.api = if side == Side::Client { api } else { ApiType::AUTH_CONSUMER };
    let mut piece = Piece::new(Arc::new(scenario), release);
    let records: Arc<Mutex<Vec<Record>>> = Arc::default();
    let kept = Arc::clone(&records);
    piece.recorder =
        Some(Arc::new(move |record| kept.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone())));
    Ok(Prepared { piece, settings, side, topics, records })
}

impl Prepared {
    fn perform(self) -> Exit {
        let Self { piece, settings, side, topics, records } = self;
        let module = match &settings.module {
            ModuleSource::Builtin(_) | ModuleSource::Untold(_) => "khumbu's own module".to_owned(),
            ModuleSource::Command(words) => format!("`{}`", shell_words::join(words)),
            ModuleSource::Attached => format!("a module that runs already, at {}", settings.listen),
        };
        print::out(&format!("{module}, {}, topics below `{}`\n\n", what(side, &topics), topics.base()));
        let bound = settings.bindings.keys().cloned().collect();
        let played = playing::perform(|interrupt| async move {
            // There is one scenario, whose end is told by what comes of it.
            let (events, _) = mpsc::unbounded_channel();
            runner::run(vec![piece], settings, events, interrupt, |_| false).await
        });
        let (results, is_interrupted) = match played {
            Ok(played) => played,
            Err(exit) => return exit,
        };
        let records = std::mem::take(&mut *records.lock().unwrap_or_else(PoisonError::into_inner));
        let story = Story::of(&records, side, &topics, bound);
        print::out(&story.text());
        print::out(&format!("\n{}", checklist(&story.signs())));
        let misses = story.misses();
        if !misses.is_empty() {
            print::out(&format!("\nit will not see: {misses}\n"));
        } else if results.iter().all(|result| result.findings.is_empty()) {
            print::out("\nnothing is missing\n");
        }
        for result in results.iter().filter(|result| !result.findings.is_empty()) {
            print::out(&report::terminal::details(&without_places(result), print::screen()));
        }
        Exit::from(report::exit_code(results.iter().map(|result| result.verdict), is_interrupted))
    }
}

fn what(side: Side, topics: &Topics) -> String {
    match side {
        Side::Client => format!("a client of `{}`", topics.api.name()),
        Side::Everest => "in EVerest's place".to_owned(),
    }
}

fn checklist(signs: &[Sign]) -> String {
    let line = |sign: &Sign| {
        let mark = if sign.is_there { "yes" } else { "no" };
        let detail = if sign.detail.is_empty() { String::new() } else { format!(": {}", sign.detail) };
        format!("{:<34}{mark}{detail}\n", sign.what)
    };
    signs.iter().map(line).collect()
}
