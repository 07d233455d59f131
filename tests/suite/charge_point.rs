//! The charge point in the station, in virtual time: who is asked about a token, what becomes of sessions, what the
//! CSMS hears.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use khumbu::auth::{Reservation, SessionEvent};
use khumbu::protocol::types::{AuthorizationStatus, ReservationResult, ReservationStatus, TokenValidationStatus};
use khumbu::scenario;
use khumbu::station::charge_point::{
    Answer, ConnectorStatus, CsmsInput, IdTag, Report, Request,
    Scope::{Evse, Whole, WholeAndEach},
    SetResult, StopReason, TagInfo, UpdateStatus, UpdateType, Where,
};
use khumbu::station::config::StationConfig;
use khumbu::station::{Effect, Input, Payload, Station};

/// A moment in the year 2026, in seconds after the Unix epoch.
const START: u64 = 1_790_000_000;

struct Bench {
    station: Station,
    config: StationConfig,
    now: Duration,
    seen: Vec<Effect>,
}

impl Bench {
    fn new(charge_point: &str) -> Self {
        let text = format!(
            "evses: 2\nauth: {{selection_algorithm: FindFirst, connection_timeout: 60s}}\n\
             charge_point: {charge_point}\ntokens:\n  ALICE: {{value: ALICE, type: ISO14443, verdict_after: 100ms}}\n  \
             MALLORY: {{value: MALLORY, type: ISO14443, verdict: Blocked}}\n"
        );
        let config: StationConfig = scenario::parse_station("station.yaml", &text).unwrap();
        let (station, now) = (Station::new(&config), Duration::from_secs(START));
        let mut bench = Self { station, config, now, seen: Vec::new() };
        bench.input(Input::Ready);
        bench.seen.clear();
        bench
    }

    fn input(&mut self, input: Input) {
        let effects = self.station.apply(self.now, input);
        self.seen.extend(effects);
    }

    /// EVerest restarts, and the charge point with it.
    fn restart(&mut self) {
        let before = std::mem::replace(&mut self.station, Station::new(&self.config));
        self.station.remember(&before);
        self.input(Input::Ready);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.input(Input::Deadline);
    }

    fn ask(&mut self, request: Request) -> Result<Answer, String> {
        let (answer, effects) = self.station.request(self.now, request);
        self.seen.extend(effects);
        answer
    }

    fn reports(&mut self) -> Vec<Report> {
        let seen = std::mem::take(&mut self.seen);
        seen.into_iter()
            .filter_map(|effect| if let Effect::Csms(report) = effect { Some(report) } else { None })
            .collect()
    }

    /// The statuses on MQTT, and whether the CSMS was asked.
    fn course(&mut self) -> (Vec<TokenValidationStatus>, bool) {
        let statuses = self.seen.iter().filter_map(|effect| match effect {
            Effect::Publish { payload: Payload::Status(message), .. } => Some(message.status),
            _ => None,
        });
        let statuses = statuses.collect();
        let is_asked = self.reports().iter().any(|report| matches!(report, Report::Authorize { .. }));
        (statuses, is_asked)
    }
}

fn tag(text: &str) -> IdTag {
    IdTag::new(text).unwrap()
}

fn at(evse: i32) -> Where {
    Where { evse: Some(evse), connector: None }
}

const ANYWHERE: Where = Where { evse: None, connector: None };

use TokenValidationStatus::{Accepted, Processing, Rejected, UsedToStart};

fn session(bench: &mut Bench) -> (Vec<TokenValidationStatus>, bool) {
    let start = Request::StartSession { at: ANYWHERE, id_tag: tag("ALICE"), duration: None, energy_wh: None };
    assert_eq!(bench.ask(start), Ok(Answer::DoneAt(1)));
    bench.pass(1);
    let course = bench.course();
    let _ = bench.ask(Request::StopSession(ANYWHERE));
    let _ = bench.ask(Request::Unplug(at(1)));
    bench.pass(1);
    bench.seen.clear();
    course
}

