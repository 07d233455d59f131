//! Turns as a scenario file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::reading::{Act, Seen};
use super::weave::{Ground, Turn, to_input};
use super::{Authored, Remark};
use crate::diagnostic::printable;
use crate::diagnostic::words::shown;
use crate::fuzz::{Input, Led, at_stake};
use crate::protocol::channel::ApiType;
use crate::protocol::control::{Command, HeartbeatControl};
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::protocol::types::{TokenValidationStatus, TokenValidationStatusMessage};
use crate::protocol::wire::Wire;
use crate::scenario::written::{Frame, expected_status, flow, in_any_order, station_to_text};
use crate::station::config::StationConfig;
use crate::timespan::Timespan;

/// What comes later than this is waited for longer than the language does by itself.
const LATE_MS: i64 = 2500;
/// How much longer than it took something is waited for.
const MARGIN_MS: i64 = 5000;
/// A scenario that takes longer than this says how long it may.
const LONG_MS: i64 = 30_000;

/// Where a recording is, as far as others need to know.
fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Where a scenario comes from.
pub(super) struct Origin<'a> {
    pub path: &'a str,
    pub messages: usize,
    pub span: Option<&'a str>,
    pub length: Duration,
    pub release: Option<Release>,
    pub external_prefix: &'a str,
}

/// The scenario file, and what is not in it.
pub(super) fn draft(origin: &Origin<'_>, ground: &Ground, turns: &[Turn]) -> Authored {
    let remarks = summed(turns);
    let mut writer = Writer { ground, named: named_requests(turns), names: BTreeMap::new(), at_stake: Vec::new() };
    for (name, token) in &ground.station.tokens {
        writer.names.entry(token.value.clone()).or_insert_with(|| name.clone());
    }
    let mut steps = writer.beginning();
    let (mut told, mut waits_ms) = (BTreeSet::new(), 0);
    for turn in turns {
        let (text, waited_ms) = writer.turn(turn, &mut told);
        steps.push_str(&text);
        waits_ms += waited_ms;
    }
    let is_client = ground.side == Side::Client;
    let is_checking = turns.iter().rev().find_map(|turn| match turn.act {
        Some(Act::Check(on)) => Some(on),
        _ => None,
    });
    // Also if none was recorded: a scenario may not pass with a client that does nothing.
    if is_client && is_checking != Some(false) {
        steps.push_str("  # The client is still there.\n  - expect: {message: communication_check, payload: true}\n");
    }
    if !steps.lines().any(|line| line.starts_with("  - ")) {
        steps.push_str("  - note: Nothing of the recording is left.\n");
    }
    let mut requirements: Vec<&str> = Vec::new();
    // What came last is what the rest led up to.
    for id in writer.at_stake.iter().rev() {
        if !requirements.contains(id) {
            requirements.push(id);
        }
    }
    let frame = Frame {
        comment: comment(origin, ground, &requirements),
        description: description(turns),
        requirements,
        under_test: ground.side,
        api: ground.api,
        release: origin.release,
        wire: Wire::Everest,
        external_prefix: if is_client { origin.external_prefix.to_owned() } else { String::new() },
        timeout: (waits_ms > LONG_MS).then(|| whole_seconds(waits_ms + LONG_MS)),
        within_ms: None,
        station: station_to_text(&written_station(ground)),
    };
    Authored { text: frame.text() + &steps, remarks }
}

/// In half seconds, rounded up but for what a machine takes to go from one step to the next.
fn halves(ms: i64) -> u64 {
    const HALF_MS: i64 = 500;
    const STEP_MS: i64 = 120;
    let most = u64::try_from(whole_seconds(ms).0.as_millis()).unwrap_or(u64::MAX);
    u64::try_from((ms - STEP_MS + HALF_MS - 1) / HALF_MS * HALF_MS).unwrap_or(0).clamp(500, most.max(500))
}

fn whole_seconds(ms: i64) -> Timespan {
    /// No time of a scenario is longer.
    const DAY_S: u64 = 24 * 60 * 60;
    Timespan(Duration::from_secs(u64::try_from((ms + 999) / 1000).unwrap_or(0).min(DAY_S)))
}

