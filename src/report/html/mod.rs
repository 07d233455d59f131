//! Results as one page of HTML, for whoever decides and for whoever mends it.
//!
//! A page stands alone: style and script are in it, its policy forbids everything else, and it fetches nothing. It can be
//! read without its script, which only filters tables. Whatever comes from the wire, a file or the module is text;
//! `maud` escapes it, and nothing here does without that but the style and the script.

mod diagram;
mod finding;
mod page;
mod run;
mod scenarios;
mod text;

pub use finding::{findings, more, where_};
pub use page::{Choice, Count, Page, Tone, command, filters, icon, page, played};
pub use run::html;
pub use scenarios::table;
pub use text::{prose, sentence};

use std::time::Duration;

use chrono::{DateTime, Utc};

/// How a report came about.
#[derive(Debug, Clone)]
pub struct Made {
    /// The command line, as it was given.
    pub command: String,
    /// When.
    pub at: DateTime<Utc>,
    /// How long it took, by the clock on the wall.
    pub took: Duration,
    /// The name of the machine, if it has one.
    pub host: Option<String>,
}
