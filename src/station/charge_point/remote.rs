//! What a CSMS asks of a charge point.

use std::collections::BTreeMap;

use super::super::{Effect, Station};
use super::config::CsmsLink;
use super::connector::ConnectorStatus;
use super::machine::Plan;
use super::report::Report;
use super::requests::{Answer, Meter, Outcome, Scope};
use super::tag::IdTag;
use crate::protocol::types::{AuthorizationType, IdToken, IdTokenType, ProvidedIdToken};

impl Station {
    /// Tells a CSMS outside how the charge point is configured.
    pub(super) fn tell_configuration(&mut self, out: &mut Vec<Effect>) {
        if let Some(charge_point) = self.charge_point.as_ref().filter(|it| it.link == CsmsLink::Outside) {
            out.push(Effect::Csms(Report::Configured(charge_point.authorization.keys.clone())));
        }
    }

    /// Tells a CSMS outside that the charge point has started, and how it is.
    pub(in crate::station) fn tell_boot(&mut self, out: &mut Vec<Effect>) {
        let whole = self.whole_status();
        let Some(charge_point) = self.charge_point.as_mut().filter(|it| it.link == CsmsLink::Outside) else { return };
        charge_point.told = whole;
        let mut states = BTreeMap::from([(0, (whole, None))]);
        for ((id, connector), evse) in (1..).zip(&mut charge_point.connectors).zip(&self.evses) {
            let is_in_service = charge_point.is_operative && connector.is_operative;
            connector.told = connector.status(evse, is_in_service);
            states.insert(id, (connector.told, connector.fault.clone()));
        }
        let keys = charge_point.authorization.keys.clone();
        out.push(Effect::Csms(Report::Booted { keys, states }));
    }

    /// Whether an EVSE is in service, and the charge point with it.
    pub(super) fn is_in_service(&self, evse: i32) -> bool {
        let Some(charge_point) = &self.charge_point else { return true };
        let index = usize::try_from(evse).ok().and_then(|evse| evse.checked_sub(1));
        let connector = index.and_then(|index| charge_point.connectors.get(index));
        charge_point.is_operative && connector.is_none_or(|connector| connector.is_operative)
    }

    /// The state of the connector of an EVSE; `None` if there is none.
    pub(super) fn connector_status(&self, id: i32) -> Option<ConnectorStatus> {
        let index = usize::try_from(id).ok().and_then(|id| id.checked_sub(1))?;
        let charge_point = self.charge_point.as_ref()?;
        Some(charge_point.status_of(charge_point.connectors.get(index)?, self.evses.get(index)?))
    }

    /// The state of the charge point as a whole. It is out of service once no transaction runs any more.
    pub(super) fn whole_status(&self) -> ConnectorStatus {
        let is_operative = self.charge_point.as_ref().is_none_or(|it| it.is_operative);
        let is_busy = self.evses.iter().any(|evse| evse.transaction);
        if is_operative || is_busy { ConnectorStatus::Available } else { ConnectorStatus::Unavailable }
    }

    /// Whether an EVSE is authorized for a token already.
    ///
    /// # Errors
    /// If it is authorized for another one.
    pub(super) fn check_token(&self, evse: i32, id_tag: &IdTag) -> Result<bool, String> {
        match self.auth.evse_view(evse).and_then(|view| view.identifier) {
            None => Ok(false),
            Some(token) if token.value.eq_ignore_ascii_case(id_tag.as_str()) => Ok(true),
            Some(_) => Err(format!("EVSE {evse}: another token is authorized")),
        }
    }

    /// Starts a transaction for the CSMS: now, or when an EV is plugged in within the connection timeout
    /// (1.6, 5.11; 2.0.1, F01 and F02). The token need not be authorized unless `AuthorizeRemoteTxRequests` says so.
    pub(super) fn start_remotely(
        &mut self,
        evse: Option<i32>,
        id_tag: IdTag,
        remote_start_id: Option<i32>,
        out: &mut Vec<Effect>,
    ) -> Outcome {
        let evse = match evse {
            Some(evse) => evse,
            None => {
                let is_free =
                    |evse: &i32| self.check_free(*evse).is_ok() && self.check_reserved(*evse, &id_tag).is_ok();
                let free = || (1..).take(self.evses.len()).filter(is_free);
                let plugged = free().find(|evse| self.evse(*evse).is_some_and(|evse| evse.plugged_in));
                plugged.or_else(|| free().next()).ok_or("no EVSE is free")?
            }
        };
        self.check_free(evse)?;
        self.check_reserved(evse, &id_tag)?;
        let is_granted = self.check_token(evse, &id_tag)?;
        let Some(charge_point) = &mut self.charge_point else { return Err("there is no charge point".to_owned()) };
        let is_asked_for = charge_point.authorization.keys.is_on("AuthorizeRemoteTxRequests");
        let plan = Plan { id_tag: id_tag.clone(), duration: None, energy_wh: None, remote_start_id };
        charge_point.plans.insert(evse, plan);
        if !is_granted {
            let value = id_tag.as_str().to_owned();
            let validation = self.validators.verdict(&value);
            let group = self.group_that_needs(evse, &id_tag);
            self.present(provided(value, group, evse, !is_asked_for), validation, out);
        }
        Ok(Answer::DoneAt(evse))
    }

    pub(super) fn change_availability(&mut self, of: Scope, is_operative: bool) -> Outcome {
        let Some(charge_point) = &mut self.charge_point else { return Err("there is no charge point".to_owned()) };
        let is_busy = match of {
            Scope::Evse(id) => {
                let no_such = || format!("there is no EVSE {id}");
                charge_point.connector_mut(id).ok_or_else(no_such)?.is_operative = is_operative;
                self.evse(id).is_some_and(|evse| evse.transaction)
            }
            Scope::Whole | Scope::WholeAndEach => {
                charge_point.is_operative = is_operative;
                if of == Scope::WholeAndEach {
                    charge_point.connectors.iter_mut().for_each(|connector| connector.is_operative = is_operative);
                }
                self.evses.iter().any(|evse| evse.transaction)
            }
        };
        Ok(if is_busy && !is_operative { Answer::Scheduled } else { Answer::Done })
    }

    pub(super) fn read_out(&self, evse: Option<i32>) -> Outcome {
        let connectors = self.charge_point.as_ref().map_or([].as_slice(), |it| it.connectors.as_slice());
        let meters: Vec<_> = (1..)
            .zip(connectors.iter().zip(&self.evses))
            .filter(|(id, _)| evse.is_none_or(|evse| evse == *id))
            .map(|(id, (connector, evse))| Meter {
                evse: id,
                meter_wh: connector.meter_wh(),
                power_w: connector.flowing(evse),
                transaction_id: connector.transaction.as_ref().map(|transaction| transaction.id.clone()),
            })
            .collect();
        if meters.is_empty() { Err("there is no such EVSE".to_owned()) } else { Ok(Answer::Meters(meters)) }
    }
}

/// A token that comes from the CSMS.
fn provided(value: String, group: Option<IdTag>, evse: i32, is_valid: bool) -> ProvidedIdToken {
    let id_token = |value| IdToken { additional_info: None, r#type: IdTokenType::Central, value };
    ProvidedIdToken {
        authorization_type: AuthorizationType::OCPP,
        certificate: None,
        connectors: Some(vec![evse]),
        id_token: id_token(value),
        certificate_hash_data: None,
        parent_id_token: group.map(|group| id_token(group.as_str().to_owned())),
        prevalidated: is_valid.then_some(true),
        request_id: None,
    }
}
