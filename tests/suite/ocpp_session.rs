//! The session of a charge point with its CSMS, in virtual time.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use khumbu::ocpp::frame::Frame;
use khumbu::ocpp::{Direction, Effect, Identity, Input, Note, OcppVersion, Part, Session};
use khumbu::station::RequestId;
use khumbu::station::charge_point::{
    Answer, ConnectorStatus, CsmsInput, IdTag, Keys, Report, Request, StopReason, Transaction,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const START: Duration = Duration::from_secs(1_790_000_000);

struct Bench {
    session: Session,
    now: Duration,
    effects: Vec<Effect>,
}

impl Bench {
    /// A session whose charge point has booted.
    fn new(version: OcppVersion) -> Self {
        let identity = Identity {
            version,
            vendor: "A vendor whose name is long".to_owned(),
            model: "M".to_owned(),
            evses: 1,
            id_prefix: "t".to_owned(),
            seed: 7,
        };
        let mut bench = Self { session: Session::new(identity), now: START, effects: Vec::new() };
        bench.boots([]);
        bench
    }

    /// The charge point boots, with states that are not as usual.
    fn boots<const N: usize>(&mut self, states: [(i32, ConnectorStatus); N]) {
        let states = states.map(|(evse, status)| (evse, (status, None))).into();
        self.input(Input::Reported(Report::Booted { keys: Keys::default(), states }));
    }

    /// One that the CSMS has accepted, with nothing more to be said.
    fn online(version: OcppVersion) -> Self {
        let mut bench = Self::new(version);
        bench.input(Input::Opened);
        bench.answers(json!({"currentTime": "2026-09-21T00:00:00Z", "interval": 300, "status": "Accepted"}));
        // The interval is set.
        bench.input(Input::Answered(Ok(Answer::Done)));
        while bench.session_waits() {
            bench.answers(json!({}));
        }
        bench.effects.clear();
        bench
    }

    fn input(&mut self, input: Input) {
        self.effects.extend(self.session.apply(self.now, input));
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.input(Input::Deadline);
    }

    /// The last request that was sent.
    fn request(&self) -> Option<(String, String, Value)> {
        self.effects.iter().rev().find_map(|effect| match effect {
            Effect::Send(text) => match Frame::parse(text).unwrap() {
                Frame::Call { id, action, payload } => Some((id, action, payload)),
                _ => None,
            },
            _ => None,
        })
    }

    fn session_waits(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Send(_)))
    }

    /// The CSMS answers the last request; what was sent before is forgotten.
    #[track_caller]
    fn answers(&mut self, payload: Value) {
        let (id, ..) = self.request().expect("a request");
        self.effects.clear();
        self.input(Input::Received(Frame::Result { id, payload }.to_text()));
    }

    #[track_caller]
    fn refuses(&mut self) {
        let (id, ..) = self.request().expect("a request");
        self.effects.clear();
        self.input(Input::Received(format!("[4,\"{id}\",\"InternalError\",\"\",{{}}]")));
    }

    fn told(&self) -> Vec<&CsmsInput> {
        let told = self.effects.iter().filter_map(|effect| match effect {
            Effect::Tell(said) => Some(said),
            _ => None,
        });
        told.collect()
    }

    #[track_caller]
    fn sent(&self) -> (String, Value) {
        let (_, action, payload) = self.request().expect("a request");
        (action, payload)
    }
}

fn tag(text: &str) -> IdTag {
    IdTag::new(text).unwrap()
}

fn transaction(id: &str) -> Transaction {
    // Its other members are of the charge point only.
    let text = "evses: 1\ncharge_point: {csms: outside, configuration: {AllowOfflineTxForUnknownId: \"true\"}}\n";
    let config = khumbu::scenario::parse_station("station.yaml", text).unwrap();
    let mut station = khumbu::station::Station::new(&config);
    station.apply(START, khumbu::station::Input::Ready);
    let at = khumbu::station::charge_point::Where::default();
    let start = Request::StartSession { at, id_tag: tag("ALICE"), duration: None, energy_wh: None };
    let (_, effects) = station.request(START, start);
    let started = effects.into_iter().find_map(|effect| match effect {
        khumbu::station::Effect::Csms(Report::TransactionStarted { transaction, .. }) => Some(transaction),
        _ => None,
    });
    let mut transaction: Transaction = started.unwrap();
    transaction.id = id.to_owned();
    transaction
}

fn started(id: &str) -> Input {
    Input::Reported(Report::TransactionStarted { evse: 1, transaction: transaction(id) })
}

