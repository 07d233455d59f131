//! The auth manager row by row: a bench that feeds inputs and writes down what comes out, and the tables of EVerest's
//! behaviour as tests.

use std::time::Duration;

use super::*;
use crate::protocol::types::{AuthorizationStatus, AuthorizationType, IdToken, IdTokenType};

mod reservations;
mod tokens;
mod withdraws;

/// An auth manager with a hand on everything around it.
struct Bench {
    auth: AuthManager,
    now: Duration,
    trace: Vec<String>,
    questions: Vec<AttemptId>,
    withdraws: u64,
    /// Whether EVSEs refuse to be reserved.
    refuses: bool,
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// FindFirst and 8 s, as in the recordings.
fn config() -> AuthConfig {
    AuthConfig { connection_timeout: crate::timespan::Seconds(seconds(8)), ..AuthConfig::default() }
}

fn plug_events() -> AuthConfig {
    AuthConfig { selection_algorithm: SelectionAlgorithm::PlugEvents, ..config() }
}

fn id_token(value: &str) -> IdToken {
    IdToken { additional_info: None, r#type: IdTokenType::ISO14443, value: value.to_owned() }
}

fn rfid(value: &str) -> ProvidedIdToken {
    ProvidedIdToken {
        authorization_type: AuthorizationType::RFID,
        certificate: None,
        certificate_hash_data: None,
        connectors: None,
        id_token: id_token(value),
        parent_id_token: None,
        prevalidated: None,
        request_id: None,
    }
}

fn rfid_for(value: &str, evses: &[i32]) -> ProvidedIdToken {
    ProvidedIdToken { connectors: Some(evses.to_vec()), ..rfid(value) }
}

fn result(status: AuthorizationStatus) -> ValidationResult {
    ValidationResult::new(status)
}

fn accepted() -> ValidationResult {
    result(AuthorizationStatus::Accepted)
}

fn of_group(parent: &str) -> ValidationResult {
    ValidationResult { parent_id_token: Some(id_token(parent)), ..accepted() }
}

impl Bench {
    fn new(evses: u8, config: &AuthConfig) -> Self {
        Self {
            auth: AuthManager::new(config, evses),
            now: seconds(0),
            trace: Vec::new(),
            questions: Vec::new(),
            withdraws: 0,
            refuses: false,
        }
    }

    fn feed(&mut self, input: Input) {
        let mut answers = Vec::new();
        for effect in self.auth.apply(self.now, input) {
            self.trace.extend(match effect {
                Effect::Status { token, status, messages, .. } => {
                    assert!(messages.is_empty() || status == TokenValidationStatus::Accepted);
                    let parent = token.parent_id_token.map(|parent| format!(" of {}", parent.value));
                    let evses = token.connectors.map(|evses| format!(" {evses:?}"));
                    let value = token.id_token.value;
                    Some(format!("{value} {status:?}{}{}", evses.unwrap_or_default(), parent.unwrap_or_default()))
                }
                Effect::Validate { attempt, token } => {
                    self.questions.push(attempt);
                    Some(format!("ask {}", token.id_token.value))
                }
                Effect::Call { evse, call } => Some(match call {
                    EvseCall::AuthorizeResponse(response) => {
                        format!("evse {evse}: response {:?}", response.1.authorization_status)
                    }
                    EvseCall::WithdrawAuthorization => format!("evse {evse}: withdraw"),
                    EvseCall::Reserve { reservation_id } => {
                        answers.push(Input::EvseReserved { reservation_id, is_accepted: !self.refuses });
                        format!("evse {evse}: reserve {reservation_id}")
                    }
                    EvseCall::CancelReservation => format!("evse {evse}: cancel reservation"),
                    EvseCall::StopTransaction { reason, id_tag } => {
                        let by = id_tag.map(|tag| format!(" by {}", tag.id_token.value)).unwrap_or_default();
                        format!("evse {evse}: stop {}{by}", reason.name())
                    }
                }),
                Effect::ReservationResult { reservation_id, result } => {
                    Some(format!("reservation {reservation_id} {result:?}"))
                }
                Effect::ReservationCancelled { reservation_id, is_cancelled } => {
                    Some(format!("reservation {reservation_id} cancelled: {is_cancelled}"))
                }
                Effect::ReservationUpdate { reservation_id, status } => {
                    Some(format!("update {reservation_id} {status:?}"))
                }
                Effect::WithdrawResult { id: _, result } => Some(format!("reply {result:?}")),
                Effect::Exit { .. } => Some("exit".to_owned()),
                Effect::Ignored { .. } => None,
            });
        }
        for answer in answers {
            self.feed(answer);
        }
    }

    /// What came out since the last look.
    fn seen(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trace)
    }

    fn present(&mut self, token: ProvidedIdToken) {
        self.feed(Input::Token(token));
    }

    /// Answers the oldest open question.
    fn answer(&mut self, results: &[ValidationResult]) {
        let attempt = self.questions.remove(0);
        self.feed(Input::Validated { attempt, results: results.to_vec() });
    }

    fn report(&mut self, evse: i32, event: SessionEvent) {
        self.feed(Input::Session { evse, connector: 1, event });
    }

    fn plug_in(&mut self, evse: i32) {
        self.report(evse, SessionEvent::SessionStartedByPlugIn);
    }

    /// EVSE state G.
    fn grant(&mut self, evse: i32, value: &str) {
        self.present(rfid_for(value, &[evse]));
        self.answer(&[accepted()]);
        self.trace.clear();
    }

    fn grant_of_group(&mut self, evse: i32, value: &str, parent: &str) {
        self.present(rfid_for(value, &[evse]));
        self.answer(&[of_group(parent)]);
        self.trace.clear();
    }

    /// EVSE state T.
    fn transact(&mut self, evse: i32, value: &str) {
        self.grant(evse, value);
        self.report(evse, SessionEvent::TransactionStarted);
    }

    fn withdraw(&mut self, evse_id: Option<i32>, id_token: Option<IdToken>) {
        let id = WithdrawId(self.withdraws);
        self.withdraws += 1;
        self.feed(Input::Withdraw { id, request: WithdrawAuthorizationRequest { evse_id, id_token } });
    }

    /// Lets time pass up to a moment, with every deadline on the way.
    fn pass(&mut self, until: Duration) {
        while let Some(due) = self.auth.next_deadline().filter(|due| *due <= until) {
            self.now = due;
            self.feed(Input::Deadline);
        }
        self.now = until;
    }
}
