//! What a station has to offer, by kinds.

use std::cmp::Ordering;
use std::sync::Arc;

use proptest::sample::Index;
use serde_json::{Value, json};

use super::{Led, Model, UNKNOWN_TYPE};
use crate::fuzz::input::{Input, NO_EVSE};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::{AtConnector, AtEvse, Command, HeartbeatControl, SetReply};
use crate::protocol::side::Side;
use crate::protocol::types::{
    AuthorizationStatus, MessageContent, ValidationResult, ValidationResultUpdate, WithdrawAuthorizationRequest,
};
use crate::station::config::TokenConfig;

/// The inputs of a kind, possible or not.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    count: fn(&Model) -> usize,
    /// The one at a place below the count; to make all of them for the sake of one would take longest of all.
    at: fn(&Model, usize) -> Input,
}

impl Kind {
    /// All of them.
    fn all(self, model: &Model) -> impl Iterator<Item = Input> + '_ {
        (0..(self.count)(model)).map(move |place| (self.at)(model, place))
    }
}

impl Model {
    /// What can be done now and has an effect, but for what is published as it stands.
    pub fn offers(&self) -> Vec<Input> {
        let inputs = self.kinds().into_iter().flat_map(|kind| kind.all(self));
        inputs.filter(|input| self.is_possible(input)).collect()
    }

    /// One of these that is possible, and what it leads to: the kind at a place among the kinds, or the first after it that
    /// has something to offer, and of that the input at another place.
    pub(in crate::fuzz) fn offer(
        &self,
        kinds: &[Kind],
        (kind, which): (&Index, &Index),
    ) -> Option<(Input, Arc<Self>, Led)> {
        let first = if kinds.is_empty() { return None } else { kind.index(kinds.len()) };
        kinds[first..].iter().chain(&kinds[..first]).find_map(|kind| {
            let count = (kind.count)(self);
            let first = if count == 0 { return None } else { which.index(count) };
            (first..count).chain(0..first).find_map(|place| {
                let input = (kind.at)(self, place);
                let (after, led) = self.tried(&input)?;
                Some((input, after, led))
            })
        })
    }

    /// The kinds of inputs that there are; each is as likely, however many of it there are.
    pub(in crate::fuzz) fn kinds(&self) -> Vec<Kind> {
        // Some stand here twice or more: it takes them to get far.
        let station =
            [PLUG_IN, PLUG_IN, START, START, START, PRESENT, PRESENT, UNPLUG, STOP, INJECT_FAULT, CLEAR_FAULT, UPDATE];
        let client = [WITHDRAW, GET_STATUS, DISCOVER, QUERY, CHECK];
        match (self.under_test, self.api) {
            (Side::Everest, _) => [&station[..], &client, &[WITHDRAW_TWICE]].concat(),
            (Side::Client, ApiType::AUTH_CONSUMER) if self.is_driven => [&station[..], &client, &[REPLY]].concat(),
            (Side::Client, ApiType::AUTH_CONSUMER) => [&station[..], &[REPLY]].concat(),
            (Side::Client, ApiType::AUTH_TOKEN_VALIDATOR) if self.is_driven => [&station[..], &[VERDICT]].concat(),
            (Side::Client, ApiType::AUTH_TOKEN_VALIDATOR) => station.to_vec(),
            (Side::Client, ApiType::AUTH_TOKEN_PROVIDER) if self.is_driven => vec![PRESENT],
            _ => Vec::new(),
        }
    }

    /// The kinds of what happens to the connection, to EVerest as a whole, and to its heartbeats.
    pub(in crate::fuzz) fn kinds_of_turns(&self) -> Vec<Kind> {
        match self.under_test {
            Side::Everest => vec![RESTART, HEARTBEAT_OR_NONE, TIMEOUT],
            Side::Client => vec![RESTART, HEARTBEATS, NO_HEARTBEAT, AWAIT_CHECK, SILENCE, SILENCE, DISCONNECT],
        }
    }

    /// What happens to the connection, to EVerest as a whole, and to its heartbeats.
    pub fn turns(&self) -> Vec<Input> {
        let inputs = self.kinds_of_turns().into_iter().flat_map(|kind| kind.all(self));
        inputs.filter(|input| self.is_possible(input)).collect()
    }

    /// The name of the token at a place, and what it is.
    fn token(&self, place: usize) -> Option<(&String, &TokenConfig)> {
        self.config.tokens.iter().nth(place)
    }

    fn token_name(&self, place: usize) -> String {
        self.token(place).map(|(name, _)| name.clone()).unwrap_or_default()
    }

    /// Each EVSE, one that nobody has, and none, with each token and with none.
    fn withdraws(&self) -> usize {
        (self.evse_count() + 2) * (self.config.tokens.len() + 1)
    }

    fn withdraw(&self, place: usize) -> WithdrawAuthorizationRequest {
        let tokens = self.config.tokens.len() + 1;
        let (evse, token) = (place / tokens, place % tokens);
        let evse_id = match evse.cmp(&self.evse_count()) {
            Ordering::Less => Some(evse_at(evse)),
            Ordering::Equal => Some(NO_EVSE),
            Ordering::Greater => None,
        };
        WithdrawAuthorizationRequest { evse_id, id_token: self.token(token).map(|(_, token)| token.id_token()) }
    }

    fn evse_count(&self) -> usize {
        usize::from(self.config.evses)
    }
}

/// The EVSE at a place.
fn evse_at(place: usize) -> i32 {
    i32::try_from(place).unwrap_or_default() + 1
}

