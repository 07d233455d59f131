//! The tokens of a recording: their names, and what validators said of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::reading::{Act, Event, Seen, What};
use super::station::{as_config, as_validation};
use crate::protocol::control::Validation;
use crate::protocol::types::{AuthorizationStatus, ProvidedIdToken, TokenValidationStatus};
use crate::scenario::written::is_word;
use crate::station::config::{OtherValidator, TokenConfig};
use crate::timespan::Timespan;

/// A validator that takes so long has to take its time in a scenario, too.
const SLOW_MS: i64 = 300;

/// An answer that comes so much after EVerest has given up is late on any machine.
const TOO_LATE_MS: u64 = 10_000;

/// As long as this is as good as the time that was told.
const NEARLY: Duration = Duration::from_secs(1);

/// Gives each presentation the name of its token; presentations that only statuses show are put in, unless the recording
/// `is_whole`. Known tokens keep their names. Returns the tokens, with
/// what validators say of each the first time.
pub(super) fn name_all(
    events: &mut Vec<Event>,
    known: &BTreeMap<String, TokenConfig>,
    (keeps_names, is_whole): (bool, bool),
) -> BTreeMap<String, TokenConfig> {
    if !is_whole {
        put_in_presentations(events);
    }
    // Others would have to be quoted wherever they stand.
    let known = known.iter().filter(|(name, _)| is_word(name)).map(|(name, token)| (name.clone(), token.clone()));
    let known = &known.collect();
    let is_asking = events.iter().any(|event| matches!(event.what, What::Seen(Seen::Question { .. })));
    let mut names = Names { known, keeps_names, first: BTreeMap::new(), now: BTreeMap::new() };
    let mut named = Vec::with_capacity(events.len());
    for (at, event) in events.iter().enumerate() {
        let mut event = event.clone();
        match &mut event.what {
            What::Act(Act::Present { token, said, name }) => {
                let said = said.clone().or_else(|| shown_validation(events, at, token, is_asking));
                let (found, change) = names.present(token, said.as_ref());
                if let Some((verdict, after)) = change {
                    let value = token.id_token.value.clone();
                    let act = Act::Verdict { name: found.clone(), value, verdict, after: after.map(|span| span.0) };
                    named.push(Event { what: What::Act(act), ..event });
                }
                *name = found;
            }
            What::Act(Act::Verdict { name, value, verdict, after }) => {
                match names.of_value(value) {
                    Some(found) => {
                        if let Some(config) = names.now.get_mut(&found) {
                            (config.verdict, config.verdict_after) = (*verdict, after.map(Timespan));
                        }
                        *name = found;
                    }
                    // Of a token that nobody presents: nothing comes of it.
                    None => continue,
                }
            }
            What::Seen(Seen::Status(status)) => names.note(&status.token),
            What::Seen(Seen::Question { known: question, .. }) => {
                if let Ok(token) = serde_json::from_value::<ProvidedIdToken>(question.clone())
                    && names.of_value(&token.id_token.value).is_none()
                {
                    let said = shown_validation(events, at, &token, is_asking);
                    names.present(&token, said.as_ref());
                }
            }
            _ => {}
        }
        named.push(event);
    }
    *events = named;
    names.first
}

/// Each `Processing` follows upon a presentation: where no message shows it, it came just before.
fn put_in_presentations(events: &mut Vec<Event>) {
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    let mut all = Vec::with_capacity(events.len());
    for event in events.drain(..) {
        match &event.what {
            What::Act(Act::Present { token, .. }) => *open.entry(token.id_token.value.clone()).or_default() += 1,
            What::Seen(Seen::Status(status)) if status.status == TokenValidationStatus::Processing => {
                let open = open.entry(status.token.id_token.value.clone()).or_default();
                if *open == 0 {
                    let token = Box::new(status.token.clone());
                    let act = Act::Present { token, said: None, name: String::new() };
                    all.push(Event { what: What::Act(act), ..event });
                } else {
                    *open -= 1;
                }
            }
            _ => {}
        }
        all.push(event);
    }
    *events = all;
}

/// What validators said of a token that was presented at this place: as they said it, or as the statuses show it.
/// Where EVerest `is_asking`, it does so before everybody's eyes.
fn shown_validation(events: &[Event], at: usize, token: &ProvidedIdToken, is_asking: bool) -> Option<Validation> {
    let value = &token.id_token.value;
    let is_next = |event: &&Event| match &event.what {
        What::Act(Act::Present { token, .. }) => token.id_token.value == *value,
        _ => false,
    };
    let end = events[at + 1..].iter().position(|event| is_next(&event)).map_or(events.len(), |next| at + 1 + next);
    let mut asked_ms = events[at].at_ms;
    let mut is_asked = false;
    let slow = |took_ms: i64| {
        let rounded = (took_ms + 50) / 100 * 100;
        if took_ms >= SLOW_MS { u64::try_from(rounded).unwrap_or(0) } else { 0 }
    };
    for event in &events[at + 1..end] {
        match &event.what {
            What::Seen(Seen::Question { known, .. }) if known["id_token"]["value"] == value.as_str() => {
                (asked_ms, is_asked) = (event.at_ms, true);
            }
            What::Seen(Seen::Answer { value: answered, payload }) if answered == value => {
                return as_validation(payload, slow(event.at_ms - asked_ms));
            }
            What::Seen(Seen::Status(status)) if status.token.id_token.value == *value => {
                let said = |authorization_status| {
                    Some(Validation {
                        after_ms: slow(event.at_ms - asked_ms),
                        authorization_status,
                        evse_ids: None,
                        parent_id_token: None,
                        tariff_messages: status.messages.clone().unwrap_or_default(),
                        others: Vec::new(),
                    })
                };
                match status.status {
                    TokenValidationStatus::Processing => asked_ms = event.at_ms,
                    // EVerest gave up waiting; in a scenario the answer comes too late.
                    TokenValidationStatus::Rejected if is_asked => {
                        let after_ms = slow(event.at_ms - asked_ms) + TOO_LATE_MS;
                        return said(AuthorizationStatus::Invalid).map(|said| Validation { after_ms, ..said });
                    }
                    // Where EVerest asks before everybody's eyes, it did not ask about this one.
                    _ if is_asking => return None,
                    TokenValidationStatus::Rejected => return said(AuthorizationStatus::Invalid),
                    TokenValidationStatus::Accepted => return said(AuthorizationStatus::Accepted),
                    _ => return None,
                }
            }
            _ => {}
        }
    }
    None
}