/// The station without what a scenario says elsewhere.
fn written_station(ground: &Ground) -> StationConfig {
    let mut station = ground.station.clone();
    let usual = StationConfig::default();
    // The ids that topics have are for flags.
    station.auth_consumer.module_id = usual.auth_consumer.module_id;
    station.release = usual.release;
    match (ground.side, ground.api) {
        (Side::Client, ApiType::AUTH_TOKEN_PROVIDER) if is_plain(&station.auth_token_provider) => {
            station.auth_token_provider = None;
        }
        (Side::Client, ApiType::AUTH_TOKEN_VALIDATOR) => {
            if let Some(validator) = &mut station.auth_token_validator {
                validator.module_id = Default::default();
                let plain = crate::station::config::ValidatorConfig { module_id: String::new(), ..Default::default() };
                if *validator == plain {
                    station.auth_token_validator = None;
                }
            }
        }
        _ => {}
    }
    station
}

fn is_plain(provider: &Option<crate::station::config::ProviderConfig>) -> bool {
    let usual = crate::station::config::ProviderConfig::default();
    provider.as_ref().is_some_and(|own| {
        let own = crate::station::config::ProviderConfig { module_id: usual.module_id.clone(), ..own.clone() };
        own == usual
    })
}

fn comment(origin: &Origin<'_>, ground: &Ground, requirements: &[&str]) -> String {
    let Origin { path, messages, span, length, .. } = origin;
    let part = span.map_or_else(String::new, |span| format!(", {span}"));
    let mut text = format!(
        "Made by `khumbu scenario` from {}{part}: {messages} messages in {}.\n",
        printable(file_name(path)),
        shown(Duration::from_millis(u64::try_from(length.as_millis()).unwrap_or(0)))
    );
    text.push_str("Say in the description what it shows.");
    if requirements.is_empty() {
        text.push_str(" `requirements: [WD-18]` says what it is about; `khumbu conform --list` has them.");
    } else if requirements.len() > 1 {
        text.push_str(" The first requirement is the one that it is about.");
    }
    if ground.side == Side::Everest && !origin.external_prefix.is_empty() {
        text.push_str(&format!("\nPlay it with --external-prefix {}", printable(origin.external_prefix)));
    }
    text
}

/// What happens, in the words of its steps.
fn description(turns: &[Turn]) -> String {
    let mut words: Vec<String> = Vec::new();
    for (turn, act) in turns.iter().filter_map(|turn| Some((turn, turn.act.as_ref()?))) {
        let word = match act {
            Act::Present { name, .. } => format!("{name} is presented{}", outcome(turn)),
            Act::Verdict { name, verdict, .. } => format!("the verdict on {name} becomes {verdict:?}"),
            Act::Check(false) => "communication checks end".to_owned(),
            Act::Check(true) => "communication checks begin again".to_owned(),
            Act::Restart => "EVerest starts again".to_owned(),
            Act::Disconnect => "the connection is lost".to_owned(),
            Act::Command(command) => in_words(command),
            Act::Request(_, Input::Command(command)) => in_words(command),
            Act::Request(..) | Act::Publish(_) => "a message is published as it stands".to_owned(),
        };
        if words.last() != Some(&word) {
            words.push(word);
        }
    }
    /// More than this nobody reads.
    const MOST: usize = 5;
    let more = words.len().saturating_sub(MOST);
    words.truncate(MOST);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let mut text = words.join(", ") + &more + ".";
    if words.is_empty() {
        "What EVerest says by itself.".clone_into(&mut text);
    }
    text[..1].to_uppercase() + &text[1..]
}

/// What became of a token that was presented, where that is more than its use.
fn outcome(turn: &Turn) -> &'static str {
    match last_status(turn) {
        Some(TokenValidationStatus::Rejected) => " and rejected",
        Some(TokenValidationStatus::TimedOut) => " and times out",
        Some(TokenValidationStatus::UsedToStop) => " and stops the transaction",
        _ => "",
    }
}

fn last_status(turn: &Turn) -> Option<TokenValidationStatus> {
    turn.seen.iter().rev().find_map(|(_, seen)| match seen {
        Seen::Status(status) => Some(status.status),
        _ => None,
    })
}

fn in_words(command: &Command) -> String {
    let at = |evse: i32| format!("at EVSE {evse}");
    match command {
        Command::PlugIn(it) => format!("an EV is plugged in {}", at(it.evse)),
        Command::Unplug(it) => format!("the EV is unplugged {}", at(it.evse)),
        Command::StartTransaction(it) => format!("a transaction starts {}", at(it.evse)),
        Command::StopTransaction(it) => format!("the transaction ends {}", at(it.evse)),
        Command::Withdraw(request) if request.evse_id.is_none() && request.id_token.is_none() => {
            "everything is withdrawn".to_owned()
        }
        Command::Withdraw(request) => {
            let token = if request.id_token.is_some() { "a token" } else { "an authorization" };
            let place = request.evse_id.map(|evse| format!(" {}", at(evse))).unwrap_or_default();
            format!("{token} is withdrawn{place}")
        }
        Command::GetStatus {} => "the last status is asked for".to_owned(),
        Command::Discover {} | Command::QueryModules(_) => "modules are looked for".to_owned(),
        other => crate::protocol::control::command_name(other).replace('_', " "),
    }
}

