//! Payloads to types and back, exactly as EVerest does it.
//!
//! Decoding is as lenient as EVerest's (`ApiHelper.cpp`, `generic/json_codec.cpp`, `auth/json_codec.cpp`, on
//! nlohmann/json): what the specification calls invalid is often executed. Each leniency is an entry of
//! [`super::deviations`] and can be switched off. Nothing here panics on any bytes.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::deviations::{Deviation, Deviations};
use super::types::{ProvidedIdToken, ValidationResult, ValidationResultUpdate, WithdrawAuthorizationRequest};
use values::kind;

pub mod json;
mod values;

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

/// EVerest's own request to a token validator, on `e2m/validate_token`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Question<'a> {
    headers: QuestionHeaders<'a>,
    payload: &'a ProvidedIdToken,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct QuestionHeaders<'a> {
    #[serde(rename = "replyTo")]
    reply_to: &'a str,
}

impl<'a> Question<'a> {
    /// A question about a token, to be answered on a topic.
    pub fn new(reply_to: &'a str, token: &'a ProvidedIdToken) -> Self {
        Self { headers: QuestionHeaders { reply_to }, payload: token }
    }
}

/// Decodes a message on `m2e/withdraw_authorization`.
pub fn decode_withdraw(bytes: &[u8], d: Deviations) -> Decoded<WithdrawAuthorizationRequest> {
    decoded(decode_envelope(bytes, d).and_then(|envelope| {
        let request = match envelope.payload {
            Some(payload) => values::withdraw_request(payload, d)?,
            None if envelope.is_object && !d.is_on(Deviation::MissingPayloadDropped) => {
                WithdrawAuthorizationRequest::default()
            }
            None => return Err("the request has no `payload`".to_owned()),
        };
        Ok((request, envelope.reply_to))
    }))
}

/// Decodes a message on `m2e/token_validation_status/get`, `discover` or `query-modules`; its payload, if any, is not
/// looked at.
pub fn decode_get(bytes: &[u8], d: Deviations) -> Decoded<()> {
    decoded(decode_envelope(bytes, d).map(|envelope| ((), envelope.reply_to)))
}

/// Where EVerest would send the reply to a request, whether or not it executes it; `None` if nowhere.
pub fn reply_address(bytes: &[u8]) -> Option<String> {
    decode_envelope(bytes, Deviations::default()).ok()?.reply_to
}

/// Whether a request is an object without `headers`, or one whose `headers` are an object without `replyTo`.
pub fn lacks_reply_address(bytes: &[u8], d: Deviations) -> bool {
    match parse(bytes, d) {
        Ok(Value::Object(envelope)) => match envelope.get("headers") {
            None => true,
            Some(headers) => headers.as_object().is_some_and(|headers| !headers.contains_key("replyTo")),
        },
        _ => false,
    }
}

/// Decodes a message on `m2e/communication_check`: a bare boolean, blanks around it allowed.
///
/// # Errors
///
/// Says why the message does not count.
pub fn decode_communication_check(bytes: &[u8], d: Deviations) -> Result<bool, String> {
    match parse(bytes, d)? {
        Value::Bool(value) => Ok(value),
        other => Err(format!("{} is no boolean", kind(&other))),
    }
}

/// Decodes a message on `m2e/provided_token`: a bare token.
///
/// # Errors
///
/// Says why it is not presented.
pub fn decode_provided_token(bytes: &[u8], d: Deviations) -> Result<ProvidedIdToken, String> {
    values::provided_token(parse(bytes, d)?, d)
}

/// Decodes the reply to `e2m/validate_token`: a bare result.
///
/// # Errors
///
/// Says why it does not count.
pub fn decode_validation_reply(bytes: &[u8], d: Deviations) -> Result<ValidationResult, String> {
    values::validation_result(parse(bytes, d)?, d)
}

/// Decodes a message on `m2e/validate_result_update`.
///
/// # Errors
///
/// Says why it has no effect.
pub fn decode_result_update(bytes: &[u8], d: Deviations) -> Result<ValidationResultUpdate, String> {
    values::result_update(parse(bytes, d)?, d)
}

/// Decodes a message on `m2e/set_connection_timeout`: bare seconds.
///
/// # Errors
///
/// Says why it has no effect.
pub fn decode_connection_timeout(bytes: &[u8], d: Deviations) -> Result<i32, String> {
    let value = parse(bytes, d)?;
    if d.is_on(Deviation::SetterLimitsIgnored) {
        return values::integer(&value, "the timeout", d.with(Deviation::EvseIdCast, true));
    }
    values::strict_integer(&value)
        .filter(|seconds| (10..=300).contains(seconds))
        .ok_or_else(|| "the timeout is no integer from 10 to 300".to_owned())
}

/// Decodes a message on `m2e/set_master_pass_group_id`: a bare string.
///
/// # Errors
///
/// Says why it has no effect.
pub fn decode_master_pass_group(bytes: &[u8], d: Deviations) -> Result<String, String> {
    match parse(bytes, d)? {
        Value::String(group) if d.is_on(Deviation::SetterLimitsIgnored) => Ok(group),
        Value::String(group) if group.chars().count() <= values::LONGEST_TOKEN => Ok(group),
        Value::String(_) => Err(format!("the group is longer than {} characters", values::LONGEST_TOKEN)),
        other => Err(format!("{} is no string", kind(&other))),
    }
}

fn decoded<T>(outcome: Result<(T, Option<String>), String>) -> Decoded<T> {
    match outcome {
        Ok((request, reply_to)) => Decoded::Execute { request, reply_to },
        Err(why) => Decoded::NotExecuted { why },
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

/// The same in one line without blanks, as EVerest makes its own requests (`AsyncApiRequestReply.hpp`, `create`).
pub fn encode_compact<T: Serialize>(value: &T) -> Bytes {
    // As above.
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
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
fn parse(bytes: &[u8], d: Deviations) -> Result<Value, String> {
    let mut bytes = bytes;
    if d.is_on(Deviation::LenientJson) {
        bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    }
    // Numbers beyond the range of a double and lone surrogates are errors to both parsers; of equal keys the last wins.
    json::parse(bytes).map_err(|error| format!("not JSON: {error}"))
}

/// What a request consists of.
struct Envelope {
    reply_to: Option<String>,
    payload: Option<Value>,
    /// Whatever else is JSON has neither headers nor payload.
    is_object: bool,
}

/// `headers.replyTo` and `payload` of a request (`generic/json_codec.cpp`, `RequestReply`).
fn decode_envelope(bytes: &[u8], d: Deviations) -> Result<Envelope, String> {
    let mut envelope = match parse(bytes, d)? {
        Value::Object(envelope) => envelope,
        _ => return Ok(Envelope { reply_to: None, payload: None, is_object: false }),
    };
    let reply_to = match envelope.remove("headers") {
        None => None,
        Some(Value::Object(mut headers)) => match headers.remove("replyTo") {
            None => None,
            Some(Value::String(topic)) => Some(topic),
            Some(other) => return Err(format!("`headers.replyTo` is {}, not a string", kind(&other))),
        },
        Some(_) if d.is_on(Deviation::HeadersOfAnyKind) => None,
        Some(other) => return Err(format!("`headers` is {}, not an object", kind(&other))),
    };
    if reply_to.is_none() && d.is_on(Deviation::ReplyAddressRequired) {
        return Err("the request has no `headers.replyTo`".to_owned());
    }
    Ok(Envelope { reply_to, payload: envelope.remove("payload"), is_object: true })
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
