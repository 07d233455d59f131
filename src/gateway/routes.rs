//! What is done for a request: who asks, for what, and what comes of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::actions;
use super::answers::{self, ChargerPage, FailedAt, LogPage, QueuedAt, QueuedCommand, QueuedCommands};
use super::body::{self, Fault, Whole};
use super::chargers::{ChargerConfig, OcppVersion};
use super::commands::{self, Asked as Order, Command, EVENT, Work};
use super::error::{ApiError, json};
use super::events::{ChargerTarget, CommandTarget, ProxyEvent};
use super::fleet::{Charger, Fleet, now};
use super::log::{Direction, Wanted, rfc3339};
use super::tokens::{Caller, ORGANIZATION_HEADER, Tokens};
use super::{docs, openapi, page, paths};
use crate::ocpp::from_rfc3339;
use crate::station::charge_point::Request;

/// The most bytes of a body.
pub const LARGEST_BODY: usize = 256 * 1024;
/// So much more is read and thrown away, so that the client hears why.
const MOST_DISCARDED: usize = 64 * 1024 * 1024;
/// Where the commands are.
pub const COMMANDS: &str = "/ocpp/commands/";
/// The largest number of a page or an offset.
pub const LAST: i64 = 1_000_000;
/// The most chargers of a page.
pub const MOST_CHARGERS: i64 = 100;
/// The most entries of a page.
pub const MOST_ENTRIES: i64 = 1000;
/// How many there are on a page if nobody says.
pub const PAGE: i64 = 20;

/// What is served.
#[derive(Debug)]
pub struct Gateway {
    /// The chargers.
    pub fleet: Fleet,
    /// Who may act on them.
    pub tokens: Tokens,
    /// Places for those who watch.
    pub places: Arc<Semaphore>,
}

/// Some of the chargers.
#[derive(Debug)]
pub struct Page<'a> {
    /// Those on the page, with their ids.
    pub chargers: Vec<(&'a str, &'a Charger)>,
    /// How many there are in all.
    pub total: usize,
    /// The number of the page, from 1.
    pub page: i64,
    /// How many a page has at most.
    pub limit: i64,
}

/// Where the target stands in a body.
const TARGET: [&str; 2] = ["body", "target"];

/// What handlers share.
pub type Shared = State<Arc<Gateway>>;

/// Who asks to read something, and for what. A stranger is refused before anything else is looked at.
pub struct Asked {
    /// Who.
    pub caller: Caller,
    /// The parameters of the query, in their order.
    pub query: Vec<(String, String)>,
}

impl FromRequestParts<Arc<Gateway>> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, ApiError> {
        let caller = gateway.caller(&parts.headers)?;
        let query = Query::try_from_uri(&parts.uri);
        let Query(query) = query.map_err(|error| Fault::value(&["query"], error.body_text()))?;
        Ok(Self { caller, query })
    }
}

/// Everything that is served; to browsers of this machine only, if it `is_local`.
pub fn router(gateway: Arc<Gateway>, is_local: bool) -> Router {
    let commands = commands::all();
    let document = openapi::document(&commands);
    let described_paths = document["paths"].as_object().into_iter().flat_map(|paths| paths.keys().cloned());
    let known: Vec<String> = described_paths.chain(["/docs", "/openapi.json"].map(str::to_owned)).collect();
    let description: Bytes = document.to_string().into();
    let mut router = Router::new()
        .route("/openapi.json", get(async move || described(description)))
        .route("/ocpp/chargers", get(list))
        .route("/ocpp/chargers/{charger_id}", get(show))
        .route("/ocpp/chargers/{charger_id}/logs", get(show_log))
        .merge(page::router(is_local, docs::page(&document)));
    for command in commands {
        let path = format!("{COMMANDS}{}", command.path);
        let command = Arc::new(command);
        let follow = move |State(gateway): Shared, headers: HeaderMap, body: Body| async move {
            gateway.follow(&command, &headers, body).await
        };
        router = router.route(&path, post(follow));
    }
    router
        .fallback(async move |uri: Uri| {
            let near = paths::near(uri.path(), known.iter().map(String::as_str));
            let near = near.map(|path| format!(": did you mean `{path}`?"));
            ApiError::NotFound(format!("Not Found{}", near.unwrap_or_default()))
        })
        .method_not_allowed_fallback(async |uri: Uri| {
            ApiError::MethodNotAllowed(if uri.path().starts_with(COMMANDS) { "POST" } else { "GET" })
        })
        .with_state(gateway)
}

