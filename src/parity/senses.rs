//! What each message of a recording is, for whoever writes down in other words what happened.

use super::inside;
use super::roles::{Roles, Stimulus};
use super::script::Script;
use super::station_file::Meaning;
use crate::protocol::channel::{ApiType, Channel, EntryPoint};
use crate::protocol::control::Command;
use crate::recording::Message;

/// What a message is.
#[derive(Debug, Clone, PartialEq)]
pub enum Sense {
    /// Something was done at the station, or khumbu told somebody to do something.
    Done(Box<Command>),
    /// A client published to an API module.
    Received(ApiType, Channel),
    /// A client asked which modules there are.
    Queried(EntryPoint),
    /// EVerest asked its validator; the answer passes on this topic.
    Asked(String),
    /// A validator answered.
    Answered,
    /// EVerest published on a channel.
    Said(ApiType, Channel),
    /// EVerest said that it is there.
    Beacon,
    /// EVerest published on another topic, of a reply most likely.
    SaidElsewhere,
    /// What goes on inside EVerest: its own bus, what it asks of EVSEs, and what these report of it.
    Inside,
    /// Nothing is known of it.
    Unknown,
}

impl Script {
    /// What each message is, in the order of the recording.
    pub fn senses(&self) -> Vec<Sense> {
        let roles = Roles::new(&self.recording, &self.file);
        let moves = |meaning: &Meaning| matches!(meaning, Meaning::Command(_));
        let is_commanded = self.file.bindings.iter().any(|binding| moves(&binding.is));
        let mut last_call = None;
        let sense = |message| sense(&roles, message, is_commanded, &mut last_call);
        self.recording.messages.iter().map(sense).collect()
    }
}

/// What an EVSE reports so soon after it was called, the call has brought.
const BROUGHT_MS: i64 = 60;

fn sense(roles: &Roles<'_>, message: &Message, is_commanded: bool, last_call: &mut Option<(i32, i64)>) -> Sense {
    let topic = message.topic.as_str();
    if let Some((evse, _)) = roles.recorded_call(message) {
        *last_call = Some((evse, message.at_ms()));
    }
    match roles.foreign_stimulus(message) {
        Some(Stimulus::Received(api, channel)) => return Sense::Received(api, channel),
        Some(Stimulus::Queried(entry_point)) => return Sense::Queried(entry_point),
        Some(Stimulus::Asked(reply_to)) => return Sense::Asked(reply_to),
        Some(Stimulus::ValidatorReply) => return Sense::Answered,
        Some(Stimulus::Command(evse, what)) => return Sense::Done(Box::new(what.to_command(evse))),
        Some(Stimulus::Told(command)) => return Sense::Done(command),
        Some(Stimulus::Session(evse, _)) => {
            let is_brought =
                last_call.is_some_and(|(called, at_ms)| called == evse && message.at_ms() - at_ms <= BROUGHT_MS);
            let command = roles.done_at(message).filter(|_| !is_commanded && !is_brought);
            return command.map_or(Sense::Inside, |command| Sense::Done(Box::new(command)));
        }
        None => {}
    }
    if topic == roles.control_topic()
        && let Some(command) = message.json().and_then(|json| serde_json::from_value(json.clone()).ok())
    {
        return Sense::Done(Box::new(command));
    }
    let is_bus = topic.starts_with("everest/") || topic.starts_with("$SYS/");
    match roles.channel(topic) {
        Some((api, channel)) if channel.is_from_everest() => Sense::Said(api, channel),
        _ if roles.is_beacon(topic) => Sense::Beacon,
        _ if roles.is_everests(topic) || roles.is_reply_where_it_listens(message) => Sense::SaidElsewhere,
        _ if is_bus || roles.meaning(message).is_some() || inside::tells_deed(topic, message.json()) => Sense::Inside,
        _ => Sense::Unknown,
    }
}
