//! The JSON Schemas themselves, each as its AsyncAPI file has it.

use serde_json::{Value, json};

use crate::protocol::deviations::{Deviation, Deviations};
use crate::protocol::release::Release;

pub(super) fn withdraw(release: Release) -> Value {
    let required: &[&str] = if release >= Release::V2026_02 { &["payload"] } else { &[] };
    json!({
        "type": "object",
        "required": required,
        "properties": {
            "headers": {"type": "object", "properties": {"replyTo": {"type": "string"}}},
            "payload": {
                "type": "object",
                "properties": {"evse_id": {"type": "integer"}, "id_token": {"$ref": "#/definitions/IdToken"}},
            },
        },
        "definitions": {"IdToken": id_token(), "CustomIdToken": custom_id_token()},
    })
}

pub(super) fn withdraw_reply() -> Value {
    json!({"enum": ["Accepted", "AuthorizationNotFound", "EvseNotFound", "Rejected"]})
}

pub(super) fn get() -> Value {
    json!({
        "type": "object",
        "required": ["headers"],
        "properties": {
            "headers": {
                "type": "object",
                "required": ["replyTo"],
                "properties": {"replyTo": {"type": "string"}},
            },
        },
    })
}

pub(super) fn heartbeat(in_force: Deviations) -> Value {
    // The specifications up to 2025.10 have no payload here.
    json!({"type": if in_force.is_on(Deviation::EmptyHeartbeat) { "object" } else { "integer" }})
}

pub(super) fn communication_check() -> Value {
    json!({"type": "boolean"})
}

/// Every status, in the order of the specification.
const STATUSES: [&str; 8] =
    ["Processing", "Accepted", "Rejected", "TimedOut", "UsedToStart", "UsedToStop", "Withdrawn", "UsedToReauthorize"];

pub(super) fn status(in_force: Deviations) -> Value {
    // Some were published before their specification listed them; these did not exist.
    let is_absent = |status: &&str| match *status {
        "UsedToStart" => in_force.is_on(Deviation::NoUsedToStart),
        "UsedToStop" => in_force.is_on(Deviation::StopSaysAccepted),
        "UsedToReauthorize" => in_force.is_on(Deviation::NoReauthorization),
        _ => false,
    };
    let statuses: Vec<_> = STATUSES.into_iter().filter(|status| !is_absent(status)).collect();
    let mut properties = json!({
        "token": {"$ref": "#/definitions/ProvidedIdToken"},
        "status": {"enum": statuses},
        "messages": {"type": "array", "items": message_content()},
    });
    if in_force.is_on(Deviation::ValidationResults) {
        properties["validation_results"] = json!({"type": "array", "items": validation_result()});
    }
    json!({
        "type": "object",
        "required": ["token", "status"],
        "properties": properties,
        "definitions": {
            "IdToken": id_token(),
            "CustomIdToken": custom_id_token(),
            "ProvidedIdToken": provided_id_token(),
        },
    })
}

fn id_token() -> Value {
    json!({
        "type": "object",
        "required": ["value", "type"],
        "properties": {
            "value": {"type": "string", "maxLength": 36},
            "type": {
                "enum": [
                    "Central", "eMAID", "MacAddress", "ISO14443", "ISO15693", "KeyCode", "Local", "NoAuthorization",
                ],
            },
            "additional_info": {"type": "array", "items": {"$ref": "#/definitions/CustomIdToken"}},
        },
    })
}

fn custom_id_token() -> Value {
    json!({
        "type": "object",
        "required": ["value", "type"],
        "properties": {
            "value": {"type": "string", "maxLength": 36},
            "type": {"type": "string", "maxLength": 50},
        },
    })
}

fn provided_id_token() -> Value {
    json!({
        "type": "object",
        "required": ["id_token", "authorization_type"],
        "properties": {
            "request_id": {"type": "integer"},
            "id_token": {"$ref": "#/definitions/IdToken"},
            "parent_id_token": {"$ref": "#/definitions/IdToken"},
            "authorization_type": {"enum": ["OCPP", "RFID", "Autocharge", "PlugAndCharge", "BankCard"]},
            "connectors": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "prevalidated": {"type": "boolean"},
            "certificate": {"type": "string", "maxLength": 5500},
            "iso15118CertificateHashData": {
                "type": "array", "minItems": 1, "maxItems": 4, "items": certificate_hash_data(),
            },
        },
    })
}

fn certificate_hash_data() -> Value {
    json!({
        "type": "object",
        "required": ["hashAlgorithm", "issuerNameHash", "issuerKeyHash", "serialNumber", "responderURL"],
        "properties": {
            "hashAlgorithm": {"enum": ["SHA256", "SHA384", "SHA512"]},
            "issuerNameHash": {"type": "string", "maxLength": 128},
            "issuerKeyHash": {"type": "string", "maxLength": 128},
            "serialNumber": {"type": "string", "maxLength": 40},
            "responderURL": {"type": "string", "maxLength": 512},
        },
    })
}

fn message_content() -> Value {
    json!({
        "type": "object",
        "required": ["content"],
        "properties": {
            "content": {"type": "string"},
            "format": {"enum": ["ASCII", "HTML", "URI", "UTF8", "QRCODE"]},
            "language": {"type": "string"},
        },
    })
}

/// `auth_token_provider_API.yaml`.
pub(super) fn provided_token() -> Value {
    with_definitions(json!({"allOf": [{"$ref": "#/definitions/ProvidedIdToken"}]}))
}

