//! What validators say of tokens, and the questions they have not answered yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::config::TokenConfig;
use crate::auth::AttemptId;
use crate::protocol::control::Validation;
use crate::protocol::types::{AuthorizationStatus, ValidationResult};

#[derive(Debug, Clone)]
pub(super) struct Validators {
    /// Verdicts by token value that stand above what presentations carry.
    verdicts: BTreeMap<String, Validation>,
    /// Verdicts by token value for tokens that come without.
    known: Arc<BTreeMap<String, Validation>>,
    /// The verdict of all others that come without.
    unlisted: AuthorizationStatus,
    /// In the order in which they were asked.
    open: Vec<Question>,
}

#[derive(Debug, Clone)]
struct Question {
    attempt: AttemptId,
    value: String,
    at: Duration,
    answers: Vec<ValidationResult>,
}

impl Validators {
    pub(super) fn new(tokens: &BTreeMap<String, TokenConfig>, unlisted: Option<AuthorizationStatus>) -> Self {
        let known = tokens.values().map(|token| (token.value.clone(), token.to_validation()));
        let unlisted = unlisted.unwrap_or(AuthorizationStatus::Unknown);
        Self { verdicts: BTreeMap::new(), known: Arc::new(known.collect()), unlisted, open: Vec::new() }
    }

    /// What is said of a token that came without a verdict: what the station knows of it, or of all others.
    pub(super) fn verdict(&self, value: &str) -> Validation {
        self.known.get(value).cloned().unwrap_or(Validation {
            after_ms: 0,
            authorization_status: self.unlisted,
            evse_ids: None,
            parent_id_token: None,
            tariff_messages: Vec::new(),
            others: Vec::new(),
        })
    }

    pub(super) fn ask(&mut self, now: Duration, attempt: AttemptId, value: String, carried: Validation) {
        let validation = self.verdicts.get(&value).cloned().unwrap_or(carried);
        let (at, answers) = answers(now, validation);
        self.open.push(Question { attempt, value, at, answers });
    }

    pub(super) fn set_verdict(&mut self, now: Duration, value: String, validation: Validation) {
        for question in self.open.iter_mut().filter(|question| question.value == value) {
            (question.at, question.answers) = answers(now, validation.clone());
        }
        self.verdicts.insert(value, validation);
    }

    pub(super) fn at(&self) -> Option<Duration> {
        self.open.iter().map(|question| question.at).min()
    }

    /// Takes the earliest answers; those of the first asked among equals.
    pub(super) fn answer(&mut self) -> Option<(AttemptId, String, Vec<ValidationResult>)> {
        let (position, _) = self.open.iter().enumerate().min_by_key(|(_, question)| question.at)?;
        let question = self.open.remove(position);
        Some((question.attempt, question.value, question.answers))
    }
}

/// When all validators have answered, one after the other, and what.
fn answers(now: Duration, mut validation: Validation) -> (Duration, Vec<ValidationResult>) {
    let others = std::mem::take(&mut validation.others);
    let all: Vec<Validation> = [vec![validation], others].concat();
    let at = all.iter().fold(now, |at, it| at.saturating_add(Duration::from_millis(it.after_ms)));
    (at, all.into_iter().map(ValidationResult::from).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_listed_has_a_verdict_of_its_own() {
        let listed = json!({"value": "A", "type": "ISO14443"});
        let listed: TokenConfig = serde_json::from_value(listed).expect("a token");
        let tokens = BTreeMap::from([("ALICE".to_owned(), listed)]);
        for (unlisted, expected) in
            [(None, AuthorizationStatus::Unknown), (Some(AuthorizationStatus::Blocked), AuthorizationStatus::Blocked)]
        {
            let validators = Validators::new(&tokens, unlisted);
            assert_eq!(validators.verdict("A").authorization_status, AuthorizationStatus::Accepted);
            assert_eq!(validators.verdict("B").authorization_status, expected);
        }
    }
}
