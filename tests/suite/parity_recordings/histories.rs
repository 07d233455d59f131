//! Random histories of three EVSEs, as EVerest might have gone through them with its threads in whatever order: each is
//! reproduced, and none with one outcome falsified.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use khumbu::auth::{Chosen, EvseCall};
use khumbu::protocol::channel::{ApiType, Channel};
use khumbu::station::config::StationConfig;
use khumbu::station::{Address, Effect, Input, Payload, RequestId, Station};

use super::tape::CONSUMER;
use super::*;

const HISTORIES: u64 = 6;
const STEPS: usize = 40;

/// The same numbers for the same seed (Knuth's constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

#[derive(Clone, Copy, Default)]
struct Evse {
    plugged: bool,
    session: bool,
    authorized: bool,
    transaction: bool,
}

/// What waits for its time.
enum Due {
    Verdict(RequestId, u64, String),
    RequestDone,
}

/// A station and its surroundings, written down.
struct World {
    station: Station,
    dice: Dice,
    evses: [Evse; 3],
    due: BTreeMap<(u64, u64), Due>,
    count: u64,
    now: u64,
    /// When the last message of EVerest passed.
    told: u64,
    tape: Tape,
}

impl World {
    fn new(seed: u64, algorithm: &str, chosen: Chosen) -> Self {
        let mut tape = Tape::new("main", &format!("selection_algorithm: {algorithm}"));
        tape.station = tape.station.replace("evses: 2", "evses: 3").replace("timeout: 8", "timeout: 3");
        tape.station.push_str("start: {everest: starting}\n");
        let config: StationFile = scenario::parse_around_station("station.yaml", &tape.station).unwrap();
        let mut station = Station::new(&StationConfig { ..config.station });
        station.follow(chosen);
        let dice = Dice(seed);
        let mut world =
            Self { station, dice, evses: Default::default(), due: BTreeMap::new(), count: 0, now: 1000, told: 0, tape };
        world.feed(Input::Ready);
        world
    }

    fn feed(&mut self, input: Input) {
        let effects = self.station.apply(Duration::from_millis(self.now), input);
        let (mut reports, mut late) = (Vec::new(), 0);
        for effect in effects {
            // What EVerest publishes is late, and keeps its order.
            let at = (self.now + self.dice.below(25)).max(self.told);
            self.told = at;
            match effect {
                Effect::Publish { to, payload } => {
                    let topic = match to {
                        Address::Channel(channel) => format!("{CONSUMER}/{}", channel.address()),
                        Address::ReadyBeacon => "everest_api/ready_beacon".to_owned(),
                        Address::Reply(topic) => topic,
                        Address::ChannelOf(..) => continue,
                    };
                    late = if matches!(payload, Payload::WithdrawResult(_)) { 1 + self.dice.below(50) } else { 0 };
                    let at = if late > 0 { self.now + late } else { at };
                    self.tape.message(at, &topic, json!(payload));
                }
                Effect::Ask { request, token } => {
                    let (number, value) = (request.0, token.id_token.value.clone());
                    let reply_to = format!("{VALIDATOR}/m2e/reply/{number}");
                    let question = json!({"headers": {"replyTo": reply_to}, "payload": token});
                    self.tape.message(self.now, &format!("{VALIDATOR}/e2m/validate_token"), question);
                    let takes = self.dice.one_of(&[100, 150, 400]);
                    self.put(takes, Due::Verdict(request, number, value));
                }
                Effect::Fault { raised, .. } => {
                    let state = if raised { "Active" } else { "ClearedByModule" };
                    self.tape.fault(self.now, "Initial communication check", state);
                }
                Effect::EvseCall { evse, call } => reports.extend(self.obey(evse, &call)),
                _ => {}
            }
        }
        if self.station.awaits_request_done() {
            self.put(late, Due::RequestDone);
        }
        for (evse, event) in reports {
            self.report(evse, event);
        }
    }

    fn put(&mut self, after: u64, due: Due) {
        self.count += 1;
        self.due.insert((self.now + after, self.count), due);
    }

