//! What can be seen and done inside EVerest, as messages: session events and commands at EVSEs, calls to EVSEs, and
//! faults of API modules. Bindings say on which topics.

use bytes::Bytes;
use serde_json::{Value, json};

use super::station_file::{AtEvse, Binding, Meaning};
use crate::auth::EvseCall;
use crate::protocol::channel::Topics;
use crate::protocol::control::{Deed, EvseCommand};
use crate::protocol::release::Release;
use crate::station::CommunicationFault;

/// The state of a fault that was raised.
pub(super) const ACTIVE: &str = "Active";

/// What a message on a bound topic does at an EVSE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// The EVSE reports a session event of this name.
    Session(String),
    /// Something is done there.
    Command(AtEvse),
}

/// The filters of the topics on which something can be done at EVSEs.
pub fn filters(bindings: &[Binding]) -> Vec<String> {
    let mut filters = Vec::new();
    for binding in bindings.iter().filter(|binding| !matches!(binding.is, Meaning::EvseCall(_) | Meaning::Effect(_))) {
        let any = |level: &str| if Binding::names_evse(level) { "+".to_owned() } else { level.to_owned() };
        let filter = binding.topic.split('/').map(any).collect::<Vec<_>>().join("/");
        if !filters.contains(&filter) {
            filters.push(filter);
        }
    }
    filters
}

/// What a message does, and at which EVSE.
pub fn doing(bindings: &[Binding], topic: &str, payload: &Bytes) -> Option<(i32, Doing)> {
    let payload = serde_json::from_slice(payload)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(payload).into_owned()));
    let (evse, meaning) = meaning(bindings, topic, &payload)?;
    let doing = match meaning {
        Meaning::SessionEvent(event) => Doing::Session(event.name_in(&payload)?.to_owned()),
        Meaning::Command(commands) => Doing::Command(*commands.get(payload.as_str()?)?),
        Meaning::EvseCall(_) | Meaning::Effect(_) => return None,
    };
    Some((evse, doing))
}

/// The message that shows a call to an EVSE; none where no binding says where calls are to be seen.
pub fn call_message(bindings: &[Binding], evse: i32, call: &EvseCall) -> Option<(String, Value)> {
    bindings.iter().find_map(|binding| {
        let Meaning::EvseCall(members) = &binding.is else { return None };
        let (name, arguments) = call_in_words(call);
        let mut payload = json!({members.name.as_str(): name, members.arguments.as_str(): arguments});
        for (member, value) in &binding.when {
            payload[member.as_str()] = value.clone();
        }
        Some((binding.topic_of(evse), payload))
    })
}

/// The message that shows a fault, as far as it is compared, as EVerest of a release sends it.
pub fn fault_message(module: &Topics, release: Release, fault: CommunicationFault, raised: bool) -> (String, Value) {
    let content = fault_content(fault, raised);
    let payload = if has_one_topic_for_errors(release) { content } else { json!({"data": content}) };
    (fault_topic(module, release), payload)
}

/// A fault, as far as it is compared.
pub(super) fn fault_content(fault: CommunicationFault, raised: bool) -> Value {
    let state = if raised { ACTIVE } else { "ClearedByModule" };
    json!({"type": CommunicationFault::TYPE, "sub_type": fault.sub_type(), "state": state})
}

/// EVerest's internal bus shows the faults of a module here.
pub(super) fn fault_topic(module: &Topics, release: Release) -> String {
    let errors = error_topic(module);
    if has_one_topic_for_errors(release) { errors } else { format!("{errors}/{}", CommunicationFault::TYPE) }
}

/// The fault of a module that a message shows, as [`fault_content`] has it; in the form of any release, since which one
/// it was stands in no message.
pub(super) fn fault_in(module: &Topics, topic: &str, payload: &Value) -> Option<Value> {
    let error = match topic.strip_prefix(&error_topic(module))? {
        "" if payload["type"] == CommunicationFault::TYPE => payload,
        below if below.strip_prefix('/') == Some(CommunicationFault::TYPE) => &payload["data"],
        _ => return None,
    };
    let part = |name: &str| error[name].clone();
    Some(json!({"type": part("type"), "sub_type": part("sub_type"), "state": part("state")}))
}

fn error_topic(module: &Topics) -> String {
    format!("everest/modules/{}/impl/main/error", module.module_id)
}

/// Until 2025.10, all errors of an implementation come bare on one topic; afterwards each type has its own, and an
/// envelope (everest-framework 0.24 and 2025.12.0, `everest.cpp`, `publish_raised_error`).
fn has_one_topic_for_errors(release: Release) -> bool {
    release <= Release::V2025_10
}

/// What tells of a call on the topic for what is done inside.
pub fn did(evse: i32, call: &EvseCall) -> Value {
    let (name, arguments) = call_in_words(call);
    Deed::EvseCall.tell(call_told(evse, name, &arguments))
}

/// Whether a message tells of something done inside.
pub(super) fn tells_deed(topic: &str, payload: Option<&Value>) -> bool {
    let is_did = topic.starts_with("khumbu/") && topic.ends_with("/did");
    is_did && payload.is_some_and(|payload| Deed::read(payload.clone()).is_some())
}

/// A call as it is told.
pub fn call_told(evse: i32, call: &str, arguments: &Value) -> Value {
    json!({"evse": evse, "call": call, "arguments": arguments})
}

/// A call by its name, with its arguments.
pub(super) fn call_in_words(call: &EvseCall) -> (&'static str, Value) {
    let (command, arguments) = match call {
        EvseCall::AuthorizeResponse(response) => {
            (EvseCommand::AuthorizeResponse, json!({"token": response.0, "result": response.1}))
        }
        EvseCall::WithdrawAuthorization => (EvseCommand::WithdrawAuthorization, Value::Null),
        EvseCall::StopTransaction { reason, id_tag: None } => {
            (EvseCommand::StopTransaction, json!({"reason": reason.name()}))
        }
        EvseCall::StopTransaction { reason, id_tag } => {
            (EvseCommand::StopTransaction, json!({"reason": reason.name(), "id_tag": id_tag}))
        }
        EvseCall::Reserve { reservation_id } => (EvseCommand::Reserve, json!({"reservation_id": reservation_id})),
        EvseCall::CancelReservation => (EvseCommand::CancelReservation, Value::Null),
    };
    (command.name(), arguments)
}

/// The call that a message shows: the EVSE, the name of the call and its arguments; however it says that there are none,
/// [`Value::Null`].
pub fn call_of<'p>(bindings: &[Binding], topic: &str, payload: &'p Value) -> Option<(i32, &'p str, Value)> {
    let (evse, Meaning::EvseCall(members)) = meaning(bindings, topic, payload)? else { return None };
    let name = payload[members.name.as_str()].as_str()?;
    if !EvseCommand::ALL.iter().any(|command| command.name() == name) {
        return None;
    }
    let arguments = match &payload[members.arguments.as_str()] {
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        arguments => arguments.clone(),
    };
    let has_none = arguments.as_object().is_some_and(serde_json::Map::is_empty);
    Some((evse, name, if has_none { Value::Null } else { arguments }))
}

/// What the first binding that fits says of a message.
pub(super) fn meaning<'b>(bindings: &'b [Binding], topic: &str, payload: &Value) -> Option<(i32, &'b Meaning)> {
    bindings.iter().find_map(|binding| {
        let evse = binding.evse_of(topic)?;
        let fits = binding.when.iter().all(|(member, value)| payload[member.as_str()] == *value);
        fits.then_some((evse, &binding.is))
    })
}
