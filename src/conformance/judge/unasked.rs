//! Withdraw requests that a client under test made and no step demands: they may be why khumbu's own side did something
//! else than the scenario expects.
//!
//! Facts of the record in words; nothing here acts on the wire.

use super::evidence::Proof;
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::channel::Channel;
use crate::protocol::side::Side;

impl Proof<'_> {
    /// Lets the module answer for what followed from a withdraw request that nobody asked it for.
    pub fn explain_by_unasked(&self, found: &mut Diagnostic) {
        let is_clients = self.case.side() == Side::Client && !self.case.is_builtin;
        if !is_clients || found.severity != Severity::Error || !found.is_otherwise {
            return;
        }
        let Some(unasked) = self.withdraws().filter(|seen| !self.is_claimed(seen)).last() else { return };
        let headline =
            format!("{} made a withdraw request that no step demands; then {}", self.case.culprit(), found.headline);
        let mut evidence = vec![format!("no step demands: {}", self.case.line(unasked))];
        evidence.append(&mut found.evidence);
        let (severity, id, help) = (Severity::Fail, "expect/unasked-withdraw", None);
        let subject = Subject::Expectation;
        *found = Diagnostic { severity, id, headline, evidence, help, subject, ..found.clone() };
    }

    /// Withdraw requests that a client made once more than it was told to. It may have its reasons, such as a reply that
    /// it did not get; but nothing else would show that it withdraws twice.
    pub fn asked_again(&self) -> Vec<Diagnostic> {
        if !self.deliveries.losses.is_empty() {
            return Vec::new();
        }
        let (demanded, others): (Vec<_>, Vec<_>) = self.withdraws().partition(|seen| self.is_claimed(seen));
        let part = |seen: &Sighting, pointer: &str| seen.json.as_ref().and_then(|json| json.pointer(pointer)).cloned();
        let is_same = |a: &Sighting, b: &Sighting| {
            part(a, "/payload") == part(b, "/payload") && part(a, "/headers/replyTo") != part(b, "/headers/replyTo")
        };
        let again = others.iter().filter(|seen| demanded.iter().any(|demanded| is_same(demanded, seen)));
        let warning = |seen: &&Sighting| {
            let headline = format!("{} made a withdraw request again that no step demands again", self.case.culprit());
            Diagnostic::new(Severity::Warning, "module/asked-again", headline)
                .about(Subject::Module)
                .with_evidence(self.case.line(seen))
                .with_help("a step `expect_none: {message: withdraw_authorization, for: 300ms}` makes it a failure")
        };
        again.map(warning).collect()
    }

    /// Withdraw requests of the module.
    fn withdraws(&self) -> impl Iterator<Item = &Sighting> {
        self.view.messages.iter().filter(|seen| {
            seen.from == Party::Module
                && seen.kind == Kind::Channel(Channel::WITHDRAW_AUTHORIZATION)
                && seen.json.is_some()
        })
    }
}
