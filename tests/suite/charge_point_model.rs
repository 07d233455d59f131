//! The charge point beside a model of one, in virtual time: what becomes of EVs, faults, transactions, meters and service, and
//! what the CSMS hears of it.
//!
//! The model is written from the words of OCPP 1.6 (sections 3.7, 4.2, 4.7 to 4.10, 5.2, 5.17, 5.18, 7.7 and 7.36), shares
//! no code with the station, and knows of Auth but that every token may charge, once while an EV is plugged in. Each EVSE is
//! one machine that runs by itself from moment to moment; what is told of an EVSE has to come in the model's order.

use std::collections::BTreeMap;
use std::time::Duration;

use khumbu::scenario;
use khumbu::station::charge_point::{
    Answer, ConnectorStatus, IdTag, Report, Request,
    Scope::{self, Evse, Whole, WholeAndEach},
    StopReason, Where,
};
use khumbu::station::config::StationConfig;
use khumbu::station::{Effect, Input, Station};
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

const EVSES: [i32; 2] = [1, 2];
const START: u64 = 1_790_000_000;
const SAMPLED_EVERY_S: u64 = 900;
const POWER: u32 = 10_000;
/// Watts for a millisecond, in watt-hours.
const PER_WH: u64 = 3_600_000;

const STATION: &str = "\
evses: 2
charge_point:
  csms: outside
  max_charging_power: 10000
  configuration: {AllowOfflineTxForUnknownId: \"true\", MeterValueSampleInterval: \"900\"}
";

#[derive(Debug, Clone)]
enum Step {
    Plug(i32),
    Unplug(i32),
    StartTransaction(i32),
    StartSession {
        evse: i32,
        duration_s: Option<u64>,
        energy_wh: Option<u64>,
    },
    /// The only transaction.
    StopTransaction,
    StopSession(i32),
    Unlock(i32),
    EndTransactions(StopReason),
    EvTakes(i32, bool),
    SetPower(i32, u32),
    InjectFault(i32),
    ClearFault(i32),
    ChangeAvailability(Scope, bool),
    Restart,
    Pass {
        ms: u64,
    },
}

/// What the CSMS hears of an EVSE.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Status(ConnectorStatus),
    Started { tag: String, meter_wh: u64 },
    Charging(ConnectorStatus),
    Meter { meter_wh: u64, power_w: u32 },
    Stopped { meter_wh: u64, reason: StopReason },
}

#[derive(Debug, Clone)]
struct Transaction {
    ends_at: Option<u64>,
    ends_with: Option<u64>,
    sample_at: u64,
    takes: bool,
    told: ConnectorStatus,
}

#[derive(Debug, Clone)]
struct Point {
    id: i32,
    now: u64,
    plugged_in: bool,
    was_charged: bool,
    is_faulted: bool,
    is_operative: bool,
    is_whole_operative: bool,
    power: u32,
    /// In watts times milliseconds.
    register: u64,
    transaction: Option<Transaction>,
    status: ConnectorStatus,
    told: Vec<Told>,
}

impl Point {
    fn new(id: i32) -> Self {
        Self {
            id,
            now: START * 1000,
            plugged_in: false,
            was_charged: false,
            is_faulted: false,
            is_operative: true,
            is_whole_operative: true,
            power: POWER,
            register: 0,
            transaction: None,
            status: ConnectorStatus::Available,
            told: Vec::new(),
        }
    }

    fn is_in_service(&self) -> bool {
        self.is_operative && self.is_whole_operative
    }

    fn state(&self) -> ConnectorStatus {
        match &self.transaction {
            _ if self.is_faulted => ConnectorStatus::Faulted,
            Some(transaction) if !transaction.takes => ConnectorStatus::SuspendedEV,
            Some(_) if self.power == 0 => ConnectorStatus::SuspendedEVSE,
            Some(_) => ConnectorStatus::Charging,
            None if !self.is_in_service() => ConnectorStatus::Unavailable,
            None if self.plugged_in && self.was_charged => ConnectorStatus::Finishing,
            None if self.plugged_in => ConnectorStatus::Preparing,
            None => ConnectorStatus::Available,
        }
    }

    fn flow(&self) -> u64 {
        if self.state() == ConnectorStatus::Charging { self.power.into() } else { 0 }
    }

    fn meter_wh(&self) -> u64 {
        self.register / PER_WH
    }

    /// Tells what has changed.
    fn settle(&mut self) {
        let state = self.state();
        if self.status != state {
            self.status = state;
            self.told.push(Told::Status(state));
        }
        let is_of_charging = !matches!(state, ConnectorStatus::Faulted);
        if let Some(transaction) = self.transaction.as_mut().filter(|it| is_of_charging && it.told != state) {
            transaction.told = state;
            self.told.push(Told::Charging(state));
        }
    }