struct Names<'a> {
    known: &'a BTreeMap<String, TokenConfig>,
    /// Whether known tokens are the same ones whatever validators said of them.
    keeps_names: bool,
    /// As they were the first time.
    first: BTreeMap<String, TokenConfig>,
    /// As they are by now.
    now: BTreeMap<String, TokenConfig>,
}

/// Another verdict than before.
type Change = (AuthorizationStatus, Option<Timespan>);

impl Names<'_> {
    /// The name of a token that is presented, and what validators say of it that they did not say before.
    fn present(&mut self, token: &ProvidedIdToken, said: Option<&Validation>) -> (String, Option<Change>) {
        let mut wanted = with_validation(as_config(token), said);
        let is_like = |config: &&TokenConfig| config.value == wanted.value;
        let told = self.known.values().find(is_like).filter(|_| self.keeps_names);
        let like = told.or_else(|| self.now.values().find(is_like)).cloned();
        // Nobody takes exactly as long as he was told to.
        if let (Some(told), Some(_)) = (told, said) {
            let of = |after: Option<Timespan>| after.map_or(Duration::ZERO, |after| after.0);
            if of(told.verdict_after).abs_diff(of(wanted.verdict_after)) < NEARLY {
                wanted.verdict_after = told.verdict_after;
            }
        }
        let is_it = |config: &TokenConfig| match said {
            None => as_config(&config.to_provided()) == as_config(token),
            Some(_) => {
                TokenConfig { verdict: wanted.verdict, verdict_after: wanted.verdict_after, ..config.clone() } == wanted
            }
        };
        let used = self.now.iter().find(|(_, config)| is_it(config)).map(|(name, _)| name.clone());
        if let Some(name) = used {
            let now = self.now.get_mut(&name);
            let change = now.filter(|now| said.is_some() && **now != wanted).map(|now| {
                *now = wanted.clone();
                (wanted.verdict, wanted.verdict_after)
            });
            return (name, change);
        }
        let known = self.known.iter().find(|(name, config)| is_it(config) && !self.now.contains_key(*name));
        let by_value = self
            .known
            .iter()
            .find(|(name, config)| self.keeps_names && config.value == wanted.value && !self.now.contains_key(*name));
        let name = known.or(by_value).map_or_else(|| self.fresh(), |(name, _)| name.clone());
        // Validators go by the value.
        if let Some(like) = like.filter(|_| said.is_none()) {
            let TokenConfig { verdict, verdict_after, evse_ids, parent_id_token, tariff_messages, .. } = like;
            wanted = TokenConfig { verdict, verdict_after, evse_ids, parent_id_token, tariff_messages, ..wanted };
        }
        self.add(&name, wanted);
        (name, None)
    }

    /// A token that a status shows and nobody presented.
    fn note(&mut self, token: &ProvidedIdToken) {
        if self.of_value(&token.id_token.value).is_none() {
            let known = self.known.iter().find(|(_, config)| config.value == token.id_token.value);
            let (name, config) = known.map_or_else(
                || (self.fresh(), TokenConfig { connectors: None, ..as_config(token) }),
                |(name, config)| (name.clone(), config.clone()),
            );
            self.add(&name, config);
        }
    }

    fn add(&mut self, name: &str, config: TokenConfig) {
        self.first.insert(name.to_owned(), config.clone());
        self.now.insert(name.to_owned(), config);
    }

    fn of_value(&self, value: &str) -> Option<String> {
        self.now.iter().find(|(_, config)| config.value == value).map(|(name, _)| name.clone())
    }

    fn fresh(&self) -> String {
        let is_free = |name: &String| !self.first.contains_key(name) && !self.known.contains_key(name);
        (1..).map(|number| format!("TOKEN_{number}")).find(is_free).unwrap_or_default()
    }
}

fn with_validation(config: TokenConfig, said: Option<&Validation>) -> TokenConfig {
    let Some(said) = said else { return config };
    let after = |ms: u64| Some(Timespan(Duration::from_millis(ms))).filter(|after| !after.0.is_zero());
    let other = |said: &Validation| OtherValidator {
        verdict: said.authorization_status,
        verdict_after: after(said.after_ms),
        evse_ids: said.evse_ids.clone(),
        parent_id_token: said.parent_id_token.clone(),
        tariff_messages: said.tariff_messages.clone(),
    };
    TokenConfig {
        verdict: said.authorization_status,
        verdict_after: after(said.after_ms),
        evse_ids: said.evse_ids.clone(),
        parent_id_token: said.parent_id_token.clone(),
        tariff_messages: said.tariff_messages.clone(),
        other_validators: said.others.iter().map(other).collect(),
        ..config
    }
}