fn described(description: Bytes) -> Response {
    ([(axum::http::header::CONTENT_TYPE, "application/json")], description).into_response()
}

impl Gateway {
    /// Who makes a request. Where no charger has a tenant, it does not matter which one is named.
    ///
    /// # Errors
    /// As [`Tokens::caller`].
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let caller = self.tokens.caller(headers)?;
        let has_tenants = || self.fleet.chargers.values().any(|charger| charger.config.organization.is_some());
        let names_none = !headers.contains_key(ORGANIZATION_HEADER);
        Ok(if names_none || has_tenants() { caller } else { caller.of_any_organization() })
    }

    async fn follow(&self, command: &Command, headers: &HeaderMap, body: Body) -> Result<Response, ApiError> {
        let caller = self.caller(headers);
        // Also of a stranger: one who is still sending does not hear an answer.
        let bytes = whole(body).await;
        let caller = caller?;
        let Order { target, event, work } = command.asked(&bytes?)?;
        match work {
            Work::Queue(request) => {
                let target: CommandTarget = body::read(&TARGET, &target)?;
                let chargers = self.targeted(&caller, &target)?;
                Ok(json(StatusCode::OK, &queue(command, &request, &event, chargers).await))
            }
            Work::Ask(request, translate) => {
                let target: ChargerTarget = body::read(&TARGET, &target)?;
                let charger = self.charger(&caller, &target.charger_id)?;
                charger.log.note(Direction::Command, command.event_type, &event, now());
                Ok(json(StatusCode::OK, &translate(charger.ask(request).await)?))
            }
            Work::Proxy(message) => {
                let target: ChargerTarget = body::read(&TARGET, &target)?;
                let charger = self.charger(&caller, &target.charger_id)?;
                send(charger, message).await?;
                Ok(json(StatusCode::OK, &queued(command, charger, &event)))
            }
        }
    }

    /// The charger of this id, if the caller may act on it.
    ///
    /// # Errors
    /// There is none, or the token is not good for it.
    pub fn charger(&self, caller: &Caller, id: &str) -> Result<&Charger, ApiError> {
        let charger = self.fleet.chargers.get(id);
        let charger = charger.ok_or_else(|| ApiError::NotFound(format!("unknown charger `{}`", quoted(id))))?;
        if caller.may(id, &charger.config) {
            Ok(charger)
        } else {
            Err(ApiError::Forbidden(format!("the token may not act on charger `{id}`")))
        }
    }

    /// The chargers that are meant. Of a location, those that the caller may act on; one at least.
    fn targeted(&self, caller: &Caller, target: &CommandTarget) -> Result<Vec<(&str, &Charger)>, ApiError> {
        let (location, wanted) = match target {
            CommandTarget::Charger(id) => {
                let charger = self.charger(caller, id)?;
                let known = self.fleet.chargers.get_key_value(id).map(|(id, _)| id.as_str());
                return Ok(vec![(known.unwrap_or_default(), charger)]);
            }
            CommandTarget::Location(location, wanted) => (location, wanted),
        };
        let at_location: Vec<(&str, &Charger)> = self
            .fleet
            .chargers
            .iter()
            .filter(|(_, charger)| charger.config.location.as_ref() == Some(location))
            .map(|(id, charger)| (id.as_str(), charger))
            .collect();
        if at_location.is_empty() {
            return Err(ApiError::NotFound(format!("unknown location `{}`", quoted(location))));
        }
        if let Some(wanted) = wanted {
            let there: BTreeSet<&str> = at_location.iter().map(|(id, _)| *id).collect();
            if let Some(stranger) = wanted.iter().find(|id| !there.contains(id.as_str())) {
                let (stranger, location) = (quoted(stranger), quoted(location));
                return Err(ApiError::NotFound(format!("no charger `{stranger}` at location `{location}`")));
            }
            for id in wanted {
                self.charger(caller, id)?;
            }
        }
        let is_meant = |id: &str| wanted.as_ref().is_none_or(|wanted| wanted.contains(id));
        let meant: Vec<_> =
            at_location.into_iter().filter(|(id, it)| is_meant(id) && caller.may(id, &it.config)).collect();
        if meant.is_empty() {
            let location = quoted(location);
            return Err(ApiError::Forbidden(format!("the token may not act on any charger at location `{location}`")));
        }
        Ok(meant)
    }

    /// The page of chargers that a query asks for, of those that are wanted and that the caller may act on.
    pub fn page(
        &self,
        caller: &Caller,
        query: &[(String, String)],
        is_wanted: impl Fn(&str, &ChargerConfig) -> bool,
    ) -> Result<Page<'_>, ApiError> {
        let page = in_range::<1, LAST>(query, "page", 1)?;
        let limit = in_range::<1, MOST_CHARGERS>(query, "limit", PAGE)?;
        let location = parameter(query, "location_id");
        let is_there = |config: &ChargerConfig| location.is_none_or(|it| config.location.as_deref() == Some(it));
        let is_shown = |id: &str, it: &ChargerConfig| caller.may(id, it) && is_there(it) && is_wanted(id, it);
        let visible: Vec<_> = self.fleet.chargers.iter().filter(|(id, it)| is_shown(id, &it.config)).collect();
        let skipped = usize::try_from((page - 1) * limit).unwrap_or(usize::MAX);
        let shown = visible.iter().skip(skipped).take(usize::try_from(limit).unwrap_or(0));
        let chargers = shown.map(|(id, charger)| (id.as_str(), *charger)).collect();
        Ok(Page { chargers, total: visible.len(), page, limit })
    }

    /// A charger as it is shown.
    pub fn describe(&self, id: &str, charger: &Charger) -> answers::Charger {
        let config = &charger.config;
        let last = charger.log.last().unwrap_or(self.fleet.started_at);
        answers::Charger {
            id: id.to_owned(),
            identity: config.identity(id).to_owned(),
            name: config.name.clone(),
            vendor_name: config.vendor_name.clone(),
            model: config.model.clone(),
            ocpp_version: config.ocpp_version,
            number_of_connectors: config.station.evses,
            max_charging_power: config.station.charge_point.as_ref().map_or(0, |it| it.max_charging_power),
            connector_type: config.connector_type.clone(),
            location_id: config.location.clone(),
            created_at: rfc3339(self.fleet.started_at),
            updated_at: rfc3339(last.max(self.fleet.started_at)),
        }
    }
}

