//! Asks an EVerest under test whether its Auth is ready: nothing that it says by itself shows it.
//!
//! EVerest's API modules serve before Auth knows its EVSEs. Until then Auth discards tokens ("Auth not fully
//! initialized"), and answers a withdraw at an EVSE with `EvseNotFound`. So it is asked to withdraw, at the last EVSE, a
//! token that nobody has: once that is answered with `AuthorizationNotFound`, Auth knows them all. This does no harm: it
//! finds nothing, gives no status, and as the last withdraw request, which Auth keeps, it matches no token. The
//! questions are left out of expectations, recordings and goldens.
//!
//! The same question ends a scenario: its answer comes behind all that EVerest had still to say.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::learnt::{Answered, SILENCE};
use super::observer::Observer;
use super::played::Played;
use super::stage::Stage;
use super::stop::{Stop, broken};
use crate::conformance::sighting::{Kind, Party};
use crate::diagnostic::Diagnostic;
use crate::protocol::channel::Channel;
use crate::protocol::codec;
use crate::protocol::types::{IdToken, IdTokenType, WithdrawAuthorizationRequest, WithdrawAuthorizationResult};

/// Auth finishes its start a moment after it has got to know its last EVSE: whoever is answered twice is past that.
const ANSWERS: u32 = 2;
/// How long an EVerest that does not know its EVSEs yet is left alone before it is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// Whoever answers later than this at the end of a scenario has something else to wait for.
const LAST_WORD: Duration = Duration::from_millis(500);

impl Stage<'_> {
    /// Waits until EVerest's Auth knows its EVSEs. Whoever never answers, or never knows them, is taken as it is: what is
    /// wrong with it is for the scenario to find.
    ///
    /// # Errors
    /// When the module ends meanwhile, which is a fail: it served already.
    pub(super) async fn wait_everest_answers(&mut self) -> Result<(), Stop> {
        let evse = i32::from(self.scene.station.evses);
        let patience = self.lookout.patience();
        let mut answers = 0;
        let from = self.lookout.observer.messages.len();
        self.learnt.answered = None;
        let answered = loop {
            match self.ask_to_withdraw(&unknown_token_at(evse), SILENCE).await? {
                None if self.lookout.module.has_ended() => {
                    // Its end may be known before what reached it is read.
                    self.lookout.drain_after_end().await;
                    return Err(self.ended_when_asked(from).into());
                }
                None => break Answered::Silent,
                Some(answer) if answer != json!(WithdrawAuthorizationResult::EvseNotFound) => {
                    answers += 1;
                    if answers == ANSWERS {
                        break Answered::Ready(evse);
                    }
                }
                Some(_) if patience.waited() >= self.scene.settings.ready_within => {
                    break Answered::UnknownEvse(evse, patience.waited());
                }
                Some(_) => {
                    answers = 0;
                    self.lookout.wait_until(PAUSE, |_| false).await?;
                }
            }
        };
        self.learnt.answered = Some(answered);
        Ok(())
    }

    /// The module has ended, although it served already. What was asked of it, behind message `from`, is a well-formed
    /// request. Whether its end came a moment before or after that reached it, is no difference in what it did.
    fn ended_when_asked(&self, from: usize) -> Diagnostic {
        let asked = || self.lookout.observer.messages[from..].iter().filter(|seen| seen.kind == Kind::Control);
        let request =
            asked().rfind(|seen| seen.from == Party::Harness && self.lookout.observer.deliveries.is_delivered(seen));
        let answer = asked().rfind(|seen| seen.from == Party::Module);
        let Some(request) = request else {
            return self.judging.ended_while(
                &self.lookout,
                "/under_test",
                "when it had subscribed, before anything was asked of it",
            );
        };
        self.judging
            .ended_while(&self.lookout, "/under_test", "after it was asked whether it is ready")
            .with_evidence(format!("asked, well-formed: {}", self.case().line(request)))
            .with_evidence(match answer {
                Some(answer) => format!("it had answered: {}", self.case().line(answer)),
                None => "it had not answered".to_owned(),
            })
            .with_help("send it this request by hand, and read what it says")
    }

    /// Waits, when a scenario was played to its end, for what EVerest has still to say: one status too many comes right
    /// after the last one. Whether it answers is not judged here, and one that has ended is judged by its end.
    ///
    /// # Errors
    /// As [`Lookout::wait`](super::lookout::Lookout::wait).
    pub(super) async fn let_it_speak_out(&mut self) -> Result<(), Stop> {
        let Some(Answered::Ready(evse)) = self.learnt.answered else { return Ok(()) };
        if !self.lookout.module.has_ended() && self.lookout.observer.connections.is_connected() {
            self.ask_to_withdraw(&unknown_token_at(evse), LAST_WORD).await?;
        }
        Ok(())
    }

    /// What EVerest answers to a withdraw request that is no part of the scenario; `None` if it does not within this
    /// time, or has ended.
    ///
    /// # Errors
    /// As [`Lookout::wait`](super::lookout::Lookout::wait).
    pub(super) async fn ask_to_withdraw(
        &mut self,
        request: &WithdrawAuthorizationRequest,
        patience: Duration,
    ) -> Result<Option<Value>, Stop> {
        let Played::Client(client) = &self.cast.played else { return Ok(None) };
        let topics = self.scene.topics.clone();
        let reply_to = topics.probe_reply_topic(&Uuid::new_v4().to_string());
        let on_wire = topics.reply_topic_on_wire(&reply_to);
        let envelope = json!({"headers": {"replyTo": reply_to}, "payload": request});
        let link = client.link();
        let asked = async {
            link.subscribe(std::slice::from_ref(&on_wire), 2).await?;
            link.publish(&topics.topic(Channel::WITHDRAW_AUTHORIZATION), codec::encode(&envelope), 0, false).await
        };
        asked.await.map_err(|error| broken(&error.to_string()))?;
        let answer = |observer: &Observer| {
            let mut last = observer.messages.iter().rev();
            let found = last.find(|seen| seen.from == Party::Module && *seen.publish.topic == *on_wire)?;
            Some(found.json.clone().unwrap_or_default())
        };
        self.lookout.wait_until(patience, |observer| answer(observer).is_some()).await?;
        Ok(answer(&self.lookout.observer))
    }
}

/// A token that nobody has, its value of the greatest length that the specification allows.
fn unknown_token_at(evse: i32) -> WithdrawAuthorizationRequest {
    let value = Uuid::new_v4().to_string();
    let id_token = IdToken { additional_info: None, r#type: IdTokenType::Local, value };
    WithdrawAuthorizationRequest { evse_id: Some(evse), id_token: Some(id_token) }
}
