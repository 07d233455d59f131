//! Releases of EVerest, and what each speaks.
//!
//! The wire changed without a version number. This version of khumbu speaks [`Release::Main`]; the table grows with
//! the release profiles.

/// A release of EVerest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Release {
    /// The head of development, as of 2026-08.
    #[default]
    Main,
}

impl Release {
    /// The name users write.
    pub fn name(self) -> &'static str {
        match self {
            Release::Main => "main",
        }
    }
}
