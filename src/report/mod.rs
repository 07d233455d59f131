//! Reports: results in, text out.
//!
//! Pure. [`crate::cli`] opens the files, writes what it gets here, and ends with [`exit_code`].

mod json;
mod junit;
mod matrix;
mod outcome;
pub mod terminal;

pub use json::{json, scenario_json};
pub use junit::{junit, to_xml};
pub use matrix::matrix;
pub use outcome::{KnownFailure, Listed, Summary, excuse, excuse_all, exit_code, has_several_releases};
