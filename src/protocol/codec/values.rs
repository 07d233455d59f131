//! The types of the API out of JSON values, as `auth/json_codec.cpp` reads them with nlohmann/json.
//!
//! Each leniency asks [`Deviations`] whether it is in force; what holds without it is strict.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::value::StrDeserializer;
use serde_json::{Map, Value};

use crate::protocol::deviations::{Deviation, Deviations};
use crate::protocol::types::{
    AuthorizationStatus, CertificateHashData, CustomIdToken, EnergyTransferMode, IdToken, IdTokenType, MessageContent,
    ProvidedIdToken, ValidationResult, ValidationResultUpdate, WithdrawAuthorizationRequest,
};

/// The longest value of an id token that the specification allows, in characters.
pub(super) const LONGEST_TOKEN: usize = 36;

/// A withdraw request; what names nothing means everything.
pub(super) fn withdraw_request(payload: Value, d: Deviations) -> Result<WithdrawAuthorizationRequest, String> {
    let mut payload = match payload {
        Value::Object(payload) => payload,
        _ if d.is_on(Deviation::WithdrawAllByAnyPayload) => return Ok(WithdrawAuthorizationRequest::default()),
        other => return Err(format!("the `payload` is {}", kind(&other))),
    };
    let named = payload.len();
    let evse_id = optional(&mut payload, "evse_id", |value| integer(&value, "evse_id", d))?;
    let id_token = optional(&mut payload, "id_token", |value| id_token(value, "id_token", d))?;
    if payload.len() == named && named > 0 && !d.is_on(Deviation::WithdrawAllByTypo) {
        return Err("the `payload` has neither `evse_id` nor `id_token`, only others".to_owned());
    }
    Ok(WithdrawAuthorizationRequest { evse_id, id_token })
}

/// A token as a provider hands it in.
pub(super) fn provided_token(value: Value, d: Deviations) -> Result<ProvidedIdToken, String> {
    let mut token = object(value, "the token")?;
    let hash_data = |value| items(value, "iso15118CertificateHashData", d, |item| certificate_hash_data(&item));
    Ok(ProvidedIdToken {
        id_token: id_token(required(&mut token, "id_token")?, "id_token", d)?,
        authorization_type: name(required(&mut token, "authorization_type")?, "authorization_type")?,
        request_id: optional(&mut token, "request_id", |value| integer(&value, "request_id", d))?,
        parent_id_token: optional(&mut token, "parent_id_token", |value| id_token(value, "parent_id_token", d))?,
        connectors: optional(&mut token, "connectors", |value| integers(value, "connectors", d))?,
        prevalidated: optional(&mut token, "prevalidated", |value| match value {
            Value::Bool(value) => Ok(value),
            other => Err(format!("`prevalidated` is {}, not a boolean", kind(&other))),
        })?,
        certificate: optional(&mut token, "certificate", |value| string(value, "certificate"))?,
        // It is read either way: a malformed one spoils the token.
        certificate_hash_data: optional(&mut token, "iso15118CertificateHashData", hash_data)?
            .filter(|_| !d.is_on(Deviation::CertificateHashDataDropped)),
    })
}

/// What a validator says.
pub(super) fn validation_result(value: Value, d: Deviations) -> Result<ValidationResult, String> {
    let mut result = object(value, "the result")?;
    let status: AuthorizationStatus = name(required(&mut result, "authorization_status")?, "authorization_status")?;
    if matches!(status, AuthorizationStatus::PinRequired | AuthorizationStatus::Timeout)
        && d.is_on(Deviation::UnknownPinRequired)
    {
        return Err("`authorization_status` is unknown to this release".to_owned());
    }
    let messages = |value| items(value, "tariff_messages", d, message_content);
    let modes = |value| items(value, "allowed_energy_transfer_modes", d, |item| energy_transfer_mode(item, d));
    let tariff_messages = match optional(&mut result, "tariff_messages", messages)? {
        Some(messages) => messages,
        None if d.is_on(Deviation::TariffMessagesRequired) => return Err("there are no `tariff_messages`".to_owned()),
        None => Vec::new(),
    };
    Ok(ValidationResult {
        allowed_energy_transfer_modes: optional(&mut result, "allowed_energy_transfer_modes", modes)?,
        authorization_status: status,
        certificate_status: optional(&mut result, "certificate_status", |value| name(value, "certificate_status"))?,
        evse_ids: optional(&mut result, "evse_ids", |value| integers(value, "evse_ids", d))?,
        expiry_time: optional(&mut result, "expiry_time", |value| string(value, "expiry_time"))?,
        parent_id_token: optional(&mut result, "parent_id_token", |value| id_token(value, "parent_id_token", d))?,
        reservation_id: optional(&mut result, "reservation_id", |value| integer(&value, "reservation_id", d))?,
        tariff_messages,
    })
}

/// A validator's change of mind.
pub(super) fn result_update(value: Value, d: Deviations) -> Result<ValidationResultUpdate, String> {
    let mut update = object(value, "the update")?;
    Ok(ValidationResultUpdate {
        validation_result: validation_result(required(&mut update, "validation_result")?, d)?,
        connector_id: integer(&required(&mut update, "connector_id")?, "connector_id", d)?,
    })
}

/// Casts a number or boolean to 32 bits as C++ does: integers modulo 2^32, fractions cut off.
///
/// A number beyond the range of both is undefined behaviour there; x86 makes it the smallest integer.
pub(super) fn integer(value: &Value, of: &str, d: Deviations) -> Result<i32, String> {
    if !d.is_on(Deviation::EvseIdCast) {
        return strict_integer(value).ok_or_else(|| format!("`{of}` is {}, not an integer", kind(value)));
    }
    match value {
        Value::Bool(value) => Ok(i32::from(*value)),
        Value::Number(number) => Ok(match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(value), _, _) => value as i32,
            (None, Some(value), _) => value as i32,
            (None, None, Some(value)) if value > -2_147_483_649.0 && value < 2_147_483_648.0 => value as i32,
            _ => i32::MIN,
        }),
        other => Err(format!("`{of}` is {}, not a number", kind(other))),
    }
}

