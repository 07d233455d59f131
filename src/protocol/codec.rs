//! Payloads to types and back, exactly as EVerest does it.
//!
//! Decoding is as lenient as EVerest's (`ApiHelper.cpp`, `generic/json_codec.cpp`, `auth/json_codec.cpp`, on
//! nlohmann/json): what the specification calls invalid is often executed. Each leniency that a stricter mode would
//! switch off is a function of its own: `withdraw_payload`, `cast_evse_id`, `iterate`. Nothing here panics on any bytes.
//!
//! One difference is left: documents nested deeper than 127 levels are refused here and accepted there.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use super::types::{CustomIdToken, IdToken, IdTokenType, WithdrawAuthorizationRequest};

/// What EVerest makes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<T> {
    /// A warning in its log, and nothing else: no reply exists for it.
    NotExecuted {
        /// Why, in words.
        why: String,
    },
    /// It is executed.
    Execute {
        /// What is asked for.
        request: T,
        /// The text of `headers.replyTo`, usable or not; `None` if it or `headers` is absent.
        reply_to: Option<String>,
    },
}

/// Decodes a message on `m2e/withdraw_authorization`.
pub fn decode_withdraw(bytes: &[u8]) -> Decoded<WithdrawAuthorizationRequest> {
    fn decode(bytes: &[u8]) -> Result<(WithdrawAuthorizationRequest, Option<String>), String> {
        let (reply_to, payload) = decode_envelope(bytes)?;
        let payload = payload.ok_or("the request has no `payload`")?;
        Ok((withdraw_payload(payload)?, reply_to))
    }
    decode(bytes)
        .map_or_else(|why| Decoded::NotExecuted { why }, |(request, reply_to)| Decoded::Execute { request, reply_to })
}

/// Decodes a message on `m2e/token_validation_status/get`; its payload, if any, is not looked at.
pub fn decode_get(bytes: &[u8]) -> Decoded<()> {
    decode_envelope(bytes)
        .map_or_else(|why| Decoded::NotExecuted { why }, |(reply_to, _)| Decoded::Execute { request: (), reply_to })
}

/// Decodes a message on `m2e/communication_check`: a bare boolean, blanks around it allowed.
///
/// # Errors
///
/// Says why the message does not count.
pub fn decode_communication_check(bytes: &[u8]) -> Result<bool, String> {
    match parse(bytes)? {
        Value::Bool(value) => Ok(value),
        other => Err(format!("{} is no boolean", kind(&other))),
    }
}

/// The text that EVerest sends for a value: indented by 4 blanks, keys sorted, scalars bare.
///
/// Types of the API have their fields in alphabetical order, and objects of [`Value`] are sorted.
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    let mut text = Vec::with_capacity(256);
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    // Writing to memory does not fail, and the types of the API have only text for keys.
    match value.serialize(&mut serializer) {
        Ok(()) => Bytes::from(text),
        Err(_) => Bytes::new(),
    }
}

/// Why EVerest drops a message to this topic (`ValidatingMqttProxy.cpp`); `None` if it is published.
pub fn unusable_topic(topic: &str) -> Option<&'static str> {
    if topic.is_empty() {
        Some("the topic is empty")
    } else if topic.len() > usize::from(u16::MAX) {
        Some("the topic is longer than 65535 bytes")
    } else if topic.contains('\0') {
        Some("the topic contains U+0000")
    } else if topic.contains(['+', '#']) {
        Some("the topic contains a wildcard")
    } else {
        None
    }
}

/// A JSON document as nlohmann/json reads it: a byte order mark is skipped, and a NUL outside a string ends the text
/// (its `lexer.hpp`). Inside a string a bare NUL is an error either way, so the cut need not know where it is.
fn parse(bytes: &[u8]) -> Result<Value, String> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    // Numbers beyond the range of a double and lone surrogates are errors to both parsers; of equal keys the last wins.
    serde_json::from_slice(bytes).map_err(|error| format!("not JSON: {error}"))
}

