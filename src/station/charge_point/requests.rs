//! What a gateway asks of a charge point, and what comes of it at once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::evse::Evse;
use super::super::{Effect, Station};
use super::connector::ConnectorStatus;
use super::keys::SetResult;
use super::local_list::{UpdateStatus, UpdateType};
use super::machine::Plan;
use super::overview::Overview;
use super::report::StopReason;
use super::tag::{IdTag, TagInfo};
use crate::auth;
use crate::protocol::types::{AuthorizationType, IdToken, IdTokenType, ProvidedIdToken, ReservationResult};

/// Where something is to be done; nothing named means that there is but one place for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Where {
    /// From 1.
    pub evse: Option<i32>,
    /// From 1; in OCPP 1.6, which knows no EVSEs, the same number as the EVSE's.
    pub connector: Option<i32>,
}

/// An entry of the local list as it comes in; absent info removes the tag.
pub type ListEntry = (IdTag, Option<TagInfo>);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// All answers of the CSMS are forgotten.
    ResetCache,
    /// The local list is updated.
    UpdateList {
        /// How much of it.
        kind: UpdateType,
        /// Must be later than that of the list.
        version: i32,
        /// The update.
        entries: Vec<ListEntry>,
    },
    /// The local list is forgotten.
    ClearList,
    /// Configuration keys get values.
    Configure(BTreeMap<String, String>),
    /// A connector becomes unusable.
    InjectFault {
        /// Where.
        at: Where,
        /// Which fault.
        fault: String,
    },
    /// It is usable again.
    ClearFault(Where),
    /// An EV is plugged in.
    Plug(Where),
    /// It is unplugged.
    Unplug(Where),
    /// The connector is unlocked; a transaction ends before.
    Unlock(Where),
    /// A token is presented.
    Authorize(IdTag),
    /// A transaction starts, as soon as the token is authorized.
    StartTransaction {
        /// Where.
        at: Where,
        /// The token.
        id_tag: IdTag,
    },
    /// The transaction of this id ends, or the only one.
    StopTransaction(Option<String>),
    /// An EV is plugged in, the token presented, and a transaction started.
    StartSession {
        /// Where.
        at: Where,
        /// The token.
        id_tag: IdTag,
        /// How long the transaction may last.
        duration: Option<Duration>,
        /// How much energy may flow, in watt-hours.
        energy_wh: Option<u64>,
    },
    /// The transaction ends and the EV leaves.
    StopSession(Where),
    /// The EV takes energy, or takes none any more.
    EvTakes {
        /// Where.
        at: Where,
        /// Whether it does.
        takes: bool,
    },
    /// So many watts flow while charging.
    SetPower {
        /// Where.
        at: Where,
        /// Watts.
        watts: u32,
    },
    /// What it looks like now; changes nothing.
    Look,
    /// The CSMS wants a transaction, as soon as an EV is there.
    RemoteStart {
        /// The EVSE; any that suits if absent.
        evse: Option<i32>,
        /// The token.
        id_tag: IdTag,
        /// The number of the request.
        remote_start_id: Option<i32>,
    },
    /// Something goes into service or out of it; where a transaction runs, once that has ended.
    ChangeAvailability {
        /// What.
        of: Scope,
        /// Whether it is in service.
        is_operative: bool,
    },
    /// An EVSE is kept for a tag, or any.
    Reserve(auth::Reservation),
    /// The reservation of this number ends.
    CancelReservation(i32),
    /// All transactions end.
    EndTransactions(StopReason),
    /// The meter of an EVSE is read, or of all.
    ReadMeters(Option<i32>),
    /// The version of the local list is read.
    ReadListVersion,
}

/// What goes into service or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// An EVSE.
    Evse(i32),
    /// The charge point as a whole; in service again, each EVSE is what it was (2.0.1, G04).
    Whole,
    /// The charge point as a whole and each of its EVSEs (1.6, 5.2).
    WholeAndEach,
}

