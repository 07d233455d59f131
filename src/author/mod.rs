//! A recording as a scenario: what was done becomes steps, what was said becomes what is expected.
//!
//! A recording is read message by message (`reading`), tokens get names (`tokens`), and the station of the simulator is
//! taken through it in virtual time, so that what no message showed of EVs can be found (`weave`, `hidden`); then it is written
//! down (`write`). What no step can say is a [`Remark`], in the file and for the user. Pure: text comes in and goes out.

mod heading;
mod hidden;
mod reading;
mod span;
mod station;
mod tokens;
mod weave;
mod write;

use std::time::Duration;

use crate::diagnostic::{Diagnostic, Severity};
use crate::parity::{Script, StationFile};
use crate::protocol::channel::ApiType;
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::recording::Recording;
use crate::scenario::LARGEST;
use crate::yaml;

pub use heading::Heading;
pub use span::{Bound, Span};

/// What the user says of a recording; what is absent, the recording says, or nobody.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The side of the module that is to be under test.
    pub side: Option<Side>,
    /// The API that a client under test uses.
    pub api: Option<ApiType>,
    /// The release of EVerest.
    pub release: Option<Release>,
    /// Which part of the recording.
    pub span: Span,
}

/// What no step can say, or what its author should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The line of the recording.
    pub line: usize,
    /// In words, beginning with the culprit.
    pub what: String,
}

/// A scenario made of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authored {
    /// The file.
    pub text: String,
    /// What could not be expressed, in the order of the recording.
    pub remarks: Vec<Remark>,
}

/// Makes a scenario of a recording; `file` says what is known of the station, and what foreign topics mean.
///
/// # Errors
/// `recording/heading`, `recording/empty-span`, `recording/no-conversation` or `recording/too-long`.
pub fn scenario(
    path: &str,
    recording: Recording,
    file: Option<StationFile>,
    wish: &Wish,
) -> Result<Authored, Box<Diagnostic>> {
    let heading = Heading::of(path, &recording)?;
    let has_heading = heading.is_some();
    let is_known = has_heading || file.is_some();
    let side = wish.side.or(heading.as_ref().map(|heading| heading.under_test)).unwrap_or(Side::Everest);
    let (mut file, release) = station_file(&recording, heading.as_ref(), file);
    let release = wish.release.or(release);
    file.station.release = release.unwrap_or_default();
    let whole = Script { recording, file };
    let api = match (wish.api, side, &heading) {
        (_, Side::Everest, _) => ApiType::AUTH_CONSUMER,
        (Some(api), ..) => api,
        (None, Side::Client, heading) => heading
            .as_ref()
            .filter(|heading| heading.under_test == side)
            .and_then(|heading| heading.api)
            .unwrap_or_else(|| reading::shown_api(&whole)),
    };
    let part = wish.span.of(path, whole)?;
    let count = part.script.recording.messages.iter().filter(|message| !Heading::is_in(message)).count();
    let mut read = reading::read(&part.script, side, api, has_heading);
    // Khumbu's own EVerest did nothing that does not stand in it, but what its charge point did.
    let is_whole = has_heading
        && heading.is_some_and(|heading| heading.under_test == Side::Client && heading.station.charge_point.is_none())
        && side == Side::Client;
    let said = read.iter().filter(|event| event.is_of_conversation()).count();
    if said > MOST_EVENTS {
        return Err(too_long(path, format!("{said} messages belong to the conversation, the most are {MOST_EVENTS}")));
    }
    let tokens = tokens::name_all(&mut read, &part.script.file.station.tokens, (has_heading, is_whole));
    let station = station::station(&part.script, &read, tokens, is_known);
    if !read.iter().any(|event| event.is_of_conversation()) {
        let headline = format!("recording `{path}` has nothing that a scenario could be made of");
        let is_everest = part.script.recording.messages.iter().any(|message| message.topic.contains("everest_api/"));
        let help = match is_everest {
            true => "record while tokens are presented, or while a client asks for something",
            false => {
                "its topics should have `everest_api/` in them; `khumbu record --filter 'everest_api/#'` hears them"
            }
        };
        let what = if is_everest { "signs of life" } else { "messages of something else" };
        let messages = if count == 1 { "1 message".to_owned() } else { format!("{count} messages") };
        let evidence = format!("all that is there are {what}: {messages} without a token, a request or a reply");
        return Err(Box::new(
            Diagnostic::new(Severity::Error, "recording/no-conversation", headline)
                .with_evidence(evidence)
                .with_help(help),
        ));
    }
    let ground = weave::Ground { side, api, station, is_whole };
    let turns = weave::turns(&ground, read);
    let origin = write::Origin {
        path,
        messages: count,
        span: part.words.as_deref(),
        length: Duration::from_millis(part.script.length_ms().saturating_sub(part.begins_ms)),
        release,
        external_prefix: &part.script.file.external_prefix,
    };
    let mut draft = write::draft(&origin, &ground, &turns);
    if let Ok(formatted) = yaml::format(&draft.text) {
        draft.text = formatted;
    }
    if draft.text.len() > LARGEST {
        return Err(too_long(path, format!("the scenario has {} bytes, the most is {LARGEST}", draft.text.len())));
    }
    Ok(draft)
}

/// What is known of the station: what the user says, or the recording, or its topics; and its release, if anybody says it.
fn station_file(
    recording: &Recording,
    heading: Option<&Heading>,
    file: Option<StationFile>,
) -> (StationFile, Option<Release>) {
    if let Some(file) = file {
        let release = file.names_release.then_some(file.station.release);
        return (file, release);
    }
    let mut file = StationFile::of(recording);
    let Some(heading) = heading else {
        // Only before the first release there was another version.
        let release = file.shown_release(recording).or_else(|| Release::of_api_version(&file.api_version));
        return (file, release);
    };
    let modules = std::mem::replace(&mut file.station, heading.station.clone());
    // Topics have the ids that were in force.
    for api in ApiType::AUTH_APIS {
        if (heading.station.cadence(api).is_some() || heading.api == Some(api))
            && let Some(cadence) = modules.cadence(api)
        {
            file.station.add_module(api, cadence.module_id);
        }
    }
    (file, Some(heading.station.release))
}

/// Nobody reads a scenario of more steps.
const MOST_EVENTS: usize = 2_000;

fn too_long(path: &str, why: String) -> Box<Diagnostic> {
    let headline = format!("recording `{path}` is too long for one scenario");
    let help = "choose a part of it with --from and --to";
    Box::new(Diagnostic::new(Severity::Error, "recording/too-long", headline).with_evidence(why).with_help(help))
}