/// Requests whose reply does not follow at once, or not alone: it is known by a name.
fn named_requests(turns: &[Turn]) -> BTreeSet<usize> {
    let mut named = BTreeSet::new();
    for turn in turns {
        let own = match turn.act {
            Some(Act::Request(number, _)) => Some(number),
            _ => None,
        };
        let replies = turn.seen.iter().filter_map(|(_, seen)| match seen {
            Seen::Reply { request, .. } => Some(*request),
            _ => None,
        });
        named.extend(replies.filter(|request| Some(*request) != own));
    }
    named
}

/// Remarks by what they say, each with its first line.
fn summed(turns: &[Turn]) -> Vec<Remark> {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut order = Vec::new();
    for remark in turns.iter().flat_map(|turn| &turn.remarks) {
        let entry = counts.entry(&remark.what).or_insert_with(|| {
            order.push(remark.what.as_str());
            (remark.line, 0)
        });
        entry.1 += 1;
    }
    let summed = order.into_iter().map(|what| {
        let (line, count) = counts[what];
        let times = if count > 1 { format!(" ({count} times)") } else { String::new() };
        Remark { line, what: format!("{what}{times}") }
    });
    summed.collect()
}

struct Writer<'a> {
    ground: &'a Ground,
    named: BTreeSet<usize>,
    /// The names of tokens by their values, as they were presented last.
    names: BTreeMap<String, String>,
    /// The requirements that an EVerest breaks which does something else.
    at_stake: Vec<&'static str>,
}

