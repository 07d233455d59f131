//! What a station has to offer, by kinds.

use proptest::sample::Index;
use serde_json::{Value, json};

use super::{Led, Model, UNKNOWN_TYPE};
use crate::fuzz::input::{Input, NO_EVSE};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::{AtConnector, AtEvse, Command, HeartbeatControl, SetReply};
use crate::protocol::side::Side;
use crate::protocol::types::{
    AuthorizationStatus, IdToken, MessageContent, ValidationResult, ValidationResultUpdate,
    WithdrawAuthorizationRequest,
};

/// The inputs of a kind, possible or not.
pub type Kind = fn(&Model) -> Vec<Input>;

impl Model {
    /// What can be done now and has an effect, but for what is published as it stands.
    pub fn offers(&self) -> Vec<Input> {
        let mut inputs: Vec<_> = self.kinds().into_iter().flat_map(|kind| kind(self)).collect();
        inputs.retain(|input| self.is_possible(input));
        inputs
    }

    /// One of these that is possible, and what it leads to: the kind at a place among the kinds, or the first after it that
    /// has something to offer, and of that the input at another place.
    pub(in crate::fuzz) fn offer(&self, kinds: &[Kind], (kind, which): (&Index, &Index)) -> Option<(Input, Self, Led)> {
        let first = if kinds.is_empty() { return None } else { kind.index(kinds.len()) };
        kinds[first..].iter().chain(&kinds[..first]).find_map(|kind| {
            let inputs = kind(self);
            let first = if inputs.is_empty() { return None } else { which.index(inputs.len()) };
            let (before, from) = inputs.split_at(first);
            from.iter().chain(before).find_map(|input| {
                let (after, led) = self.tried(input)?;
                Some((input.clone(), after, led))
            })
        })
    }

    /// The kinds of inputs that there are; each is as likely, however many of it there are.
    pub(in crate::fuzz) fn kinds(&self) -> Vec<Kind> {
        // Some stand here twice or more: it takes them to get far.
        let start: Kind = |model| model.at_each(|at| Command::StartTransaction(AtEvse { evse: at.evse }));
        let plug_in: Kind = |model| model.at_each(Command::PlugIn);
        let station: [Kind; 12] = [
            plug_in,
            plug_in,
            start,
            start,
            start,
            Self::presentations,
            Self::presentations,
            |model| model.at_each(|at| Command::Unplug(AtEvse { evse: at.evse })),
            |model| model.at_each(|at| Command::StopTransaction(AtEvse { evse: at.evse })),
            |model| model.at_each(Command::InjectFault),
            |model| model.at_each(Command::ClearFault),
            Self::updates,
        ];
        let client: [Kind; 5] = [
            |model| model.withdraws().into_iter().map(Command::Withdraw).map(Input::Command).collect(),
            |_| vec![Input::Command(Command::GetStatus {})],
            |_| vec![Input::Command(Command::Discover {})],
            |_| queries(),
            |_| [true, false].map(|it| Input::Command(Command::CommunicationCheck(it))).to_vec(),
        ];
        match (self.under_test, self.api) {
            (Side::Everest, _) => {
                let at_once: Kind = |model| model.withdraws().into_iter().map(Input::WithdrawTwice).collect();
                [&station[..], &client, &[at_once]].concat()
            }
            (Side::Client, ApiType::AUTH_CONSUMER) if self.is_driven => {
                [&station[..], &client, &[|_: &Self| replies()]].concat()
            }
            (Side::Client, ApiType::AUTH_CONSUMER) => [&station[..], &[|_: &Self| replies()]].concat(),
            (Side::Client, ApiType::AUTH_TOKEN_VALIDATOR) if self.is_driven => {
                [&station[..], &[Self::verdicts as Kind]].concat()
            }
            (Side::Client, ApiType::AUTH_TOKEN_VALIDATOR) => station.to_vec(),
            (Side::Client, ApiType::AUTH_TOKEN_PROVIDER) if self.is_driven => vec![Self::presentations],
            _ => Vec::new(),
        }
    }

    /// The kinds of what happens to the connection, to EVerest as a whole, and to its heartbeats.
    pub(in crate::fuzz) fn kinds_of_turns(&self) -> Vec<Kind> {
        match self.under_test {
            Side::Everest => {
                vec![|_| vec![Input::RestartEverest], |_| vec![Input::AwaitHeartbeat, Input::AwaitNoHeartbeat], |_| {
                    vec![Input::AwaitTimeout]
                }]
            }
            Side::Client => vec![
                |_| vec![Input::RestartEverest],
                |_| heartbeats(),
                |_| vec![Input::AwaitNoHeartbeat],
                |_| vec![Input::AwaitCheck],
                Self::silences,
                Self::silences,
                |_| vec![Input::Disconnect],
            ],
        }
    }

