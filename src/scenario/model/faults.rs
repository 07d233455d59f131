//! The steps that inject faults into the wire.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::MessageKind;
use crate::protocol::channel::ApiType;
use crate::scenario::step::Step;
use crate::timespan::Timespan;
use crate::transcript::injected::{ConnectRefusal, Copies, Corruption, Effect};

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Khumbu has published it.
    ToModule,
    /// The module under test has published it.
    FromModule,
}

/// Which messages a fault befalls, and how many of them.
#[derive(Debug, Clone, Copy)]
pub struct Which<'s> {
    /// The kind.
    pub message: Option<MessageKind>,
    /// The API of the kind.
    pub api: Option<ApiType>,
    /// A filter for the topic.
    pub topic: Option<&'s str>,
    /// A pattern for the payload.
    pub payload: Option<&'s Value>,
    /// Which way; both if absent.
    pub way: Option<Way>,
    /// As it is written.
    pub next: Option<u32>,
    /// As it is written.
    pub until_lifted: bool,
    /// As it is written.
    pub probability: Option<f64>,
    /// What decides where that leaves a choice.
    pub seed: u64,
}

impl Which<'_> {
    /// How many messages it befalls at most; all until it is lifted if absent.
    pub fn most(&self) -> Option<u32> {
        let is_open = self.until_lifted || self.probability.is_some();
        self.next.or(if is_open { None } else { Some(1) })
    }
}

/// A step whose fault befalls messages: all of them say which in the same way.
macro_rules! befalls_messages {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$of])* pub $field: $type,)*
            /// The kind of messages; or give `topic`.
            #[serde(default)]
            pub message: Option<MessageKind>,
            /// The API of a `heartbeat` or `communication_check`; the one under test if absent.
            #[serde(default)]
            pub api: Option<ApiType>,
            /// A topic filter, `+` and `#` allowed; `{e2m}`, `{m2e}`, `{module_id}` are filled in.
            #[serde(default)]
            pub topic: Option<String>,
            /// A pattern; only messages that match are befallen.
            #[serde(default)]
            pub payload: Option<Value>,
            /// Which way they go; either way if absent.
            #[serde(default)]
            pub direction: Option<Way>,
            /// How many, 1 if nothing else is said.
            #[serde(default)]
            #[schemars(range(min = 1))]
            pub next: Option<u32>,
            /// Whether all of them, until `lift_faults`.
            #[serde(default)]
            pub until_lifted: bool,
            /// How likely each of them is befallen; with `next`, until so many were.
            #[serde(default)]
            #[schemars(range(min = 0, max = 1))]
            pub probability: Option<f64>,
            /// What decides where there is a choice: the same in every run with the same number.
            #[serde(default)]
            pub seed: u64,
        }

        impl $name {
            fn which(&self) -> Which<'_> {
                Which {
                    message: self.message,
                    api: self.api,
                    topic: self.topic.as_deref(),
                    payload: self.payload.as_ref(),
                    way: self.direction,
                    next: self.next,
                    until_lifted: self.until_lifted,
                    probability: self.probability,
                    seed: self.seed,
                }
            }
        }
    };
}

befalls_messages! {
    /// Messages that the broker acknowledges and loses.
    DropFault {}
}

befalls_messages! {
    /// Messages that come late.
    DelayFault {
        /// How late they come.
        by: Timespan,
    }
}

befalls_messages! {
    /// Messages that come twice.
    DuplicateFault {
        /// As what the second one comes, `message` if absent.
        #[serde(default)]
        r#as: Copies,
    }
}

befalls_messages! {
    /// Messages that are overtaken by the next one of them.
    ReorderFault {}
}

befalls_messages! {
    /// Messages whose payload is broken.
    CorruptFault {
        /// How it is broken, `truncate` if absent.
        #[serde(default)]
        how: Corruption,
    }
}

/// Connections that are open and that nothing passes.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HalfOpen {
    /// How long. If absent, until the module has given its connections up by its keep-alive and connected anew.
    #[serde(default)]
    pub r#for: Option<Timespan>,
}

/// Connections that are refused.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefuseConnect {
    /// Why, as the module is told; `server_unavailable` if absent.
    #[serde(default)]
    pub reason: ConnectRefusal,
    /// How many, 1 if nothing else is said.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub next: Option<u32>,
    /// Whether all, until `lift_faults`.
    #[serde(default)]
    pub until_lifted: bool,
}

/// A broker that goes away and comes back.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrokerAway {
    /// How long.
    pub r#for: Timespan,
    /// Whether it has forgotten the sessions that were asked to last, as a broker that keeps nothing over a restart.
    #[serde(default)]
    pub forgets_sessions: bool,
}

impl Step {
    /// What becomes of which messages by it, if it is a fault that befalls messages.
    pub fn befalls(&self) -> Option<(Effect, Which<'_>)> {
        Some(match self {
            Step::Drop(it) => (Effect::Drop, it.which()),
            Step::Delay(it) => (Effect::Delay(it.by.0), it.which()),
            Step::Duplicate(it) => (Effect::Duplicate(it.r#as), it.which()),
            Step::Reorder(it) => (Effect::Reorder, it.which()),
            Step::Corrupt(it) => (Effect::Corrupt(it.how), it.which()),
            _ => return None,
        })
    }
}
