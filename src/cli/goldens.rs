//! stub
#![allow(missing_docs)]
use crate::{diagnostic::Diagnostic, scenario::Scenario};
use std::path::PathBuf;
pub fn orphans(_: &[PathBuf], _: &[Scenario]) -> Vec<Diagnostic> { vec![] }
pub fn accepted(_: &Scenario) -> Result<Option<String>, Diagnostic> { Ok(None) }
pub fn write(_: &str, _: &str, _: &str, _: bool) -> Result<String, Diagnostic> { Ok(String::new()) }
