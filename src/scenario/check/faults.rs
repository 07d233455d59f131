//! Faults that are injected: which messages, and how many.

use std::time::Duration;

use super::Checker;
use crate::scenario::Pointer;
use crate::scenario::model::{RefuseConnect, Which};
use crate::timespan::Timespan;
use crate::transcript::injected::Effect;

impl Checker<'_> {
    pub(super) fn check_fault(&mut self, effect: Effect, which: &Which<'_>, at: &Pointer) {
        self.check_what(which.message, which.api, which.topic, at);
        let described = self.described(which.message, which.api, which.topic);
        let pointer = at.key("payload");
        for name in self.check_payload(which.payload, &pointer, &described) {
            let headline = format!("`$capture:{name}` in a fault: what it befalls is not remembered");
            self.report("scenario/bad-capture", &pointer, headline);
        }
        self.check_count(which.next, which.until_lifted, at);
        if let Some(probability) = which.probability.filter(|it| !(0.0..=1.0).contains(it)) {
            let headline = format!("a probability is between 0 and 1, not `{probability}`");
            self.report("scenario/fault-probability", &at.key("probability"), headline);
        }
        if let Effect::Delay(by) = effect {
            self.check_span(by, "a delay", &at.key("by"));
        }
    }

    pub(super) fn check_refusal(&mut self, refuse: &RefuseConnect, at: &Pointer) {
        self.check_count(refuse.next, refuse.until_lifted, at);
    }

    /// How long a fault lasts.
    pub(super) fn check_span(&mut self, span: Duration, what: &str, pointer: &Pointer) {
        if span.is_zero() {
            self.report("scenario/bad-timespan", pointer, format!("{what} of 0 is none"));
        } else {
            self.check_wait(Some(Timespan(span)), pointer);
        }
    }

    fn check_count(&mut self, next: Option<u32>, until_lifted: bool, at: &Pointer) {
        let pointer = at.key("next");
        if next == Some(0) {
            self.report("scenario/fault-count", &pointer, "a fault that befalls 0 messages is none");
        } else if next.is_some() && until_lifted {
            let headline = "a fault ends by itself after `next`, or stands `until_lifted`";
            self.report_key("scenario/fault-count", &pointer, headline).help =
                Some("leave one of the two out".to_owned());
        }
    }
}
