//! The connector of an EVSE as a charge point sees it: its state in OCPP's words, and its meter.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::evse::Evse;
use super::course::{Course, CourseOverview};
use super::tag::IdTag;

/// The state of a connector (OCPP 1.6, ChargePointStatus).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub enum ConnectorStatus {
    /// Free.
    Available,
    /// An EV or a token is there, and no transaction yet.
    Preparing,
    /// Energy flows.
    Charging,
    /// The EV takes none.
    SuspendedEV,
    /// The EVSE gives none.
    SuspendedEVSE,
    /// The transaction is over and the EV still there.
    Finishing,
    /// Kept for a tag.
    Reserved,
    /// Out of service.
    Unavailable,
    /// Not usable, because of a fault.
    Faulted,
}

/// Watts times milliseconds in a watt-hour.
const PER_WATT_HOUR: u64 = 3_600_000;

/// What a charge point knows of an EVSE besides its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connector {
    /// The register of the meter, in watts times milliseconds.
    register: u64,
    /// When the register was last brought forward.
    read_at: Duration,
    /// Watts that flow while charging.
    pub(super) power: u32,
    /// Whether the EV takes energy.
    pub(super) ev_takes: bool,
    /// Whether it is in service by itself; the charge point as a whole may be out of it.
    pub(super) is_operative: bool,
    /// Whether Auth knows it as out of service.
    pub(super) is_disabled: bool,
    /// The fault, as it was injected.
    pub(super) fault: Option<String>,
    /// Whether the EV was charged before and has not left.
    pub(super) is_finishing: bool,
    /// The transaction that runs.
    pub(super) transaction: Option<Transaction>,
    /// What flowed in the latest transaction.
    course: Option<Course>,
    /// What was last told of it.
    pub(super) told: ConnectorStatus,
}

/// A transaction that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Transaction {
    /// Its id: what the CSMS named it, or the charge point.
    pub id: String,
    /// The token that started it.
    pub id_tag: IdTag,
    /// When it started, counted from the Unix epoch.
    pub started_at: Duration,
    /// The meter then, in watt-hours.
    pub meter_start_wh: u64,
    /// The number of the CSMS's request that it should start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_start_id: Option<i32>,
    /// The number of the reservation that it used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<i32>,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Duration>,
    /// The register at which it ends by itself.
    #[serde(skip)]
    pub(super) ends_with: Option<u64>,
    /// When a meter value is due.
    #[serde(skip)]
    pub(super) sample_at: Option<Duration>,
    /// What was last told of its charging.
    #[serde(skip)]
    pub(super) told: ConnectorStatus,
}

impl Transaction {
    /// As it is after a restart: nothing of it happens by itself any more.
    pub(super) fn to_be_ended(&self) -> Self {
        Self { ends_at: None, ends_with: None, sample_at: None, ..self.clone() }
    }
}

impl Connector {
    /// With nothing plugged in; `power` in watts flows while charging.
    pub(super) fn new(power: u32) -> Self {
        Self {
            register: 0,
            read_at: Duration::ZERO,
            power,
            ev_takes: true,
            is_operative: true,
            is_disabled: false,
            fault: None,
            is_finishing: false,
            transaction: None,
            course: None,
            told: ConnectorStatus::Available,
        }
    }

    /// What is to be told of the charging of the transaction that runs, if it has changed.
    pub(super) fn charging_state(&mut self, status: ConnectorStatus) -> Option<String> {
        use ConnectorStatus::{Charging, SuspendedEV, SuspendedEVSE};
        let transaction = self.transaction.as_mut()?;
        let is_new = matches!(status, Charging | SuspendedEV | SuspendedEVSE) && transaction.told != status;
        is_new.then(|| {
            transaction.told = status;
            transaction.id.clone()
        })
    }

    /// What is left of it after a restart: the meter, whether it is in service, a fault. Without the transaction, which
    /// has ended with it.
    pub(super) fn survive(&mut self, before: &Connector) {
        self.register = before.register;
        self.read_at = before.read_at;
        self.course.clone_from(&before.course);
        self.is_operative = before.is_operative;
        self.fault.clone_from(&before.fault);
    }

    /// The state, with what its EVSE adds; `is_in_service` is whether both it and the charge point are.
    pub(super) fn status(&self, evse: &Evse, is_in_service: bool) -> ConnectorStatus {
        match () {
            () if evse.faulted => ConnectorStatus::Faulted,
            () if evse.transaction && !self.ev_takes => ConnectorStatus::SuspendedEV,
            () if evse.transaction && self.power == 0 => ConnectorStatus::SuspendedEVSE,
            () if evse.transaction => ConnectorStatus::Charging,
            () if !is_in_service => ConnectorStatus::Unavailable,
            () if evse.reserved.is_some() && !evse.authorized => ConnectorStatus::Reserved,
            () if self.is_finishing && evse.plugged_in => ConnectorStatus::Finishing,
            () if evse.session || evse.plugged_in => ConnectorStatus::Preparing,
            () => ConnectorStatus::Available,
        }
    }