    /// What happens to the connection, to EVerest as a whole, and to its heartbeats.
    pub fn turns(&self) -> Vec<Input> {
        let mut inputs: Vec<_> = self.kinds_of_turns().into_iter().flat_map(|kind| kind(self)).collect();
        inputs.retain(|input| self.is_possible(input));
        inputs
    }

    fn at_each(&self, command: fn(AtConnector) -> Command) -> Vec<Input> {
        self.evses().map(|evse| Input::Command(command(AtConnector { evse, connector: None }))).collect()
    }

    fn presentations(&self) -> Vec<Input> {
        self.config.tokens.keys().cloned().map(Input::PresentToken).collect()
    }

    fn withdraws(&self) -> Vec<WithdrawAuthorizationRequest> {
        let evses: Vec<_> = self.evses().chain([NO_EVSE]).map(Some).chain([None]).collect();
        let tokens: Vec<Option<IdToken>> =
            self.config.tokens.values().map(|token| Some(token.id_token())).chain([None]).collect();
        let withdraw =
            |evse_id, id_token: &Option<IdToken>| WithdrawAuthorizationRequest { evse_id, id_token: id_token.clone() };
        evses.into_iter().flat_map(|evse| tokens.iter().map(move |token| withdraw(evse, token))).collect()
    }

    /// What may not come from a client now.
    fn silences(&self) -> Vec<Input> {
        let again = self.config.tokens.values().map(|token| Input::AwaitNoMoreOf(token.value.clone()));
        if self.is_driven { again.chain([Input::AwaitNoCheck]).collect() } else { Vec::new() }
    }

    fn verdicts(&self) -> Vec<Input> {
        use AuthorizationStatus::{Accepted, Expired, Unknown};
        let verdict = |token: &String| {
            [Accepted, Expired, Unknown].map(|verdict| Input::SetVerdict { token: token.clone(), verdict })
        };
        self.config.tokens.keys().flat_map(verdict).collect()
    }

    fn updates(&self) -> Vec<Input> {
        let message = MessageContent { content: "0.25 EUR/kWh".to_owned(), format: None, language: None };
        let update = |connector_id, verdict| {
            let validation_result =
                ValidationResult { tariff_messages: vec![message.clone()], ..ValidationResult::new(verdict) };
            Input::Command(Command::UpdateVerdict(ValidationResultUpdate { connector_id, validation_result }))
        };
        let verdicts = [AuthorizationStatus::Accepted, AuthorizationStatus::Blocked];
        self.evses().flat_map(|evse| verdicts.map(|verdict| update(evse, verdict))).collect()
    }
}

fn queries() -> Vec<Input> {
    let auth = ApiType::AUTH_APIS.map(ApiType::name);
    let types = auth.into_iter().chain([UNKNOWN_TYPE]);
    types.map(|name| Input::Command(Command::QueryModules(name.to_owned()))).collect()
}

fn heartbeats() -> Vec<Input> {
    let next = [0, 1, 4_294_967_296, 9_007_199_254_740_993, u64::MAX].map(HeartbeatControl::Next);
    let all = [HeartbeatControl::Pause, HeartbeatControl::Resume].into_iter().chain(next);
    all.map(Command::Heartbeats).map(Input::Command).collect()
}

/// What a client's requests get in place of EVerest's reply: each result, one that no release has, late, or never.
fn replies() -> Vec<Input> {
    let results = ["Accepted", "AuthorizationNotFound", "EvseNotFound", "Rejected", "OfTheFuture"];
    let chosen = results.map(|result| set_reply(Some(json!(result)), false, 0));
    let others = [set_reply(Some(json!("Accepted")), false, 50), set_reply(None, true, 0), set_reply(None, false, 0)];
    chosen.into_iter().chain(others).collect()
}

pub(super) fn set_reply(payload: Option<Value>, never: bool, after_ms: u64) -> Input {
    let to = Channel::WITHDRAW_AUTHORIZATION.name().to_owned();
    Input::Command(Command::SetReply(SetReply { to, payload, never, after_ms }))
}
