//! The charge point of the EVerest that khumbu plays: steps that act on it, by itself, through its CSMS or through its
//! gateway, and what it tells its CSMS.
//!
//! The gateway is a real one for this charge point alone, on a port of its own, with a token of its own.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::findings;
use super::http::{self, Answer};
use super::played::Played;
use super::stage::{Patience, Stage, Stop, Wake, broken, is_true};
use super::steps::{compiled, not_captured};
use crate::gateway::{Chargers, Fleet, Server, Tokens};
use crate::scenario::model::{Bearer, CsmsMessage, CsmsState, ExpectCsms, ExpectNone, Gateway, SendLocalList};
use crate::scenario::{Pointer, pattern};
use crate::sim::everest::{CsmsMessage as Passed, Order, Said};
use crate::station::charge_point::{
    Answer as Outcome, CsmsInput, IdTag, Report, Request, TagInfo, UpdateStatus, UpdateType,
};
use crate::station::config::StationConfig;

/// What is sent where a wrong token is wanted.
const WRONG_TOKEN: &str = "0000000000000000-not-the-token-of-this-gateway";

/// The charge point.
pub struct ChargePoint {
    /// What it and its CSMS say, not yet taken note of.
    said: mpsc::UnboundedReceiver<Passed>,
    /// Shows the gateway the same.
    shown: mpsc::UnboundedSender<Passed>,
    /// What it has told its CSMS.
    told: Vec<Told>,
    /// How much of it came before the last stimulus.
    mark: usize,
    /// Those that have met an expectation.
    claimed: BTreeSet<usize>,
    /// What a scenario has made of its CSMS.
    csms: CsmsState,
    server: Server,
    token: String,
}

/// Something that a charge point told its CSMS.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// What.
    pub message: CsmsMessage,
    /// What it said.
    pub payload: Value,
}

impl Told {
    fn new(report: &Report) -> Option<Self> {
        let message = match report {
            Report::Authorize { .. } => CsmsMessage::Authorize,
            Report::Status { .. } => CsmsMessage::StatusNotification,
            Report::TransactionStarted { .. } => CsmsMessage::StartTransaction,
            Report::MeterValue { .. } => CsmsMessage::MeterValues,
            Report::TransactionStopped { .. } => CsmsMessage::StopTransaction,
            // The state of the connector says the same.
            Report::ReservationEnded { .. }
            | Report::Booted { .. }
            | Report::Configured(_)
            | Report::ChargingState { .. } => return None,
        };
        // An enum in JSON is an object whose only key is the name of the variant.
        let json = serde_json::to_value(report).ok()?;
        let payload = json.as_object()?.values().next()?.clone();
        Some(Self { message, payload })
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.message.name(), self.payload)
    }
}

impl ChargePoint {
    /// Opens the gateway of a station that runs, takes `orders`, and passes on in `said` what its charge point and the
    /// CSMS say to each other. The gateway holds `orders` until this is dropped.
    ///
    /// # Errors
    /// When there is no port or no random number.
    pub async fn open(
        station: StationConfig,
        module_id: &str,
        orders: mpsc::UnboundedSender<Order>,
        said: mpsc::UnboundedReceiver<Passed>,
    ) -> std::io::Result<Self> {
        let (shown, listened) = mpsc::unbounded_channel();
        let (id, config) = Chargers::one(station, module_id).chargers.pop_first().unwrap_or_default();
        let (tokens, token) = Tokens::generate().map_err(std::io::Error::other)?;
        let fleet = Fleet::of_one(&id, config, orders, listened);
        let server = Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), fleet, tokens).await?;
        let (told, claimed, csms) = (Vec::new(), BTreeSet::new(), CsmsState::Online);
        Ok(Self { said, shown, told, mark: 0, claimed, csms, server, token })
    }

    /// A stimulus comes: what is told from now on counts.
    pub fn set_mark(&mut self) {
        self.drain();
        self.mark = self.told.len();
    }

    fn drain(&mut self) {
        while let Ok(passed) = self.said.try_recv() {
            self.hear(passed);
        }
    }

    fn hear(&mut self, passed: Passed) {
        if let Said::ByChargePoint(report) = &passed.said {
            self.told.extend(Told::new(report));
        }
        // The gateway ends with this; nobody else listens.
        let _ = self.shown.send(passed);
    }

    /// Waits until there is more to take note of; never, if there will be nothing.
    async fn listen(&mut self) {
        match self.said.recv().await {
            Some(passed) => self.hear(passed),
            None => std::future::pending().await,
        }
    }

    /// The first since the mark that is of this kind, fits, and has met nothing else.
    fn find(&self, message: CsmsMessage, mut fits: impl FnMut(&Value) -> bool) -> Option<usize> {
        let of_kind = (self.mark..self.told.len()).filter(|at| self.told[*at].message == message);
        of_kind.filter(|at| !self.claimed.contains(at)).find(|at| fits(&self.told[*at].payload))
    }

    /// What it has told since the mark.
    pub fn told_since_mark(&self) -> &[Told] {
        &self.told[self.mark..]
    }
}