#[test]
fn a_token_is_asked_for_once_and_again_after_a_reset() {
    let mut bench = Bench::new("{}");
    let good = vec![Processing, Accepted, UsedToStart];
    assert_eq!(session(&mut bench), (good.clone(), true));
    assert_eq!(session(&mut bench), (good.clone(), false), "the cache knows it");
    bench.input(Input::Csms(CsmsInput::Online(false)));
    assert_eq!(session(&mut bench), (good.clone(), false), "also without the CSMS");
    assert_eq!(bench.ask(Request::ResetCache), Ok(Answer::Removed(1)));
    assert_eq!(bench.ask(Request::ResetCache), Ok(Answer::Removed(0)));
    assert_eq!(session(&mut bench), (vec![Processing, Rejected], false), "nobody knows it any more");
    bench.input(Input::Csms(CsmsInput::Online(true)));
    assert_eq!(session(&mut bench), (good, true));
}

#[test]
fn a_session_shows_to_the_csms_from_plug_to_unplug() {
    let mut bench = Bench::new("{max_charging_power: 7200, configuration: {MeterValueSampleInterval: \"1800\"}}");
    let start = Request::StartSession { at: at(2), id_tag: tag("ALICE"), duration: None, energy_wh: Some(7_200) };
    assert_eq!(bench.ask(start), Ok(Answer::DoneAt(2)));
    bench.pass(1);
    bench.pass(7_199);
    let reports = bench.reports();
    let told: Vec<String> = reports
        .iter()
        .map(|report| match report {
            Report::Authorize { id_tag, .. } => format!("authorize {id_tag}"),
            Report::Status { evse, status, .. } => format!("{evse} {status:?}"),
            Report::TransactionStarted { evse, transaction } => {
                format!("{evse} start {} at {} Wh", transaction.id, transaction.meter_start_wh)
            }
            Report::MeterValue { meter_wh, power_w, .. } => format!("{meter_wh} Wh {power_w} W"),
            Report::TransactionStopped { meter_wh, reason, .. } => format!("stop {meter_wh} Wh {reason:?}"),
            Report::ChargingState { status, .. } => format!("it {status:?}"),
            Report::Booted { .. } | Report::Configured(_) => "configured".to_owned(),
            Report::ReservationEnded { .. } => "reservation".to_owned(),
        })
        .collect();
    assert_eq!(
        told,
        [
            "authorize ALICE",
            "2 Preparing",
            "2 start 1 at 0 Wh",
            "2 Charging",
            "3600 Wh 7200 W",
            "7200 Wh 7200 W",
            "stop 7200 Wh Local",
            "2 Finishing"
        ]
    );
    assert_eq!(bench.ask(Request::Unplug(ANYWHERE)), Ok(Answer::DoneAt(2)));
    assert_eq!(bench.reports(), [Report::Status { evse: 2, status: ConnectorStatus::Available, fault: None }]);
}

#[test]
fn power_and_the_ev_decide_when_the_energy_is_there() {
    let mut bench = Bench::new("{max_charging_power: 10000, configuration: {MeterValueSampleInterval: \"0\"}}");
    let start = Request::StartSession { at: at(1), id_tag: tag("ALICE"), duration: None, energy_wh: Some(10_000) };
    bench.ask(start).unwrap();
    bench.pass(1);
    bench.pass(1_800);
    bench.ask(Request::EvTakes { at: at(1), takes: false }).unwrap();
    bench.pass(100_000);
    assert!(!bench.reports().iter().any(|report| matches!(report, Report::TransactionStopped { .. })));
    bench.ask(Request::EvTakes { at: at(1), takes: true }).unwrap();
    bench.ask(Request::SetPower { at: at(1), watts: 0 }).unwrap();
    let reports = bench.reports();
    let (mut states, mut charging) = (Vec::new(), Vec::new());
    for report in reports {
        match report {
            Report::Status { status, .. } => states.push(status),
            Report::ChargingState { status, transaction_id, .. } => charging.push((transaction_id, status)),
            _ => {}
        }
    }
    assert_eq!(states, [ConnectorStatus::Charging, ConnectorStatus::SuspendedEVSE]);
    assert_eq!(charging, states.into_iter().map(|state| ("1".to_owned(), state)).collect::<Vec<_>>());
    bench.ask(Request::SetPower { at: at(1), watts: 20_000 }).unwrap();
    bench.pass(899);
    assert!(!bench.reports().iter().any(|report| matches!(report, Report::TransactionStopped { .. })));
    bench.pass(2);
    let stopped = bench.reports().into_iter().find_map(|report| match report {
        Report::TransactionStopped { meter_wh, reason, .. } => Some((meter_wh, reason)),
        _ => None,
    });
    assert_eq!(stopped, Some((10_000, StopReason::Local)));
}

