//! Reports: results in, text out.
//!
//! Pure. [`crate::cli`] opens the files, writes what it gets here, and ends with [`exit_code`].

mod again;
pub mod annotations;
pub mod code_quality;
pub mod data;
pub mod html;
mod json;
mod junit;
mod matrix;
mod merge;
mod outcome;
pub mod part;
mod read;
pub mod tap;
pub mod terminal;

pub use again::{is_worth_another, let_flaky_pass, together};
pub use json::{SCHEMA_VERSION, finding, json, scenarios};
pub use junit::{junit, of_run, rerun, to_xml};
pub use matrix::matrix;
pub use merge::merge;
pub use outcome::{KnownFailure, Listed, Summary, as_played, excuse, excuse_all, exit_code, has_several_releases};
pub use part::{Part, Shard};
pub use read::{Conform, Report, read};
