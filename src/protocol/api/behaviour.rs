//! What of an API no description says: what its messages are about, and what EVerest makes of them beyond their shapes.
//!
//! An API whose behaviour is known implements [`Behaviour`]; of every other one, the defaults hold: a message is what its
//! schema says, and nothing more is known of it.

use serde_json::Value;

use crate::protocol::channel::Channel;
use crate::protocol::deviations::Deviations;
use crate::protocol::schema::Message;

/// What is known of an API beyond its description.
pub trait Behaviour: Sync {
    /// What a message on a channel is about, where messages about different things have no order among each other.
    fn subject<'m>(&self, _channel: Channel, _message: &'m Value) -> Option<&'m str> {
        None
    }

    /// Why EVerest does not execute a request, and so does not reply to it.
    fn why_not_executed(&self, _channel: Channel, _payload: &[u8], _in_force: Deviations) -> Option<String> {
        None
    }

    /// The requirement that a message of the wrong shape breaks.
    fn requirement(&self, _message: Message) -> &'static str {
        "SC-1"
    }

    /// What a client that sends a message with the retain flag should know, and the requirement that it breaks.
    fn retained(&self, _message: Message) -> (&'static str, &'static str) {
        RETAINED
    }
}

/// What holds of retained messages in general.
pub const RETAINED: (&str, &str) =
    ("publish it without the flag: EVerest executes a retained request each time it starts", "RR-17");

/// An API of which no more is known than its description.
pub struct Described;

impl Behaviour for Described {}
