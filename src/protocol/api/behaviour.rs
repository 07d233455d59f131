//! What of an API no description says: what EVerest makes of its messages beyond their shapes, and which requirements hold.
//!
//! An API whose behaviour is known implements [`Behaviour`]; of every other one, the defaults hold: a message is what its
//! schema says, and nothing more is known of it.

use serde_json::Value;

use crate::protocol::channel::Channel;
use crate::protocol::deviations::Deviations;
use crate::protocol::schema::Message;
use crate::protocol::side::Side;

/// What is known of an API beyond its description.
pub trait Behaviour: Sync {
    /// Whether it is known what EVerest makes of its messages, so that khumbu can play EVerest there.
    fn is_known(&self) -> bool {
        false
    }

    /// Why EVerest does not execute a request, and so does not reply to it.
    fn why_not_executed(&self, _channel: Channel, _payload: &[u8], _in_force: Deviations) -> Option<String> {
        None
    }

    /// The message as EVerest may send it, where a law that no shape says binds its fields.
    fn lawful(&self, _on: Channel, message: Value) -> Value {
        message
    }

    /// The requirement that a message of the wrong shape breaks.
    fn requirement(&self, _message: Message) -> &'static str {
        "SC-1"
    }

    /// The requirement that a reply breaks which comes too often, or where none is asked for. `to` is the request, where
    /// there is one.
    fn reply_requirement(&self, _by: Side, _to: Option<Channel>) -> &'static str {
        "SC-2"
    }

    /// The requirement that a client breaks which sends a message of the right shape that means something else than it was
    /// told to say.
    fn meant(&self, _on: Channel) -> Option<&'static str> {
        None
    }

    /// The requirement that a question of EVerest breaks whose answer cannot come.
    fn question_requirement(&self) -> &'static str {
        "SC-2"
    }

    /// The requirement that a client breaks which answers a question when EVerest waits no longer.
    fn late_answer_requirement(&self) -> &'static str {
        "SC-2"
    }

    /// Whether EVerest replies to a well-formed request whatever state it is in.
    fn owes_reply(&self, _to: Channel) -> bool {
        false
    }

    /// The command by which a client is told to send a message like this; it sends none of its own accord otherwise.
    fn command(&self, _of: Message) -> Option<&'static str> {
        None
    }

    /// What a client owes on this channel, told or not, and the requirement that it breaks otherwise.
    fn owed(&self, _on: Channel) -> Option<(Value, &'static str)> {
        None
    }

    /// What a client says on this channel that owes nothing there any more, and the requirement that it breaks where it
    /// does not mean that.
    fn ends(&self, _on: Channel) -> Option<(Value, &'static str)> {
        None
    }

    /// Whether what EVerest does next hangs on a message like this of a client.
    fn leads(&self, _by: Message) -> bool {
        false
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
