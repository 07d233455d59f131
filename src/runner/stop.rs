//! Why a scenario cannot go on. Every way of waiting and of sending may end so.

use crate::diagnostic::{Diagnostic, Place};

/// Why a scenario cannot go on.
#[derive(Debug)]
pub enum Stop {
    /// Something was found.
    Found(Box<Diagnostic>),
    /// More is not wanted than the step that stands here: monitors have found a failure, or it has taken long enough.
    Enough(Place),
    /// The user interrupted the run.
    Interrupted,
}

impl From<Box<Diagnostic>> for Stop {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Stop::Found(diagnostic)
    }
}

impl From<Diagnostic> for Stop {
    fn from(diagnostic: Diagnostic) -> Self {
        Stop::Found(Box::new(diagnostic))
    }
}

/// The harness is at fault.
pub fn broken(why: &str) -> Diagnostic {
    Diagnostic::broken(why)
}