/// A meter as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    /// The EVSE.
    pub evse: i32,
    /// The register, in watt-hours.
    pub meter_wh: u64,
    /// What flows, in watts.
    pub power_w: u32,
    /// The transaction that runs.
    pub transaction_id: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was done at this EVSE.
    DoneAt(i32),
    /// It was done.
    Done,
    /// So many entries were removed.
    Removed(usize),
    /// What became of the update.
    List {
        /// It.
        status: UpdateStatus,
        /// The version now in force.
        version: i32,
    },
    /// It was done at this EVSE, whose connector is in this state now.
    NowAt {
        /// The EVSE.
        evse: i32,
        /// The state.
        status: ConnectorStatus,
    },
    /// What became of each key.
    Configured(BTreeMap<String, SetResult>),
    /// What it looks like.
    Seen(Box<Overview>),
    /// It will be done once the transactions have ended.
    Scheduled,
    /// What became of the reservation.
    Reserved(ReservationResult),
    /// The meters.
    Meters(Vec<Meter>),
    /// The version of the local list; `None` if there is no list.
    ListVersion(Option<i32>),
}

pub(super) type Outcome = Result<Answer, String>;

impl Station {
    /// Does what is asked.
    pub(in crate::station) fn fulfil(&mut self, request: Request, out: &mut Vec<Effect>) -> Outcome {
        let Some(charge_point) = &mut self.charge_point else { return Err("there is no charge point".to_owned()) };
        let authorization = &mut charge_point.authorization;
        match request {
            Request::Look => {
                let seen = self.overview().ok_or_else(|| "there is no charge point".to_owned())?;
                Ok(Answer::Seen(Box::new(seen)))
            }
            Request::ResetCache => match authorization.reset_cache() {
                Some(count) => Ok(Answer::Removed(count)),
                None => Err("the authorization cache is switched off".to_owned()),
            },
            Request::UpdateList { kind, version, entries } => match authorization.update_list(kind, version, entries) {
                Some(status) => Ok(Answer::List { status, version: authorization.list().version() }),
                None => Err("the local authorization list is switched off".to_owned()),
            },
            Request::ClearList => Ok(Answer::Removed(authorization.clear_list())),
            Request::Configure(values) => {
                let set = |(name, value): (String, String)| {
                    let result = authorization.keys.set(&name, &value);
                    (name, result)
                };
                let results = values.into_iter().map(set).collect();
                self.tell_configuration(out);
                Ok(Answer::Configured(results))
            }
            Request::InjectFault { at, fault } => {
                let evse = self.the(at, |evse| !evse.faulted)?;
                self.act(evse, Evse::inject_fault, out)?;
                if let Some(connector) = self.charge_point.as_mut().and_then(|it| it.connector_mut(evse)) {
                    connector.fault = Some(fault);
                }
                self.now_at(evse)
            }
            Request::ClearFault(at) => {
                let evse = self.the(at, |evse| evse.faulted)?;
                self.act(evse, Evse::clear_fault, out)?;
                self.now_at(evse)
            }
            Request::Plug(at) => {
                let evse = self.the(at, |evse| !evse.plugged_in)?;
                self.act(evse, Evse::plug_in, out)
            }
            Request::Unplug(at) => {
                let evse = self.the(at, |evse| evse.plugged_in)?;
                self.act(evse, Evse::unplug, out)
            }
            Request::Unlock(at) => {
                let evse = self.the(at, |evse| evse.transaction || evse.plugged_in)?;
                self.end_transaction(evse, StopReason::UnlockCommand, out);
                Ok(Answer::DoneAt(evse))
            }
            Request::Authorize(id_tag) => {
                self.present_tag(&id_tag, None, out);
                Ok(Answer::Done)
            }
            Request::StartTransaction { at, id_tag } => {
                let evse = self.the(at, |evse| evse.plugged_in && !evse.transaction)?;
                self.begin(evse, Plan { id_tag, duration: None, energy_wh: None, remote_start_id: None }, out)
            }
            Request::StopTransaction(id) => {
                let evse = self.running(id.as_deref())?;
                self.end_transaction(evse, StopReason::Remote, out);
                Ok(Answer::DoneAt(evse))
            }
            Request::StartSession { at, id_tag, duration, energy_wh } => {
                let evse = self.the(at, |evse| !evse.transaction && !evse.faulted)?;
                self.check_free(evse)?;
                self.check_reserved(evse, &id_tag)?;
                if !self.evse(evse).is_some_and(|evse| evse.plugged_in) {
                    self.act(evse, Evse::plug_in, out)?;
                }
                self.begin(evse, Plan { id_tag, duration, energy_wh, remote_start_id: None }, out)
            }
            Request::StopSession(at) => {
                let evse = self.the(at, |evse| evse.transaction)?;
                self.end_transaction(evse, StopReason::Remote, out);
                // The CSMS hears of the end before the EV leaves.
                self.settle_charge_point(out);
                self.act(evse, Evse::unplug, out)
            }
            Request::EvTakes { at, takes } => {
                let evse = self.the(at, |evse| evse.transaction)?;
                self.evse(evse).filter(|it| it.transaction).ok_or_else(|| no_transaction(evse))?;
                self.change(evse, |connector| connector.ev_takes = takes)
            }
            Request::SetPower { at, watts } => {
                let evse = self.the(at, |evse| evse.transaction)?;
                self.change(evse, |connector| connector.power = watts)
            }
            Request::RemoteStart { evse, id_tag, remote_start_id } => {
                self.start_remotely(evse, id_tag, remote_start_id, out)
            }
            Request::ChangeAvailability { of, is_operative } => self.change_availability(of, is_operative),
            Request::Reserve(reservation) => self.reserve(reservation, out),
            Request::CancelReservation(id) => self.cancel_reservation(id, out),
            Request::EndTransactions(reason) => {
                for evse in (1..).take(self.evses.len()) {
                    self.end_transaction(evse, reason, out);
                }
                Ok(Answer::Done)
            }
            Request::ReadMeters(evse) => self.read_out(evse),
            Request::ReadListVersion => {
                let is_there = authorization.keys.is_on("LocalAuthListEnabled");
                Ok(Answer::ListVersion(is_there.then(|| authorization.list().version())))
            }
        }
    }