    /// A token is presented. EVerest takes none where an EV was charged and has not left.
    fn start(&mut self, duration_s: Option<u64>, energy_wh: Option<u64>) {
        if self.was_charged {
            return;
        }
        self.told.push(Told::Started { tag: format!("T{}", self.id), meter_wh: self.meter_wh() });
        self.transaction = Some(Transaction {
            ends_at: duration_s.map(|seconds| self.now + seconds * 1000),
            ends_with: energy_wh.map(|energy| self.register + energy * PER_WH),
            sample_at: self.now + SAMPLED_EVERY_S * 1000,
            takes: true,
            told: ConnectorStatus::Charging,
        });
        self.settle();
    }

    fn stop(&mut self, reason: StopReason) {
        if self.transaction.take().is_some() {
            self.told.push(Told::Stopped { meter_wh: self.meter_wh(), reason });
            self.was_charged = reason != StopReason::Reboot;
        }
    }

    /// When something happens by itself: a sample, or the end.
    fn next(&self) -> Option<u64> {
        let Transaction { ends_at, ends_with, sample_at, .. } = self.transaction.as_ref()?;
        let flow = self.flow();
        let full_at = ends_with.and_then(|register| match register.saturating_sub(self.register) {
            0 => Some(self.now),
            left => (flow > 0).then(|| self.now + left.div_ceil(flow)),
        });
        [*ends_at, full_at, Some(*sample_at)].into_iter().flatten().min()
    }

    fn pass_to(&mut self, until: u64) {
        while let Some(at) = self.next().filter(|at| *at <= until) {
            self.register += (at - self.now) * self.flow();
            self.now = at;
            let (meter_wh, power_w) = (self.meter_wh(), self.flow() as u32);
            let Some(transaction) = &mut self.transaction else { unreachable!() };
            if transaction.sample_at == at {
                transaction.sample_at += SAMPLED_EVERY_S * 1000;
                self.told.push(Told::Meter { meter_wh, power_w });
            }
            let Transaction { ends_at, ends_with, .. } = *transaction;
            if ends_at == Some(at) || ends_with.is_some_and(|register| register <= self.register) {
                self.stop(StopReason::Local);
                self.settle();
            }
        }
        self.register += (until - self.now) * self.flow();
        self.now = until;
    }
}

#[derive(Debug, Clone)]
struct Model {
    points: BTreeMap<i32, Point>,
    /// Of the charge point as a whole.
    whole: ConnectorStatus,
    /// Whether the last step was done.
    is_done: bool,
}

impl Model {
    fn is_busy(&self) -> bool {
        self.points.values().any(|point| point.transaction.is_some())
    }

    fn do_it(&mut self, step: &Step) -> bool {
        let point = step.evse().and_then(|evse| self.points.get_mut(&evse));
        match (step, point) {
            (Step::Plug(_), Some(point)) => !std::mem::replace(&mut point.plugged_in, true),
            (Step::Unplug(_), Some(point)) => {
                point.stop(StopReason::EVDisconnected);
                point.was_charged = false;
                std::mem::replace(&mut point.plugged_in, false)
            }
            (Step::StartTransaction(_), Some(point)) => {
                let may = point.plugged_in && point.is_free();
                if may {
                    point.start(None, None);
                }
                may
            }
            (Step::StartSession { duration_s, energy_wh, .. }, Some(point)) => {
                let may = point.is_free();
                if may {
                    point.plugged_in = true;
                    point.settle();
                    point.start(*duration_s, *energy_wh);
                }
                may
            }
            (Step::StopSession(_), Some(point)) => {
                point.stop(StopReason::Remote);
                point.settle();
                point.was_charged = false;
                std::mem::replace(&mut point.plugged_in, false)
            }
            (Step::Unlock(_), Some(point)) => {
                point.stop(StopReason::UnlockCommand);
                true
            }
            (Step::EvTakes(_, takes), Some(point)) => {
                let transaction = point.transaction.as_mut();
                transaction.map(|transaction| transaction.takes = *takes).is_some()
            }
            (Step::SetPower(_, watts), Some(point)) => {
                point.power = *watts;
                true
            }
            (Step::InjectFault(_), Some(point)) => !std::mem::replace(&mut point.is_faulted, true),
            (Step::ClearFault(_), Some(point)) => std::mem::replace(&mut point.is_faulted, false),
            (Step::StopTransaction, _) => {
                let mut busy: Vec<_> = self.points.values_mut().filter(|it| it.transaction.is_some()).collect();
                let is_one = busy.len() == 1;
                if is_one {
                    busy[0].stop(StopReason::Remote);
                }
                is_one
            }
            (Step::EndTransactions(reason), _) => {
                self.points.values_mut().for_each(|point| point.stop(*reason));
                true
            }
            (Step::ChangeAvailability(of, is_operative), _) => {
                for point in self.points.values_mut() {
                    match of {
                        Evse(evse) if *evse == point.id => point.is_operative = *is_operative,
                        Evse(_) => {}
                        Whole => point.is_whole_operative = *is_operative,
                        WholeAndEach => {
                            point.is_operative = *is_operative;
                            point.is_whole_operative = *is_operative;
                        }
                    }
                }
                true
            }
            (Step::Restart, _) => {
                for point in self.points.values_mut() {
                    point.stop(StopReason::Reboot);
                    point.was_charged = false;
                    point.power = POWER;
                    // The boot tells all states.
                    point.status = point.state();
                }
                true
            }
            (Step::Pass { ms }, _) => {
                self.points.values_mut().for_each(|point| point.pass_to(point.now + ms));
                true
            }
            (step, None) => unreachable!("{step:?}"),
        }
    }
}

