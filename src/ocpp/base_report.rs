//! GetBaseReport and the NotifyReports that follow it (2.0.1, B07): what a charging station reports of itself.

use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Call, Situation};
use super::moment::rfc3339;
use super::v201;
use crate::station::charge_point::ConnectorStatus;
use crate::station::charge_point::keys::{self, Key, Kind};

/// The request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetBaseReport {
    request_id: i32,
    report_base: ReportBase,
}

/// How much is reported.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "OCPP has it so")]
enum ReportBase {
    /// What an operator can set.
    ConfigurationInventory,
    /// Everything.
    FullInventory,
    /// What can be used.
    SummaryInventory,
}

/// The most variables in a message.
const MOST: usize = 10;

impl GetBaseReport {
    /// The messages, which belong together by the number of the request.
    pub fn calls(&self, situation: Situation<'_>) -> Vec<Call> {
        let data = self.data(situation);
        let pieces: Vec<_> = data.chunks(MOST).collect();
        let call = |(number, piece): (usize, &&[Value])| {
            let payload = json!({"requestId": self.request_id, "generatedAt": rfc3339(situation.now), "seqNo": number,
                "tbc": number + 1 < pieces.len(), "reportData": piece});
            Call::new("NotifyReport", payload)
        };
        pieces.iter().enumerate().map(call).collect()
    }

    fn data(&self, situation: Situation<'_>) -> Vec<Value> {
        let with_keys = self.report_base != ReportBase::SummaryInventory;
        let with_states = self.report_base != ReportBase::ConfigurationInventory;
        let all = self.report_base == ReportBase::FullInventory;
        let keys = keys::TABLE.iter().filter(|key| with_keys && (all || !key.is_read_only));
        let mut data: Vec<_> = keys.filter_map(|key| of_key(key, situation.keys.get(key))).collect();
        if with_states {
            let state =
                |evse: i32| situation.states.get(&evse).map_or(ConnectorStatus::Available, |(status, _)| *status);
            data.push(availability(json!({"name": "ChargingStation"}), state(0)));
            for evse in 1..=i32::from(situation.evses) {
                data.push(availability(json!({"name": "EVSE", "evse": {"id": evse}}), state(evse)));
                let connector = json!({"name": "Connector", "evse": {"id": evse, "connectorId": 1}});
                data.push(availability(connector, state(evse)));
            }
        }
        data
    }
}

fn of_key(key: &Key, value: &str) -> Option<Value> {
    let (component, variable) = key.variable?;
    let kind = match key.kind {
        Kind::Boolean => "boolean",
        Kind::Number => "integer",
        Kind::Text => "string",
    };
    let mutability = if key.is_read_only { "ReadOnly" } else { "ReadWrite" };
    Some(json!({"component": {"name": component}, "variable": {"name": variable},
        "variableAttribute": [{"type": "Actual", "value": value, "mutability": mutability, "persistent": true}],
        "variableCharacteristics": {"dataType": kind, "supportsMonitoring": false}}))
}

fn availability(component: Value, state: ConnectorStatus) -> Value {
    json!({"component": component, "variable": {"name": "AvailabilityState"},
        "variableAttribute": [{"type": "Actual", "value": v201::word(state), "mutability": "ReadOnly"}],
        "variableCharacteristics": {"dataType": "OptionList", "supportsMonitoring": false,
            "valuesList": "Available,Occupied,Reserved,Unavailable,Faulted"}})
}