/// `auth_token_validator_API.yaml`.
pub(super) fn validate_token() -> Value {
    with_definitions(json!({
        "type": "object",
        "required": ["payload"],
        "properties": {
            "headers": {"type": "object", "properties": {"replyTo": {"type": "string"}}},
            "payload": {"$ref": "#/definitions/ProvidedIdToken"},
        },
    }))
}

/// `auth_token_validator_API.yaml`.
pub(super) fn validate_reply() -> Value {
    with_definitions(validation_result())
}

/// `auth_token_validator_API.yaml`.
pub(super) fn result_update() -> Value {
    with_definitions(json!({
        "type": "object",
        "required": ["validation_result", "connector_id"],
        "properties": {"validation_result": validation_result(), "connector_id": {"type": "integer"}},
    }))
}

/// `entrypoint_API.yaml`; unlike other requests, it need not have `headers`.
pub(super) fn discover() -> Value {
    let headers = json!({"type": "object", "properties": {"replyTo": {"type": "string"}}});
    json!({"type": "object", "properties": {"headers": headers}})
}

/// `entrypoint_API.yaml`.
pub(super) fn beacon() -> Value {
    json!({"type": "object"})
}

/// `entrypoint_API.yaml`.
pub(super) fn discovery() -> Value {
    let monitoring = json!({
        "type": "object",
        "properties": {
            "heartbeat_period_ms": {"type": "integer"},
            "communication_check_period_s": {"type": "integer"},
            "request_reply_timeout_s": {"type": "integer"},
        },
    });
    let api = json!({
        "type": "object",
        "required": ["type", "module_id", "version"],
        "properties": {
            "type": {"type": "string"},
            "module_id": {"type": "string"},
            "version": {"type": "integer"},
            "communication_monitoring": monitoring,
        },
    });
    json!({"type": "object", "required": ["apis"], "properties": {"apis": {"type": "array", "items": api}}})
}

/// `auth_consumer_API.yaml` of 2025.10.0.
pub(super) fn connection_timeout() -> Value {
    json!({"type": "integer", "minimum": 10, "maximum": 300})
}

/// `auth_consumer_API.yaml` of 2025.10.0.
pub(super) fn master_pass_group() -> Value {
    json!({"type": "string", "maxLength": 36})
}

fn validation_result() -> Value {
    json!({
        "type": "object",
        "required": ["authorization_status", "tariff_messages"],
        "properties": {
            "authorization_status": {
                "enum": [
                    "Accepted", "Blocked", "ConcurrentTx", "Expired", "Invalid", "NoCredit", "NotAllowedTypeEVSE",
                    "NotAtThisLocation", "NotAtThisTime", "Unknown", "PinRequired", "Timeout",
                ],
            },
            "certificate_status": {
                "enum": [
                    "Accepted", "SignatureError", "CertificateExpired", "CertificateRevoked",
                    "NoCertificateAvailable", "CertChainError", "ContractCancelled",
                ],
            },
            "tariff_messages": {"type": "array", "items": message_content()},
            "expiry_time": {"type": "string"},
            "parent_id_token": {"$ref": "#/definitions/IdToken"},
            "evse_ids": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "reservation_id": {"type": "integer"},
            "allowed_energy_transfer_modes": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "enum": [
                        "AC_single_phase_core", "AC_two_phase", "AC_three_phase_core", "DC_core", "DC_extended",
                        "DC_combo_core", "DC_unique", "DC", "AC_BPT", "AC_BPT_DER", "AC_DER", "AC_DER_IEC",
                        "AC_DER_SAE", "DC_BPT", "DC_ACDP", "DC_ACDP_BPT", "WPT", "MCS", "MCS_BPT",
                    ],
                },
            },
        },
    })
}

/// Interface `evse_manager`.
pub(super) fn authorize_response() -> Value {
    with_definitions(json!({
        "type": "object",
        "required": ["token", "result"],
        "properties": {"token": {"$ref": "#/definitions/ProvidedIdToken"}, "result": validation_result()},
    }))
}

/// `types/evse_manager.yaml`, `StopTransactionRequest`.
pub(super) fn stop_transaction() -> Value {
    with_definitions(json!({
        "type": "object",
        "required": ["reason"],
        "properties": {
            "reason": {
                "enum": [
                    "EmergencyStop", "EVDisconnected", "HardReset", "Local", "Other", "PowerLoss", "Reboot", "Remote",
                    "SoftReset", "UnlockCommand", "DeAuthorized", "EnergyLimitReached", "GroundFault",
                    "LocalOutOfCredit", "MasterPass", "OvercurrentFault", "PowerQuality", "SOCLimitReached",
                    "StoppedByEV", "TimeLimitReached", "Timeout", "ReqEnergyTransferRejected", "EVSEDisabled",
                ],
            },
            "id_tag": {"$ref": "#/definitions/ProvidedIdToken"},
        },
    }))
}

/// Interface `evse_manager`.
pub(super) fn reserve() -> Value {
    json!({"type": "object", "required": ["reservation_id"], "properties": {"reservation_id": {"type": "integer"}}})
}

/// A call without arguments.
pub(super) fn nothing() -> Value {
    json!({"type": ["null", "object"], "properties": {}})
}

/// A schema with the types that it may refer to.
fn with_definitions(mut schema: Value) -> Value {
    schema["definitions"] = json!({
        "IdToken": id_token(),
        "CustomIdToken": custom_id_token(),
        "ProvidedIdToken": provided_id_token(),
    });
    schema
}