#[test]
fn a_session_with_a_duration_ends_by_itself() {
    let mut bench = Bench::new("{}");
    let duration = Some(Duration::from_secs(90));
    bench.ask(Request::StartSession { at: at(1), id_tag: tag("ALICE"), duration, energy_wh: None }).unwrap();
    bench.pass(1);
    bench.reports();
    bench.pass(89);
    assert!(!bench.reports().iter().any(|report| matches!(report, Report::TransactionStopped { .. })));
    bench.pass(1);
    assert!(bench.reports().iter().any(|report| matches!(report, Report::TransactionStopped { .. })));
}

#[test]
fn the_steps_of_a_session_one_by_one() {
    let mut bench = Bench::new("{}");
    assert!(
        bench.ask(Request::StartTransaction { at: at(1), id_tag: tag("ALICE") }).unwrap_err().contains("plugged in")
    );
    assert_eq!(bench.ask(Request::Plug(at(1))), Ok(Answer::DoneAt(1)));
    assert!(bench.ask(Request::Plug(at(1))).unwrap_err().contains("already"));
    assert_eq!(bench.ask(Request::Authorize(tag("ALICE"))), Ok(Answer::Done));
    bench.pass(1);
    assert_eq!(bench.ask(Request::StartTransaction { at: ANYWHERE, id_tag: tag("alice") }), Ok(Answer::DoneAt(1)));
    let started = bench.reports().into_iter().find_map(|report| match report {
        Report::TransactionStarted { transaction, .. } => Some(transaction.id),
        _ => None,
    });
    assert_eq!(started.as_deref(), Some("1"));
    assert!(bench.ask(Request::StopTransaction(Some("7".into()))).unwrap_err().contains("`7`"));
    assert_eq!(bench.ask(Request::StopTransaction(Some("1".into()))), Ok(Answer::DoneAt(1)));
    assert!(bench.ask(Request::StopTransaction(None)).unwrap_err().contains("no transaction"));
    let stopped = bench
        .reports()
        .into_iter()
        .any(|report| matches!(report, Report::TransactionStopped { reason: StopReason::Remote, .. }));
    assert!(stopped);
}

#[test]
fn a_refused_token_starts_nothing_and_its_plan_is_forgotten() {
    let mut bench = Bench::new("{}");
    bench.ask(Request::Plug(at(1))).unwrap();
    bench.ask(Request::StartTransaction { at: at(1), id_tag: tag("MALLORY") }).unwrap();
    bench.pass(1);
    assert_eq!(bench.course(), (vec![Processing, Rejected], true));
    bench.ask(Request::Authorize(tag("ALICE"))).unwrap();
    bench.pass(1);
    let reports = bench.reports();
    assert!(!reports.iter().any(|report| matches!(report, Report::TransactionStarted { .. })), "{reports:?}");
}

#[test]
fn the_local_list_decides_and_its_version_rises() {
    let mut bench = Bench::new("{}");
    let entry = |status| (tag("ALICE"), Some(TagInfo::of(status)));
    let update =
        |version, status| Request::UpdateList { kind: UpdateType::Full, version, entries: vec![entry(status)] };
    assert_eq!(
        bench.ask(update(3, AuthorizationStatus::Accepted)),
        Ok(Answer::List { status: UpdateStatus::Accepted, version: 3 })
    );
    assert_eq!(
        bench.ask(update(3, AuthorizationStatus::Blocked)),
        Ok(Answer::List { status: UpdateStatus::VersionMismatch, version: 3 })
    );
    assert_eq!(session(&mut bench), (vec![Processing, Accepted, UsedToStart], false));
    assert_eq!(bench.ask(Request::ClearList), Ok(Answer::Removed(1)));
    assert!(session(&mut bench).1);
}

#[test]
fn a_csms_outside_is_waited_for_and_then_taken_for_gone() {
    let mut bench = Bench::new("{csms: outside}");
    bench.input(Input::Csms(CsmsInput::Online(true)));
    bench.ask(Request::Plug(at(1))).unwrap();
    bench.ask(Request::Authorize(tag("BOB"))).unwrap();
    let request = bench.reports().into_iter().find_map(|report| match report {
        Report::Authorize { request, .. } => Some(request),
        _ => None,
    });
    let info = TagInfo::of(AuthorizationStatus::Accepted);
    bench.input(Input::Csms(CsmsInput::Authorized { request: request.unwrap(), info }));
    assert_eq!(bench.course().0, [Accepted, UsedToStart]);
    bench.ask(Request::Unplug(at(1))).unwrap();
    bench.ask(Request::ResetCache).unwrap();
    bench.ask(Request::Plug(at(1))).unwrap();
    bench.ask(Request::Authorize(tag("BOB"))).unwrap();
    bench.pass(29);
    assert_eq!(bench.course().0, [Processing]);
    bench.pass(1);
    assert_eq!(bench.course().0, [Rejected]);
}

