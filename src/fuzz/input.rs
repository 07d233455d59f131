//! What is done in a case, each as one step of the language of scenarios.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::protocol::channel::Channel;
use crate::protocol::control::{Command, HeartbeatControl, SetReply, command_name};
use crate::protocol::types::{AuthorizationStatus, WithdrawAuthorizationRequest};
use crate::protocol::wire::{Encoder, Wire};
use crate::scenario::written::flow;
use crate::timespan::Timespan;
use crate::yaml::escaped;

/// Where the reply to a request goes that nobody answers, as the request says it.
pub(super) const NOWHERE: &str = "khumbu/{module_id}/nowhere";

/// A field that no release has.
pub(super) const UNKNOWN_FIELD: &str = "of_the_future";
/// An EVSE that no station of a case has.
pub(super) const NO_EVSE: i32 = 9;

/// How long heartbeats stay out, in milliseconds: who watches over them has noticed by then.
pub(super) const LOSS: u64 = 4500;
/// A client that asks when it is back does so within as many.
const ASKS_WITHIN: u64 = 1500;
/// Shorter losses that may show the same.
const SHORTER_LOSSES: [u64; 3] = [1500, 2500, 3500];

/// Where nobody publishes.
const NOTHING: &str = "khumbu/{module_id}/nothing";

/// One thing that khumbu does, or has the module under test do.
#[allow(clippy::large_enum_variant, reason = "a case has a few of them")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// At the station, or as the client of an EVerest under test.
    Command(Command),
    /// A token of the station, by its name, is presented.
    PresentToken(String),
    /// A validator under test is to say this of a token of the station from now on.
    SetVerdict {
        /// Its name.
        token: String,
        /// What.
        verdict: AuthorizationStatus,
    },
    /// Two withdraw requests at once: one for an EVSE that nobody has, and this.
    WithdrawTwice(WithdrawAuthorizationRequest),
    /// The next heartbeat comes.
    AwaitHeartbeat,
    /// No heartbeat comes.
    AwaitNoHeartbeat,
    /// Heartbeats stay out for so many milliseconds, and come again.
    LoseHeartbeats(u64),
    /// The client is cut off, and what it asks for when it is back is not answered.
    DisconnectUnanswered,
    /// A client under test says that all is well, whatever it does meanwhile.
    AwaitCheck,
    /// A client under test that said that it ends sends no communication check.
    AwaitNoCheck,
    /// The token with this value, which was presented last, is not handed in again.
    AwaitNoMoreOf(String),
    /// So many milliseconds pass. It is not drawn: it takes the place of what did nothing else.
    Wait(u64),
    /// Whatever EVerest waits for has run out.
    AwaitTimeout,
    /// EVerest ends and starts again.
    RestartEverest,
    /// The client under test loses its connection.
    Disconnect,
    /// The broker or the network fails: a step by its name, and its arguments.
    Fault(String, Value),
    /// Exactly this is published, as the side that khumbu plays.
    Publish {
        /// As `publish` of a scenario has it, with placeholders.
        topic: String,
        /// What.
        payload: Payload,
    },
}

/// Whether a fault is over when its step is.
pub(super) fn lasts_by_itself(fault: &str) -> bool {
    ["half_open", "broker_away"].contains(&fault)
}

/// Where a member of a message stands that may be taken away: pointers to members and elements, those further out first.
pub(super) fn members(value: &Value, at: &str, found: &mut Vec<String>) {
    let below: Vec<_> = match value {
        Value::Object(members) => members.iter().map(|(key, value)| (escaped(key), value)).collect(),
        Value::Array(elements) => elements.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => return,
    };
    found.extend(below.iter().map(|(key, _)| format!("{at}/{key}")));
    for (key, value) in below {
        members(value, &format!("{at}/{key}"), found);
    }
}

/// What topics of statuses end with.
const STATUS: &str = "/token_validation_status";

