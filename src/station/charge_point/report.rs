//! What a charge point and its CSMS say to each other, in no version of OCPP.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use super::super::RequestId;
use super::connector::{ConnectorStatus, Transaction};
use super::keys::Keys;
use super::tag::{IdTag, TagInfo};
use crate::auth::StopTransactionReason;
use crate::protocol::types::ReservationStatus;

/// What a charge point tells its CSMS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// It asks about a tag; [`CsmsInput::Authorized`] answers.
    Authorize {
        /// Comes back with the answer.
        #[serde(skip)]
        request: RequestId,
        /// About what.
        id_tag: IdTag,
    },
    /// A connector has a new state, or the charge point as a whole.
    Status {
        /// The EVSE; 0 for the charge point as a whole.
        evse: i32,
        /// The state.
        status: ConnectorStatus,
        /// With `Faulted`, the fault as it was injected.
        #[serde(skip_serializing_if = "Option::is_none")]
        fault: Option<String>,
    },
    /// A transaction began; [`CsmsInput::TransactionNoted`] answers.
    TransactionStarted {
        /// The EVSE.
        evse: i32,
        /// It.
        transaction: Transaction,
    },
    /// A transaction charges, or does not any more; not told at its start, when it does.
    ChargingState {
        /// The EVSE.
        evse: i32,
        /// Of which transaction.
        transaction_id: String,
        /// `Charging`, `SuspendedEV` or `SuspendedEVSE`.
        status: ConnectorStatus,
    },
    /// The meter, while a transaction runs.
    MeterValue {
        /// The EVSE.
        evse: i32,
        /// Of which transaction.
        transaction_id: String,
        /// The register, in watt-hours.
        meter_wh: u64,
        /// What flows, in watts.
        power_w: u32,
    },
    /// A transaction ended.
    TransactionStopped {
        /// The EVSE.
        evse: i32,
        /// It.
        transaction: Transaction,
        /// The register, in watt-hours.
        meter_wh: u64,
        /// Why.
        reason: StopReason,
    },
    /// A reservation ended that was not used, and not by the CSMS.
    #[schemars(skip)]
    ReservationEnded {
        /// Its number.
        id: i32,
        /// How.
        how: ReservationStatus,
    },
    /// It has started; told to a CSMS outside only.
    #[schemars(skip)]
    Booted {
        /// With this configuration.
        keys: Keys,
        /// With these states, by EVSE, the charge point as a whole at 0; with `Faulted`, the fault as it was injected.
        states: BTreeMap<i32, (ConnectorStatus, Option<String>)>,
    },
    /// The configuration as it is from now on; told to a CSMS outside only.
    #[schemars(skip)]
    Configured(Keys),
}

/// The JSON Schema of what a report of this name says; `None` for those that scenarios do not name.
pub fn report_schema(name: &str) -> Option<Value> {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut all = generator.into_root_schema_for::<Report>().to_value();
    let reports = all["oneOf"].as_array()?.iter();
    let mut report = reports.filter_map(|report| report["properties"].get(name)).next()?.clone();
    report["$defs"] = all["$defs"].take();
    Some(report)
}

/// Why a transaction ended (OCPP 1.6, Reason).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum StopReason {
    /// The authorization is void.
    DeAuthorized,
    /// The EV left.
    EVDisconnected,
    /// The charge point restarts at once.
    HardReset,
    /// At the charger: a token, a limit, a button.
    Local,
    /// It had to end: the charge point has started anew.
    Reboot,
    /// On behalf of a CSMS or a gateway.
    Remote,
    /// The charge point restarts in good order.
    SoftReset,
    /// The connector was unlocked.
    UnlockCommand,
}

impl From<StopTransactionReason> for StopReason {
    fn from(reason: StopTransactionReason) -> Self {
        match reason {
            StopTransactionReason::DeAuthorized => StopReason::DeAuthorized,
            StopTransactionReason::Local | StopTransactionReason::MasterPass => StopReason::Local,
        }
    }
}

/// What a CSMS says, or what is noticed of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CsmsInput {
    /// It can be reached, or not any more.
    Online(bool),
    /// Its answer about a tag.
    Authorized {
        /// Of which question.
        request: RequestId,
        /// What it says.
        info: TagInfo,
    },
    /// It gave no answer about a tag, and will give none.
    Unanswered(RequestId),
    /// What it says of a tag in its answer to the end of a transaction.
    TagNoted {
        /// The tag.
        id_tag: IdTag,
        /// What it says.
        info: TagInfo,
    },
    /// It has taken note of a transaction.
    TransactionNoted {
        /// The id that the transaction had.
        transaction: String,
        /// Its tag.
        id_tag: IdTag,
        /// The id that it gave it.
        named: Option<String>,
        /// What it says of the tag.
        info: Option<TagInfo>,
    },
}