/// Also of transactions that began and ended while it was away.
#[test]
fn what_the_csms_says_of_a_transaction_is_cached() {
    let mut bench = Bench::new("{csms: outside}");
    let mut decides = |said: CsmsInput| {
        bench.input(Input::Csms(said));
        bench.ask(Request::Plug(at(1))).unwrap();
        bench.ask(Request::Authorize(tag("BOB"))).unwrap();
        bench.pass(1);
        bench.ask(Request::Unplug(at(1))).unwrap();
        let course = bench.course().0;
        course[1]
    };
    assert_eq!(decides(CsmsInput::Online(false)), Rejected);
    let (transaction, id_tag) = ("gone".to_owned(), tag("BOB"));
    let info = Some(TagInfo::of(AuthorizationStatus::Accepted));
    assert_eq!(decides(CsmsInput::TransactionNoted { transaction, id_tag, named: None, info }), Accepted);
    let info = TagInfo::of(AuthorizationStatus::Blocked);
    assert_eq!(decides(CsmsInput::TagNoted { id_tag: tag("BOB"), info }), Rejected);
}

#[test]
fn keys_are_set_one_by_one() {
    let mut bench = Bench::new("{}");
    let values = [("LocalPreAuthorize", "false"), ("NumberOfConnectors", "9"), ("Unheard", "1")];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let answer = bench.ask(Request::Configure(BTreeMap::from(values)));
    let expected = [
        ("LocalPreAuthorize", SetResult::Accepted),
        ("NumberOfConnectors", SetResult::Rejected),
        ("Unheard", SetResult::NotSupported),
    ];
    assert_eq!(answer, Ok(Answer::Configured(expected.map(|(name, result)| (name.to_owned(), result)).into())));
    assert!(session(&mut bench).1);
    assert!(session(&mut bench).1, "not pre-authorized by the cache any more");
}

#[test]
fn a_fault_is_named_to_the_csms_and_ends_nothing_else() {
    let mut bench = Bench::new("{}");
    let inject = Request::InjectFault { at: at(2), fault: "GroundFault".to_owned() };
    assert_eq!(bench.ask(inject), Ok(Answer::NowAt { evse: 2, status: ConnectorStatus::Faulted }));
    let fault = Some("GroundFault".to_owned());
    assert_eq!(bench.reports(), [Report::Status { evse: 2, status: ConnectorStatus::Faulted, fault }]);
    let cleared = Answer::NowAt { evse: 2, status: ConnectorStatus::Available };
    assert_eq!(bench.ask(Request::ClearFault(ANYWHERE)), Ok(cleared));
    assert_eq!(bench.reports(), [Report::Status { evse: 2, status: ConnectorStatus::Available, fault: None }]);
    assert!(bench.ask(Request::ClearFault(ANYWHERE)).is_err());
    assert!(bench.ask(Request::Plug(at(3))).unwrap_err().contains("EVSE 3"));
}

fn statuses(bench: &mut Bench) -> Vec<(i32, ConnectorStatus)> {
    let reports = bench.reports().into_iter();
    reports
        .filter_map(|it| if let Report::Status { evse, status, .. } = it { Some((evse, status)) } else { None })
        .collect()
}

fn started(bench: &mut Bench) -> Vec<(i32, Option<i32>)> {
    let reports = bench.reports().into_iter();
    let started = reports.filter_map(|report| match report {
        Report::TransactionStarted { evse, transaction } => Some((evse, transaction.remote_start_id)),
        _ => None,
    });
    started.collect()
}

