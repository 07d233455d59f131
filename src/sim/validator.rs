//! What a token validator knows, and how it answers EVerest's questions: once each, after the time that it takes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::link::{Link, LinkError};
use crate::protocol::channel::Topics;
use crate::protocol::control::Validation;
use crate::protocol::types::{AuthorizationStatus, ValidationResult};
use crate::protocol::wire::Encoder;

/// Verdicts by the value of the token; any other token is unknown.
pub type Verdicts = BTreeMap<String, Validation>;

/// A token validator.
#[derive(Debug)]
pub(super) struct Validator {
    topics: Topics,
    verdicts: Verdicts,
    /// Answers that wait for their time; given up with the validator.
    waiting: JoinSet<()>,
}

impl Validator {
    pub(super) fn new(topics: Topics, verdicts: Verdicts) -> Self {
        Self { topics, verdicts, waiting: JoinSet::new() }
    }

    /// From now on it says this of the token.
    pub(super) fn learn(&mut self, value: String, validation: Validation) {
        self.verdicts.insert(value, validation);
    }

    /// Answers a question, now or later; one that cannot be read, or wants no answer, gets none.
    pub(super) async fn answer(&mut self, question: &[u8], link: &Link, encoder: &Encoder) -> Result<(), LinkError> {
        while self.waiting.try_join_next().is_some() {}
        let Ok(question) = serde_json::from_slice::<Value>(question) else { return Ok(()) };
        let text = |pointer| question.pointer(pointer).and_then(Value::as_str);
        let (Some(reply_to), Some(value)) = (text("/headers/replyTo"), text("/payload/id_token/value")) else {
            return Ok(());
        };
        let known = self.verdicts.get(value).cloned();
        let after = Duration::from_millis(known.as_ref().map_or(0, |validation| validation.after_ms));
        let result = known.map_or_else(|| ValidationResult::new(AuthorizationStatus::Unknown), ValidationResult::from);
        let (topic, text) = (self.topics.reply_topic_of_question(reply_to), encoder.encode(&result));
        if after.is_zero() {
            return link.publish(&topic, text, 1, false).await;
        }
        let link = link.clone();
        self.waiting.spawn(async move {
            sleep(after).await;
            // Whoever is cut off has no answer for anybody.
            let _ = link.publish(&topic, text, 1, false).await;
        });
        Ok(())
    }
}