/// A command for each EVSE.
macro_rules! at_each {
    ($command:expr) => {
        Kind { count: Model::evse_count, at: |_, place| Input::Command($command(evse_at(place))) }
    };
}

/// One input.
macro_rules! one {
    ($input:expr) => {
        Kind { count: |_| 1, at: |_, _| $input }
    };
}

const PLUG_IN: Kind = at_each!(|evse| Command::PlugIn(AtConnector { evse, connector: None }));
const START: Kind = at_each!(|evse| Command::StartTransaction(AtEvse { evse }));
const STOP: Kind = at_each!(|evse| Command::StopTransaction(AtEvse { evse }));
const UNPLUG: Kind = at_each!(|evse| Command::Unplug(AtEvse { evse }));
const INJECT_FAULT: Kind = at_each!(|evse| Command::InjectFault(AtConnector { evse, connector: None }));
const CLEAR_FAULT: Kind = at_each!(|evse| Command::ClearFault(AtConnector { evse, connector: None }));
const PRESENT: Kind =
    Kind { count: |model| model.config.tokens.len(), at: |model, place| Input::PresentToken(model.token_name(place)) };
const UPDATE: Kind = Kind {
    count: |model| model.evse_count() * UPDATES.len(),
    at: |_, place| {
        let message = MessageContent { content: "0.25 EUR/kWh".to_owned(), format: None, language: None };
        let verdict = UPDATES[place % UPDATES.len()];
        let validation_result = ValidationResult { tariff_messages: vec![message], ..ValidationResult::new(verdict) };
        let connector_id = evse_at(place / UPDATES.len());
        Input::Command(Command::UpdateVerdict(ValidationResultUpdate { connector_id, validation_result }))
    },
};
const UPDATES: [AuthorizationStatus; 2] = [AuthorizationStatus::Accepted, AuthorizationStatus::Blocked];
const WITHDRAW: Kind =
    Kind { count: Model::withdraws, at: |model, place| Input::Command(Command::Withdraw(model.withdraw(place))) };
const WITHDRAW_TWICE: Kind =
    Kind { count: Model::withdraws, at: |model, place| Input::WithdrawTwice(model.withdraw(place)) };
const GET_STATUS: Kind = one!(Input::Command(Command::GetStatus {}));
const DISCOVER: Kind = one!(Input::Command(Command::Discover {}));
const QUERY: Kind = Kind {
    count: |_| ApiType::AUTH_APIS.len() + 1,
    at: |_, place| {
        let name = ApiType::AUTH_APIS.get(place).map_or(UNKNOWN_TYPE, |api| api.name());
        Input::Command(Command::QueryModules(name.to_owned()))
    },
};
const CHECK: Kind = Kind { count: |_| 2, at: |_, place| Input::Command(Command::CommunicationCheck(place == 0)) };
/// What a client's requests get in place of EVerest's reply: each result, one that no release has, late, or never.
const REPLY: Kind = Kind {
    count: |_| RESULTS.len() + 3,
    at: |_, place| match RESULTS.get(place) {
        Some(result) => set_reply(Some(json!(result)), false, 0),
        None if place == RESULTS.len() => set_reply(Some(json!("Accepted")), false, 50),
        None => set_reply(None, place == RESULTS.len() + 1, 0),
    },
};
const RESULTS: [&str; 5] = ["Accepted", "AuthorizationNotFound", "EvseNotFound", "Rejected", "OfTheFuture"];
const VERDICT: Kind = Kind {
    count: |model| model.config.tokens.len() * VERDICTS.len(),
    at: |model, place| Input::SetVerdict {
        token: model.token_name(place / VERDICTS.len()),
        verdict: VERDICTS[place % VERDICTS.len()],
    },
};
const VERDICTS: [AuthorizationStatus; 3] =
    [AuthorizationStatus::Accepted, AuthorizationStatus::Expired, AuthorizationStatus::Unknown];
const RESTART: Kind = one!(Input::RestartEverest);
const HEARTBEAT_OR_NONE: Kind =
    Kind { count: |_| 2, at: |_, place| if place == 0 { Input::AwaitHeartbeat } else { Input::AwaitNoHeartbeat } };
const TIMEOUT: Kind = one!(Input::AwaitTimeout);
const HEARTBEATS: Kind = Kind {
    count: |_| NUMBERS.len() + 2,
    at: |_, place| {
        let control = match place {
            0 => HeartbeatControl::Pause,
            1 => HeartbeatControl::Resume,
            _ => HeartbeatControl::Next(NUMBERS[place - 2]),
        };
        Input::Command(Command::Heartbeats(control))
    },
};
const NUMBERS: [u64; 5] = [0, 1, 4_294_967_296, 9_007_199_254_740_993, u64::MAX];
const NO_HEARTBEAT: Kind = one!(Input::AwaitNoHeartbeat);
const AWAIT_CHECK: Kind = one!(Input::AwaitCheck);
/// What may not come from a client now.
const SILENCE: Kind = Kind {
    count: |model| if model.is_driven { model.config.tokens.len() + 1 } else { 0 },
    at: |model, place| match model.token(place) {
        Some((_, token)) => Input::AwaitNoMoreOf(token.value.clone()),
        None => Input::AwaitNoCheck,
    },
};
const DISCONNECT: Kind = one!(Input::Disconnect);

pub(super) fn set_reply(payload: Option<Value>, never: bool, after_ms: u64) -> Input {
    let to = Channel::WITHDRAW_AUTHORIZATION.name().to_owned();
    Input::Command(Command::SetReply(SetReply { to, payload, never, after_ms }))
}
