//! What has no place in a scenario because of its API: messages of API modules that the station does not have.

use super::model::{MessageKind, Model};
use crate::protocol::channel::{ApiType, Channel};

/// The API of a message: the one that is named, else the only one that has such messages, else the one under test.
pub fn api_of(kind: MessageKind, named: Option<ApiType>, under_test: ApiType) -> ApiType {
    match kind {
        MessageKind::TokenValidationStatus
        | MessageKind::WithdrawAuthorization
        | MessageKind::GetTokenValidationStatus => ApiType::AUTH_CONSUMER,
        MessageKind::ProvidedToken => ApiType::AUTH_TOKEN_PROVIDER,
        MessageKind::ValidateToken | MessageKind::ValidateResultUpdate => ApiType::AUTH_TOKEN_VALIDATOR,
        MessageKind::Heartbeat
        | MessageKind::CommunicationCheck
        | MessageKind::ReadyBeacon
        | MessageKind::ReservationUpdate
        | MessageKind::Reply => named.unwrap_or(under_test),
    }
}

/// The channel of a kind; a reply and the beacon have none.
pub fn channel_of(kind: MessageKind) -> Option<Channel> {
    Some(match kind {
        MessageKind::Reply | MessageKind::ReadyBeacon | MessageKind::ReservationUpdate => return None,
        MessageKind::TokenValidationStatus => Channel::TOKEN_VALIDATION_STATUS,
        MessageKind::Heartbeat => Channel::HEARTBEAT,
        MessageKind::WithdrawAuthorization => Channel::WITHDRAW_AUTHORIZATION,
        MessageKind::GetTokenValidationStatus => Channel::GET_TOKEN_VALIDATION_STATUS,
        MessageKind::CommunicationCheck => Channel::COMMUNICATION_CHECK,
        MessageKind::ProvidedToken => Channel::PROVIDED_TOKEN,
        MessageKind::ValidateToken => Channel::VALIDATE_TOKEN,
        MessageKind::ValidateResultUpdate => Channel::VALIDATE_RESULT_UPDATE,
    })
}

/// Whether messages of this kind are in every API, so that naming one makes sense.
pub(super) fn is_in_every_api(kind: MessageKind) -> bool {
    matches!(kind, MessageKind::Heartbeat | MessageKind::CommunicationCheck)
}

/// Whether somebody speaks an API in the scenario.
pub(super) fn is_spoken(api: ApiType, model: &Model) -> bool {
    api == model.api || model.station.cadence(api).is_some()
}
