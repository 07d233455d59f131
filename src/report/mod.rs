//! Reports: results in, text out.
//!
//! Pure. [`crate::cli`] opens the files, writes what it gets here, and ends with [`exit_code`].

mod json;
mod junit;
mod matrix;
mod outcome;
pub mod terminal;

pub use json::json;
pub use junit::junit;
pub use matrix::matrix;
pub use outcome::{KnownFailure, Summary, excuse, exit_code, has_several_releases};