/// A value without what stands at a pointer.
pub(super) fn without(value: &Value, pointer: &str) -> Option<Value> {
    let (parent, key) = pointer.rsplit_once('/')?;
    let mut value = value.clone();
    match value.pointer_mut(parent)? {
        Value::Object(members) => drop(members.remove(&key.replace("~1", "/").replace("~0", "~"))?),
        Value::Array(elements) => drop(elements.remove(key.parse().ok()?)),
        _ => return None,
    }
    Some(value)
}

/// A value with something else where a pointer points.
pub(super) fn with(value: &Value, pointer: &str, other: Value) -> Option<Value> {
    let mut value = value.clone();
    *value.pointer_mut(pointer)? = other;
    Some(value)
}

/// A value with the plainest of its kind where a pointer points, if that is another one.
fn with_plain(value: &Value, pointer: &str) -> Option<Value> {
    let plain = match value.pointer(pointer)? {
        Value::Number(number) if number.as_f64() != Some(0.0) => json!(0),
        Value::String(text) if text.chars().count() > 1 && !text.starts_with('{') => json!("a"),
        Value::Bool(true) => json!(false),
        _ => return None,
    };
    with(value, pointer, plain)
}

/// What is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// This, as JSON.
    Json(Value),
    /// The same, written in this form.
    Written(Wire, Value),
    /// This text.
    Text(String),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Payload {
    /// What it says as JSON, however it is written; `None` if it is no JSON, or broken on purpose.
    pub fn json(&self) -> Option<&Value> {
        match self {
            Payload::Json(value) | Payload::Written(_, value) => Some(value),
            Payload::Text(_) | Payload::Bytes(_) => None,
        }
    }
}

impl Input {
    /// Whether it is a request where nobody reads.
    pub(super) fn asks_nowhere(&self) -> bool {
        let Input::Publish { payload, .. } = self else { return false };
        let to = payload.json().and_then(|json| json.pointer("/headers/replyTo"));
        to.is_some_and(|to| to == NOWHERE)
    }

    /// Whether it shows a client nothing, but lets time pass, loses its connection, or looks at what it does.
    pub(super) fn only_looks(&self) -> bool {
        match self {
            Input::AwaitHeartbeat | Input::AwaitNoHeartbeat | Input::AwaitCheck | Input::AwaitNoCheck => true,
            Input::AwaitNoMoreOf(_) | Input::AwaitTimeout | Input::Wait(_) | Input::Disconnect => true,
            Input::Fault(name, _) => lasts_by_itself(name),
            _ => false,
        }
    }

    /// What kind of input it is: cases whose inputs are of the same kinds show the same.
    pub fn kind(&self) -> String {
        match self {
            Input::Command(command) => command_name(command),
            Input::PresentToken(_) => "present_token".to_owned(),
            Input::SetVerdict { .. } => "set_verdict".to_owned(),
            Input::WithdrawTwice(_) => "withdraw twice at once".to_owned(),
            Input::AwaitHeartbeat => "expect a heartbeat".to_owned(),
            Input::AwaitNoHeartbeat => "expect no heartbeat".to_owned(),
            Input::LoseHeartbeats(_) => "lose heartbeats".to_owned(),
            Input::DisconnectUnanswered => "disconnect unanswered".to_owned(),
            Input::AwaitCheck => "expect a communication check".to_owned(),
            Input::AwaitNoCheck => "expect no communication check".to_owned(),
            Input::AwaitNoMoreOf(_) => "expect no token again".to_owned(),
            Input::Wait(_) => "wait".to_owned(),
            Input::AwaitTimeout => "wait until times have run out".to_owned(),
            Input::RestartEverest => "restart_everest".to_owned(),
            Input::Disconnect => "disconnect".to_owned(),
            Input::Fault(name, _) => name.clone(),
            Input::Publish { topic, payload } => {
                let how = match payload {
                    Payload::Json(_) => "payload",
                    Payload::Written(..) | Payload::Text(_) => "text",
                    Payload::Bytes(_) => "hex",
                };
                format!("publish {how} on {topic}")
            }
        }
    }