    fn report(&mut self, evse: i32, event: &str) {
        self.tape.events(self.now, evse, &[event]);
        if let Some(event) = self.station.session_event(evse, event) {
            self.feed(Input::Session { evse, event });
        }
    }

    fn obey(&mut self, id: i32, call: &EvseCall) -> Vec<(i32, &'static str)> {
        let evse = &mut self.evses[id as usize - 1];
        let (what, detail, events): (_, _, Vec<&'static str>) = match call {
            EvseCall::AuthorizeResponse(response) => {
                let before = std::mem::replace(evse, Evse { session: true, authorized: true, ..*evse });
                evse.transaction = before.plugged;
                let begins = if before.session { &["Authorized"][..] } else { &["SessionStarted", "Authorized"] };
                let flows = if before.plugged { &["PrepareCharging", "TransactionStarted"][..] } else { &[] };
                let detail = json!({"token": response.0, "result": response.1});
                ("authorize_response", detail, [begins, flows].concat())
            }
            EvseCall::WithdrawAuthorization => {
                let before = std::mem::replace(evse, Evse { plugged: evse.plugged, ..Evse::default() });
                let ends = if before.session { &["Deauthorized", "SessionFinished"][..] } else { &[] };
                ("withdraw_authorization", json!(""), ends.to_vec())
            }
            EvseCall::StopTransaction { reason, id_tag } => {
                let mut detail = json!({"reason": reason.name()});
                if let Some(token) = id_tag {
                    detail["id_tag"] = json!(token);
                }
                let runs = std::mem::take(&mut evse.transaction);
                evse.authorized = false;
                let ends =
                    if runs { &["StoppingCharging", "ChargingFinished", "TransactionFinished"][..] } else { &[] };
                ("stop_transaction", detail, ends.to_vec())
            }
            // Nobody reserves here.
            EvseCall::Reserve { .. } | EvseCall::CancelReservation => return Vec::new(),
        };
        self.tape.log(self.now, id, what, detail);
        events.into_iter().map(|event| (id, event)).collect()
    }

    fn pass(&mut self, until: u64) {
        loop {
            let timer = self.station.next_deadline().map(|at| at.as_millis() as u64).filter(|at| *at <= until);
            let due = self.due.keys().next().copied().filter(|(at, _)| *at <= until);
            match (timer, due) {
                (Some(at), due) if due.is_none_or(|(other, _)| at <= other) => {
                    self.now = at;
                    self.feed(Input::Deadline);
                }
                (_, Some(key)) => {
                    self.now = key.0;
                    match self.due.remove(&key).unwrap() {
                        Due::RequestDone => self.feed(Input::RequestDone),
                        Due::Verdict(request, number, value) => {
                            let status = if value == "X" { "Invalid" } else { "Accepted" };
                            let result = json!({"authorization_status": status, "tariff_messages": []});
                            self.tape.message(self.now, &format!("{VALIDATOR}/m2e/reply/{number}"), result.clone());
                            let payload = Bytes::from(result.to_string());
                            self.feed(Input::ValidatorReply { request, payload });
                        }
                    }
                }
                _ => break,
            }
        }
        self.now = until;
    }