#[test]
fn a_remote_start_waits_for_an_ev_and_asks_nobody_unless_it_must() {
    for is_asked in [false, true] {
        let mut bench = Bench::new(&format!("{{configuration: {{AuthorizeRemoteTxRequests: \"{is_asked}\"}}}}"));
        let start = |evse| Request::RemoteStart { evse, id_tag: tag("ALICE"), remote_start_id: Some(5) };
        assert_eq!(bench.ask(Request::Plug(at(2))), Ok(Answer::DoneAt(2)));
        assert_eq!(bench.ask(start(Some(1))), Ok(Answer::DoneAt(1)));
        bench.pass(1);
        let seen = bench.seen.clone();
        assert_eq!(bench.course(), (vec![Processing, Accepted, UsedToStart], is_asked));
        bench.seen = seen;
        assert_eq!(started(&mut bench), [], "no EV is there");
        assert_eq!(bench.ask(Request::Plug(at(1))), Ok(Answer::DoneAt(1)));
        assert_eq!(started(&mut bench), [(1, Some(5))]);
        assert_eq!(bench.ask(start(None)), Ok(Answer::DoneAt(2)), "where an EV is");
        assert!(bench.ask(start(Some(1))).is_err() && bench.ask(start(Some(3))).is_err());
    }
}

#[test]
fn what_is_out_of_service_starts_nothing_and_what_runs_there_ends_first() {
    let mut bench = Bench::new("{}");
    let change = |of, is_operative| Request::ChangeAvailability { of, is_operative };
    let start = |evse| Request::StartSession { at: at(evse), id_tag: tag("ALICE"), duration: None, energy_wh: None };
    assert_eq!(bench.ask(start(1)), Ok(Answer::DoneAt(1)));
    bench.pass(1);
    assert_eq!(bench.ask(change(WholeAndEach, false)), Ok(Answer::Scheduled));
    assert!(bench.ask(start(2)).is_err_and(|why| why.contains("out of service")));
    assert!(bench.ask(change(Evse(3), false)).is_err());
    assert_eq!(statuses(&mut bench).last(), Some(&(2, ConnectorStatus::Unavailable)));
    assert_eq!(bench.ask(Request::EndTransactions(StopReason::SoftReset)), Ok(Answer::Done));
    assert_eq!(statuses(&mut bench), [(0, ConnectorStatus::Unavailable), (1, ConnectorStatus::Unavailable)]);
    assert_eq!(bench.ask(change(WholeAndEach, true)), Ok(Answer::Done));
    let again = [ConnectorStatus::Available, ConnectorStatus::Finishing, ConnectorStatus::Available];
    assert_eq!(statuses(&mut bench), [(0, again[0]), (1, again[1]), (2, again[2])]);
}

#[test]
fn the_charge_point_in_service_again_leaves_each_evse_what_it_was_unless_all_are_meant() {
    for (of, last) in [(Whole, ConnectorStatus::Unavailable), (WholeAndEach, ConnectorStatus::Available)] {
        let mut bench = Bench::new("{}");
        let change = |of, is_operative| Request::ChangeAvailability { of, is_operative };
        assert_eq!(bench.ask(change(Evse(2), false)), Ok(Answer::Done));
        assert_eq!(statuses(&mut bench), [(2, ConnectorStatus::Unavailable)]);
        assert_eq!(bench.ask(change(of, false)), Ok(Answer::Done));
        assert_eq!(statuses(&mut bench), [(0, ConnectorStatus::Unavailable), (1, ConnectorStatus::Unavailable)]);
        assert_eq!(bench.ask(change(of, true)), Ok(Answer::Done));
        assert_eq!(statuses(&mut bench)[..2], [(0, ConnectorStatus::Available), (1, ConnectorStatus::Available)]);
        let Ok(Answer::Seen(seen)) = bench.ask(Request::Look) else { panic!("it is seen") };
        assert_eq!(seen.connectors[1].status, last);
    }
}

