//! The table of commands: where each is, what it takes, what it does, what it answers.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::answers::{
    CacheReset, Configured, FaultInjected, ListCleared, ListSent, Outcome, QueuedCommand, QueuedCommands,
};
use super::body::{self, Fault, FaultKind, Object};
use super::error::ApiError;
use super::events::{
    AuthorizeEvent, ConfigurationEvent, ConnectorEvent, EmptyEvent, FaultEvent, LocalListEvent, PowerEvent, ProxyEvent,
    StartSessionEvent, StartTransactionEvent, StopSessionEvent, StopTransactionEvent,
};
use crate::station::charge_point::Request;

/// A command.
pub struct Command {
    /// Its name, also in answers.
    pub event_type: &'static str,
    /// Its path below `/ocpp/commands/`.
    pub path: &'static str,
    /// One line for the reader of its description.
    pub summary: &'static str,
    /// Whether it may go to a location; then it is a [`Work::Queue`].
    pub takes_location: bool,
    /// Whether its event is empty and may be absent.
    pub is_event_optional: bool,
    /// Whether a charger's refusal is an error, because the body of the answer has no place for it.
    pub is_refused_by_error: bool,
    /// Reads its event.
    pub read: Reader,
    /// The schema of its event.
    pub event_schema: fn(&mut SchemaGenerator) -> Schema,
    /// The schema of its answer.
    pub answer_schema: fn(&mut SchemaGenerator) -> Schema,
}

/// What a body asks for.
pub struct Asked {
    /// Of whom; read by whoever knows what the command may go to.
    pub target: Value,
    /// The event as it came.
    pub event: Value,
    /// What the event asks for.
    pub work: Work,
}

impl Command {
    /// Reads a body.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn asked(&self, body: &[u8]) -> Result<Asked, Fault> {
        let Object(mut members): Object<Map<String, Value>> = Object(body::read(&["body"], &body::parse(body)?)?);
        let target = members.remove("target").ok_or_else(|| missing("target"))?;
        let event = match members.remove("event") {
            Some(event) => event,
            None if self.is_event_optional => json!({}),
            None => return Err(missing("event")),
        };
        let work = (self.read)(&event)?;
        Ok(Asked { target, event, work })
    }
}

fn missing(name: &str) -> Fault {
    Fault { r#type: FaultKind::Missing, ..Fault::value(&["body", name], "Field required") }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({})", self.event_type)
    }
}

/// What a command does.
pub enum Work {
    /// It asks each charger, and tells the outcome of each.
    Queue(Request),
    /// It asks one charger, whose answer becomes the body.
    Ask(Request, Translation<Value>),
    /// It has the charger send a message to its CSMS.
    Proxy(ProxyEvent),
}

/// How the answer of a charge point becomes a body, or an error.
type Translation<B> = Box<dyn FnOnce(Outcome) -> Result<B, ApiError> + Send>;

/// How an event is read.
pub type Reader = Box<dyn Fn(&Value) -> Result<Work, Fault> + Send + Sync>;

/// Where the event stands in a body.
pub const EVENT: [&str; 2] = ["body", "event"];