/// `headers.replyTo` and `payload` of an envelope (`generic/json_codec.cpp`, `RequestReply`).
///
/// Whatever is no object has neither; the same goes for `headers`.
fn decode_envelope(bytes: &[u8]) -> Result<(Option<String>, Option<Value>), String> {
    let Value::Object(mut envelope) = parse(bytes)? else { return Ok((None, None)) };
    let reply_to = match envelope.remove("headers") {
        Some(Value::Object(mut headers)) => match headers.remove("replyTo") {
            None => None,
            Some(Value::String(topic)) => Some(topic),
            Some(other) => return Err(format!("`headers.replyTo` is {}, not a string", kind(&other))),
        },
        _ => None,
    };
    Ok((reply_to, envelope.remove("payload")))
}

/// A withdraw request; a payload of any kind but an object names nothing, which means everything.
fn withdraw_payload(payload: Value) -> Result<WithdrawAuthorizationRequest, String> {
    let Value::Object(mut payload) = payload else { return Ok(WithdrawAuthorizationRequest::default()) };
    let evse_id = payload.remove("evse_id").map(|value| cast_evse_id(&value)).transpose()?;
    let id_token = payload.remove("id_token").map(id_token).transpose()?;
    Ok(WithdrawAuthorizationRequest { evse_id, id_token })
}

/// Casts a number or boolean to 32 bits as C++ does: integers modulo 2^32, fractions cut off.
///
/// A number beyond the range of both is undefined behaviour there; x86 makes it the smallest integer.
fn cast_evse_id(value: &Value) -> Result<i32, String> {
    match value {
        Value::Bool(value) => Ok(i32::from(*value)),
        Value::Number(number) => Ok(match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(value), _, _) => value as i32,
            (None, Some(value), _) => value as i32,
            (None, None, Some(value)) if value > -2_147_483_649.0 && value < 2_147_483_648.0 => value as i32,
            _ => i32::MIN,
        }),
        other => Err(format!("`evse_id` is {}, not a number", kind(other))),
    }
}

fn id_token(value: Value) -> Result<IdToken, String> {
    let Value::Object(mut token) = value else { return Err(format!("`id_token` is {}", kind(&value))) };
    let value = text(&mut token, "value", "id_token")?;
    let r#type = text(&mut token, "type", "id_token")?;
    let r#type = id_token_type(&r#type).ok_or_else(|| format!("`{}` is no type of id token", r#type))?;
    let additional_info = match token.remove("additional_info") {
        None => None,
        Some(info) => Some(iterate(info).map(custom_id_token).collect::<Result<Vec<_>, _>>()?),
    };
    Ok(IdToken { additional_info, r#type, value })
}

fn custom_id_token(value: Value) -> Result<CustomIdToken, String> {
    let Value::Object(mut token) = value else { return Err(format!("an `additional_info` is {}", kind(&value))) };
    let value = text(&mut token, "value", "additional_info")?;
    let r#type = text(&mut token, "type", "additional_info")?;
    Ok(CustomIdToken { r#type, value })
}

/// The items of any value, as a loop over nlohmann/json has them: an object gives its values, `null` nothing, and a
/// scalar itself.
fn iterate(value: Value) -> Box<dyn Iterator<Item = Value>> {
    match value {
        Value::Array(items) => Box::new(items.into_iter()),
        Value::Object(items) => Box::new(items.into_iter().map(|(_, item)| item)),
        Value::Null => Box::new(std::iter::empty()),
        scalar => Box::new(std::iter::once(scalar)),
    }
}

fn text(object: &mut Map<String, Value>, key: &str, of: &str) -> Result<String, String> {
    match object.remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("`{of}.{key}` is {}, not a string", kind(&other))),
        None => Err(format!("`{of}` has no `{key}`")),
    }
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

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