impl Point {
    fn is_free(&self) -> bool {
        self.transaction.is_none() && !self.is_faulted && self.is_in_service()
    }
}

impl Step {
    fn evse(&self) -> Option<i32> {
        match self {
            Step::Plug(evse)
            | Step::Unplug(evse)
            | Step::StartTransaction(evse)
            | Step::StartSession { evse, .. }
            | Step::StopSession(evse)
            | Step::Unlock(evse)
            | Step::EvTakes(evse, _)
            | Step::SetPower(evse, _)
            | Step::InjectFault(evse)
            | Step::ClearFault(evse) => Some(*evse),
            _ => None,
        }
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let points = EVSES.into_iter().map(|id| (id, Point::new(id))).collect();
        Just(Model { points, whole: ConnectorStatus::Available, is_done: true }).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let evse = || select(EVSES.to_vec());
        let scope = prop_oneof![evse().prop_map(Evse), Just(Whole), Just(WholeAndEach)];
        let reason = select(vec![StopReason::SoftReset, StopReason::HardReset]);
        let duration_s = proptest::option::weighted(0.3, 1..7_200_u64);
        let energy_wh = proptest::option::weighted(0.3, 1..20_000_u64);
        let watts = select(vec![0, 1, 3_700, 22_000]);
        let ms =
            prop_oneof![1..2_000_u64, (1..7_200_u64).prop_map(|seconds| seconds * 1000), Just(SAMPLED_EVERY_S * 1000)];
        prop_oneof![
            3 => evse().prop_map(Step::Plug),
            2 => evse().prop_map(Step::Unplug),
            3 => evse().prop_map(Step::StartTransaction),
            4 => (evse(), duration_s, energy_wh)
                .prop_map(|(evse, duration_s, energy_wh)| Step::StartSession { evse, duration_s, energy_wh }),
            1 => Just(Step::StopTransaction),
            1 => evse().prop_map(Step::StopSession),
            1 => evse().prop_map(Step::Unlock),
            1 => reason.prop_map(Step::EndTransactions),
            2 => (evse(), any::<bool>()).prop_map(|(evse, takes)| Step::EvTakes(evse, takes)),
            2 => (evse(), watts).prop_map(|(evse, watts)| Step::SetPower(evse, watts)),
            1 => evse().prop_map(Step::InjectFault),
            2 => evse().prop_map(Step::ClearFault),
            2 => (scope, proptest::bool::weighted(0.7)).prop_map(|(of, is)| Step::ChangeAvailability(of, is)),
            1 => Just(Step::Restart),
            6 => ms.prop_map(|ms| Step::Pass { ms }),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.points.values_mut().for_each(|point| point.told.clear());
        state.is_done = state.do_it(step);
        state.points.values_mut().for_each(Point::settle);
        let is_operative = state.points[&1].is_whole_operative;
        state.whole =
            if is_operative || state.is_busy() { ConnectorStatus::Available } else { ConnectorStatus::Unavailable };
        state
    }
}

struct Charger {
    config: StationConfig,
    station: Station,
    now: Duration,
    /// The state of the charge point as a whole, as the CSMS has it.
    whole: ConnectorStatus,
}

fn request(step: &Step) -> Option<Request> {
    let at = Where { evse: step.evse(), connector: None };
    let id_tag = IdTag::new(format!("T{}", step.evse().unwrap_or_default())).unwrap();
    Some(match step {
        Step::Plug(_) => Request::Plug(at),
        Step::Unplug(_) => Request::Unplug(at),
        Step::StartTransaction(_) => Request::StartTransaction { at, id_tag },
        Step::StartSession { duration_s, energy_wh, .. } => {
            let duration = duration_s.map(Duration::from_secs);
            Request::StartSession { at, id_tag, duration, energy_wh: *energy_wh }
        }
        Step::StopTransaction => Request::StopTransaction(None),
        Step::StopSession(_) => Request::StopSession(at),
        Step::Unlock(_) => Request::Unlock(at),
        Step::EndTransactions(reason) => Request::EndTransactions(*reason),
        Step::EvTakes(_, takes) => Request::EvTakes { at, takes: *takes },
        Step::SetPower(_, watts) => Request::SetPower { at, watts: *watts },
        Step::InjectFault(_) => Request::InjectFault { at, fault: "GroundFault".to_owned() },
        Step::ClearFault(_) => Request::ClearFault(at),
        Step::ChangeAvailability(of, is_operative) => {
            Request::ChangeAvailability { of: *of, is_operative: *is_operative }
        }
        Step::Restart | Step::Pass { .. } => return None,
    })
}

impl Charger {
    /// What the CSMS hears of each EVSE; what it hears of the whole is kept.
    fn told(&mut self, effects: Vec<Effect>) -> BTreeMap<i32, Vec<Told>> {
        let mut told: BTreeMap<i32, Vec<Told>> = EVSES.into_iter().map(|evse| (evse, Vec::new())).collect();
        for effect in effects {
            let Effect::Csms(report) = effect else { continue };
            let (evse, it) = match report {
                Report::Status { evse: 0, status, .. } => {
                    assert_ne!(self.whole, status, "told twice");
                    self.whole = status;
                    continue;
                }
                Report::Booted { states, .. } => {
                    self.whole = states[&0].0;
                    continue;
                }
                Report::Status { evse, status, fault } => {
                    assert_eq!(fault.is_some(), status == ConnectorStatus::Faulted);
                    (evse, Told::Status(status))
                }
                Report::TransactionStarted { evse, transaction } => {
                    let tag = transaction.id_tag.as_str().to_owned();
                    (evse, Told::Started { tag, meter_wh: transaction.meter_start_wh })
                }
                Report::ChargingState { evse, status, .. } => (evse, Told::Charging(status)),
                Report::MeterValue { evse, meter_wh, power_w, .. } => (evse, Told::Meter { meter_wh, power_w }),
                Report::TransactionStopped { evse, meter_wh, reason, .. } => (evse, Told::Stopped { meter_wh, reason }),
                other => panic!("nothing of the kind was asked for: {other:?}"),
            };
            told.get_mut(&evse).expect("an EVSE that there is").push(it);
        }
        told
    }
}

struct ChargePoint;

impl StateMachineTest for ChargePoint {
    type SystemUnderTest = Charger;
    type Reference = Model;