/// An integer as JSON Schema has it: 1.0 is one. Those beyond 32 bits become the nearest, which no EVSE has.
pub(super) fn strict_integer(value: &Value) -> Option<i32> {
    let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
    Some(value.as_i64().map_or(number as i32, |exact| exact.clamp(i32::MIN.into(), i32::MAX.into()) as i32))
}

fn integers(value: Value, of: &str, d: Deviations) -> Result<Vec<i32>, String> {
    items(value, of, d, |item| integer(&item, of, d))
}

fn id_token(value: Value, of: &str, d: Deviations) -> Result<IdToken, String> {
    let mut token = object(value, of)?;
    let value = text(&mut token, "value", of)?;
    let r#type = text(&mut token, "type", of)?;
    let r#type = id_token_type(&r#type).ok_or_else(|| format!("`{}` is no type of id token", r#type))?;
    let additional_info =
        optional(&mut token, "additional_info", |info| items(info, "additional_info", d, custom_id_token))?;
    if value.len() > LONGEST_TOKEN && value.chars().count() > LONGEST_TOKEN && !d.is_on(Deviation::LongTokenValue) {
        return Err(format!("`{of}.value` is longer than {LONGEST_TOKEN} characters"));
    }
    Ok(IdToken { additional_info, r#type, value })
}

fn custom_id_token(value: Value) -> Result<CustomIdToken, String> {
    let mut token = object(value, "an `additional_info`")?;
    let value = text(&mut token, "value", "additional_info")?;
    let r#type = text(&mut token, "type", "additional_info")?;
    Ok(CustomIdToken { r#type, value })
}

fn message_content(value: Value) -> Result<MessageContent, String> {
    let mut message = object(value, "a message")?;
    Ok(MessageContent {
        content: text(&mut message, "content", "a message")?,
        format: optional(&mut message, "format", |value| name(value, "format"))?,
        language: optional(&mut message, "language", |value| string(value, "language"))?,
    })
}

fn energy_transfer_mode(value: Value, d: Deviations) -> Result<EnergyTransferMode, String> {
    let mode = name(value, "an energy transfer mode")?;
    let is_unknown = match mode {
        EnergyTransferMode::MCS | EnergyTransferMode::MCS_BPT => d.is_on(Deviation::UnknownMcsModes),
        EnergyTransferMode::AC_DER_IEC | EnergyTransferMode::AC_DER_SAE => d.is_on(Deviation::UnknownDerModes),
        _ => false,
    };
    if is_unknown { Err(format!("the energy transfer mode {mode:?} is unknown to this release")) } else { Ok(mode) }
}

/// All its fields are required, and none is optional: what serde makes of it is what EVerest does.
fn certificate_hash_data(value: &Value) -> Result<CertificateHashData, String> {
    CertificateHashData::deserialize(value).map_err(|error| format!("`iso15118CertificateHashData`: {error}"))
}

/// The items of any value, as a loop over nlohmann/json has them: an object gives its values, `null` nothing, and a
/// scalar itself.
fn items<T>(
    value: Value,
    of: &str,
    d: Deviations,
    mut item: impl FnMut(Value) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    match value {
        Value::Array(items) => items.into_iter().map(item).collect(),
        other if !d.is_on(Deviation::ArraysOfAnyKind) => Err(format!("`{of}` is {}, not an array", kind(&other))),
        Value::Object(items) => items.into_iter().map(|(_, value)| item(value)).collect(),
        Value::Null => Ok(Vec::new()),
        scalar => Ok(vec![item(scalar)?]),
    }
}

fn object(value: Value, of: &str) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(format!("{of} is {}, not an object", kind(&other))),
    }
}

fn required(object: &mut Map<String, Value>, key: &str) -> Result<Value, String> {
    object.remove(key).ok_or_else(|| format!("there is no `{key}`"))
}

fn optional<T>(
    object: &mut Map<String, Value>,
    key: &str,
    read: impl FnOnce(Value) -> Result<T, String>,
) -> Result<Option<T>, String> {
    object.remove(key).map(read).transpose()
}

fn string(value: Value, of: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("`{of}` is {}, not a string", kind(&other))),
    }
}

fn text(object: &mut Map<String, Value>, key: &str, of: &str) -> Result<String, String> {
    match object.remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("`{of}.{key}` is {}, not a string", kind(&other))),
        None => Err(format!("`{of}` has no `{key}`")),
    }
}

/// One of a list of names, compared exactly.
fn name<T: DeserializeOwned>(value: Value, of: &str) -> Result<T, String> {
    let text = string(value, of)?;
    T::deserialize(StrDeserializer::<serde::de::value::Error>::new(&text))
        .map_err(|_| format!("`{}` is no {of}", text.chars().take(40).collect::<String>()))
}

fn id_token_type(name: &str) -> Option<IdTokenType> {
    Some(match name {
        "Central" => IdTokenType::Central,
        "eMAID" => IdTokenType::EMaid,
        "MacAddress" => IdTokenType::MacAddress,
        "ISO14443" => IdTokenType::ISO14443,
        "ISO15693" => IdTokenType::ISO15693,
        "KeyCode" => IdTokenType::KeyCode,
        "Local" => IdTokenType::Local,
        "NoAuthorization" => IdTokenType::NoAuthorization,
        _ => return None,
    })
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