fn stopped(id: &str) -> Input {
    let (transaction, reason) = (transaction(id), StopReason::Local);
    Input::Reported(Report::TransactionStopped { evse: 1, transaction, meter_wh: 5, reason })
}

#[test]
fn notes_name_the_call_that_they_are_or_answer() {
    let mut bench = Bench::new(OcppVersion::Ocpp16);
    bench.input(Input::Opened);
    let (boot, ..) = bench.request().unwrap();
    bench.answers(json!({"currentTime": "2026-09-21T00:00:00Z", "interval": 300, "status": "Accepted"}));
    let call = Frame::Call { id: "theirs".to_owned(), action: "GetLocalListVersion".to_owned(), payload: json!({}) };
    bench.input(Input::Received(call.to_text()));
    bench.input(Input::Answered(Ok(Answer::Done)));
    bench.input(Input::Received("[2,\"wrong\",\"Fly\",{}]".to_owned()));
    bench.input(Input::Closed("gone".to_owned()));
    let notes: Vec<(Direction, &str, Part)> = bench
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Note(Note { direction, part, action, .. }) => Some((*direction, action.as_str(), part.clone())),
            _ => None,
        })
        .collect();
    let (call, answer) = (|id: &str| Part::Call(id.to_owned()), |id: &str| Part::Answer(id.to_owned()));
    for note in [
        (Direction::FromCsms, "BootNotification", answer(&boot)),
        (Direction::FromCsms, "GetLocalListVersion", call("theirs")),
        (Direction::FromCsms, "Fly", call("wrong")),
        (Direction::ToCsms, "Fly", answer("wrong")),
        (Direction::FromCsms, "Disconnected", Part::Notice),
    ] {
        assert!(notes.contains(&note), "{note:?} of {notes:?}");
    }
}

#[test]
fn a_charge_point_boots_before_all_else() {
    let mut bench = Bench::new(OcppVersion::Ocpp16);
    assert_eq!(bench.effects, [Effect::Connect]);
    bench.input(Input::Opened);
    let (action, payload) = bench.sent();
    assert_eq!((action.as_str(), payload["chargePointVendor"].as_str().unwrap().len()), ("BootNotification", 20));
    bench.effects.clear();
    bench.input(started("a"));
    assert_eq!(bench.request(), None, "one request at a time");
    bench
        .effects
        .extend(vec![Effect::Send(Frame::Call { id: "t-1".into(), action: "x".into(), payload: json!({}) }.to_text())]);
    bench.answers(json!({"currentTime": "2026-09-21T00:00:00Z", "interval": 10, "status": "Pending"}));
    assert_eq!(bench.session.next_deadline(), Some(START + Duration::from_secs(10)));
    bench.pass(9);
    assert_eq!(bench.request(), None);
    bench.pass(1);
    assert_eq!(bench.sent().0, "BootNotification");
    bench.answers(json!({"currentTime": "2026-09-21T00:00:00Z", "interval": 10, "status": "Accepted"}));
    assert_eq!(bench.told(), [&CsmsInput::Online(true)]);
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Ask(Request::Configure(_)))));
    assert_eq!(bench.sent().0, "StatusNotification");
    bench.answers(json!({}));
    bench.answers(json!({}));
    assert_eq!(bench.sent().0, "StartTransaction");
    bench.answers(json!({"transactionId": 9, "idTagInfo": {"status": "Accepted"}}));
    assert!(matches!(bench.told()[..], [CsmsInput::TransactionNoted { named: Some(named), .. }] if named == "9"));
    bench.effects.clear();
    bench.pass(10);
    assert_eq!(bench.sent().0, "Heartbeat");
}

#[test]
fn an_answer_that_does_not_come_is_no_answer() {
    let mut bench = Bench::online(OcppVersion::Ocpp16);
    let ask = |request, name: &str| Report::Authorize { request: RequestId(request), id_tag: tag(name) };
    bench.input(Input::Reported(ask(1, "A")));
    let (late, ..) = bench.request().unwrap();
    bench.pass(29);
    assert_eq!(bench.told(), Vec::<&CsmsInput>::new());
    bench.pass(1);
    assert_eq!(bench.told(), [&CsmsInput::Unanswered(RequestId(1))]);
    bench.effects.clear();
    let payload = json!({"idTagInfo": {"status": "Accepted"}});
    bench.input(Input::Received(Frame::Result { id: late, payload }.to_text()));
    assert_eq!(bench.told(), Vec::<&CsmsInput>::new(), "too late");
    bench.input(Input::Reported(ask(2, "A")));
    bench.answers(json!({"idTagInfo": {"status": "Splendid"}}));
    assert_eq!(bench.told(), [&CsmsInput::Unanswered(RequestId(2))]);
    bench.effects.clear();
    bench.input(Input::Reported(ask(3, &"x".repeat(21))));
    assert_eq!((bench.told(), bench.request()), (vec![&CsmsInput::Unanswered(RequestId(3))], None));
    bench.effects.clear();
    bench.input(Input::Reported(ask(4, "A")));
    bench.input(Input::Closed("gone".to_owned()));
    assert_eq!(bench.told(), [&CsmsInput::Online(false), &CsmsInput::Unanswered(RequestId(4))]);
}

