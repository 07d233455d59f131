//! A recording of genuine EVerest beside a simulated station: what was done to EVerest is done to the station, in
//! virtual time, and what comes out is compared with what was recorded.
//!
//! Pure: text comes in, a [`Report`] goes out. `docs/recordings_and_replay.md` has the format of recordings and of the
//! station file.

mod checks;
mod compare;
mod exits;
pub mod inside;
pub mod left_out;
mod lives;
mod play;
mod races;
mod reactions;
mod renaming;
mod roles;
mod script;
mod senses;
pub mod station_file;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::protocol::channel::Channel;
use crate::recording::Recording;
pub use compare::{Difference, Kind, Report};
pub use left_out::LeftOut;
use left_out::Why;
pub use renaming::Renaming;
pub use script::{Act, Allowance, Cue, Part, Request, Script, Witness};
pub use senses::Sense;
pub use station_file::StationFile;

/// How far apart in time the same outcome may lie unless the user says otherwise: EVerest's threads, and its 43 ms of
/// Nagle at every reply, against none of both.
pub const TOLERANCE: Duration = Duration::from_millis(300);

/// An EVerest that is ended by hand falls silent module by module, within this time.
const ENDING_MS: i64 = 100;

/// What EVerest did, or the station: one message, one fault raised or cleared, one call to an EVSE.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Outcome {
    /// Outcomes of one lane have an order among themselves.
    #[serde(skip)]
    pub lane: String,
    /// The line of the recording, from 1; none for the simulated one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Milliseconds since the start of the recording.
    pub t_ms: i64,
    /// The content.
    pub payload: Value,
}

/// In which order what was done to EVerest reached it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// In nearly that of the recording: what different clients and EVSEs say at the same time, EVerest may hear the other
    /// way round.
    Overlapping,
    /// In that of the recording: nothing was said before what had been said had arrived. Only EVerest's own timers may have
    /// come between, and what EVSEs said may have reached Auth later than what was asked of it then.
    InTurn,
}

impl Outcome {
    /// Whether it is a heartbeat, on which nothing else depends.
    fn is_heartbeat(&self) -> bool {
        is_of_heartbeats(&self.lane)
    }
}

/// Whether outcomes of a lane are heartbeats.
fn is_of_heartbeats(lane: &str) -> bool {
    lane.ends_with(Channel::HEARTBEAT.address())
}

/// Plays the stimuli of a recording to the station of a file, and compares the outcomes.
pub fn compare(recording: &Recording, file: &StationFile, tolerance: Duration, sending: Sending) -> Report {
    let tolerance_ms = i64::try_from(tolerance.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    let assumed_release = file.shown_release(recording);
    let mut file = Cow::Borrowed(file);
    if let Some(release) = assumed_release {
        file.to_mut().station.release = release;
    }
    let file = file.as_ref();
    let roles = roles::Roles::new(recording, file);
    let lives = lives::lives(recording, file, &roles);
    let recorded = roles.outcomes(recording);
    let mut left_out = left_out::Counter::default();
    left_out.add_recorded(recording, &roles);
    let judge = |played: &play::Played| {
        let (mut recorded, mut simulated) = (recorded.clone(), played.outcomes.clone());
        let mut left_out = left_out.clone();
        let exits = exits::Exits::new(recording, &roles, &lives, &simulated, tolerance_ms);
        let exits_ms = exits.simulated();
        let silences = lives.iter().filter_map(|life| life.end).map(|end| {
            let last_ms = end.after_ms.saturating_add(tolerance_ms);
            if exits.is_by_hand(&end) {
                (end.after_ms.saturating_sub(ENDING_MS), end.before_ms.max(last_ms))
            } else {
                (end.after_ms, last_ms)
            }
        });
        let silences = silences.collect();
        exits.add_to(&mut recorded, &mut left_out);
        if lives.iter().any(|life| life.begins) {
            // EVerest raises a fault at every start: a recorder that has none did not hear its internal bus.
            let heard: BTreeSet<_> = recorded.iter().map(|outcome| outcome.lane.as_str()).collect();
            simulated.retain(|outcome| {
                let counts = heard.contains(outcome.lane.as_str()) || !roles.is_fault(&outcome.lane);
                if !counts {
                    left_out.add(Why::BusNotRecorded, &outcome.lane);
                }
                counts
            });
        }
        // Whoever did one thing after the other was there from the start, and has waited for what was to come; but for faults,
        // which no client sees.
        let faults =
            simulated.iter().map(|outcome| &outcome.lane).filter(|lane| roles.is_fault(lane)).cloned().collect();
        let edge_ms = if sending == Sending::InTurn { 0 } else { tolerance_ms };
        let edges = compare::Edges::new(silences, recording.end_ms(), edge_ms, tolerance_ms, roles.replies().clone())
            .with_exits(exits_ms)
            .with_unawaited(faults);
        compare::compare(&recorded, simulated, &edges, left_out)
    };
    let reading = play::Reading::new(recording, file, &roles, &lives, tolerance_ms, sending);
    let play = |choices: &races::Choices| play::play(&reading, choices);
    let (report, choices) = races::explain(recording.messages.len(), play, judge);
    let is_reproduced = report.differences.iter().all(Difference::is_of_heartbeats);
    let is_open =
        sending == Sending::InTurn && is_reproduced && (report.other_ways > 0 || races::is_open(&choices, play));
    Report { assumed_release, is_open, ..report }
}
