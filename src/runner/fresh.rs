//! Brings an EVerest that runs already to a known state before each scenario: no EV is plugged in, nothing is authorized,
//! faulted, disabled or reserved.
//!
//! What the API cannot take back stays as it is: the latched status, heartbeats, an ended communication check.

use std::time::Duration;

use serde_json::json;

use super::learnt::{Answered, SILENCE};
use super::observer::Observer;
use super::stage::Stage;
use super::stop::Stop;
use crate::diagnostic::words::shown;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::control::{AtConnector, AtEvse, Command};
use crate::protocol::types::{WithdrawAuthorizationRequest, WithdrawAuthorizationResult};

/// How long what was withdrawn may take to be gone.
const GONE: Duration = Duration::from_secs(5);
/// How long EVerest is left alone meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

impl Stage<'_> {
    /// Takes back what earlier scenarios did, withdraws everything and unplugs every EV, until nothing is left to withdraw.
    ///
    /// # Errors
    /// `module/unknown-state`, inconclusive, when something is left, or cannot be asked about.
    pub(super) async fn begin_afresh(&mut self) -> Result<(), Stop> {
        if self.learnt.answered == Some(Answered::Silent) {
            return Err(self.unknown_state(no_answer(SILENCE)).into());
        }
        let is_decided = |observer: &Observer| observer.connections.in_process.is_empty();
        self.lookout.wait_until(GONE, is_decided).await?;
        if let Some(token) = self.lookout.observer.connections.in_process.pop_first() {
            let evidence = format!("token `{token}` was presented before, and EVerest has not decided about it");
            return Err(self.unknown_state(evidence).into());
        }
        self.withdraw_everything().await?;
        for evse in 1..=i32::from(self.scene.station.evses) {
            // An EVSE that nobody can move was moved by nobody.
            self.tell(&Command::Unplug(AtEvse { evse }), "/station").await?;
            self.tell(&Command::ClearFault(AtConnector { evse, connector: None }), "/station").await?;
        }
        for command in std::mem::take(&mut self.lookout.observer.connections.to_undo).into_iter().rev() {
            self.tell(&command, "/station").await?;
        }
        self.withdraw_everything().await?;
        // The last withdraw request stays in Auth, and would go on to match tokens; the next one takes its place.
        self.wait_everest_answers().await
    }

    async fn withdraw_everything(&mut self) -> Result<(), Stop> {
        let everything = WithdrawAuthorizationRequest { evse_id: None, id_token: None };
        let patience = self.lookout.patience();
        loop {
            let answer = self.ask_to_withdraw(&everything, SILENCE).await?;
            match &answer {
                Some(answer) if *answer == json!(WithdrawAuthorizationResult::AuthorizationNotFound) => return Ok(()),
                Some(answer) if *answer == json!(WithdrawAuthorizationResult::Accepted) && patience.waited() < GONE => {
                    self.lookout.wait_until(PAUSE, |_| false).await?;
                }
                Some(answer) => {
                    let waited = shown(patience.waited());
                    let evidence = format!("it answers a withdraw of everything with {answer} for {waited}");
                    return Err(self.unknown_state(evidence).into());
                }
                None => return Err(self.unknown_state(no_answer(patience.waited())).into()),
            }
        }
    }

    fn unknown_state(&self, evidence: String) -> Diagnostic {
        let module = &self.scene.topics.module_id;
        let headline = format!("module `{module}` cannot be brought to a known state before the scenario");
        Diagnostic::new(Severity::Inconclusive, "module/unknown-state", headline)
            .about(Subject::Module)
            .at(self.scene.scenario.place("/under_test"))
            .with_evidence(evidence)
            .with_help("restart it, or have khumbu start it for each scenario with `--module`")
    }
}

fn no_answer(waited: Duration) -> String {
    format!("it did not answer a withdraw of everything within {}", shown(waited))
}