#[test]
fn a_message_of_a_transaction_is_sent_again_until_it_is_given_up() {
    let mut bench = Bench::online(OcppVersion::Ocpp16);
    bench.input(started("a"));
    bench.input(stopped("a"));
    for wait in [60, 120] {
        assert_eq!(bench.sent().0, "StartTransaction");
        bench.refuses();
        assert_eq!(bench.request(), None);
        bench.pass(wait - 1);
        bench.input(Input::Received("[3]".to_owned()));
        bench.effects.clear();
        bench.pass(1);
    }
    bench.refuses();
    assert_eq!((bench.sent().0.as_str(), &bench.sent().1["transactionId"]), ("StopTransaction", &json!(-1)));
}

#[test]
fn what_the_csms_says_of_the_tag_at_the_end_is_kept() {
    let mut bench = Bench::online(OcppVersion::Ocpp16);
    bench.input(started("a"));
    bench.answers(json!({"transactionId": 9, "idTagInfo": {"status": "Accepted"}}));
    bench.input(stopped("a"));
    bench.answers(json!({"idTagInfo": {"status": "Blocked"}}));
    let [CsmsInput::TagNoted { id_tag, info }] = bench.told()[..] else { panic!("{:?}", bench.told()) };
    assert_eq!((id_tag, info.is_accepted()), (&tag("ALICE"), false));
    bench.input(started("b"));
    bench.answers(json!({"transactionId": 10, "idTagInfo": {"status": "Accepted"}}));
    bench.input(stopped("b"));
    bench.answers(json!({}));
    assert_eq!(bench.told(), Vec::<&CsmsInput>::new(), "it need not say anything");
}

#[test]
fn in_2_0_1_a_transaction_tells_how_it_charges() {
    let state = || {
        let (transaction_id, status) = ("a".to_owned(), ConnectorStatus::SuspendedEV);
        Input::Reported(Report::ChargingState { evse: 1, transaction_id, status })
    };
    let mut bench = Bench::online(OcppVersion::Ocpp201);
    bench.input(started("a"));
    bench.answers(json!({}));
    bench.input(state());
    let (action, payload) = bench.sent();
    assert_eq!((action.as_str(), &payload["triggerReason"]), ("TransactionEvent", &json!("ChargingStateChanged")));
    assert_eq!(payload["transactionInfo"], json!({"transactionId": "a", "chargingState": "SuspendedEV"}));
    assert_eq!((&payload["eventType"], &payload["seqNo"]), (&json!("Updated"), &json!(1)));
    let mut bench = Bench::online(OcppVersion::Ocpp16);
    bench.input(state());
    assert_eq!(bench.request(), None, "in 1.6 the state of the connector says it");
}

#[test]
fn a_silent_connection_is_given_up() {
    for version in [OcppVersion::Ocpp16, OcppVersion::Ocpp201] {
        let mut bench = Bench::online(version);
        bench.pass(60);
        assert_eq!(bench.effects, [Effect::Ping]);
        bench.input(Input::Heard);
        bench.pass(60);
        bench.effects.clear();
        bench.pass(60);
        assert!(bench.effects.contains(&Effect::Close));
        assert_eq!(bench.told(), [&CsmsInput::Online(false)]);
        bench.effects.clear();
        bench.pass(1);
        assert_eq!(bench.effects, [Effect::Connect]);
        bench.input(Input::Opened);
        assert_eq!(bench.told(), [&CsmsInput::Online(true)]);
        assert_eq!(bench.request(), None, "it need not boot again");
    }
}

#[test]
fn a_reset_on_idle_waits_for_the_transaction() {
    let mut bench = Bench::online(OcppVersion::Ocpp201);
    bench.input(started("a"));
    bench.answers(json!({}));
    bench.input(Input::Received("[2,\"r\",\"Reset\",{\"type\":\"OnIdle\"}]".to_owned()));
    assert!(bench.effects.contains(&Effect::Send("[3,\"r\",{\"status\":\"Scheduled\"}]".to_owned())));
    assert!(!bench.effects.contains(&Effect::Restart));
    bench.input(stopped("a"));
    assert!(bench.effects.contains(&Effect::Ask(Request::EndTransactions(StopReason::SoftReset))));
    bench.input(Input::Answered(Ok(Answer::Done)));
    assert!(!bench.effects.contains(&Effect::Restart), "the CSMS does not know of the end yet");
    bench.answers(json!({}));
    assert!(bench.effects.contains(&Effect::Restart));
}