async fn list(State(gateway): Shared, Asked { caller, query }: Asked) -> Result<Response, ApiError> {
    let Page { chargers, total, page, limit } = gateway.page(&caller, &query, |_, _| true)?;
    let data = chargers.into_iter().map(|(id, charger)| gateway.describe(id, charger)).collect();
    Ok(json(StatusCode::OK, &ChargerPage { data, total, page, limit }))
}

async fn show(
    State(gateway): Shared,
    Asked { caller, .. }: Asked,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let id = text(id)?;
    Ok(json(StatusCode::OK, &gateway.describe(&id, gateway.charger(&caller, &id)?)))
}

async fn show_log(
    State(gateway): Shared,
    Asked { caller, query }: Asked,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let id = text(id)?;
    let limit = in_range::<1, MOST_ENTRIES>(&query, "limit", PAGE)?;
    let offset = in_range::<0, LAST>(&query, "offset", 0)?;
    let start = moment(&query, "start_date")?.unwrap_or(Duration::ZERO);
    let end = moment(&query, "end_date")?.unwrap_or(Duration::MAX);
    let wanted = Wanted { action: parameter(&query, "event").map(str::to_owned), at: start..=end };
    let charger = gateway.charger(&caller, &id)?;
    let position = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let (data, total) = charger.log.page(&wanted, position(offset), position(limit));
    Ok(json(StatusCode::OK, &LogPage { data, total, limit, offset }))
}

