//! Recordings of what passed a broker: JSON Lines, one message a line, in the order in which they passed.
//!
//! A line has `t_ms` (milliseconds since the start), `topic`, the payload in one of three forms, `qos` and `retain` as
//! published. The forms are `payload` (JSON), `payload` with `"raw": true` (a text that is no JSON), and `hex` (bytes
//! that are no text). JSON is kept as it is but for the white space between its parts.
//!
//! Pure: [`Recording::parse`] reads a text, [`Writer`] makes lines of what the front door saw, [`Message::to_line`] of
//! anything else.

mod read;
mod write;

use bytes::Bytes;
use serde_json::Value;

use crate::protocol::codec;

pub use read::Line;
pub use write::Writer;

/// The latest time that a message may have: ten days, in milliseconds.
pub const LATEST_MS: u64 = 10 * 24 * 60 * 60 * 1000;

/// A recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// In the order of the file; never empty.
    pub messages: Vec<Message>,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The line, from 1; 0 if it comes from no file.
    pub line: usize,
    /// Milliseconds since the start of the recording, at most [`LATEST_MS`].
    pub t_ms: u64,
    /// As it was on the wire.
    pub topic: String,
    /// JSON, or a text if `raw`; `null` if there is `hex`.
    pub payload: Value,
    /// What was on the wire, or means the same.
    pub bytes: Bytes,
    /// Whether `payload` is a text that was no JSON.
    pub raw: bool,
    /// The payload, where it was no text.
    pub hex: Option<Bytes>,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the broker was to keep it.
    pub retain: bool,
}

impl Message {
    /// The payload, if it is JSON.
    pub fn json(&self) -> Option<&Value> {
        (!self.raw && self.hex.is_none()).then_some(&self.payload)
    }

    /// Where a request wants its reply.
    pub fn reply_to(&self) -> Option<String> {
        codec::reply_address(&self.bytes)
    }

    /// The time as it is reckoned with; bounded by the parser.
    pub fn at_ms(&self) -> i64 {
        i64::try_from(self.t_ms).unwrap_or(i64::MAX)
    }
}

impl Recording {
    /// The time of the last message.
    pub fn end_ms(&self) -> i64 {
        self.messages.last().map_or(0, Message::at_ms)
    }
}