#[test]
fn a_soft_reset_tells_the_end_of_transactions_first() {
    for is_cut_off in [false, true] {
        let mut bench = Bench::online(OcppVersion::Ocpp16);
        bench.input(started("a"));
        bench.answers(json!({"transactionId": 7, "idTagInfo": {"status": "Accepted"}}));
        bench.input(Input::Received("[2,\"r\",\"Reset\",{\"type\":\"Soft\"}]".to_owned()));
        assert!(bench.effects.contains(&Effect::Send("[3,\"r\",{\"status\":\"Accepted\"}]".to_owned())));
        bench.input(Input::Answered(Ok(Answer::Done)));
        bench.input(stopped("a"));
        assert_eq!(bench.sent().0, "StopTransaction");
        assert!(!bench.effects.contains(&Effect::Restart));
        match is_cut_off {
            true => bench.input(Input::Closed("x".to_owned())),
            false => bench.answers(json!({})),
        }
        assert!(bench.effects.contains(&Effect::Restart));
    }
}

#[test]
fn a_charge_point_takes_leave_before_it_restarts_and_then_tells_what_it_is() {
    use ConnectorStatus::{Available, Preparing, Unavailable};
    for (version, kind) in [(OcppVersion::Ocpp16, "Hard"), (OcppVersion::Ocpp201, "Immediate")] {
        let mut bench = Bench::online(version);
        bench.input(Input::Received(format!("[2,\"r\",\"Reset\",{{\"type\":\"{kind}\"}}]")));
        bench.input(Input::Answered(Ok(Answer::Done)));
        let at = |effect: &Effect| bench.effects.iter().position(|it| it == effect).unwrap();
        let answer = at(&Effect::Send("[3,\"r\",{\"status\":\"Accepted\"}]".to_owned()));
        assert!(answer < at(&Effect::Close) && at(&Effect::Close) < at(&Effect::Restart), "{:?}", bench.effects);
        bench.effects.clear();
        bench.input(Input::Closed("late".to_owned()));
        bench.input(Input::Received("[2,\"s\",\"ClearCache\",{}]".to_owned()));
        assert_eq!((&bench.effects[..], bench.session.next_deadline()), (&[][..], None), "it is away");
        bench.boots([(0, Unavailable), (1, Preparing)]);
        assert_eq!(bench.effects, [Effect::Connect], "at once");
        bench.input(Input::Opened);
        bench.answers(json!({"currentTime": "2026-09-21T00:00:00Z", "interval": 300, "status": "Accepted"}));
        let mut told = Vec::new();
        while bench.session_waits() {
            told.push(bench.sent().1);
            bench.answers(json!({}));
        }
        let told: Vec<_> = match version {
            OcppVersion::Ocpp16 => told.iter().map(|it| (it["connectorId"].clone(), it["status"].clone())).collect(),
            OcppVersion::Ocpp201 => {
                told.iter().map(|it| (it["evseId"].clone(), it["connectorStatus"].clone())).collect()
            }
        };
        let expected = match version {
            OcppVersion::Ocpp16 => vec![(json!(0), json!("Unavailable")), (json!(1), json!("Preparing"))],
            OcppVersion::Ocpp201 => vec![(json!(1), json!("Occupied"))],
        };
        assert_eq!(told, expected);
        bench.effects.clear();
        bench.input(Input::Reported(Report::Status { evse: 0, status: Available, fault: None }));
        assert_eq!(bench.request().is_some(), version == OcppVersion::Ocpp16, "2.0.1 has no such connector");
    }
}

#[test]
fn a_hard_reset_overtakes_a_soft_one() {
    let mut bench = Bench::online(OcppVersion::Ocpp16);
    for kind in ["Soft", "Hard"] {
        bench.input(Input::Received(format!("[2,\"r\",\"Reset\",{{\"type\":\"{kind}\"}}]")));
    }
    bench.input(Input::Answered(Ok(Answer::Done)));
    bench.input(Input::Answered(Ok(Answer::Done)));
    assert_eq!(bench.effects.iter().filter(|effect| **effect == Effect::Restart).count(), 1);
}