fn text(id: Result<Path<String>, PathRejection>) -> Result<String, ApiError> {
    // What is no UTF-8 is no id either.
    id.map(|Path(id)| id).map_err(|_| ApiError::NotFound("unknown charger".to_owned()))
}

/// A parameter; the last one counts, as with FastAPI.
pub fn parameter<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().rev().find(|(key, _)| key == name).map(|(_, text)| text.as_str())
}

/// A parameter that is a moment, counted from the Unix epoch.
fn moment(query: &[(String, String)], name: &str) -> Result<Option<Duration>, Fault> {
    let fault = || Fault::value(&["query", name], "no moment as RFC 3339 has it");
    parameter(query, name).map(|text| from_rfc3339(text).ok_or_else(fault)).transpose()
}

/// A parameter that is a whole number.
fn in_range<const MIN: i64, const MAX: i64>(
    query: &[(String, String)],
    name: &str,
    default: i64,
) -> Result<i64, ApiError> {
    let Some(text) = parameter(query, name) else { return Ok(default) };
    let number = text.parse().ok().and_then(Whole::<MIN, MAX>::new);
    let fault = || Fault::value(&["query", name], format!("no whole number from {MIN} to {MAX}"));
    Ok(number.ok_or_else(fault)?.0)
}

/// Has a charger send a message to its CSMS.
async fn send(charger: &Charger, message: ProxyEvent) -> Result<(), Fault> {
    let version: OcppVersion = charger.config.ocpp_version;
    if message.ocpp_version != version {
        let loc = [EVENT[0], EVENT[1], "ocpp_version"];
        return Err(Fault::value(&loc, format!("the charger speaks {}", version.name())));
    }
    let Some(action) = actions::find(version, &message.action) else {
        let loc = [EVENT[0], EVENT[1], "action"];
        return Err(Fault::value(&loc, format!("no message of a charge point in {}", version.name())));
    };
    let sent = charger.send(action, actions::in_camel_case(Value::Object(message.payload))).await;
    sent.map_err(|why| Fault::value(&[TARGET[0], TARGET[1], "charger_id"], why))
}

/// Asks all chargers at once, and waits for all.
async fn queue(command: &Command, request: &Request, event: &Value, chargers: Vec<(&str, &Charger)>) -> QueuedCommands {
    let asked: Vec<_> = chargers
        .into_iter()
        .map(|(id, charger)| {
            charger.log.note(Direction::Command, command.event_type, event, now());
            (id, charger, charger.ask(request.clone()))
        })
        .collect();
    let (mut results, mut failed) = (Vec::new(), Vec::new());
    for (id, charger, answer) in asked {
        let identity = charger.config.identity(id).to_owned();
        match answer.await {
            Ok(_) => {
                let command = queued(command, charger, event);
                results.push(QueuedAt { charger_id: id.to_owned(), identity, command });
            }
            Err(error) => failed.push(FailedAt { identity, error }),
        }
    }
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let (queued_count, failed_count) = (count(results.len()), count(failed.len()));
    QueuedCommands { targeted_count: queued_count + failed_count, queued_count, failed_count, results, failed }
}

fn queued(command: &Command, charger: &Charger, event: &Value) -> QueuedCommand {
    QueuedCommand {
        id: Uuid::new_v4().simple().to_string(),
        event_type: command.event_type.to_owned(),
        ocpp_version: charger.config.ocpp_version,
        payload: event.clone(),
    }
}

/// A body as a whole, if it is not too large.
async fn whole(mut body: Body) -> Result<Bytes, ApiError> {
    let (mut kept, mut length) = (Vec::new(), 0usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Fault::value(&["body"], format!("it cannot be read: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        match length {
            0..=LARGEST_BODY => kept.extend_from_slice(&data),
            _ if length > MOST_DISCARDED => break,
            _ => kept = Vec::new(),
        }
    }
    if length > LARGEST_BODY { Err(ApiError::TooLarge(LARGEST_BODY)) } else { Ok(kept.into()) }
}

/// Something that was sent, fit for a message.
fn quoted(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}
