//! What has no place in a scenario because of its API: messages of API modules that the station does not have.

use super::model::{MessageKind, Model};
use crate::protocol::channel::{ApiType, Channel};

/// The API of a message: the one that is named, else the one under test, else the first that has such messages.
pub fn api_of(kind: MessageKind, named: Option<ApiType>, under_test: ApiType) -> ApiType {
    let likely = named.unwrap_or(under_test);
    match kind {
        MessageKind::On(_) => {
            let mut candidates = [likely, under_test].into_iter().chain(ApiType::all());
            candidates.find(|api| channel_of(kind, *api).is_some()).unwrap_or(likely)
        }
        MessageKind::ReadyBeacon | MessageKind::ReservationUpdate | MessageKind::Reply => likely,
    }
}

/// The channel of a kind in an API; a reply and the beacon have none.
pub fn channel_of(kind: MessageKind, api: ApiType) -> Option<Channel> {
    match kind {
        MessageKind::On(name) => api.channel(name),
        MessageKind::ReadyBeacon | MessageKind::ReservationUpdate | MessageKind::Reply => None,
    }
}

/// Whether messages of this kind are in several APIs, so that naming one makes sense.
pub(super) fn is_in_several_apis(kind: MessageKind) -> bool {
    ApiType::all().filter(|api| channel_of(kind, *api).is_some()).count() > 1
}

/// Whether somebody speaks an API in the scenario.
pub(super) fn is_spoken(api: ApiType, model: &Model) -> bool {
    api == model.api || model.station.cadence(api).is_some()
}