    /// The meter, in watt-hours.
    pub(super) fn meter_wh(&self) -> u64 {
        to_watt_hours(self.register)
    }

    /// A transaction begins; the meter has been read.
    pub(super) fn begin(&mut self, transaction: Transaction) {
        self.course = Some(Course::begin(transaction.id.clone(), transaction.started_at, self.register));
        self.transaction = Some(transaction);
    }

    /// The transaction ends, if one runs; the meter has been read.
    pub(super) fn end(&mut self) -> Option<Transaction> {
        let transaction = self.transaction.take()?;
        if let Some(course) = &mut self.course {
            course.end(&transaction.id, self.read_at, self.register);
        }
        Some(transaction)
    }

    /// What flowed in the latest transaction, up to when the meter was last read.
    pub(super) fn course(&self, evse: &Evse) -> Option<CourseOverview> {
        let id = self.transaction.as_ref().map(|it| it.id.as_str());
        Some(self.course.as_ref()?.overview((self.read_at, self.register), self.flowing(evse), id))
    }

    /// Watts that flow now.
    pub(super) fn flowing(&self, evse: &Evse) -> u32 {
        if self.status(evse, true) == ConnectorStatus::Charging { self.power } else { 0 }
    }

    /// Brings the meter forward; must be called before anything changes the flow.
    pub(super) fn read(&mut self, now: Duration, evse: &Evse) {
        let millis = u64::try_from(now.saturating_sub(self.read_at).as_millis()).unwrap_or(u64::MAX);
        let power = self.flowing(evse);
        if let (Some(course), 1..) = (&mut self.course, millis) {
            course.flows(self.read_at, self.register, power);
        }
        self.register = self.register.saturating_add(millis.saturating_mul(power.into()));
        self.read_at = self.read_at.max(now);
    }

    /// Lets the transaction end once so much energy has flowed, in watt-hours.
    pub(super) fn end_after(&mut self, energy_wh: u64) {
        let register = self.register.saturating_add(energy_wh.saturating_mul(PER_WATT_HOUR));
        if let Some(transaction) = &mut self.transaction {
            transaction.ends_with = Some(register);
        }
    }

    /// When the transaction ends by itself, as things are now.
    pub(super) fn ends_at(&self, evse: &Evse) -> Option<Duration> {
        let transaction = self.transaction.as_ref()?;
        let flowing = u64::from(self.flowing(evse));
        let by_energy = transaction.ends_with.and_then(|register| {
            let left = register.saturating_sub(self.register);
            match (left, flowing) {
                (0, _) => Some(self.read_at),
                (_, 0) => None,
                (left, flowing) => Some(self.read_at.saturating_add(Duration::from_millis(left.div_ceil(flowing)))),
            }
        });
        [transaction.ends_at, by_energy].into_iter().flatten().min()
    }
}

/// The state of a register, in watt-hours.
pub(super) fn to_watt_hours(register: u64) -> u64 {
    register / PER_WATT_HOUR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charging() -> Evse {
        Evse { plugged_in: true, session: true, authorized: true, transaction: true, ..Evse::default() }
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    #[test]
    fn the_meter_runs_with_power_and_time() {
        let mut connector = Connector::new(11_000);
        connector.read(hours(1), &Evse::default());
        assert_eq!(connector.meter_wh(), 0, "nothing flows without a transaction");
        connector.read(hours(3), &charging());
        assert_eq!(connector.meter_wh(), 22_000);
        connector.ev_takes = false;
        connector.read(hours(4), &charging());
        assert_eq!((connector.meter_wh(), connector.status(&charging(), true)), (22_000, ConnectorStatus::SuspendedEV));
        (connector.ev_takes, connector.power) = (true, 0);
        assert_eq!(connector.status(&charging(), true), ConnectorStatus::SuspendedEVSE);
        connector.read(hours(2), &charging());
        assert_eq!(connector.meter_wh(), 22_000, "time does not run backwards");
    }

    #[test]
    fn states_follow_the_session() {
        let mut connector = Connector::new(7_000);
        let plugged = Evse { plugged_in: true, session: true, ..Evse::default() };
        assert_eq!(connector.status(&Evse::default(), true), ConnectorStatus::Available);
        assert_eq!(connector.status(&plugged, true), ConnectorStatus::Preparing);
        connector.is_finishing = true;
        assert_eq!(connector.status(&plugged, true), ConnectorStatus::Finishing);
        assert_eq!(connector.status(&Evse { faulted: true, ..charging() }, true), ConnectorStatus::Faulted);
        assert_eq!(connector.status(&Evse::default(), false), ConnectorStatus::Unavailable);
        let reserved = Evse { reserved: Some(7), ..plugged };
        assert_eq!(connector.status(&reserved, true), ConnectorStatus::Reserved, "for whom is not known yet");
        let authorized = Evse { authorized: true, ..reserved };
        assert_eq!(connector.status(&authorized, true), ConnectorStatus::Finishing);
        assert_eq!(connector.status(&charging(), false), ConnectorStatus::Charging, "a transaction goes on to its end");
    }
}