    fn act(&mut self) {
        let wait = self.dice.one_of(&[1, 20, 100, 400, 700, 1200, 2850]);
        self.pass(self.now + wait);
        let id = 1 + self.dice.below(3) as i32;
        match self.dice.below(20) {
            0..7 => {
                let value = self.dice.one_of(&["A", "B", "C", "D", "X"]);
                self.tape.token(self.now, value);
                let payload = Bytes::from(bare(value).to_string());
                let (api, channel) = (ApiType::AUTH_TOKEN_PROVIDER, Channel::PROVIDED_TOKEN);
                self.feed(Input::ReceivedAt { api, channel, payload });
            }
            7..12 => {
                let evse = &mut self.evses[id as usize - 1];
                if std::mem::replace(&mut evse.plugged, true) {
                    return;
                }
                if std::mem::replace(&mut evse.session, true) {
                    evse.transaction = true;
                    self.report(id, "PrepareCharging");
                    self.report(id, "TransactionStarted");
                } else {
                    self.report(id, "SessionStarted");
                    self.report(id, "AuthRequired");
                }
            }
            12..16 => {
                let before = std::mem::take(&mut self.evses[id as usize - 1]);
                if before.transaction {
                    self.report(id, "TransactionFinished");
                }
                if before.session {
                    self.report(id, "SessionFinished");
                }
            }
            _ => {
                for _ in 0..self.dice.one_of(&[1, 1, 6]) {
                    let asked = match self.dice.below(4) {
                        0 => json!({}),
                        1 => json!({"evse_id": id + 1}),
                        2 => json!({"id_token": {"value": "A", "type": "ISO14443"}}),
                        _ => json!({"id_token": {"value": "B", "type": "ISO14443"}, "evse_id": id}),
                    };
                    self.count += 1;
                    let topic = format!("reply/{}", self.count);
                    let request = json!({"headers": {"replyTo": topic}, "payload": asked}).to_string();
                    self.tape.request(self.now, "withdraw_authorization", &request, "");
                    let (api, channel) = (ApiType::AUTH_CONSUMER, Channel::WITHDRAW_AUTHORIZATION);
                    self.feed(Input::ReceivedAt { api, channel, payload: Bytes::from(request) });
                }
            }
        }
    }

    fn live(mut self) -> Self {
        for _ in 0..STEPS {
            self.act();
        }
        self.pass(self.now + 5000);
        self
    }
}

/// A history in which EVerest's threads came in some order.
fn history(seed: u64) -> Tape {
    let algorithm = ["PlugEvents", "FindFirst", "PlugEventsLIFO"][(seed % 3) as usize];
    let plain = World::new(seed, algorithm, Chosen::new()).live();
    let mut dice = Dice(seed + 1000);
    let races = plain.station.races();
    let chosen = races.iter().map(|race| ((race.at, race.nth), dice.below(race.ways as u64) as usize)).collect();
    World::new(seed, algorithm, chosen).live().tape
}

#[test]
fn histories_are_reproduced_and_none_that_was_falsified() {
    let (mut outcomes, mut falsified) = (0, 0);
    for seed in 0..HISTORIES {
        let mut tape = history(seed);
        let report = tape.report();
        assert_eq!(report.differences, [], "seed {seed}");
        outcomes += report.outcomes;
        tape.lines.sort_by_key(|(at, _)| *at);
        let mut dice = Dice(seed + 2000);
        let end = tape.lines.last().unwrap().0;
        let of_auth = |line: &str| line.contains("token_validation_status") || line.contains("\"topic\": \"reply/");
        let picked =
            tape.lines.iter().enumerate().filter(|(_, (at, line))| (500..end - 1500).contains(at) && of_auth(line));
        let picked: Vec<usize> = picked.map(|(index, _)| index).collect();
        for kind in 0..4 {
            let at = dice.one_of(&picked);
            let mut lines = tape.lines.clone();
            let (t_ms, line) = lines[at].clone();
            match kind {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, (t_ms, line)),
                2 => {
                    let after = t_ms + 900;
                    lines[at] = (after, line.replace(&format!("\"t_ms\": {t_ms}"), &format!("\"t_ms\": {after}")));
                }
                _ => {
                    let mut message: Value = serde_json::from_str(&line).unwrap();
                    let payload = &mut message["payload"];
                    match payload.get_mut("status") {
                        Some(status) => *status = json!(if status == "Rejected" { "TimedOut" } else { "Rejected" }),
                        None => *payload = json!(if *payload == "Accepted" { "EvseNotFound" } else { "Accepted" }),
                    }
                    lines[at] = (t_ms, message.to_string());
                }
            }
            let line = lines[at.min(lines.len() - 1)].1.clone();
            let mut other = tape.clone();
            other.lines = lines;
            assert_ne!(other.report().differences, [], "seed {seed}, kind {kind}: {line}");
            falsified += 1;
        }
    }
    assert!(outcomes > 400 && falsified > 20, "{outcomes} {falsified}");
}