#[test]
fn a_restart_finds_the_evs_the_faults_and_what_is_out_of_service() {
    let mut bench = Bench::new("{csms: outside, configuration: {AllowOfflineTxForUnknownId: \"true\"}}");
    let start = Request::StartSession { at: at(1), id_tag: tag("ALICE"), duration: None, energy_wh: None };
    assert_eq!(bench.ask(start), Ok(Answer::DoneAt(1)));
    bench.pass(3600);
    assert_eq!(started(&mut bench).len(), 1);
    assert_eq!(bench.ask(Request::ChangeAvailability { of: Evse(2), is_operative: false }), Ok(Answer::Done));
    bench.reports();
    bench.restart();
    let events: Vec<_> = bench.seen.iter().filter(|it| matches!(it, Effect::SessionEvent { .. })).cloned().collect();
    let event = |evse, event| Effect::SessionEvent { evse, event };
    let found = [SessionEvent::SessionStartedByPlugIn, SessionEvent::AuthRequired];
    assert_eq!(events, [event(1, found[0]), event(1, found[1]), event(2, SessionEvent::Disabled)]);
    let reports = bench.reports();
    let states = |reports: &[Report]| {
        let mut states = reports.iter().filter_map(|report| match report {
            Report::Booted { states, .. } => Some(states.values().map(|(status, _)| *status).collect::<Vec<_>>()),
            _ => None,
        });
        states.next().unwrap()
    };
    use ConnectorStatus::{Available, Faulted, Preparing, Unavailable};
    assert_eq!(states(&reports), [Available, Preparing, Unavailable]);
    let ended = reports.iter().find_map(|report| match report {
        Report::TransactionStopped { evse, meter_wh, reason, .. } => Some((*evse, *meter_wh, *reason)),
        _ => None,
    });
    assert_eq!(ended, Some((1, 11_000, StopReason::Reboot)), "{reports:#?}");
    assert!(!reports.iter().any(|report| matches!(report, Report::Status { .. })), "{reports:#?}");

    let inject = Request::InjectFault { at: at(1), fault: "GroundFault".to_owned() };
    assert!(bench.ask(inject).is_ok());
    assert_eq!(bench.ask(Request::ChangeAvailability { of: Whole, is_operative: false }), Ok(Answer::Done));
    bench.reports();
    bench.restart();
    let reports = bench.reports();
    assert_eq!(states(&reports), [Unavailable, Faulted, Unavailable]);
    let Some(Report::Booted { states, .. }) = reports.first() else { panic!("{reports:#?}") };
    assert_eq!(states[&1].1.as_deref(), Some("GroundFault"));
    assert_eq!(bench.ask(Request::Plug(at(1))), Err("EVSE 1: an EV is plugged in already".to_owned()));
}

fn reservation(id: i32, evse: Option<i32>, token: &str, parent: Option<&str>) -> Request {
    Request::Reserve(Reservation {
        reservation_id: id,
        id_token: token.to_owned(),
        parent_id_token: parent.map(str::to_owned),
        evse_id: evse,
        connector_type: None,
        expires: Some(Duration::from_secs(START + 600)),
    })
}

const MADE: Result<Answer, String> = Ok(Answer::Reserved(ReservationResult::Accepted));

#[test]
fn a_reservation_ends_with_its_time_and_outlives_a_restart() {
    let mut bench = Bench::new("{csms: outside}");
    assert_eq!(bench.ask(reservation(7, Some(1), "ALICE", Some("FAMILY"))), MADE);
    assert_eq!(statuses(&mut bench), [(1, ConnectorStatus::Reserved)]);
    bench.restart();
    let reports = bench.reports();
    let Some(Report::Booted { states, .. }) = reports.first() else { panic!("{reports:#?}") };
    assert_eq!(states[&1].0, ConnectorStatus::Reserved);
    bench.pass(599);
    assert!(bench.reports().is_empty());
    bench.pass(1);
    let reports = bench.reports();
    assert!(reports.contains(&Report::ReservationEnded { id: 7, how: ReservationStatus::Expired }), "{reports:#?}");
    let available = Report::Status { evse: 1, status: ConnectorStatus::Available, fault: None };
    assert!(reports.contains(&available), "{reports:#?}");
    assert!(bench.ask(Request::CancelReservation(7)).is_err());
}