impl Stage<'_> {
    fn charge_point(&mut self) -> Result<&mut ChargePoint, Stop> {
        let charge_point = match &mut self.played {
            Played::Everest { charge_point, .. } => charge_point.as_deref_mut(),
            Played::Client(_) => None,
        };
        charge_point.ok_or_else(|| broken("there is no charge point").into())
    }

    fn take_charge_point(&mut self) -> Result<Box<ChargePoint>, Stop> {
        let charge_point = match &mut self.played {
            Played::Everest { charge_point, .. } => charge_point.take(),
            Played::Client(_) => None,
        };
        charge_point.ok_or_else(|| broken("there is no charge point").into())
    }

    fn put_back(&mut self, it: Box<ChargePoint>) {
        if let Played::Everest { charge_point, .. } = &mut self.played {
            *charge_point = Some(it);
        }
    }

    /// The CSMS comes or goes.
    ///
    /// # Errors
    /// When khumbu's own side has broken down.
    pub async fn set_csms(&mut self, state: CsmsState) -> Result<(), Stop> {
        self.set_mark();
        self.charge_point()?.csms = state;
        self.order(Order::Csms(CsmsInput::Online(state == CsmsState::Online)))?;
        self.reach_record().await
    }

    /// A station that has started again takes its CSMS to be there; the scenario may have said otherwise.
    ///
    /// # Errors
    /// When khumbu's own side has broken down.
    pub fn remind_of_csms(&mut self) -> Result<(), Stop> {
        match self.charge_point() {
            Ok(ChargePoint { csms: CsmsState::Offline, .. }) => self.order(Order::Csms(CsmsInput::Online(false))),
            _ => Ok(()),
        }
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
        let refused = |why: &str| Stop::from(findings::ignored(self.scenario, at, name, why));
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
        Err(findings::ignored(self.scenario, at, name, &why).into())
    }

    async fn ask_charge_point(&mut self, request: Request, name: &str, at: &str) -> Result<Outcome, Stop> {
        self.set_mark();
        let (answer, answered) = oneshot::channel();
        self.order(Order::Request(request, answer))?;
        let outcome = answered.await.map_err(|_| broken("the simulated EVerest has ended"))?;
        self.reach_record().await?;
        outcome.map_err(|why| findings::ignored(self.scenario, at, name, &why).into())
    }

    /// Makes a request to the gateway and looks at the answer.
    ///
    /// # Errors
    /// When the answer is another one than expected.
    pub async fn ask_gateway(&mut self, step: &Gateway, at: &Pointer) -> Result<(), Stop> {
        self.set_mark();
        let pointer = at.key("gateway");
        let body = step.body.as_ref().map(|body| pattern::fill(body, &self.judge.captures)).transpose();
        let body = body.map_err(|name| not_captured(&name))?;
        let charge_point = self.charge_point()?;
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
        let within = self.judge.case().within();
        let mut patience = Patience::new(&self.lag);
        let answered = loop {
            tokio::select! {
                biased;
                answered = &mut asked => break answered,
                () = is_true(&mut self.interrupt) => return Err(Stop::Interrupted),
                () = sleep_until(patience.deadline(within)) => if patience.is_over(within, &self.lag).await {
                    return Err(findings::no_whole_answer(self.scenario, &pointer, within).into());
                }
            }
        };
        let answer = answered.map_err(|error| broken(&format!("the gateway gave no answer: {error}")))?;
        self.reach_record().await?;
        self.judge_answer(step, &answer, &pointer)
    }

    fn judge_answer(&mut self, step: &Gateway, answer: &Answer, pointer: &Pointer) -> Result<(), Stop> {
        if answer.status != step.status {
            return Err(findings::other_status(self.scenario, pointer, step, answer).into());
        }
        let Some(reply) = &step.reply else { return Ok(()) };
        match compiled(reply)?.matches(&answer.body, &mut self.judge.captures) {
            Ok(()) => Ok(()),
            Err(mismatch) => Err(findings::other_answer(self, pointer, step, answer, &mismatch).into()),
        }
    }

    /// Waits until the charge point tells its CSMS something.
    ///
    /// # Errors
    /// When it does not.
    pub async fn expect_csms(&mut self, expect: &ExpectCsms, at: &Pointer) -> Result<(), Stop> {
        let mut charge_point = self.take_charge_point()?;
        let met = self.meet_csms(&mut charge_point, expect, at).await;
        self.put_back(charge_point);
        met
    }

    async fn meet_csms(
        &mut self,
        charge_point: &mut ChargePoint,
        expect: &ExpectCsms,
        at: &Pointer,
    ) -> Result<(), Stop> {
        let pattern = expect.payload.as_ref().map(compiled).transpose()?;
        let within = expect.within.map_or_else(|| self.judge.case().within(), |span| span.0);
        let mut patience = Patience::new(&self.lag);
        let mut is_over = false;
        loop {
            charge_point.drain();
            let mut fits = |payload: &Value| {
                pattern.as_ref().is_none_or(|pattern| pattern.matches(payload, &mut self.judge.captures).is_ok())
            };
            if let Some(found) = charge_point.find(expect.message, &mut fits) {
                charge_point.claimed.insert(found);
                return Ok(());
            }
            if is_over {
                return Err(findings::not_told(self, at, expect, within, charge_point.told_since_mark()).into());
            }
            tokio::select! {
                biased;
                () = charge_point.listen() => {}
                waited = self.waits_in_vain(&mut patience, within) => is_over = waited?,
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
        let mut charge_point = self.take_charge_point()?;
        let kept = self.keep_silent(&mut charge_point, message, none, at).await;
        self.put_back(charge_point);
        kept
    }

    async fn keep_silent(
        &mut self,
        charge_point: &mut ChargePoint,
        message: CsmsMessage,
        none: &ExpectNone,
        at: &Pointer,
    ) -> Result<(), Stop> {
        let pattern = none.payload.as_ref().map(compiled).transpose()?;
        let mut scratch = self.judge.captures.clone();
        let mut fits =
            |payload: &Value| pattern.as_ref().is_none_or(|pattern| pattern.matches(payload, &mut scratch).is_ok());
        let deadline = Instant::now() + none.r#for.0;
        let mut is_over = false;
        loop {
            charge_point.drain();
            if let Some(found) = charge_point.find(message, &mut fits) {
                return Err(findings::told_in_vain(self, at, &charge_point.told[found]).into());
            }
            if is_over {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = charge_point.listen() => {}
                wake = self.wait(deadline) => match wake? {
                    Wake::Deadline => is_over = true,
                    Wake::Record => {}
                    Wake::Ended => {
                        let when = "while silence was demanded of the charge point";
                        return Err(findings::ended_while(self, &at.key("expect_none"), when).into());
                    }
                },
            }
        }
    }
}
