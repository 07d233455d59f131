//! stub
#![allow(missing_docs)]
use crate::{protocol::channel::Topics, transcript::record::Record, diagnostic::Diagnostic};
pub struct Names<'a> { pub topics: &'a Topics, pub own_client: &'a str }
pub fn transcript(_: &[Record], _: &Names<'_>) -> String { String::new() }
pub fn compare<T>(_: &T, _: Option<&str>, _: &str) -> Option<Diagnostic> { None }
