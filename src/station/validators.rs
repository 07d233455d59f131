//! What validators say of tokens, and the questions they have not answered yet.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::auth::AttemptId;
use crate::protocol::control::Validation;
use crate::protocol::types::ValidationResult;

#[derive(Debug, Clone, Default)]
pub(super) struct Validators {
    /// Verdicts by token value that stand above what presentations carry.
    verdicts: BTreeMap<String, Validation>,
    /// In the order in which they were asked.
    open: Vec<Question>,
}

#[derive(Debug, Clone)]
struct Question {
    attempt: AttemptId,
    value: String,
    at: Duration,
    answer: ValidationResult,
}

impl Validators {
    pub(super) fn ask(&mut self, now: Duration, attempt: AttemptId, value: String, carried: Validation) {
        let validation = self.verdicts.get(&value).cloned().unwrap_or(carried);
        let at = now.saturating_add(Duration::from_millis(validation.after_ms));
        self.open.push(Question { attempt, value, at, answer: validation.into() });
    }

    pub(super) fn set_verdict(&mut self, now: Duration, value: String, validation: Validation) {
        let at = now.saturating_add(Duration::from_millis(validation.after_ms));
        for question in self.open.iter_mut().filter(|question| question.value == value) {
            question.at = at;
            question.answer = validation.clone().into();
        }
        self.verdicts.insert(value, validation);
    }

    pub(super) fn at(&self) -> Option<Duration> {
        self.open.iter().map(|question| question.at).min()
    }

    /// Takes the earliest answer; the first asked among equals.
    pub(super) fn answer(&mut self) -> Option<(AttemptId, ValidationResult)> {
        let (position, _) = self.open.iter().enumerate().min_by_key(|(_, question)| question.at)?;
        let question = self.open.remove(position);
        Some((question.attempt, question.answer))
    }
}
