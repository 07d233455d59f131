//! What was learnt of the module while it was played, and no record says: how it became ready, how fast it is, and who may
//! have been told something unseen.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::diagnostic::words::shown;
use crate::diagnostic::{Diagnostic, Severity};

/// Whoever has not answered for so long does not answer withdraw requests at all.
pub const SILENCE: Duration = Duration::from_secs(3);

/// What was learnt.
#[derive(Debug, Default)]
pub struct Learnt {
    /// What an EVerest under test answered when it was asked whether it is ready.
    pub(super) answered: Option<Answered>,
    /// How long the module took from an answer of the broker to its next subscription.
    pub(super) round_trip: Duration,
    /// Whether another scenario has waited in vain for it to be ready, so that this one did not wait as long.
    pub(super) is_in_vain: bool,
    /// Topics of bindings on which somebody was told something whom khumbu does not see, if anybody.
    pub(super) unseen: BTreeSet<String>,
}

/// What came of the questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// It knows its EVSEs; the number of the last.
    Ready(i32),
    /// It went on not knowing this EVSE.
    UnknownEvse(i32, Duration),
    /// It did not answer.
    Silent,
}

impl Answered {
    /// What is to be said where nothing went wrong: that readiness was not seen.
    pub fn to_note(&self, module: &str) -> Option<Diagnostic> {
        if matches!(self, Answered::Ready(_)) {
            return None;
        }
        let headline = format!("module `{module}` was taken as ready, although nothing shows that its Auth is");
        Some(
            Diagnostic::new(Severity::Note, "module/readiness-unknown", headline)
                .with_evidence(self.to_string())
                .with_help("say what ready means for this module with `--ready`, or `ready:` in khumbu.yaml"),
        )
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answered::Ready(evse) => write!(
                f,
                "ready: it had subscribed, and answered a withdraw of an unknown token at EVSE {evse} with `AuthorizationNotFound`"
            ),
            Answered::UnknownEvse(evse, waited) => write!(
                f,
                "ready: it had subscribed, but answered a withdraw of an unknown token at EVSE {evse} with `EvseNotFound` for {}",
                shown(*waited)
            ),
            Answered::Silent => write!(
                f,
                "ready: it had subscribed, but did not answer a withdraw of an unknown token within {}",
                shown(SILENCE)
            ),
        }
    }
}
