//! The conformance suite: the scenarios that are in the binary, and what their results say of each requirement.
//!
//! Pure. Results come in; the [`Matrix`] and the reports of it go out. Playing, files and printing are for
//! [`crate::cli`].

mod annotations;
mod files;
mod html;
mod json;
mod junit;
mod list;
mod markdown;
mod matrix;
mod settle;
mod sweep;
mod tap;
mod text;
mod unplayed;

pub use annotations::annotations;
pub use files::{FILES, File, ROOT};
pub use html::html;
pub use json::json;
pub use junit::junit;
pub use list::{list, list_json, list_markdown};
pub use markdown::markdown;
pub use matrix::{Broken, Matrix, Row, Scope, State, exit_code, matrix};
pub use settle::settle;
pub use sweep::{Pair, is_play, pairs, sweep_list, sweep_list_json};
pub use tap::tap;
pub use text::{settled_otherwise, text};
pub use unplayed::{fill_up, not_played, why_unplayed};