impl Writer<'_> {
    /// A module that has not said that it is there may not listen yet.
    fn beginning(&self) -> String {
        let others = [ApiType::AUTH_TOKEN_PROVIDER, ApiType::AUTH_TOKEN_VALIDATOR];
        let beats = |api: &ApiType| self.ground.station.cadence(*api).is_some_and(|cadence| cadence.heartbeat_ms > 0);
        let is_needed = |api: &ApiType| self.ground.side == Side::Everest && beats(api);
        let step = |api: ApiType| format!("  - expect: {{message: heartbeat, api: {}}}\n", api.name());
        others.into_iter().filter(is_needed).map(step).collect()
    }

    /// The steps of a turn, and how long they may take because something took its time.
    fn turn(&mut self, turn: &Turn, told: &mut BTreeSet<String>) -> (String, i64) {
        let mut text = String::new();
        let remark = |remark: &Remark, told: &mut BTreeSet<String>| {
            // Each once: what comes again and again is counted elsewhere.
            let line = if remark.line > 0 { format!("Line {}: ", remark.line) } else { String::new() };
            let is_new = told.insert(remark.what.clone());
            if is_new { format!("  # {line}{}\n", printable(&remark.what)) } else { String::new() }
        };
        if let Some(act) = &turn.act {
            if let Act::Present { token, name, .. } = act {
                self.names.insert(token.id_token.value.clone(), name.clone());
            }
            let why = if turn.is_inferred { "   # Inferred: no message shows it." } else { "" };
            text.push_str(&format!("  - {}{why}\n", self.act(act, turn.reservation.as_ref())));
        }
        let (expected, mut waits_ms) = self.expected(turn);
        text.push_str(&expected);
        if turn.waits_ms > 0 {
            let span = Timespan(Duration::from_millis(halves(turn.waits_ms)));
            waits_ms += turn.waits_ms;
            text.push_str("  # Something runs out meanwhile, and EVerest says nothing of it.\n");
            text.push_str(&format!("  - expect_none: {{message: token_validation_status, for: {span}}}\n"));
        }
        for it in &turn.remarks {
            text.push_str(&remark(it, told));
        }
        if self.ground.side == Side::Client {
            self.at_stake.extend(turn.act.as_ref().and_then(|act| self.owed(act, turn)));
        } else if let Some(act) = &turn.act
            && turn.seen.iter().any(|(_, seen)| matches!(seen, Seen::Status(_) | Seen::Reply { .. }))
        {
            let is_timed_out = last_status(turn) == Some(TokenValidationStatus::TimedOut);
            let input = if is_timed_out { Input::AwaitTimeout } else { to_input(act) };
            self.at_stake.push(at_stake(&input, &self.led(turn)));
        }
        (text, waits_ms)
    }

    /// The requirement that a client breaks which does something else.
    fn owed(&self, act: &Act, turn: &Turn) -> Option<&'static str> {
        let has_answer = || turn.seen.iter().any(|(_, seen)| matches!(seen, Seen::Answer { .. }));
        match (self.ground.api, act) {
            (ApiType::AUTH_CONSUMER, Act::Request(_, Input::Command(Command::Withdraw(_)))) => Some("WD-18"),
            (ApiType::AUTH_TOKEN_PROVIDER, Act::Present { .. }) => Some("TP-1"),
            (ApiType::AUTH_TOKEN_VALIDATOR, Act::Command(Command::UpdateVerdict(_))) => Some("VA-8"),
            (ApiType::AUTH_TOKEN_VALIDATOR, _) if has_answer() => Some("VA-3"),
            _ => None,
        }
    }

    /// What was said in a turn, as the station's own words.
    fn led(&self, turn: &Turn) -> Led {
        let mut led = Led::default();
        for (_, seen) in &turn.seen {
            match seen {
                Seen::Status(status) => led.statuses.push((self.name(status), status.clone())),
                Seen::Reply { request, payload } => led.replies.push((*request, payload.clone())),
                _ => {}
            }
        }
        led
    }

    fn name(&self, status: &TokenValidationStatusMessage) -> String {
        self.names.get(&status.token.id_token.value).cloned().unwrap_or_default()
    }

    fn act(&self, act: &Act, reservation: Option<&Value>) -> String {
        match act {
            Act::Verdict { name, verdict, after, .. } => {
                let after = after.map(|after| format!(", after: {}", Timespan(after))).unwrap_or_default();
                format!("set_verdict: {{token: {name}, verdict: {verdict:?}{after}}}")
            }
            Act::Command(Command::Heartbeats(HeartbeatControl::Every(ms))) => format!("heartbeats: {{every: {ms}ms}}"),
            Act::Command(Command::CancelReservation { reservation_id }) if reservation == Some(&json!(false)) => {
                format!("cancel_reservation: {{reservation_id: {reservation_id}, result: false}}")
            }
            Act::Command(Command::Reserve(reserve)) => {
                let result = reservation.filter(|result| *result != "Accepted").cloned();
                let mut arguments = json!(reserve);
                if let Some(arguments) = arguments.as_object_mut() {
                    let expires = arguments.remove("expires_in_ms").and_then(|ms| ms.as_i64()).unwrap_or_default();
                    let key = if expires < 0 { "expired_for" } else { "expires_in" };
                    let span = Timespan(Duration::from_millis(expires.unsigned_abs()));
                    arguments.insert(key.to_owned(), json!(span));
                    arguments.extend(result.map(|result| ("result".to_owned(), result)));
                }
                format!("reserve: {}", flow(&arguments))
            }
            Act::Request(number, input) => {
                let step = match input {
                    Input::Command(Command::Withdraw(request)) => {
                        let mut arguments = json!(request);
                        let named = self.ground.station.tokens.iter().find(|(name, token)| {
                            Some(token.id_token()) == request.id_token && self.names.get(&token.value) == Some(*name)
                        });
                        if let (Some((name, _)), Some(arguments)) = (named, arguments.as_object_mut()) {
                            arguments.remove("id_token");
                            arguments.insert("token".to_owned(), json!(name));
                        }
                        format!("withdraw: {}", flow(&arguments))
                    }
                    input => input.step(),
                };
                if self.named.contains(number) { with_name(&step, *number) } else { step }
            }
            act => to_input(act).step(),
        }
    }

    /// What has to be seen in a turn: what came together in any order, what came later behind it.
    fn expected(&self, turn: &Turn) -> (String, i64) {
        let mut parts: Vec<(i64, Vec<&(i64, Seen)>)> = Vec::new();
        let mut last_ms = turn.at_ms;
        for it in turn.seen.iter().filter(|(_, seen)| !matches!(seen, Seen::Check)) {
            let gap_ms = it.0 - last_ms;
            match parts.last_mut().filter(|_| gap_ms <= LATE_MS) {
                Some((_, part)) => part.push(it),
                None => parts.push((gap_ms, vec![it])),
            }
            last_ms = last_ms.max(it.0);
        }
        let (mut text, mut waits_ms) = (String::new(), 0);
        for (gap_ms, part) in parts {
            let is_late = gap_ms > LATE_MS && turn.act.is_some();
            let within = is_late.then(|| whole_seconds(gap_ms + MARGIN_MS));
            if is_late {
                waits_ms += gap_ms + MARGIN_MS;
            }
            let seen: Vec<_> = part.iter().map(|(_, seen)| seen).collect();
            text.push_str(&in_any_order(&self.expectations(turn, &seen, within)));
        }
        (text, waits_ms)
    }

    fn expectations(&self, turn: &Turn, seen: &[&Seen], within: Option<Timespan>) -> Vec<String> {
        let mut statuses: Vec<(String, Vec<&TokenValidationStatusMessage>)> = Vec::new();
        for seen in seen {
            if let Seen::Status(status) = seen {
                let name = self.name(status);
                match statuses.iter_mut().find(|(other, _)| *other == name) {
                    Some((_, own)) => own.push(status),
                    None => statuses.push((name, vec![status])),
                }
            }
        }
        let late = within.map(|within| format!(", within: {within}")).unwrap_or_default();
        let is_validator = self.ground.judges_tokens();
        let own = match turn.act {
            Some(Act::Request(number, _)) => Some(number),
            _ => None,
        };
        let mut steps: Vec<_> = seen
            .iter()
            .filter_map(|seen| match seen {
                // On that side khumbu asks itself.
                Seen::Question { .. } if self.ground.side == Side::Client => None,
                Seen::Question { known: question, .. } => {
                    let payload = flow(&json!({"payload": without_empty(question)}));
                    Some(format!("expect: {{message: validate_token, payload: {payload}{late}}}"))
                }
                Seen::Answer { payload, value } if is_validator => {
                    let is_alone = self.ground.station.tokens.len() < 2;
                    let to = self.names.get(value).filter(|_| !is_alone);
                    let to = to.map_or_else(String::new, |name| format!("to: {name}, "));
                    Some(format!("expect_reply: {{{to}payload: {}{late}}}", flow(&without_empty(payload))))
                }
                Seen::Reply { request, payload } => {
                    let payload = self.with_captures(payload);
                    let to = Some(*request) != own || self.named.contains(request);
                    let is_short = !to && late.is_empty() && payload.is_string();
                    let to = if to { format!("to: request_{}, ", request + 1) } else { String::new() };
                    Some(match is_short {
                        true => format!("expect_reply: {}", flow(&payload)),
                        false => format!("expect_reply: {{{to}payload: {}{late}}}", flow(&payload)),
                    })
                }
                Seen::Beacon if self.ground.side == Side::Everest => Some("expect: {message: ready_beacon}".to_owned()),
                Seen::Heartbeat(number) => Some(format!("expect: {{message: heartbeat, payload: {number}{late}}}")),
                _ => None,
            })
            .collect();
        // Whatever comes in any order is written in one.
        steps.sort();
        steps.dedup();
        statuses.sort_by(|(one, _), (other, _)| one.cmp(other));
        let of_tokens = statuses.iter().map(|(name, statuses)| expected_status(name, statuses, within));
        steps.extend(of_tokens);
        steps
    }

    /// A reply as a pattern: ids of modules are another scenario's affair, and a text that begins with `$` is no marker.
    fn with_captures(&self, reply: &Value) -> Value {
        let mut reply = without_empty(reply);
        let modules = reply.get_mut("apis").and_then(Value::as_array_mut).into_iter().flatten();
        for module in modules.filter_map(Value::as_object_mut).filter(|module| module.contains_key("module_id")) {
            let api = module.get("type").and_then(Value::as_str).and_then(ApiType::known);
            let captured = match api.filter(|api| self.ground.station.cadence(*api).is_some()) {
                Some(ApiType::AUTH_CONSUMER) => "$captured:consumer_id",
                Some(ApiType::AUTH_TOKEN_PROVIDER) => "$captured:provider_id",
                Some(ApiType::AUTH_TOKEN_VALIDATOR) => "$captured:validator_id",
                _ => "$string",
            };
            module.insert("module_id".to_owned(), json!(captured));
        }
        reply
    }
}

/// A message without lists that are empty: they say nothing that a reader misses.
fn without_empty(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let is_full = |value: &Value| value.as_array().is_none_or(|elements| !elements.is_empty());
            let full = members.iter().filter(|(_, value)| is_full(value));
            full.map(|(key, value)| (key.clone(), without_empty(value))).collect()
        }
        Value::Array(elements) => elements.iter().map(without_empty).collect(),
        Value::String(text) if text.starts_with('$') => Value::String(format!("${text}")),
        other => other.clone(),
    }
}

/// A request with a name, by which its reply is told from others.
fn with_name(step: &str, number: usize) -> String {
    let step = step.strip_suffix('}').unwrap_or(step);
    let comma = if step.ends_with('{') { "" } else { ", " };
    format!("{step}{comma}as: request_{}}}", number + 1)
}
