//! EVerest's side under test: the token with which an attempt begins.
//!
//! Auth says `Processing` of a token as it was handed in, before anybody is asked about it (`AuthHandler.cpp`), and an API passes
//! one on as it came in (`auth_token_provider_API.cpp`): where one did, nobody can tell from outside which of the two did not. What EVerest
//! cannot read it does not present, and the certificates of a contract it drops; so tokens are compared as it reads them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, printable};
use crate::protocol::codec;
use crate::protocol::deviations::Deviations;
use crate::protocol::types::{ProvidedIdToken, TokenValidationStatus};

use super::wording::Worded;

/// The tokens that were handed in.
#[derive(Debug)]
pub(super) struct Provided {
    /// Whether all of them were seen.
    from_start: bool,
    in_force: Deviations,
    /// By value: one card may be presented in several ways.
    tokens: BTreeMap<String, Vec<ProvidedIdToken>>,
    /// The values of those that EVerest was told of: no API has passed them on to Auth.
    told: BTreeSet<String>,
}

impl Provided {
    pub(super) fn new(from_start: bool, in_force: Deviations) -> Self {
        Self { from_start, in_force, tokens: BTreeMap::new(), told: BTreeSet::new() }
    }

    /// A token provider hands a token in.
    pub(super) fn handed_in(&mut self, payload: &[u8]) {
        if let Ok(token) = codec::decode_provided_token(payload, self.in_force) {
            self.learn(token);
        }
    }

    /// EVerest under test is told that a token is handed in.
    pub(super) fn told(&mut self, command: &Value) {
        if let Some(token) = command.pointer("/present_token/token").and_then(read) {
            self.told.insert(token.id_token.value.clone());
            self.learn(token);
        }
    }

    fn learn(&mut self, token: ProvidedIdToken) {
        let token = ProvidedIdToken { certificate_hash_data: None, ..token };
        let known = self.tokens.entry(token.id_token.value.clone()).or_default();
        if !known.contains(&token) {
            known.push(token);
        }
    }

    /// Judges a status message. A token that nobody was seen to hand in came some other way.
    pub(super) fn status(&self, seen: &Worded<'_>) -> Option<Diagnostic> {
        let json = seen.as_sent().ok().filter(|_| self.from_start)?;
        let status = TokenValidationStatus::deserialize(json.get("status")?).ok()?;
        let token = json.get("token").and_then(read).filter(|_| status == TokenValidationStatus::Processing)?;
        let known = self.tokens.get(&token.id_token.value)?;
        if known.contains(&token) {
            return None;
        }
        let value = printable(&token.id_token.value);
        let headline = format!("module sent `Processing` for token `{value}` otherwise than it was handed in");
        let as_it_was = known.iter().map(|token| format!("handed in: `{}`", json!(token)));
        let requirement = if self.told.contains(&token.id_token.value) { "TV-2" } else { "TP-2" };
        Some(seen.fail("monitor/other-token", headline).with_lines(as_it_was.collect()).breaking(requirement))
    }
}

fn read(token: &Value) -> Option<ProvidedIdToken> {
    let token = ProvidedIdToken::deserialize(token).ok()?;
    Some(ProvidedIdToken { certificate_hash_data: None, ..token })
}