#[test]
fn a_hard_reset_waits_for_the_answer_that_the_csms_owes_and_asks_nothing_more() {
    let status = |status| Input::Reported(Report::Status { evse: 1, status, fault: None });
    for is_answered in [true, false] {
        let mut bench = Bench::online(OcppVersion::Ocpp16);
        bench.input(status(ConnectorStatus::Preparing));
        bench.input(status(ConnectorStatus::Available));
        let last = bench.request();
        assert!(last.is_some());
        for (id, kind) in [("r", "Hard"), ("s", "Soft")] {
            bench.input(Input::Received(format!("[2,\"{id}\",\"Reset\",{{\"type\":\"{kind}\"}}]")));
            assert!(bench.effects.contains(&Effect::Send(format!("[3,\"{id}\",{{\"status\":\"Accepted\"}}]"))));
        }
        assert!(!bench.effects.contains(&Effect::Close));
        match is_answered {
            true => bench.answers(json!({})),
            false => bench.input(Input::Closed("x".to_owned())),
        }
        assert!(bench.effects.contains(&Effect::Ask(Request::EndTransactions(StopReason::HardReset))));
        assert!(bench.effects.contains(&Effect::Restart));
        assert_eq!(bench.request(), last.filter(|_| !is_answered), "what waited is of a moment");
    }
}

#[test]
fn a_restart_does_not_wait_for_ever() {
    for kind in ["Soft", "Hard"] {
        let mut bench = Bench::online(OcppVersion::Ocpp16);
        bench.input(started("a"));
        bench.input(Input::Received(format!("[2,\"r\",\"Reset\",{{\"type\":\"{kind}\"}}]")));
        bench.input(Input::Answered(Ok(Answer::Done)));
        bench.input(stopped("a"));
        assert!(!bench.effects.contains(&Effect::Restart), "{kind}");
        bench.now = bench.session.next_deadline().unwrap();
        bench.input(Input::Deadline);
        assert!(bench.effects.contains(&Effect::Restart), "{kind}");
    }
}

proptest! {
    /// Whatever comes in whatever order: no panic, one request at a time, ids that never come again, and a transaction's
    /// messages in their order.
    #[test]
    fn one_request_at_a_time_in_their_order(
        is_new: bool,
        steps in prop::collection::vec((0u8..10, 0u64..100), 1..80),
    ) {
        let version = if is_new { OcppVersion::Ocpp201 } else { OcppVersion::Ocpp16 };
        let mut bench = Bench::new(version);
        let (mut ids, mut kept) = (Vec::new(), 0u64);
        let mut outstanding: Option<(String, Duration)> = None;
        let mut delivered = Vec::new();
        for (step, seconds) in steps {
            bench.effects.clear();
            match step {
                0 => bench.input(Input::Opened),
                1 => bench.input(Input::Closed("x".to_owned())),
                2 => {
                    kept += 1;
                    let transaction_id = "5".to_owned();
                    let report = Report::MeterValue { evse: 1, transaction_id, meter_wh: kept, power_w: 1 };
                    bench.input(Input::Reported(report));
                }
                3 => bench.input(Input::Reported(Report::Authorize { request: RequestId(1), id_tag: tag("A") })),
                4 => bench.input(Input::Answered(Ok(Answer::Done))),
                5 => bench.input(Input::Received("[2,\"c\",\"ClearCache\",{}]".to_owned())),
                6 => bench.input(Input::Heard),
                7..9 => if let Some((id, _)) = outstanding.take() {
                    let boot = json!({"currentTime": "2026-09-21T00:00:00Z", "interval": 60, "status": "Accepted"});
                    bench.input(Input::Received(Frame::Result { id, payload: boot }.to_text()));
                },
                _ => bench.pass(seconds),
            }
            // The connection has ended, or the answer is late.
            let is_over = bench.effects.iter().any(|effect| matches!(effect, Effect::Close | Effect::Connect));
            outstanding.take_if(|(_, at)| is_over || step == 1 || *at + Duration::from_secs(30) <= bench.now);
            for effect in &bench.effects {
                let Effect::Send(text) = effect else { continue };
                if let Frame::Call { id, payload, .. } = Frame::parse(text).unwrap() {
                    prop_assert!(outstanding.is_none(), "{text}");
                    prop_assert!(!ids.contains(&id), "{id} again");
                    ids.push(id.clone());
                    let value = &payload["meterValue"][0]["sampledValue"][0]["value"];
                    let meter = value.as_u64().or_else(|| value.as_str()?.parse().ok());
                    delivered.extend(meter);
                    outstanding = Some((id, bench.now));
                }
            }
            if let Some(at) = bench.session.next_deadline() {
                bench.now = bench.now.max(at.min(bench.now + Duration::from_secs(1)));
            }
        }
        prop_assert!(delivered.is_sorted(), "{delivered:?}");
    }
}
