//! `khumbu fuzz`: plays cases that nobody thought of against a module, makes what fails as small as it gets, and keeps it as a
//! scenario file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::campaign::{Campaign, Places, read};
use super::config::Config;
use super::finds::{Found, Tally, report, summary, try_to_write};
use super::module_flags::{ModuleFlags, api, side};
use super::output::Output;
use super::playing::{perform, shard};
use super::release::ReleaseChoice;
use super::{Exit, print, progress};
use crate::diagnostic::{Diagnostic, Severity};
use crate::fuzz::{Case, Ground, Head};
use crate::protocol::channel::ApiType;
use crate::protocol::deviations::Behaviour;
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::report::Shard;
use crate::timespan::Timespan;

/// How long is fuzzed if nobody says.
const FOR: Duration = Duration::from_secs(60);
/// How long a find is made smaller if nobody says.
const MAX_SHRINK: Duration = Duration::from_secs(60);

/// Plays what nobody thought of: inputs drawn from a model of the station, and messages drawn from the description of the
/// API. What fails is made as small as it gets, and is a scenario file.
///
/// Ends with 0 if nothing was found, 1 if something was, 2 for wrong usage, and 3 if the module could not be judged or if
/// khumbu is at fault.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::FUZZ)]
pub struct Arguments {
    /// The side on which the module stands
    #[arg(long, value_name = "client|everest", value_parser = side)]
    side: Side,
    /// The API whose client the module is [default: auth_consumer]
    #[arg(long, value_name = "NAME", value_parser = api)]
    api: Option<ApiType>,
    #[command(flatten)]
    module: ModuleFlags,
    /// What the draws begin with: the same cases each time, however many are played at once [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many cases are played at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    cases: Option<u64>,
    /// How long cases are played at most; what was found by then is still made smaller [default: 60s, if no --cases are given]
    #[arg(long = "for", value_name = "TIME", value_parser = some_time)]
    within: Option<Timespan>,
    /// The most inputs of a case
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    inputs: u16,
    /// How long a find is made smaller at most [default: 60s]
    #[arg(long, value_name = "TIME")]
    max_shrink: Option<Timespan>,
    /// End after so many finds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    finds: Option<u16>,
    /// What an EVerest under test is compared with: what EVerest of its release does, or what its specification says
    #[arg(long, value_name = "as_running|as_specified", value_parser = behaviour, default_value = "as_running")]
    behaviour: Behaviour,
    /// The release of EVerest [default: main]
    #[arg(long, value_name = "2025.10|2025.12|2026.02|main", hide_possible_values = true)]
    release: Option<ReleaseChoice>,
    /// Keep finds in this directory as scenario files; those that are there are played first
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Keep cases in this directory that reached something new, and begin half of all others as one of those that are there
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Only the i-th of n parts, for campaigns on several machines: give each the same --seed
    #[arg(long, value_name = "i/n", value_parser = shard)]
    shard: Option<Shard>,
    /// How many modules play at once [default: 12 times the processors; 64 times for a built-in client, 32 for EVerest]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Write a JSON report; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Fuzzes.
pub fn run(arguments: Arguments) -> Exit {
    let out = match arguments.json.as_deref().map(Output::open).transpose() {
        Ok(out) => out,
        Err(diagnostic) => return print::refused(vec![*diagnostic]),
    };
    let directories = [&arguments.save, &arguments.corpus];
    if let Some(diagnostic) = directories.into_iter().flatten().find_map(|directory| not_writable(directory)) {
        return print::refused(vec![diagnostic]);
    }
    let prepared = Config::load(arguments.module.topics.config.as_deref()).and_then(|config| {
        let mut settings = arguments.module.settings(&config).map_err(|diagnostic| vec![*diagnostic])?;
        let api = arguments.api.unwrap_or_default();
        if arguments.side == Side::Everest && api != ApiType::AUTH_CONSUMER {
            let headline = "`--api` is for clients: an EVerest is asked through `auth_consumer`";
            return Err(vec![Diagnostic::new(Severity::Error, "usage/other-side", headline)]);
        }
        let release = release(&arguments)?;
        let mut grounds = Ground::all(arguments.side, api, release);
        for ground in &mut grounds {
            ground.behaviour = arguments.behaviour;
            // Faults of messages need khumbu's own broker.
            ground.has_faults = arguments.side == Side::Client && settings.upstream.is_none();
        }
        let empty = Case { ground: grounds[0].clone(), inputs: Vec::new() };
        let scenario = read(
            &format!("--side {}", arguments.side.name()),
            &empty.scenario(&Head { description: "none", ..Head::default() }),
        )?;
        let is_right = arguments.module.check_sides(&[scenario], &config);
        is_right.map_err(|diagnostic| vec![Diagnostic { place: None, ..*diagnostic }])?;
        settings.station = config.station()?;
        if let Some(file) = settings.station.as_ref().filter(|_| arguments.side == Side::Everest) {
            let has = [file.station.auth_token_provider.is_some(), file.station.auth_token_validator.is_some()];
            for ground in &mut grounds {
                ground.site = Arc::new(ground.site.with_modules(has[0], has[1]));
            }
        }
        // Most of a case is waiting, above all for a client to say that it is there.
        let times = match (settings.module.is_builtin(), arguments.side) {
            (true, Side::Client) => 4,
            (true, Side::Everest) => 2,
            (false, _) => 6,
        };
        settings.jobs = arguments.jobs.map_or(settings.jobs * times, usize::from);
        Ok((settings, grounds))
    });
    let (settings, grounds) = match prepared {
        Ok(prepared) => prepared,
        Err(diagnostics) => return print::refused(diagnostics),
    };
    let seed = arguments.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    let api = arguments.api.unwrap_or_default();
    let say: fn(&str) = if arguments.json.as_deref() == Some(Path::new("-")) { print::err } else { print::out };
    say(&format!("fuzzing a module on the side `{}` of {}, seed {seed}\n", arguments.side.name(), api.name()));
    let started = Instant::now();
    let played = perform(|interrupt| async move {
        let campaign = Campaign {
            grounds,
            places: Places::new(&settings),
            settings,
            seed,
            inputs: usize::from(arguments.inputs),
            cases: arguments.cases,
            within: match (arguments.within, arguments.cases) {
                (Some(span), _) => Some(span.0),
                (None, None) => Some(FOR),
                (None, Some(_)) => None,
            },
            max_shrink: arguments.max_shrink.map_or(MAX_SHRINK, |span| span.0),
            finds: arguments.finds.map(usize::from),
            shard: arguments.shard,
            save: arguments.save,
            corpus: arguments.corpus,
            began: started,
            interrupt,
            halt: Arc::new(tokio::sync::watch::channel(false).0),
            say,
            bar: progress::bar(None, "{wide_msg}"),
        };
        campaign.run().await
    });
    let tally = match played {
        Ok((tally, _)) => tally,
        Err(exit) => return exit,
    };
    let took = started.elapsed();
    say(&summary(&tally, took));
    if let Some(out) = out {
        out.write(&report(&tally, seed, took));
    }
    let is_found = tally.found.iter().any(Found::is_one) || !tally.known.is_empty();
    let is_unjudged = tally.unjudged.values().sum::<u64>() >= tally.cases || !tally.found.is_empty();
    let is_unjudged = is_unjudged || !tally.cut_short.is_empty() || !tally.unread.is_empty() || tally.is_unsaved;
    match tally {
        Tally { is_broken: true, .. } => Exit::Error,
        _ if is_found => Exit::Fail,
        _ if is_unjudged => Exit::Error,
        _ => Exit::Pass,
    }
}

/// Why a directory will take no file, which is to be known before anything is played.
fn not_writable(directory: &Path) -> Option<Diagnostic> {
    let why = if directory.exists() && !directory.is_dir() {
        format!("`{}` is no directory", directory.display())
    } else {
        let error = try_to_write(directory).err()?;
        format!("`{}` takes no file: {error}", directory.display())
    };
    let why = Diagnostic::new(Severity::Error, "usage/no-directory", why);
    Some(why.with_help("name one that there is, or one that khumbu is to create"))
}

fn some_time(text: &str) -> Result<Timespan, String> {
    let span: Timespan = text.parse()?;
    if span.0.is_zero() {
        Err("no case is played in no time; write it like `60s` or `10m`".to_owned())
    } else {
        Ok(span)
    }
}

fn behaviour(text: &str) -> Result<Behaviour, String> {
    match text {
        "as_running" => Ok(Behaviour::AsRunning),
        "as_specified" => Ok(Behaviour::AsSpecified),
        _ => Err("write `as_running` or `as_specified`".to_owned()),
    }
}

fn release(arguments: &Arguments) -> Result<Release, Vec<Diagnostic>> {
    match arguments.release.map(ReleaseChoice::one) {
        None => Ok(Release::default()),
        Some(Some(release)) => Ok(release),
        Some(None) => {
            let headline = "`--release all` is for `khumbu run`: a campaign has one release";
            Err(vec![Diagnostic::new(Severity::Error, "usage/one-release", headline)])
        }
    }
}
