//! The steps that act on the charge point, by itself, through its CSMS or through its gateway, and that look at what it tells
//! its CSMS.

use std::pin::pin;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::findings;
use crate::runner::findings::ignored;
use crate::runner::http::{self, Answer};
use crate::runner::lookout::Wake;
use crate::runner::patterns::{compiled, not_captured};
use crate::runner::stage::Stage;
use crate::runner::stop::{Stop, broken};
use crate::scenario::model::{Bearer, CsmsMessage, CsmsState, ExpectCsms, ExpectNone, Gateway, SendLocalList};
use crate::scenario::{Pointer, pattern};
use crate::sim::everest::Order;
use crate::station::charge_point::{Answer as Outcome, CsmsInput, IdTag, Request, TagInfo, UpdateStatus, UpdateType};

/// What is sent where a wrong token is wanted.
const WRONG_TOKEN: &str = "0000000000000000-not-the-token-of-this-gateway";

impl Stage<'_> {
    /// The CSMS comes or goes.
    ///
    /// # Errors
    /// When khumbu's own side has broken down.
    pub async fn set_csms(&mut self, state: CsmsState) -> Result<(), Stop> {
        self.set_mark();
        self.cast.played.charge_point()?.csms = state;
        self.cast.played.order(Order::Csms(CsmsInput::Online(state == CsmsState::Online)))?;
        self.reach_record().await
    }

    /// A station that has started again takes its CSMS to be there; the scenario may have said otherwise.
    ///
    /// # Errors
    /// When khumbu's own side has broken down.
    pub fn remind_of_csms(&mut self) -> Result<(), Stop> {
        let is_offline = self.cast.played.charge_point().is_ok_and(|it| it.csms == CsmsState::Offline);
        if is_offline { self.cast.played.order(Order::Csms(CsmsInput::Online(false))) } else { Ok(()) }
    }

    /// The charge point forgets the answers of its CSMS.
    ///
    /// # Errors
    /// When it does not.
    pub async fn reset_cache(&mut self, at: &str) -> Result<(), Stop> {
        self.ask_charge_point(Request::ResetCache, "reset_cache", at).await.map(drop)
    }

    /// The charge point gets a local authorization list.
    ///
    /// # Errors
    /// When it does not take it.
    pub async fn send_local_list(&mut self, list: &SendLocalList, at: &str) -> Result<(), Stop> {
        let name = "send_local_list";
        let refused = |why: &str| Stop::from(ignored(self.case(), at, name, why));
        let mut entries = Vec::with_capacity(list.entries.len());
        for (called, status) in &list.entries {
            let tag = IdTag::new(self.token(called)?.value.clone()).map_err(|error| refused(&error.to_string()))?;
            entries.push((tag, Some(TagInfo { status: *status, expiry: None, parent: None })));
        }
        let request = Request::UpdateList { kind: UpdateType::Full, version: list.version, entries };
        let answer = self.ask_charge_point(request, name, at).await?;
        let why = match answer {
            Outcome::List { status: UpdateStatus::Accepted, .. } => return Ok(()),
            Outcome::List { status: UpdateStatus::VersionMismatch, version } => {
                format!("version {} is no later than {version}, which the list has", list.version)
            }
            _ => "the list is too long".to_owned(),
        };
        Err(ignored(self.case(), at, name, &why).into())
    }

    async fn ask_charge_point(&mut self, request: Request, name: &str, at: &str) -> Result<Outcome, Stop> {
        self.set_mark();
        let (answer, answered) = oneshot::channel();
        self.cast.played.order(Order::Request(request, answer))?;
        let outcome = answered.await.map_err(|_| broken("the simulated EVerest has ended"))?;
        self.reach_record().await?;
        outcome.map_err(|why| ignored(self.case(), at, name, &why).into())
    }

    /// Makes a request to the gateway and looks at the answer.
    ///
    /// # Errors
    /// When the answer is another one than expected.
    pub async fn ask_gateway(&mut self, step: &Gateway, at: &Pointer) -> Result<(), Stop> {
        self.set_mark();
        let pointer = at.key("gateway");
        let body = step.body.as_ref().map(|body| pattern::fill(body, &self.judging.judge.captures)).transpose();
        let body = body.map_err(|name| not_captured(&name))?;
        let charge_point = self.cast.played.charge_point()?;
        let address = charge_point.server.address();
        let token = match step.token {
            Bearer::Right => Some(charge_point.token.clone()),
            Bearer::Wrong => Some(WRONG_TOKEN.to_owned()),
            Bearer::None => None,
        };
        let request = http::Request {
            method: step.method.name(),
            path: &step.path,
            token: token.as_deref(),
            body: body.as_ref(),
        };
        let mut asked = pin!(http::ask(address, &request));
        let within = self.case().within();
        let mut patience = self.lookout.patience();
        let answered = loop {
            tokio::select! {
                biased;
                answered = &mut asked => break answered,
                () = self.lookout.interrupted() => return Err(Stop::Interrupted),
                () = sleep_until(patience.deadline(within)) => if patience.is_over(within).await {
                    return Err(findings::no_whole_answer(self.case(), &pointer, within).into());
                }
            }
        };
        let answer = answered.map_err(|error| broken(&format!("the gateway gave no answer: {error}")))?;
        self.reach_record().await?;
        self.judge_answer(step, &answer, &pointer)
    }

    fn judge_answer(&mut self, step: &Gateway, answer: &Answer, pointer: &Pointer) -> Result<(), Stop> {
        if answer.status != step.status {
            return Err(findings::other_status(self.case(), pointer, step, answer).into());
        }
        let Some(reply) = &step.reply else { return Ok(()) };
        match compiled(reply)?.matches(&answer.body, &mut self.judging.judge.captures) {
            Ok(()) => Ok(()),
            Err(mismatch) => Err(findings::other_answer(self.case(), pointer, step, answer, &mismatch).into()),
        }
    }

    /// Waits until the charge point tells its CSMS something.
    ///
    /// # Errors
    /// When it does not.
    pub async fn expect_csms(&mut self, expect: &ExpectCsms, at: &Pointer) -> Result<(), Stop> {
        let charge_point = self.cast.played.charge_point()?;
        let (lookout, judge) = (&mut self.lookout, &mut self.judging.judge);
        let pattern = expect.payload.as_ref().map(compiled).transpose()?;
        let within = expect.within.map_or_else(|| judge.case().within(), |span| span.0);
        let mut patience = lookout.patience();
        let mut is_over = false;
        loop {
            charge_point.drain();
            let mut fits = |payload: &Value| {
                pattern.as_ref().is_none_or(|pattern| pattern.matches(payload, &mut judge.captures).is_ok())
            };
            if let Some(found) = charge_point.find(expect.message, &mut fits) {
                charge_point.claimed.insert(found);
                return Ok(());
            }
            if is_over {
                return Err(findings::not_told(judge.case(), at, expect, within, charge_point.told_since_mark()).into());
            }
            tokio::select! {
                biased;
                () = charge_point.listen() => {}
                waited = lookout.waits_in_vain(&mut patience, within) => is_over = waited?,
            }
        }
    }

    /// Demands that the charge point does not tell its CSMS such a thing.
    ///
    /// # Errors
    /// When it did.
    pub async fn expect_none_of_csms(
        &mut self,
        message: CsmsMessage,
        none: &ExpectNone,
        at: &Pointer,
    ) -> Result<(), Stop> {
        let charge_point = self.cast.played.charge_point()?;
        let lookout = &mut self.lookout;
        let pattern = none.payload.as_ref().map(compiled).transpose()?;
        let mut scratch = self.judging.judge.captures.clone();
        let mut fits =
            |payload: &Value| pattern.as_ref().is_none_or(|pattern| pattern.matches(payload, &mut scratch).is_ok());
        let deadline = Instant::now() + none.r#for.0;
        let mut is_over = false;
        loop {
            charge_point.drain();
            if let Some(found) = charge_point.find(message, &mut fits) {
                return Err(findings::told_in_vain(self.judging.judge.case(), at, &charge_point.told[found]).into());
            }
            if is_over {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = charge_point.listen() => {}
                wake = lookout.wait(deadline) => match wake? {
                    Wake::Deadline => is_over = true,
                    Wake::Record => {}
                    Wake::Ended => {
                        let when = "while silence was demanded of the charge point";
                        return Err(self.judging.ended_while(lookout, &at.key("expect_none"), when).into());
                    }
                },
            }
        }
    }
}
