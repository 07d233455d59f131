//! The stations on which cases are played. Each makes another part of EVerest's behaviour reachable; every one has its turn.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::protocol::channel::ApiType;
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::scenario;
use crate::station::config::StationConfig;

/// A station and its tokens, as scenario files have them.
#[derive(Debug, Clone)]
pub struct Site {
    evses: u8,
    lines: Vec<&'static str>,
    tokens: Vec<Token>,
    config: Arc<StationConfig>,
}

/// A token by its name, and what is written of it.
type Token = (&'static str, &'static str);

/// Known and unknown ones, of one group, differently cased, for certain EVSEs, and with the longest value.
const TOKENS: &[Token] = &[
    ("ALICE", r#"{value: "04A2F3B1", type: ISO14443}"#),
    ("ALICE_IN_LOWER_CASE", r#"{value: "04a2f3b1", type: ISO14443}"#),
    ("BOB", r#"{value: "0B0B0B0B", type: KeyCode, parent_id_token: {value: "FAMILY", type: Central}}"#),
    ("CAROL", r#"{value: "0C0C0C0C", type: ISO14443, parent_id_token: {value: "FAMILY", type: Central}}"#),
    ("DAVE", r#"{value: "0DA7E000", type: ISO15693, evse_ids: [1], tariff_messages: [{content: "0.42 EUR/kWh"}]}"#),
    ("FRANK", r#"{value: "0123456789abcdefghijklmnopqrstuvwxyz", type: eMAID, authorization_type: Autocharge}"#),
    ("MALLORY", r#"{value: "0BADBAD0", type: ISO14443, verdict: Invalid}"#),
];
/// What is in validation for a while; the second of them for longer than a station with a validator waits.
const IN_VALIDATION: &[Token] = &[
    ("ERIN", r#"{value: "0E214000", type: Local, connectors: [1], verdict_after: 1500ms}"#),
    ("GRACE", r#"{value: "064ACE00", type: ISO14443, verdict_after: 3s}"#),
];
/// What is in validation until somebody answers.
const UNANSWERED: &[Token] = &[("HEIDI", r#"{value: "0E1D1000", type: ISO14443, verdict_after: 600s}"#)];
/// Nothing runs out while a case is played.
const NEVER: &str = "auth: {connection_timeout: 600s}";
/// What is authorized in vain times out while a case waits for that.
const SOON: &str = "auth: {connection_timeout: 2s}";
const SOON_AT_AN_EV: &str = "auth: {connection_timeout: 2s, selection_algorithm: PlugEvents}";
const VALIDATED: &str = "auth_token_validator: {cfg_request_reply_to_s: 2}";

impl Site {
    /// The stations for modules on this side.
    ///
    /// A client sees what a station says, whatever made it say so; of an EVerest every setting is to be seen at work.
    pub fn all(under_test: Side, api: ApiType, release: Release) -> Vec<Arc<Self>> {
        let rows: &[(u8, bool, &'static [&'static str])] = match under_test {
            Side::Client if api == ApiType::AUTH_CONSUMER => &[
                (2, false, &[NEVER]),
                (1, false, &[NEVER, "auth_consumer: {cfg_heartbeat_interval_ms: 20}"]),
                (2, false, &[NEVER, "auth_token_provider: {}"]),
            ],
            Side::Client if api == ApiType::AUTH_TOKEN_VALIDATOR => {
                &[(2, false, &[NEVER, "auth_token_validator: {cfg_request_reply_to_s: 10}"])]
            }
            Side::Client => &[(2, false, &[NEVER])],
            Side::Everest => &[
                (2, false, &[NEVER]),
                (2, false, &["auth: {connection_timeout: 600s, selection_algorithm: PlugEvents}"]),
                (2, false, &[NEVER, "auth_token_provider: {}", "auth_token_validator: {}"]),
                (
                    3,
                    false,
                    &[
                        "auth: {connection_timeout: 600s, selection_algorithm: PlugEventsLIFO, \
                         stop_transaction_on_reswipe: false}",
                        "auth_consumer: {cfg_heartbeat_interval_ms: 0, cfg_communication_check_to_s: 0, \
                         latch_variable_values: false}",
                    ],
                ),
                (2, true, &[SOON, "auth_consumer: {cfg_heartbeat_interval_ms: 150}"]),
                (2, true, &[SOON, "auth_token_provider: {}", VALIDATED]),
                (2, true, &[SOON_AT_AN_EV]),
            ],
        };
        let site = |(evses, is_slow, lines): &(u8, bool, &'static [&'static str])| {
            let is_asked = under_test == Side::Everest && lines.iter().any(|line| line.contains("validator"));
            let more = match (is_slow, is_asked) {
                (true, _) => IN_VALIDATION,
                (false, true) => UNANSWERED,
                (false, false) => &[],
            };
            Arc::new(Self::new(*evses, lines.to_vec(), [TOKENS, more].concat(), release))
        };
        rows.iter().map(site).collect()
    }

    /// Whether cases wait for times to run out there.
    pub fn is_slow(&self) -> bool {
        [SOON, SOON_AT_AN_EV].iter().any(|line| self.lines.contains(line))
    }

    fn new(evses: u8, lines: Vec<&'static str>, tokens: Vec<Token>, release: Release) -> Self {
        // Every station that can be made is read by a test.
        let config = scenario::parse_station("station", &text(evses, &lines, &tokens)).unwrap_or_default();
        Self { evses, lines, tokens, config: Arc::new(StationConfig { release, ..config }) }
    }

    /// As a scenario file has it, below `station`.
    pub fn text(&self) -> String {
        text(self.evses, &self.lines, &self.tokens)
    }

    /// As the station takes it.
    pub fn config(&self) -> &Arc<StationConfig> {
        &self.config
    }

    /// The same with these tokens alone, and as many EVSEs; `None` if that is nothing less.
    pub fn with_less(&self, evses: u8, tokens: &BTreeSet<&str>) -> Option<Self> {
        let is_less = evses < self.evses || self.tokens.iter().any(|(name, _)| !tokens.contains(name));
        let left = || self.tokens.iter().filter(|(name, _)| tokens.contains(name)).copied().collect();
        let less = || Self::new(evses.clamp(1, self.evses), self.lines.clone(), left(), self.config.release);
        is_less.then(less)
    }

    /// The same with the API modules through which khumbu is another client of the EVerest under test, where that has them
    /// whatever a scenario says.
    #[must_use]
    pub fn with_modules(&self, has_provider: bool, has_validator: bool) -> Self {
        let missing = [
            ("auth_token_provider: {}", has_provider && self.config.auth_token_provider.is_none()),
            ("auth_token_validator: {}", has_validator && self.config.auth_token_validator.is_none()),
        ];
        let missing = missing.into_iter().filter(|(_, is_missing)| *is_missing).map(|(line, _)| line);
        let lines = self.lines.iter().copied().chain(missing).collect();
        Self::new(self.evses, lines, self.tokens.clone(), self.config.release)
    }
}

fn text(evses: u8, lines: &[&str], tokens: &[Token]) -> String {
    let mut text = format!("evses: {evses}\n");
    text.extend(lines.iter().map(|line| format!("{line}\n")));
    if !tokens.is_empty() {
        text.push_str("tokens:\n");
        text.extend(tokens.iter().map(|(name, token)| format!("  {name}: {token}\n")));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_station_can_be_read_with_all_tokens_and_with_none() {
        for api in ApiType::AUTH_APIS {
            for site in
                [Side::Client, Side::Everest].into_iter().flat_map(|side| Site::all(side, api, Release::default()))
            {
                scenario::parse_station("station", &site.text()).unwrap();
                assert!(site.config().tokens.len() >= TOKENS.len());
                let less = site.with_less(1, &BTreeSet::new()).unwrap();
                scenario::parse_station("station", &less.text()).unwrap();
                assert_eq!((less.config().evses, less.config().tokens.len()), (1, 0));
                let all = site.config().tokens.keys().map(String::as_str).collect();
                assert!(site.with_less(site.config().evses, &all).is_none());
                let with_all = site.with_modules(true, true);
                scenario::parse_station("station", &with_all.text()).unwrap();
                let config = with_all.config();
                assert!(config.auth_token_provider.is_some() && config.auth_token_validator.is_some());
                assert_eq!(site.with_modules(false, false).text(), site.text());
            }
        }
    }
}
