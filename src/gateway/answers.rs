//! Bodies of answers.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::chargers::OcppVersion;
use super::error::ApiError;
use super::events::FaultType;
use super::log::LogEntry;
use crate::station::charge_point::{Answer, SetResult, UpdateStatus, Where};

/// What a charge point answered, or why it did not do it.
pub type Outcome = Result<Answer, String>;

/// A command that a charger took.
#[derive(Debug, Serialize, JsonSchema)]
pub struct QueuedCommand {
    /// Unique.
    pub id: String,
    /// The command.
    pub event_type: String,
    /// What the charger speaks.
    pub ocpp_version: OcppVersion,
    /// The event as it was sent.
    #[schemars(extend("type" = "object"))]
    pub payload: Value,
}

/// What became of a command at each charger.
#[derive(Debug, Serialize, JsonSchema)]
pub struct QueuedCommands {
    /// The sum of the two below.
    pub targeted_count: u32,
    /// How many chargers took it.
    pub queued_count: u32,
    /// How many did not.
    pub failed_count: u32,
    /// Those that took it.
    pub results: Vec<QueuedAt>,
    /// Those that did not.
    pub failed: Vec<FailedAt>,
}

/// A charger that took a command.
#[derive(Debug, Serialize, JsonSchema)]
pub struct QueuedAt {
    /// Its id.
    pub charger_id: String,
    /// Its name in OCPP.
    pub identity: String,
    /// The command.
    pub command: QueuedCommand,
}

/// A charger that did not take a command.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FailedAt {
    /// Its name in OCPP.
    pub identity: String,
    /// Why.
    pub error: String,
}

/// What became of configuration keys.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Configured {
    /// What became of all together.
    status: ConfigurationStatus,
    /// The keys that have their new values, now or from the next start on.
    configured: Vec<String>,
    /// What became of each.
    msg: String,
}

/// What became of several keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ConfigurationStatus {
    /// All count.
    Accepted,
    /// All were taken, and some count from the next start on.
    RebootRequired,
    /// Some were taken and some not.
    PartiallyAccepted,
    /// None was taken.
    Rejected,
}

impl Configured {
    /// What the answer of a charge point says.
    ///
    /// # Errors
    /// When it answers something else.
    pub fn of(outcome: Outcome) -> Result<Self, ApiError> {
        let results = match outcome {
            Ok(Answer::Configured(results)) => results,
            Ok(_) => return Err(ApiError::Internal),
            Err(msg) => {
                return Ok(Self { status: ConfigurationStatus::Rejected, configured: Vec::new(), msg });
            }
        };
        let is_taken = |result: &SetResult| matches!(result, SetResult::Accepted | SetResult::RebootRequired);
        let (taken, others): (Vec<_>, Vec<_>) = results.iter().partition(|(_, result)| is_taken(result));
        let status = match (taken.is_empty(), others.is_empty()) {
            (true, _) => ConfigurationStatus::Rejected,
            (false, false) => ConfigurationStatus::PartiallyAccepted,
            _ if results.values().any(|it| *it == SetResult::RebootRequired) => ConfigurationStatus::RebootRequired,
            _ => ConfigurationStatus::Accepted,
        };
        let each: Vec<_> = results.iter().map(|(key, result)| format!("{key}: {result:?}")).collect();
        let configured = taken.into_iter().map(|(key, _)| key.clone()).collect();
        Ok(Self { status, configured, msg: each.join(", ") })
    }
}

/// The authorization cache is empty.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CacheReset {
    /// In words.
    msg: String,
    /// How many results were in it.
    cleared_entries: u32,
}

impl CacheReset {
    /// What the answer of a charge point says.
    ///
    /// # Errors
    /// When it refuses, or answers something else.
    pub fn of(outcome: Outcome) -> Result<Self, ApiError> {
        Ok(Self { msg: "Authorization cache cleared".to_owned(), cleared_entries: removed(outcome)? })
    }
}

/// The local list is empty.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListCleared {
    /// In words.
    msg: String,
    /// How many tags were in it.
    entries_deleted: u32,
}

impl ListCleared {
    /// What the answer of a charge point says.
    ///
    /// # Errors
    /// When it refuses, or answers something else.
    pub fn of(outcome: Outcome) -> Result<Self, ApiError> {
        Ok(Self { msg: "Local authorization list cleared".to_owned(), entries_deleted: removed(outcome)? })
    }
}

/// How many entries a charge point has removed. The bodies of these answers have no place for a refusal.
fn removed(outcome: Outcome) -> Result<u32, ApiError> {
    match outcome {
        Ok(Answer::Removed(count)) => Ok(u32::try_from(count).unwrap_or(u32::MAX)),
        Ok(_) => Err(ApiError::Internal),
        Err(why) => Err(ApiError::Refused(why)),
    }
}

