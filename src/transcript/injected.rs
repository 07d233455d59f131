//! Faults that khumbu injects into the wire, as scenarios say them and as the record has them.
//!
//! Words only: what becomes of which message is decided in `broker::faults`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// A fault that was injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Injected {
    /// A message was not handed over as it was sent. Its publication is the record before this one of the same client.
    Message {
        /// The place of that record.
        seq: u64,
        /// The number of the rule that it met.
        rule: usize,
        /// The topic.
        topic: Arc<str>,
        /// What became of it.
        effect: Effect,
    },
    /// Nothing passes the connection of the client any more, and neither end is told.
    Stalled,
    /// It passes again, with all that was sent meanwhile.
    Flows,
    /// The CONNECT of the client was answered with a refusal.
    ConnectRefused(ConnectRefusal),
    /// The port was closed, and everybody but khumbu was cut off.
    BrokerAway,
    /// The port is open again.
    BrokerBack,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The broker has acknowledged it, and hands it to nobody.
    Drop,
    /// It is handed over so much later; what comes after it does not wait.
    Delay(Duration),
    /// It is handed over twice.
    Duplicate(Copies),
    /// It is handed over after the next one that meets the same rule.
    Reorder,
    /// It is handed over with another payload.
    Corrupt(Corruption),
}

/// How a message comes a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Copies {
    /// As a message of its own, as if its sender had sent it twice.
    #[default]
    Message,
    /// As the same message, with DUP and the packet identifier that it had, as if its acknowledgement were lost. MQTT 5
    /// sends nothing again on one connection, and QoS 2 nothing twice: so it is for clients that speak MQTT 3.1.1, with
    /// QoS 1. At QoS 2 nothing comes twice, and to all others it comes as a message of its own.
    Redelivery,
}

/// How a payload is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Corruption {
    /// Its end is missing. An empty one passes as it is.
    #[default]
    Truncate,
    /// One bit is another one; it may still be JSON. An empty one passes as it is.
    Flip,
    /// It has a byte that no UTF-8 has.
    Encoding,
}

/// How a CONNECT is refused; codes that both versions of MQTT have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectRefusal {
    /// 1, or 0x84 with MQTT 5.
    UnsupportedVersion,
    /// 2, or 0x85.
    IdentifierRejected,
    /// 3, or 0x88.
    #[default]
    ServerUnavailable,
    /// 4, or 0x86.
    BadCredentials,
    /// 5, or 0x87.
    NotAuthorized,
}

impl ConnectRefusal {
    /// The return code of MQTT 3.1.1 (table 3.1), and the reason code of MQTT 5 (table 3-1).
    pub fn codes(self) -> (u8, u8) {
        match self {
            ConnectRefusal::UnsupportedVersion => (1, 0x84),
            ConnectRefusal::IdentifierRejected => (2, 0x85),
            ConnectRefusal::ServerUnavailable => (3, 0x88),
            ConnectRefusal::BadCredentials => (4, 0x86),
            ConnectRefusal::NotAuthorized => (5, 0x87),
        }
    }

    /// Its name in scenarios.
    pub fn name(self) -> &'static str {
        match self {
            ConnectRefusal::UnsupportedVersion => "unsupported_version",
            ConnectRefusal::IdentifierRejected => "identifier_rejected",
            ConnectRefusal::ServerUnavailable => "server_unavailable",
            ConnectRefusal::BadCredentials => "bad_credentials",
            ConnectRefusal::NotAuthorized => "not_authorized",
        }
    }
}

impl Effect {
    /// Whether the message as it was sent never arrives. One that is held back may.
    pub fn is_loss(self) -> bool {
        matches!(self, Effect::Drop | Effect::Corrupt(_))
    }

    /// Whether it arrives once, as it was sent, and when it was sent.
    pub fn is_harmless(self) -> bool {
        matches!(self, Effect::Duplicate(_))
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Drop => f.write_str("dropped"),
            Effect::Delay(by) => write!(f, "delayed by {}ms", by.as_millis()),
            Effect::Duplicate(Copies::Message) => f.write_str("duplicated"),
            Effect::Duplicate(Copies::Redelivery) => f.write_str("redelivered"),
            Effect::Reorder => f.write_str("held back"),
            Effect::Corrupt(Corruption::Truncate) => f.write_str("truncated"),
            Effect::Corrupt(Corruption::Flip) => f.write_str("changed in one bit"),
            Effect::Corrupt(Corruption::Encoding) => f.write_str("made no UTF-8"),
        }
    }
}