    fn init_test(_: &Model) -> Charger {
        let config = scenario::parse_station("station.yaml", STATION).unwrap();
        let now = Duration::from_secs(START);
        let mut station = Station::new(&config);
        station.apply(now, Input::Ready);
        Charger { config, station, now, whole: ConnectorStatus::Available }
    }

    fn apply(mut charger: Charger, model: &Model, step: Step) -> Charger {
        let is_busy = model.is_busy();
        let (answer, effects) = match (&step, request(&step)) {
            (_, Some(request)) => charger.station.request(charger.now, request),
            (Step::Restart, _) => {
                let before = std::mem::replace(&mut charger.station, Station::new(&charger.config));
                charger.station.remember(&before);
                (Ok(Answer::Done), charger.station.apply(charger.now, Input::Ready))
            }
            (Step::Pass { ms }, _) => {
                charger.now += Duration::from_millis(*ms);
                (Ok(Answer::Done), charger.station.apply(charger.now, Input::Deadline))
            }
            (step, None) => unreachable!("{step:?}"),
        };
        assert_eq!(answer.is_ok(), model.is_done, "{step:?}: {answer:?}");
        if let Step::ChangeAvailability(of @ (Whole | WholeAndEach), false) = step {
            let expected = if is_busy { Answer::Scheduled } else { Answer::Done };
            assert_eq!(answer, Ok(expected), "{of:?}");
        }
        let told = charger.told(effects);
        let expected = model.points.iter().map(|(evse, point)| (*evse, point.told.clone())).collect();
        assert_eq!(told, expected, "what the CSMS hears after {step:?}");
        assert_eq!(charger.whole, model.whole, "the charge point as a whole, after {step:?}");
        charger
    }

    fn check_invariants(charger: &Charger, model: &Model) {
        let (seen, effects) = charger.station.clone().request(charger.now, Request::Look);
        assert_eq!(effects, [], "to look changes nothing");
        let Ok(Answer::Seen(seen)) = seen else { panic!("{seen:?}") };
        for (seen, point) in seen.connectors.iter().zip(model.points.values()) {
            assert_eq!((seen.status, seen.plugged_in), (point.state(), point.plugged_in));
            assert_eq!((seen.meter_wh, u64::from(seen.power_w)), (point.meter_wh(), point.flow()));
            assert_eq!(seen.transaction.is_some(), point.transaction.is_some());
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn the_csms_hears_what_the_model_says(sequential 1..60 => ChargePoint);
}
