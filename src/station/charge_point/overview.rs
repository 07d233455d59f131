//! What a charge point looks like from outside, for people. Changes nothing.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::Station;
use super::connector::ConnectorStatus;
use super::course::CourseOverview;

/// A charge point at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Overview {
    /// Whether its CSMS can be reached.
    pub csms_online: bool,
    /// How many answers of the CSMS are in the authorization cache.
    pub cached_tags: usize,
    /// How many tags are in the local authorization list.
    pub listed_tags: usize,
    /// The version of that list.
    pub list_version: i32,
    /// By EVSE.
    pub connectors: Vec<ConnectorOverview>,
}

/// The connector of an EVSE at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConnectorOverview {
    /// The EVSE, from 1.
    pub evse_id: i32,
    /// Its state in OCPP's words.
    pub status: ConnectorStatus,
    /// Whether an EV is plugged in.
    pub plugged_in: bool,
    /// Whether it is faulted.
    pub faulted: bool,
    /// The fault, as it was injected.
    pub fault: Option<String>,
    /// The tag that may use it.
    pub granted_to: Option<String>,
    /// The meter, in watt-hours.
    pub meter_wh: u64,
    /// What flows, in watts.
    pub power_w: u32,
    /// The transaction that runs.
    pub transaction: Option<TransactionOverview>,
    /// What flowed in the latest transaction.
    pub course: Option<CourseOverview>,
}

/// A transaction at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TransactionOverview {
    /// Its id.
    pub id: String,
    /// The token that started it.
    pub id_tag: String,
    /// What has flowed, in watt-hours.
    pub energy_wh: u64,
    /// How long it has run, in seconds.
    pub seconds: u64,
}

impl Station {
    /// The charge point as it looks now; meters are as they were last read.
    pub(in crate::station) fn overview(&self) -> Option<Overview> {
        let charge_point = self.charge_point.as_ref()?;
        let places = (1..).zip(charge_point.connectors.iter().zip(&self.evses));
        let connectors = places.map(|(evse_id, (connector, evse))| {
            let meter_wh = connector.meter_wh();
            let transaction = connector.transaction.as_ref().map(|it| TransactionOverview {
                id: it.id.clone(),
                id_tag: it.id_tag.as_str().to_owned(),
                energy_wh: meter_wh.saturating_sub(it.meter_start_wh),
                seconds: self.now.saturating_sub(it.started_at).as_secs(),
            });
            ConnectorOverview {
                evse_id,
                status: charge_point.status_of(connector, evse),
                plugged_in: evse.plugged_in,
                faulted: evse.faulted,
                fault: connector.fault.clone(),
                granted_to: self.auth.evse_view(evse_id).and_then(|view| Some(view.identifier?.value.clone())),
                meter_wh,
                power_w: connector.flowing(evse),
                transaction,
                course: connector.course(evse),
            }
        });
        Some(Overview {
            csms_online: charge_point.is_online,
            cached_tags: charge_point.authorization.cache().len(),
            listed_tags: charge_point.authorization.list().len(),
            list_version: charge_point.authorization.list().version(),
            connectors: connectors.collect(),
        })
    }
}