#[test]
fn a_reservation_decides_which_tokens_may_charge() {
    let mut bench = Bench::new("{csms: outside}");
    let tell = |bench: &mut Bench, name, parent: Option<&str>| {
        let info = TagInfo { parent: parent.map(tag), ..TagInfo::of(AuthorizationStatus::Accepted) };
        bench.input(Input::Csms(CsmsInput::TagNoted { id_tag: tag(name), info }));
    };
    tell(&mut bench, "STRANGER", None);
    tell(&mut bench, "CHILD", Some("FAMILY"));
    tell(&mut bench, "ALICE", None);
    let start = |name| Request::RemoteStart { evse: Some(1), id_tag: tag(name), remote_start_id: None };
    for (parent, name, may) in [
        (None, "STRANGER", false),
        (None, "CHILD", false),
        (None, "alice", true),
        (Some("FAMILY"), "CHILD", true),
        (Some("OTHERS"), "CHILD", false),
    ] {
        // Presented at the charger, where an EV waits at the EVSE that is kept.
        assert_eq!(bench.ask(reservation(7, Some(1), "ALICE", parent)), MADE, "{name}");
        assert!(bench.ask(Request::Plug(at(1))).is_ok());
        bench.seen.clear();
        assert_eq!(bench.ask(Request::Authorize(tag(name))), Ok(Answer::Done));
        bench.pass(0);
        let (statuses, _) = bench.course();
        assert_eq!(statuses.contains(&UsedToStart), may, "{name} of {parent:?}: {statuses:?}");
        assert_eq!(statuses.contains(&Rejected), !may, "{name} of {parent:?}: {statuses:?}");
        let start_of = |bench: &mut Bench| {
            let begun = bench.reports().into_iter().find_map(|report| match report {
                Report::TransactionStarted { transaction, .. } => Some(transaction.reservation_id),
                _ => None,
            });
            let _ = bench.ask(Request::EndTransactions(StopReason::Remote));
            let _ = bench.ask(Request::Unplug(at(1)));
            begun
        };
        let is_used = bench.ask(Request::CancelReservation(7)).is_err();
        assert_eq!(is_used, may, "{name} of {parent:?}");
        start_of(&mut bench);
        // Started by the CSMS, before an EV comes.
        assert_eq!(bench.ask(reservation(8, Some(1), "ALICE", parent)), MADE, "{name}");
        assert_eq!(bench.ask(start(name)).is_ok(), may, "{name} of {parent:?}");
        bench.pass(0);
        let _ = bench.ask(Request::Plug(at(1)));
        bench.pass(0);
        assert_eq!(start_of(&mut bench), may.then_some(Some(8)), "{name} of {parent:?}");
        let _ = bench.ask(Request::CancelReservation(8));
        bench.pass(0);
    }
}

#[test]
fn a_reservation_of_any_evse_keeps_one_free() {
    let mut bench = Bench::new("{csms: outside}");
    let info = TagInfo::of(AuthorizationStatus::Accepted);
    for name in ["ALICE", "STRANGER"] {
        bench.input(Input::Csms(CsmsInput::TagNoted { id_tag: tag(name), info: info.clone() }));
    }
    assert_eq!(bench.ask(reservation(1, None, "ALICE", None)), MADE);
    assert!(statuses(&mut bench).is_empty(), "either EVSE may still be used");
    let session = |bench: &mut Bench, evse, name| {
        let start = Request::StartSession { at: at(evse), id_tag: tag(name), duration: None, energy_wh: None };
        let answer = bench.ask(start);
        bench.pass(0);
        answer
    };
    assert_eq!(session(&mut bench, 1, "STRANGER"), Ok(Answer::DoneAt(1)));
    let told = statuses(&mut bench);
    assert!(told.contains(&(2, ConnectorStatus::Reserved)), "it is the last that is left: {told:?}");
    assert!(session(&mut bench, 2, "STRANGER").is_err_and(|why| why.contains("reserved for another")));
    assert_eq!(bench.ask(reservation(2, None, "STRANGER", None)), Ok(Answer::Reserved(ReservationResult::Occupied)));
    assert_eq!(session(&mut bench, 2, "ALICE"), Ok(Answer::DoneAt(2)));
    assert!(statuses(&mut bench).contains(&(2, ConnectorStatus::Charging)));
    assert!(bench.ask(Request::CancelReservation(1)).is_err(), "it is used");
}

#[test]
fn a_csms_outside_that_gives_no_answer_is_decided_without() {
    let mut bench = Bench::new("{csms: outside}");
    bench.input(Input::Csms(CsmsInput::Online(true)));
    let asked = |bench: &mut Bench| {
        assert_eq!(bench.ask(Request::Authorize(tag("ALICE"))), Ok(Answer::Done));
        let request = bench.seen.iter().find_map(|effect| match effect {
            Effect::Csms(Report::Authorize { request, .. }) => Some(*request),
            _ => None,
        });
        request.unwrap()
    };
    let request = asked(&mut bench);
    bench.input(Input::Csms(CsmsInput::Unanswered(request)));
    assert_eq!(bench.course(), (vec![Processing, Rejected], true));
    assert_eq!(bench.ask(Request::ResetCache), Ok(Answer::Removed(0)), "no answer is nothing to keep");
}