/// Every command.
pub fn all() -> Vec<Command> {
    vec![
        Command {
            answer_schema: SchemaGenerator::subschema_for::<QueuedCommand>,
            ..new("proxy_message", "proxy-message", "Send a message from the charger to its CSMS", Work::Proxy)
        },
        direct("configuration", "configuration", "Set OCPP configuration keys", |event: ConfigurationEvent| {
            (Request::Configure(event.configuration), Box::new(Configured::of))
        }),
        Command {
            is_event_optional: true,
            is_refused_by_error: true,
            ..direct("cache_reset", "cache/reset", "Reset the authorization cache", |_: EmptyEvent| {
                (Request::ResetCache, Box::new(CacheReset::of))
            })
        },
        direct("local_auth_list", "local-auth-list", "Send the local authorization list", |event: LocalListEvent| {
            let entries = event.entries.len();
            (event.into_request(), Box::new(move |outcome| ListSent::of(outcome, entries)))
        }),
        Command {
            is_event_optional: true,
            is_refused_by_error: true,
            ..direct(
                "clear_local_auth_list",
                "clear-local-auth-list",
                "Clear the local authorization list",
                |_: EmptyEvent| (Request::ClearList, Box::new(ListCleared::of)),
            )
        },
        direct("inject_fault", "inject-fault", "Inject a fault", |event: FaultEvent| {
            let (at, fault) = (event.place(), event.fault_type);
            let request = Request::InjectFault { at, fault: fault.name() };
            (request, Box::new(move |outcome| FaultInjected::of(outcome, "Fault injected", at, Some(fault))))
        }),
        direct("clear_fault", "clear-fault", "Clear a fault", |event: ConnectorEvent| {
            let at = event.place();
            (Request::ClearFault(at), Box::new(move |outcome| FaultInjected::of(outcome, "Fault cleared", at, None)))
        }),
        queued("plug_connector", "plug-connector", "Plug an EV in", |event: ConnectorEvent| {
            Request::Plug(event.place())
        }),
        queued("unplug_connector", "unplug-connector", "Unplug the EV", |event: ConnectorEvent| {
            Request::Unplug(event.place())
        }),
        queued("unlock_connector", "unlock-connector", "Unlock a connector", |event: ConnectorEvent| {
            Request::Unlock(event.place())
        }),
        queued(
            "start_transaction",
            "start-transaction",
            "Start a transaction where an EV is plugged in",
            StartTransactionEvent::into_request,
        ),
        queued("stop_transaction", "stop-transaction", "Stop a transaction", StopTransactionEvent::into_request),
        queued("start_session", "start-session", "Plug in, authorize and start", StartSessionEvent::into_request),
        queued("stop_session", "stop-session", "Stop the transaction and unplug", StopSessionEvent::into_request),
        queued("authorize_id_tag", "authorize-id-tag", "Present a tag at the charger", AuthorizeEvent::into_request),
        queued("ev_requests_energy", "ev-requests-energy", "The EV takes energy", |event: ConnectorEvent| {
            Request::EvTakes { at: event.place(), takes: true }
        }),
        queued("ev_stops_energy", "ev-stops-energy", "The EV takes no energy any more", |event: ConnectorEvent| {
            Request::EvTakes { at: event.place(), takes: false }
        }),
        queued("power_update", "power-update", "Set the power that flows while charging", PowerEvent::into_request),
    ]
}

fn new<E: DeserializeOwned + JsonSchema>(
    event_type: &'static str,
    path: &'static str,
    summary: &'static str,
    to_work: impl Fn(E) -> Work + Send + Sync + 'static,
) -> Command {
    Command {
        event_type,
        path,
        summary,
        takes_location: false,
        is_event_optional: false,
        is_refused_by_error: false,
        read: Box::new(move |event| body::read(&EVENT, event).map(&to_work)),
        event_schema: SchemaGenerator::subschema_for::<E>,
        answer_schema: SchemaGenerator::subschema_for::<QueuedCommands>,
    }
}

fn queued<E: DeserializeOwned + JsonSchema + 'static>(
    event_type: &'static str,
    path: &'static str,
    summary: &'static str,
    to_request: fn(E) -> Request,
) -> Command {
    let to_work = move |event| Work::Queue(to_request(event));
    Command { takes_location: true, ..new(event_type, path, summary, to_work) }
}

fn direct<E: DeserializeOwned + JsonSchema + 'static, B: Serialize + JsonSchema + 'static>(
    event_type: &'static str,
    path: &'static str,
    summary: &'static str,
    ask: fn(E) -> (Request, Translation<B>),
) -> Command {
    let to_work = move |event| {
        let (request, translate) = ask(event);
        // Answers are plain data, and can be written.
        let translate = |outcome| serde_json::to_value(translate(outcome)?).map_err(|_| ApiError::Internal);
        Work::Ask(request, Box::new(translate))
    };
    Command { answer_schema: SchemaGenerator::subschema_for::<B>, ..new(event_type, path, summary, to_work) }
}
