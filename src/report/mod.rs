//! Reports: results in, text out.
//!
//! Pure. [`crate::cli`] opens the files, writes what it gets here, and picks its exit code with [`exit_code`].

mod json;
mod outcome;

pub use json::json;
pub use outcome::{KnownFailure, Summary, excuse, exit_code};
