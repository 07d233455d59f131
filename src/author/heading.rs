//! The first line of a recording that khumbu writes: who is under test, and what the station is like.
//!
//! It is a message on a topic of khumbu's own, so that whoever reads recordings passes over it.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::ApiType;
use crate::protocol::side::Side;
use crate::recording::{Message, Recording};
use crate::scenario::faults_of_station;
use crate::scenario::written::station_to_json;
use crate::station::config::StationConfig;

/// Nobody publishes here.
const TOPIC: &str = "khumbu/recording";

/// What a recording says of itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heading {
    /// The side of the module that was under test, or for which a simulation stood.
    pub under_test: Side,
    /// The API that it used, if it is known beforehand.
    #[serde(default)]
    pub api: Option<ApiType>,
    /// The station.
    pub station: StationConfig,
}

impl Heading {
    /// As the first message of a recording.
    pub fn message(&self) -> Message {
        let Self { under_test, api, station } = self;
        let mut station_json = station_to_json(station);
        // What is so by default today may be something else when the recording is read.
        station_json["release"] = json!(station.release);
        let mut payload = json!({"under_test": under_test.name(), "station": station_json});
        if let Some(api) = api {
            payload["api"] = json!(api);
        }
        Message::new(Duration::ZERO, TOPIC, &Bytes::from(payload.to_string()), 0, false)
    }

    /// The heading of a recording, and its line; `None` if it has none.
    ///
    /// # Errors
    /// `recording/heading` if it makes no sense.
    pub fn of(path: &str, recording: &Recording) -> Result<Option<Self>, Box<Diagnostic>> {
        let Some(message) = recording.messages.iter().find(|message| message.topic == TOPIC) else { return Ok(None) };
        let wrong = |why: String| {
            let headline = format!("line {} of `{path}` says what was recorded, and cannot be read", message.line);
            let help = "take the line away; --side and --station say the same";
            Box::new(Diagnostic::new(Severity::Error, "recording/heading", headline).with_evidence(why).with_help(help))
        };
        let heading = Self::deserialize(message.payload.clone()).map_err(|error| wrong(error.to_string()))?;
        match faults_of_station(&heading.station).into_iter().next() {
            Some((_, _, fault)) => Err(wrong(fault)),
            None => Ok(Some(heading)),
        }
    }

    /// Whether a message is one.
    pub(super) fn is_in(message: &Message) -> bool {
        message.topic == TOPIC
    }
}