/// What became of a local list that was sent.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListSent {
    /// What became of it.
    status: ListStatus,
    /// The version now in force.
    list_version: i32,
    /// How many tags were sent.
    entries_received: u32,
}

/// What became of an update (OCPP 1.6, UpdateStatus).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ListStatus {
    /// It is in force.
    Accepted,
    /// It is too long.
    Failed,
    /// The charger has no local list.
    NotSupported,
    /// The version is no later one.
    VersionMismatch,
}

impl ListSent {
    /// What the answer of a charge point says about a list of so many tags.
    ///
    /// # Errors
    /// When it answers something else.
    pub fn of(outcome: Outcome, entries: usize) -> Result<Self, ApiError> {
        let (status, list_version) = match outcome {
            Ok(Answer::List { status: UpdateStatus::Accepted, version }) => (ListStatus::Accepted, version),
            Ok(Answer::List { status: UpdateStatus::VersionMismatch, version }) => {
                (ListStatus::VersionMismatch, version)
            }
            Ok(Answer::List { status: UpdateStatus::Failed, version }) => (ListStatus::Failed, version),
            Ok(_) => return Err(ApiError::Internal),
            Err(_) => (ListStatus::NotSupported, 0),
        };
        Ok(Self { status, list_version, entries_received: u32::try_from(entries).unwrap_or(u32::MAX) })
    }
}

/// What became of a fault.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FaultInjected {
    /// In words.
    msg: String,
    /// The fault, where one was named.
    fault_type: Option<FaultType>,
    /// The EVSE.
    evse_id: Option<i32>,
    /// The connector.
    connector_id: Option<i32>,
    /// The state of the connector now, or `Rejected`.
    status: String,
}

impl FaultInjected {
    /// What the answer of a charge point says about a fault at a place.
    ///
    /// # Errors
    /// When it answers something else.
    pub fn of(outcome: Outcome, done: &str, at: Where, fault_type: Option<FaultType>) -> Result<Self, ApiError> {
        let (msg, evse_id, status) = match outcome {
            Ok(Answer::NowAt { evse, status }) => (done.to_owned(), Some(evse), format!("{status:?}")),
            Ok(_) => return Err(ApiError::Internal),
            Err(why) => (why, at.evse, "Rejected".to_owned()),
        };
        Ok(Self { msg, fault_type, evse_id, connector_id: at.connector, status })
    }
}

/// A charger.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Charger {
    /// Its id.
    pub id: String,
    /// Its name in OCPP.
    pub identity: String,
    /// A name for people.
    pub name: Option<String>,
    /// Who made it.
    pub vendor_name: Option<String>,
    /// What they call it.
    pub model: Option<String>,
    /// What it speaks to its CSMS.
    pub ocpp_version: OcppVersion,
    /// How many connectors it has.
    pub number_of_connectors: u8,
    /// Watts that flow at most at a connector.
    pub max_charging_power: u32,
    /// The kind of its connectors.
    pub connector_type: Option<String>,
    /// Where it stands.
    pub location_id: Option<String>,
    /// When it was there first.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// When something last happened to it.
    #[schemars(extend("format" = "date-time"))]
    pub updated_at: String,
}

/// A page of chargers.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChargerPage {
    /// The chargers.
    pub data: Vec<Charger>,
    /// How many there are in all.
    pub total: usize,
    /// The number of the page, from 1.
    pub page: i64,
    /// How many a page has at most.
    pub limit: i64,
}

/// A page of a charger's log.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogPage {
    /// The entries, the latest first.
    pub data: Vec<LogEntry>,
    /// How many are kept.
    pub total: usize,
    /// How many a page has at most.
    pub limit: i64,
    /// How many later ones were left out.
    pub offset: i64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_answer_of_another_kind_is_no_success() {
        let wrong = || Ok(Answer::Done);
        let at = Where { evse: Some(1), connector: None };
        assert_eq!(Configured::of(wrong()).unwrap_err(), ApiError::Internal);
        assert_eq!(CacheReset::of(wrong()).unwrap_err(), ApiError::Internal);
        assert_eq!(ListCleared::of(wrong()).unwrap_err(), ApiError::Internal);
        assert_eq!(ListSent::of(wrong(), 1).unwrap_err(), ApiError::Internal);
        assert_eq!(FaultInjected::of(wrong(), "done", at, None).unwrap_err(), ApiError::Internal);
    }

    #[test]
    fn a_refusal_without_a_place_in_the_body_is_an_error() {
        let refused = || Err("switched off".to_owned());
        assert_eq!(CacheReset::of(refused()).unwrap_err(), ApiError::Refused("switched off".to_owned()));
        assert_eq!(ListCleared::of(refused()).unwrap_err(), ApiError::Refused("switched off".to_owned()));
        assert_eq!(Configured::of(refused()).unwrap().status, ConfigurationStatus::Rejected);
    }
}