    /// The same with less in its message, or something plainer, one thing each.
    pub fn simpler(&self) -> Vec<Self> {
        match self {
            Input::Publish { topic, payload: Payload::Written(_, value) } => {
                vec![Input::Publish { topic: topic.clone(), payload: Payload::Json(value.clone()) }]
            }
            // Where the text matters and not what it says, it stays.
            Input::Publish { topic, payload: Payload::Text(text) } => {
                let said = serde_json::from_str(text).ok().map(Payload::Json);
                said.map(|payload| Input::Publish { topic: topic.clone(), payload }).into_iter().collect()
            }
            Input::Publish { topic, payload: Payload::Json(value) } => {
                let mut pointers = Vec::new();
                members(value, "", &mut pointers);
                // A status without messages is rarer than one with them, and so no plainer.
                let messages = Some("/messages").filter(|_| topic.ends_with(STATUS) && value.is_object());
                let with_messages = messages.filter(|at| value.pointer(at).is_none()).map(|_| {
                    let mut value = value.clone();
                    value["messages"] = json!([]);
                    value
                });
                let removable = pointers.iter().filter(|pointer| Some(pointer.as_str()) != messages);
                let less = removable.filter_map(|pointer| without(value, pointer));
                let whole = String::new();
                let plainer = std::iter::once(&whole).chain(&pointers).filter_map(|pointer| with_plain(value, pointer));
                let all = with_messages.into_iter().chain(less).chain(plainer);
                all.map(|value| Input::Publish { topic: topic.clone(), payload: Payload::Json(value) }).collect()
            }
            Input::Command(command) => {
                let value = serde_json::to_value(command).unwrap_or_default();
                let mut pointers = Vec::new();
                members(&value, "", &mut pointers);
                let plainer = pointers.iter().filter_map(|pointer| match value.pointer(pointer)?.as_i64()? {
                    // EVSEs count from 1.
                    2.. => with(&value, pointer, json!(1)),
                    _ => None,
                });
                let less = pointers.iter().filter_map(|pointer| without(&value, pointer));
                let read = |value: Value| serde_json::from_value(value).ok().map(Input::Command);
                less.chain(plainer).filter_map(read).filter(|other| other != self).collect()
            }
            Input::WithdrawTwice(request) => {
                let alone = Input::Command(Command::Withdraw(request.clone()));
                let requests = alone.simpler().into_iter().filter_map(|simpler| match simpler {
                    Input::Command(Command::Withdraw(request)) => Some(Input::WithdrawTwice(request)),
                    _ => None,
                });
                std::iter::once(alone.clone()).chain(requests).collect()
            }
            Input::DisconnectUnanswered => vec![Input::Disconnect],
            Input::LoseHeartbeats(ms) => {
                let shorter = SHORTER_LOSSES.into_iter().filter(|shorter| shorter < ms);
                shorter.map(Input::LoseHeartbeats).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The step, as YAML on one line, without its dash.
    pub fn step(&self) -> String {
        match self {
            Input::Command(Command::SetReply(SetReply { to, payload, never, after_ms })) => {
                let mut arguments = serde_json::Map::from_iter([("to".to_owned(), json!(to))]);
                arguments.extend(payload.iter().map(|payload| ("payload".to_owned(), payload.clone())));
                arguments.extend(never.then(|| ("never".to_owned(), json!(true))));
                arguments.extend((*after_ms > 0).then(|| ("after".to_owned(), json!(format!("{after_ms}ms")))));
                format!("set_reply: {}", flow(&Value::Object(arguments)))
            }
            Input::Command(Command::UpdateVerdict(update)) => {
                let (evse, result) = (update.connector_id, &update.validation_result);
                let messages = json!(result.tariff_messages);
                format!(
                    "update_verdict: {{evse: {evse}, verdict: {:?}, tariff_messages: {}}}",
                    result.authorization_status,
                    flow(&messages)
                )
            }
            Input::WithdrawTwice(request) => {
                format!("withdraw: {{evse_id: {NO_EVSE}}}\n  - withdraw: {}", flow(&json!(request)))
            }
            Input::SetVerdict { token, verdict } => {
                format!("set_verdict: {{token: {token}, verdict: {verdict:?}}}")
            }
            Input::AwaitHeartbeat => "expect: {message: heartbeat}".to_owned(),
            Input::AwaitNoHeartbeat => "expect_none: {message: heartbeat, for: 50ms}".to_owned(),
            Input::LoseHeartbeats(ms) => {
                let [pause, resume] = [HeartbeatControl::Pause, HeartbeatControl::Resume]
                    .map(|control| Input::Command(Command::Heartbeats(control)).step());
                format!("{pause}\n  - {}\n  - {resume}", Input::Wait(*ms).step())
            }
            Input::DisconnectUnanswered => {
                let unanswered = format!("set_reply: {{to: {}", Channel::GET_TOKEN_VALIDATION_STATUS.name());
                let asks = Input::Wait(ASKS_WITHIN).step();
                format!("{unanswered}, never: true}}\n  - disconnect\n  - {asks}\n  - {unanswered}}}")
            }
            Input::AwaitCheck => "expect: {message: communication_check, payload: true}".to_owned(),
            Input::AwaitNoCheck => "expect_none: {message: communication_check, payload: true, for: 1200ms}".to_owned(),
            Input::AwaitNoMoreOf(value) => {
                let payload = flow(&json!({"id_token": {"value": value}}));
                format!("expect_none: {{message: provided_token, payload: {payload}, for: 300ms}}")
            }
            Input::Wait(ms) => {
                format!("expect_none: {{topic: \"{NOTHING}\", for: {}}}", Timespan(Duration::from_millis(*ms)))
            }
            Input::AwaitTimeout => "note: Times run out.".to_owned(),
            Input::Fault(name, Value::Null) => name.clone(),
            Input::Fault(name, arguments) => format!("{name}: {}", flow(arguments)),
            Input::Command(command) => {
                let step = serde_json::to_value(command).unwrap_or_default();
                let (name, arguments) = match &step {
                    Value::Object(step) => step.iter().next().map(|(name, value)| (name.as_str(), value)),
                    _ => None,
                }
                .unwrap_or(("note", &Value::Null));
                format!("{name}: {}", flow(arguments))
            }
            Input::PresentToken(name) => format!("present_token: {name}"),
            Input::RestartEverest => "restart_everest".to_owned(),
            Input::Disconnect => "disconnect".to_owned(),
            Input::Publish { topic, payload } => {
                let (key, value) = match payload {
                    // There a text that begins so is a marker.
                    Payload::Json(value) if has_marker(value) => ("text", flow(&json!(value.to_string()))),
                    Payload::Json(value) => ("payload", flow(value)),
                    Payload::Written(wire, value) => {
                        ("text", flow(&json!(String::from_utf8_lossy(&Encoder::new(*wire).encode(value)))))
                    }
                    Payload::Text(text) => ("text", flow(&json!(text))),
                    Payload::Bytes(bytes) => {
                        ("hex", flow(&json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())))
                    }
                };
                format!("publish: {{topic: {}, qos: 2, {key}: {value}}}", flow(&json!(topic)))
            }
        }
    }
}

fn has_marker(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with('$'),
        Value::Array(elements) => elements.iter().any(has_marker),
        Value::Object(members) => members.iter().any(|(key, value)| key.starts_with('$') || has_marker(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::control::{AtConnector, AtEvse};

    #[test]
    fn a_message_gets_simpler_by_one_member_or_element_each() {
        let of = |payload| Input::Publish { topic: "t".to_owned(), payload: Payload::Json(payload) };
        let simpler = of(json!({"a/b": [1, {"c": 2}], "d": null})).simpler();
        let less = [
            json!({"d": null}),
            json!({"a/b": [1, {"c": 2}]}),
            json!({"a/b": [{"c": 2}], "d": null}),
            json!({"a/b": [1], "d": null}),
            json!({"a/b": [1, {}], "d": null}),
        ];
        let plainer = [json!({"a/b": [0, {"c": 2}], "d": null}), json!({"a/b": [1, {"c": 0}], "d": null})];
        assert_eq!(simpler, less.into_iter().chain(plainer).map(of).collect::<Vec<_>>());
        assert_eq!(of(json!(u64::MAX)).simpler(), [of(json!(0))]);
        let status = |payload| Input::Publish { topic: "{e2m}/token_validation_status".to_owned(), payload };
        let of_status = |json| status(Payload::Json(json));
        let simpler = of_status(json!({"token": {}})).simpler();
        assert_eq!(simpler, [of_status(json!({"token": {}, "messages": []})), of_status(json!({}))]);
        assert_eq!(of_status(json!({"messages": []})).simpler(), []);
        assert_eq!(status(Payload::Text("{\"a\":1}".to_owned())).simpler(), [of_status(json!({"a": 1}))]);
        assert_eq!(status(Payload::Text("{\"a\":".to_owned())).simpler(), []);
        assert!(of(json!(0)).simpler().is_empty() && Input::Disconnect.simpler().is_empty());
        let plug_in = |evse, connector| Input::Command(Command::PlugIn(AtConnector { evse, connector }));
        assert_eq!(plug_in(2, Some(1)).simpler(), [plug_in(2, None), plug_in(1, Some(1))]);
    }

    #[test]
    fn each_is_a_step() {
        let publish = |payload| Input::Publish { topic: "{e2m}/heartbeat".to_owned(), payload };
        for (input, step) in [
            (Input::Command(Command::PlugIn(AtConnector { evse: 1, connector: None })), "plug_in: {evse: 1}"),
            (Input::Command(Command::StopTransaction(AtEvse { evse: 2 })), "stop_transaction: {evse: 2}"),
            (Input::Command(Command::Heartbeats(HeartbeatControl::Pause)), "heartbeats: pause"),
            (Input::Command(Command::Heartbeats(HeartbeatControl::Next(7))), "heartbeats: {next: 7}"),
            (Input::Command(Command::GetStatus {}), "get_status: {}"),
            (
                Input::WithdrawTwice(WithdrawAuthorizationRequest { evse_id: Some(1), id_token: None }),
                "withdraw: {evse_id: 9}\n  - withdraw: {evse_id: 1}",
            ),
            (Input::PresentToken("ALICE".to_owned()), "present_token: ALICE"),
            (Input::RestartEverest, "restart_everest"),
            (
                Input::LoseHeartbeats(1500),
                "heartbeats: pause\n  - expect_none: {topic: \"khumbu/{module_id}/nothing\", for: 1.5s}\n  - heartbeats: resume",
            ),
            (Input::Wait(50), "expect_none: {topic: \"khumbu/{module_id}/nothing\", for: 50ms}"),
            (
                publish(Payload::Json(json!({"null": [1, "{"], "a b": {}}))),
                "publish: {topic: \"{e2m}/heartbeat\", qos: 2, payload: {\"a b\": {}, \"null\": [1, \"{\"]}}",
            ),
            (publish(Payload::Text("{\n".to_owned())), "publish: {topic: \"{e2m}/heartbeat\", qos: 2, text: \"{\\n\"}"),
            (publish(Payload::Bytes(vec![255, 1])), "publish: {topic: \"{e2m}/heartbeat\", qos: 2, hex: ff01}"),
        ] {
            assert_eq!(input.step(), step);
        }
    }
}