    /// The EVSE that is meant: the one named, else the first that suits.
    fn the(&self, at: Where, suits: impl Fn(&Evse) -> bool) -> Result<i32, String> {
        let named = match (at.evse, at.connector) {
            (Some(evse), Some(connector)) if connector != 1 && connector != evse => {
                return Err(format!("EVSE {evse} has no connector {connector}"));
            }
            (Some(evse), _) => Some(evse),
            (None, connector) => connector,
        };
        match named {
            Some(evse) => self.evse(evse).map(|_| evse).ok_or_else(|| format!("there is no EVSE {evse}")),
            None => {
                let suiting = (1..).zip(&self.evses).find(|(_, evse)| suits(evse)).map(|(id, _)| id);
                suiting.ok_or_else(|| "no EVSE is in a state for it".to_owned())
            }
        }
    }

    pub(in crate::station) fn evse(&self, id: i32) -> Option<&Evse> {
        self.evses.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    /// Does something at an EVSE that exists.
    fn act(
        &mut self,
        id: i32,
        act: impl Fn(&mut Evse) -> Result<&'static [auth::SessionEvent], &'static str>,
        out: &mut Vec<Effect>,
    ) -> Outcome {
        let mut trial = self.evse(id).copied().ok_or_else(|| format!("there is no EVSE {id}"))?;
        act(&mut trial).map_err(|why| format!("EVSE {id}: {why}"))?;
        self.at_evse(id, act, out);
        Ok(Answer::DoneAt(id))
    }

    fn now_at(&self, id: i32) -> Outcome {
        self.connector_status(id)
            .map(|status| Answer::NowAt { evse: id, status })
            .ok_or_else(|| format!("there is no EVSE {id}"))
    }

    fn change(&mut self, evse: i32, change: impl FnOnce(&mut super::connector::Connector)) -> Outcome {
        let connector = self.charge_point.as_mut().and_then(|it| it.connector_mut(evse));
        connector.map(change).ok_or_else(|| format!("there is no EVSE {evse}"))?;
        Ok(Answer::DoneAt(evse))
    }

    pub(super) fn check_free(&self, id: i32) -> Result<(), String> {
        match self.evse(id) {
            Some(evse) if evse.transaction => Err(format!("EVSE {id}: a transaction runs already")),
            Some(evse) if evse.faulted => Err(format!("EVSE {id}: it is faulted")),
            Some(_) if !self.is_in_service(id) => Err(format!("EVSE {id}: it is out of service")),
            Some(_) => Ok(()),
            None => Err(format!("there is no EVSE {id}")),
        }
    }

    /// Starts a transaction: at once if the EVSE is authorized for the token already, else when it is.
    fn begin(&mut self, id: i32, plan: Plan, out: &mut Vec<Effect>) -> Outcome {
        self.check_free(id)?;
        self.check_reserved(id, &plan.id_tag)?;
        if !self.evse(id).is_some_and(|evse| evse.plugged_in) {
            return Err(format!("EVSE {id}: no EV is plugged in"));
        }
        let is_granted = self.check_token(id, &plan.id_tag)?;
        let id_tag = plan.id_tag.clone();
        if let Some(charge_point) = &mut self.charge_point {
            charge_point.plans.insert(id, plan);
        }
        if !is_granted {
            self.present_tag(&id_tag, Some(id), out);
        }
        Ok(Answer::DoneAt(id))
    }

    fn end_transaction(&mut self, evse: i32, reason: StopReason, out: &mut Vec<Effect>) {
        if self.evse(evse).is_some_and(|evse| evse.transaction) {
            if let Some(charge_point) = &mut self.charge_point {
                charge_point.give_reason(evse, reason);
            }
            self.at_evse(evse, Evse::stop_transaction, out);
        }
    }

    /// The EVSE of a transaction.
    fn running(&self, id: Option<&str>) -> Result<i32, String> {
        let connectors = self.charge_point.as_ref().map_or([].as_slice(), |it| it.connectors.as_slice());
        let running = (1..).zip(connectors).filter_map(|(evse, it)| Some((evse, it.transaction.as_ref()?)));
        let mut meant = running.filter(|(_, transaction)| id.is_none_or(|id| transaction.id == id));
        match (meant.next(), meant.next(), id) {
            (Some((evse, _)), None, _) => Ok(evse),
            (Some(_), Some(_), _) => Err("several transactions run; say which with `transaction_id`".to_owned()),
            (None, _, Some(id)) => Err(format!("no transaction `{id}` runs")),
            (None, _, None) => Err("no transaction runs".to_owned()),
        }
    }

    /// A token is presented at the charger.
    fn present_tag(&mut self, id_tag: &IdTag, evse: Option<i32>, out: &mut Vec<Effect>) {
        let id_token =
            IdToken { additional_info: None, r#type: IdTokenType::ISO14443, value: id_tag.as_str().to_owned() };
        let token = ProvidedIdToken {
            authorization_type: AuthorizationType::RFID,
            certificate: None,
            connectors: evse.map(|evse| vec![evse]),
            id_token,
            certificate_hash_data: None,
            parent_id_token: None,
            prevalidated: None,
            request_id: None,
        };
        let verdict = self.validators.verdict(&token.id_token.value);
        self.present(token, verdict, out);
    }
}

fn no_transaction(evse: i32) -> String {
    format!("EVSE {evse}: no transaction runs")
}
