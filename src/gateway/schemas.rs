//! `GET /schemas/…`: the JSON Schema of a message of EVerest's API, as a charger's release has it.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::error::{ApiError, json};
use super::routes::{Asked, Shared};
use crate::protocol::channel::ApiType;
use crate::protocol::schema::Message;

/// Where they are, as OpenAPI and axum write it.
pub const PATH: &str = "/schemas/{charger_id}/{api}/{channel}/{part}";
/// What stands for a message on a channel, and for the reply to it.
pub const PARTS: [&str; 2] = ["message", "reply"];

/// Where that of a message is, below the gateway's address.
pub fn path(charger_id: &str, message: Message) -> String {
    let channel = message.channel();
    let part = PARTS[usize::from(matches!(message, Message::ReplyTo(_)))];
    // Ids of chargers have no character that needs an escape in a path.
    format!("schemas/{charger_id}/{}/{}/{part}", channel.api().name(), channel.name())
}

/// Answers with a schema.
pub async fn show(
    State(gateway): Shared,
    Asked { caller, .. }: Asked,
    path: Result<Path<(String, String, String, String)>, PathRejection>,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::NotFound("unknown message".to_owned());
    let Path((charger_id, api, channel, part)) = path.map_err(|_| unknown())?;
    let charger = gateway.charger(&caller, &charger_id)?;
    let api = ApiType::all().find(|known| known.name() == api).ok_or_else(unknown)?;
    let mut channels = api.channels().chain(api.former_channels());
    let channel = channels.find(|known| known.name() == channel).ok_or_else(unknown)?;
    let message = match part.as_str() {
        "message" => Message::On(channel),
        "reply" => Message::reply_to(channel).ok_or_else(unknown)?,
        _ => return Err(unknown()),
    };
    Ok(json(StatusCode::OK, &charger.schemas.document(message)))
}
