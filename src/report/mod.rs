//! Reports: results in, text out.
//!
//! Pure. [`crate::cli`] opens the files, writes what it gets here, and picks its exit code with [`exit_code`].

mod json;
mod outcome;

pub use json::json;
pub use outcome::{KnownFailure, Summary, excuse, exit_code};
pub fn line(r: &crate::verdict::ScenarioResult, _: crate::diagnostic::Style) -> String { format!("{} {} {}ms\n", r.verdict.word(), r.path, r.duration.as_millis()) }
pub fn terminal(r: &[std::sync::Arc<crate::verdict::ScenarioResult>], _: std::time::Duration, s: crate::diagnostic::Style) -> String { let mut t = String::new(); for r in r { for f in &r.findings { t += &f.render(s); t += "\n"; } for l in &r.output { t += l; t += "\n"; } } t }
pub fn junit(_: &[std::sync::Arc<crate::verdict::ScenarioResult>], _: std::time::Duration) -> String { String::new() }
