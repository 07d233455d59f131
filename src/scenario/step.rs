//! The steps of the language. What a step is, needs, demands and shows stands in its row here; what its arguments must be
//! is looked at in `scenario::check`, and the runner plays it.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::api::{api_of, channel_of};
use super::features::{self, Feature};
use super::model::{
    BrokerAway, CancelReservation, CorruptFault, CsmsState, DelayFault, DropFault, DuplicateFault, Expect, ExpectCsms,
    ExpectEvse, ExpectNone, ExpectReply, ExpectStatus, Gateway, HalfOpen, Heartbeats, MessageKind, Model, Nothing,
    Only, Publish, RefuseConnect, ReorderFault, Repeat, Request, Reserve, Run, SendLocalList, SetReply, SetVerdict,
    UpdateVerdict, When, Withdraw,
};
use super::{Pointer, Scenario, placeholder, played};
use crate::protocol::channel::{ApiType, Channel};
use crate::protocol::control::{AtConnector, AtEvse, PauseCharging, command_names};
use crate::protocol::release::Release;
use crate::protocol::side::Side;
use crate::timespan::Timespan;

/// The step that looks inside an EVerest, and what a module is said not to follow that does not show this.
const EXPECT_EVSE: &str = "expect_evse";

/// One step.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// An EV is plugged in.
    PlugIn(AtConnector),
    /// The EV is unplugged.
    Unplug(AtEvse),
    /// A token of the station, by name, is presented.
    PresentToken(String),
    /// The transaction begins.
    StartTransaction(AtEvse),
    /// The EV or the station ends the transaction.
    StopTransaction(AtEvse),
    /// What validators say of a token from now on, and after how long.
    SetVerdict(SetVerdict),
    /// A validator has news about the token in use at an EVSE.
    UpdateVerdict(UpdateVerdict),
    /// The connector becomes unusable. An EVerest that is whole takes every fault for one of the first connector.
    InjectFault(AtConnector),
    /// The connector is usable again.
    ClearFault(AtConnector),
    /// The connector goes out of service.
    Disable(AtConnector),
    /// The connector is in service again.
    Enable(AtConnector),
    /// Energy flows no longer, because the EV or the EVSE wants it so. The transaction goes on.
    PauseCharging(PauseCharging),
    /// Energy flows again.
    ResumeCharging(AtEvse),
    /// Somebody other than Auth authorizes the EVSE, as EvseManager does with `disable_authentication`.
    Authorize(AtEvse),
    /// Somebody reserves an EVSE, or any, as EVerest's command `reserve_now` does; Auth has to answer `result`.
    Reserve(Reserve),
    /// Somebody cancels a reservation.
    CancelReservation(CancelReservation),
    /// Two or more steps that happen at the station at the same instant: EVerest may see them in any order. A token
    /// that is presented twice is ignored once.
    AtOnce(Vec<Step>),
    /// Changes how heartbeats are sent.
    Heartbeats(Heartbeats),
    /// What requests of a client get from now on in place of EVerest's own reply. What such a request asks for is not
    /// done. Without `payload` and `never`, EVerest replies itself again, and what was to come `after` a time comes
    /// now.
    SetReply(SetReply),
    /// EVerest ends and starts again: counters, latch and authorizations are lost. An EV that is plugged in stays so,
    /// and is found again.
    RestartEverest,
    /// Cuts the module under test off the broker. For a client the step is over when it is back and listens again to
    /// what it listened to before. One that does not connect again within `--ready-within` fails.
    Disconnect,

    /// The broker acknowledges messages and loses them: the sender sees nothing of it, whatever the QoS.
    Drop(DropFault),
    /// Messages come late; what comes after them does not wait.
    Delay(DelayFault),
    /// Messages come twice.
    Duplicate(DuplicateFault),
    /// Each message is handed over after the next one that is meant; where none follows, when the fault is lifted.
    Reorder(ReorderFault),
    /// The payload of messages is broken.
    Corrupt(CorruptFault),
    /// Every fault ends; what was held back follows.
    LiftFaults,
    /// Nothing passes the connections that the module has, either way, and neither end is told. When it is over, all
    /// that was sent meanwhile passes. A client that has given its connections up and connected anew has to listen
    /// again to what it listened to before.
    HalfOpen(HalfOpen),
    /// CONNECTs of the module are refused, in the codes of its version of MQTT.
    RefuseConnect(RefuseConnect),
    /// The port is closed, and the module is cut off. For a client the step is over when it is back, as for
    /// `disconnect`.
    BrokerAway(BrokerAway),

    /// The CSMS of the charge point cannot be reached from now on, or again. The charge point learns it at once.
    Csms(CsmsState),
    /// The authorization cache of the charge point is empty.
    ResetCache(Nothing),
    /// A new local authorization list takes the place of the old one.
    SendLocalList(SendLocalList),
    /// A request to the gateway of the charge point, over HTTP. The answer must come within the default time limit.
    Gateway(Gateway),

    /// The client asks EVerest to take back authorizations. Nothing named means everything.
    Withdraw(Withdraw),
    /// The client asks for the last status.
    GetStatus(Request),
    /// The client asks every API module of EVerest what it is: each replies for itself.
    Discover(Request),
    /// The client asks the API modules of this type; any text may be tried.
    QueryModules(String),
    /// The client says that communication is good (`true`), or ends the checking (`false`). What comes after a client's
    /// own check counts from there.
    CommunicationCheck(bool),
    /// Sends exactly this, as the side that khumbu plays, whatever `wire` says. One of `payload`, `text` and `hex` says
    /// what.
    Publish(Publish),

    /// Waits for a message.
    Expect(Expect),
    /// Waits for the next status of a token, or for its next ones with none between them.
    ExpectStatus(ExpectStatus),
    /// Waits for the reply to the last request, or to the one named `to`. With a token validator under test it is its
    /// answer to the last question, or with `to: TOKEN` to the one about that token.
    ExpectReply(ExpectReply),
    /// Waits for the next call of this name to an EVSE. Other calls are passed over, and it needs no `any_order`.
    ExpectEvse(ExpectEvse),
    /// Waits for what the charge point tells its CSMS, in whatever order and whatever passes on MQTT meanwhile; it
    /// needs no `any_order`.
    ExpectCsms(ExpectCsms),
    /// No such message comes, from the last stimulus until `for` is over. With `call`, no EVSE gets such a call; with
    /// `csms`, the charge point does not tell its CSMS such a message.
    ExpectNone(ExpectNone),
    /// Two or more expectations that are met in whatever order.
    AnyOrder(Vec<Step>),

    /// Runs a command and waits for its end: exit code and output are checked.
    Run(Run),
    /// Plays steps again and again. Repeats may stand in each other, three deep.
    Repeat(Repeat),
    /// Plays steps under these releases only; within `any_order`, expectations.
    Only(Only),
    /// What the module may do of its own accord, and what is judged if it does.
    When(When),
    /// What the steps from here on judge, until the next `about`: one of the scenario's requirements. Without it, that
    /// is the first one. A failure that no monitor found breaks this requirement.
    About(String),
    /// A remark for the reports.
    Note(String),
}

/// What the meaning of a step hangs on.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// The side of the module under test.
    pub under_test: Side,
    /// The API that a client under test uses.
    pub api: ApiType,
    /// Whether tokens come from an API module of the station.
    pub has_provider: bool,
}

/// What there is to know of a step. Pointers begin at the value of its key; empty is this value itself.
#[derive(Debug, Default)]
pub struct Row<'s> {
    /// Its key, as it is written.
    pub key: &'static str,
    /// The steps within it, and where they stand.
    pub inner: Option<(&'static str, &'s [Step])>,
    /// The EVSE that it names as `evse`.
    pub evse: Option<i32>,
    /// The connector that it names as `connector`.
    pub connector: Option<i32>,
    /// The token of the station that it names, and where.
    pub token: Option<(&'static str, &'s str)>,
    /// The topic that it names, or the filter.
    pub topic: Option<&'s str>,
    /// How long it may take, as `within`.
    pub within: Option<Timespan>,
    /// What it has to do with requests.
    pub exchange: Option<Exchange<'s>>,
    /// Whether it happens at the station, at the same instant as others if need be.
    pub may_be_at_once: bool,
    /// Whether it is an expectation that may be met before or after others.
    pub may_be_any_order: bool,
    /// What of it only a charge point has a use for.
    pub charge_point: Option<&'static str>,
    /// Whether a client of this API has no means for it.
    pub is_foreign: bool,
    /// What it needs by itself and a release may lack.
    pub(super) features: Vec<Feature>,
    /// Whether it looks at what EVerest does inside, which no topic of the API shows.
    pub looks_inside: bool,
    /// The command that the module under test has to follow for it.
    pub follows: Option<&'static str>,
    /// Whether it asks something of the module under test, so that one that does nothing cannot pass.
    pub demands: bool,
    /// Where it has a client say something.
    pub says: Option<Channel>,
    /// What a client under test is shown by it, if it is a client of an API that has this channel.
    pub shows: Option<Channel>,
    /// What it says of EVerest's start, as one of the first steps.
    pub start: Start,
    /// What faults it has to do with.
    pub injects: Injects,
}

/// Where a step injects faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Injects {
    /// Nowhere.
    #[default]
    Nothing,
    /// Into messages, which only khumbu's own broker can.
    Messages,
    /// Into connections.
    Connections,
}

/// What a step has to do with requests.
#[derive(Debug, Clone, Copy)]
pub enum Exchange<'s> {
    /// It makes one.
    Asks {
        /// The name that is given to it.
        name: Option<&'s str>,
        /// Where, if the scenario says so itself.
        topic: Option<&'s str>,
    },
    /// It looks at the reply to one.
    Answers {
        /// The name that it was given; the last one if absent.
        to: Option<&'s str>,
    },
}

/// What a step says of EVerest's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// It follows from what the scenario does itself.
    #[default]
    Past,
    /// Nothing: it looks at what may come at any time.
    Open,
    /// It looks at what EVerest says at its start alone.
    Only,
}

impl Step {
    /// Its row.
    pub fn row<'s>(&'s self, frame: Frame) -> Row<'s> {
        let Frame { under_test, api, has_provider } = frame;
        let (everest, client) = (under_test == Side::Everest, under_test == Side::Client);
        let is_consumer = api == ApiType::AUTH_CONSUMER;
        let provider = client && api == ApiType::AUTH_TOKEN_PROVIDER;
        let validator = client && api == ApiType::AUTH_TOKEN_VALIDATOR;
        let row = |key| Row { key, ..Row::default() };
        // At the station.
        let of_everest = |key| Row { follows: everest.then_some(key), ..row(key) };
        let evse = |key, evse| Row { evse: Some(evse), may_be_at_once: true, ..of_everest(key) };
        let connector = |key, it: &AtConnector| Row { connector: it.connector, ..evse(key, it.evse) };
        let reserves = |key| Row { looks_inside: true, demands: everest, ..of_everest(key) };
        let at_charge_point = |key| Row { charge_point: Some(""), ..row(key) };
        // On the wire.
        let befalls = |key| {
            let which = self.befalls().map(|(_, which)| which);
            let features = which.map(|it| features::of_message(it.message, it.topic, it.payload));
            Row { features: features.unwrap_or_default(), injects: Injects::Messages, ..row(key) }
        };
        let outage = |key, demands| Row { demands, injects: Injects::Connections, ..row(key) };
        // Of clients.
        let by_client = |key| Row { follows: client.then_some(key), demands: client, ..row(key) };
        let asks = |key, name: Option<&'s str>, within| {
            let exchange = Some(Exchange::Asks { name, topic: None });
            Row { exchange, within, ..by_client(key) }
        };
        // What must be seen.
        let sees = |key, within: &Option<Timespan>, looks_inside| {
            let follows = (everest && looks_inside).then_some(EXPECT_EVSE);
            Row { within: *within, may_be_any_order: true, looks_inside, follows, ..row(key) }
        };
        match self {
            Step::PlugIn(it) => connector("plug_in", it),
            Step::Unplug(it) => evse("unplug", it.evse),
            Step::PresentToken(token) => Row {
                token: Some(("", token)),
                may_be_at_once: true,
                follows: (everest && !has_provider || provider).then_some("present_token"),
                demands: client && !is_consumer,
                says: Some(Channel::PROVIDED_TOKEN),
                shows: Some(if is_consumer { Channel::TOKEN_VALIDATION_STATUS } else { Channel::VALIDATE_TOKEN }),
                ..row("present_token")
            },
            Step::StartTransaction(it) => evse("start_transaction", it.evse),
            Step::StopTransaction(it) => evse("stop_transaction", it.evse),
            Step::SetVerdict(set) => Row {
                token: Some(("/token", &set.token)),
                follows: validator.then_some("set_verdict"),
                ..row("set_verdict")
            },
            Step::UpdateVerdict(update) => Row {
                evse: Some(update.evse),
                follows: validator.then_some("update_verdict"),
                demands: validator,
                says: Some(Channel::VALIDATE_RESULT_UPDATE),
                shows: Some(Channel::TOKEN_VALIDATION_STATUS),
                ..row("update_verdict")
            },
            Step::InjectFault(it) => connector("inject_fault", it),
            Step::ClearFault(it) => connector("clear_fault", it),
            Step::Disable(it) => connector("disable", it),
            Step::Enable(it) => connector("enable", it),
            Step::PauseCharging(it) => evse("pause_charging", it.evse),
            Step::ResumeCharging(it) => evse("resume_charging", it.evse),
            Step::Authorize(it) => Row { may_be_at_once: false, ..evse("authorize", it.evse) },
            Step::Reserve(reserve) => {
                Row { token: reserve.token.as_deref().map(|token| ("/token", token)), ..reserves("reserve") }
            }
            Step::CancelReservation(_) => reserves("cancel_reservation"),
            Step::AtOnce(steps) => Row { inner: Some(("", steps)), ..row("at_once") },
            Step::Heartbeats(_) => Row { shows: Some(Channel::HEARTBEAT), ..of_everest("heartbeats") },
            Step::SetReply(_) => of_everest("set_reply"),
            Step::RestartEverest => Row { demands: everest, ..row("restart_everest") },
            Step::Disconnect => Row { demands: client, ..row("disconnect") },

            Step::Drop(_) => befalls("drop"),
            Step::Delay(_) => befalls("delay"),
            Step::Duplicate(_) => befalls("duplicate"),
            Step::Reorder(_) => befalls("reorder"),
            Step::Corrupt(_) => befalls("corrupt"),
            Step::LiftFaults => Row { injects: Injects::Connections, ..row("lift_faults") },
            Step::HalfOpen(HalfOpen { r#for }) => outage("half_open", client && r#for.is_none()),
            Step::RefuseConnect(_) => outage("refuse_connect", false),
            Step::BrokerAway(_) => outage("broker_away", client),

            Step::Csms(_) => at_charge_point("csms"),
            Step::ResetCache(_) => at_charge_point("reset_cache"),
            Step::SendLocalList(_) => at_charge_point("send_local_list"),
            Step::Gateway(_) => at_charge_point("gateway"),

            Step::Withdraw(Withdraw { token, r#as, within, .. }) => Row {
                token: token.as_deref().map(|token| ("/token", token)),
                is_foreign: !is_consumer,
                says: Some(Channel::WITHDRAW_AUTHORIZATION),
                ..asks("withdraw", r#as.as_deref(), *within)
            },
            Step::GetStatus(Request { r#as, within }) => Row {
                is_foreign: !is_consumer,
                says: Some(Channel::GET_TOKEN_VALIDATION_STATUS),
                features: vec![Feature::LatchedGet],
                ..asks("get_status", r#as.as_deref(), *within)
            },
            Step::Discover(Request { r#as, within }) => {
                Row { features: vec![Feature::EntryPoint], ..asks("discover", r#as.as_deref(), *within) }
            }
            Step::QueryModules(_) => Row { features: vec![Feature::EntryPoint], ..asks("query_modules", None, None) },
            Step::CommunicationCheck(_) => by_client("communication_check"),
            Step::Publish(Publish { topic, r#as, .. }) => Row {
                topic: Some(topic),
                exchange: Some(Exchange::Asks { name: r#as.as_deref(), topic: Some(topic) }),
                shows: addressed(topic, api),
                ..row("publish")
            },

            Step::Expect(Expect { message, api: named, topic, payload, within, .. }) => {
                let is_of_api = |kind: &MessageKind| api_of(*kind, *named, api) == api;
                Row {
                    topic: topic.as_deref(),
                    features: features::of_message(*message, topic.as_deref(), payload.as_ref()),
                    demands: message.is_none_or(|kind| is_by_client(kind, *named, api, under_test) == client),
                    shows: message.filter(is_of_api).and_then(|kind| channel_of(kind, api)),
                    start: match (message, payload) {
                        (Some(MessageKind::ReadyBeacon), _) => Start::Only,
                        (Some(kind), Some(Value::Number(_))) if *kind == MessageKind::on(Channel::HEARTBEAT) => {
                            Start::Only
                        }
                        _ => Start::Open,
                    },
                    ..sees("expect", within, *message == Some(MessageKind::ReservationUpdate))
                }
            }
            Step::ExpectStatus(ExpectStatus { token, status, sequence, payload, within, .. }) => Row {
                token: Some(("/token", token)),
                features: features::of_statuses(status.iter().chain(sequence.iter().flatten()), payload.as_ref()),
                demands: everest || !is_consumer,
                shows: Some(Channel::TOKEN_VALIDATION_STATUS),
                start: Start::Open,
                ..sees("expect_status", within, false)
            },
            Step::ExpectReply(ExpectReply { to, within, .. }) => Row {
                exchange: Some(Exchange::Answers { to: to.as_deref() }),
                demands: everest || api.asks_clients(),
                ..sees("expect_reply", within, false)
            },
            Step::ExpectEvse(ExpectEvse { evse, within, .. }) => {
                Row { evse: Some(*evse), demands: everest || !is_consumer, ..sees(EXPECT_EVSE, within, true) }
            }
            Step::ExpectCsms(ExpectCsms { within, .. }) => Row { within: *within, ..at_charge_point("expect_csms") },
            Step::ExpectNone(ExpectNone { message, topic, call, evse, csms, .. }) => {
                let looks_inside = call.is_some() || *message == Some(MessageKind::ReservationUpdate);
                Row {
                    topic: topic.as_deref(),
                    evse: *evse,
                    charge_point: csms.map(|_| "/csms"),
                    may_be_any_order: false,
                    demands: csms.is_none() && (call.is_none() || everest),
                    start: Start::Open,
                    ..sees("expect_none", &None, looks_inside)
                }
            }
            Step::AnyOrder(steps) => Row { inner: Some(("", steps)), start: Start::Open, ..row("any_order") },

            // Its outcome is the user's own judgement.
            Step::Run(Run { within, .. }) => Row { within: *within, demands: true, ..row("run") },
            Step::Repeat(Repeat { steps, .. }) => Row { inner: Some(("/steps", steps)), ..row("repeat") },
            Step::Only(Only { steps, .. }) => Row { inner: Some(("/steps", steps)), ..row("only") },
            Step::When(When { expect, steps, .. }) => Row {
                inner: Some(("/steps", steps)),
                within: expect.within,
                features: features::of_message(expect.message, expect.topic.as_deref(), expect.payload.as_ref()),
                demands: client,
                ..row("when")
            },
            Step::About(_) => Row { start: Start::Open, ..row("about") },
            Step::Note(_) => Row { start: Start::Open, ..row("note") },
        }
    }
}

/// The channel that a scenario publishes on, if it is one of this API.
fn addressed(topic: &str, api: ApiType) -> Option<Channel> {
    // The two branches of the API stand at the beginning of its channels' addresses, too.
    let address = placeholder::fill(topic, |name| match name {
        "e2m" | "m2e" => Some(name.to_owned()),
        _ => None,
    });
    api.channels().find(|channel| channel.address() == address)
}

/// Whether messages of a kind are sent by the clients of the API under test.
fn is_by_client(kind: MessageKind, named: Option<ApiType>, under_test: ApiType, side: Side) -> bool {
    let api = api_of(kind, named, under_test);
    match channel_of(kind, api) {
        Some(channel) => !channel.is_from_everest() && api == under_test,
        None => kind == MessageKind::Reply && under_test.has_replies_of(side) == (side == Side::Client),
    }
}

/// All that a row may name as what the module under test has to follow: commands, and that it shows what it does.
pub fn driven_by() -> Vec<&'static str> {
    command_names().iter().copied().chain([EXPECT_EVSE]).collect()
}

impl Model {
    /// What the meaning of its steps hangs on.
    pub fn frame(&self) -> Frame {
        let has_provider = self.station.auth_token_provider.is_some();
        Frame { under_test: self.under_test, api: self.api, has_provider }
    }
}

impl Scenario {
    /// The rows of all steps that a release plays, each with its pointer; after it those of the steps within it.
    pub fn rows(&self, frame: Frame, release: Release) -> Vec<(Pointer, Row<'_>)> {
        fn collect<'s>(
            steps: &'s [Step],
            base: &Pointer,
            frame: Frame,
            release: Release,
            all: &mut Vec<(Pointer, Row<'s>)>,
        ) {
            for (at, step) in played(steps, base, release) {
                let row = step.row(frame);
                let inner = row.inner.map(|(below, steps)| (at.key(row.key).below(below), steps));
                all.push((at, row));
                if let Some((base, steps)) = inner {
                    collect(steps, &base, frame, release, all);
                }
            }
        }
        let mut all = Vec::new();
        collect(&self.model.steps, &Pointer::from("/steps"), frame, release, &mut all);
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::scenario::step_names;

    #[test]
    fn each_row_has_the_key_that_is_read_and_follows_what_can_be_named() {
        let arguments = [
            json!("A"),
            json!({}),
            json!("pause"),
            json!("online"),
            json!(true),
            json!([]),
            json!({"evse": 1}),
            json!({"evse": 1, "verdict": "Accepted"}),
            json!({"token": "A", "verdict": "Accepted"}),
            json!({"token": "A", "status": "Accepted"}),
            json!({"evse": 1, "call": "reserve"}),
            json!({"version": 1, "entries": {}}),
            json!({"reservation_id": 1}),
            json!({"path": "/"}),
            json!({"topic": "t"}),
            json!({"message": "authorize"}),
            json!({"message": "heartbeat", "for": "1s"}),
            json!({"command": "true"}),
            json!({"times": 1, "steps": []}),
            json!({"releases": [], "steps": []}),
            json!({"by": "1s"}),
            json!({"for": "1s"}),
            json!({"expect": {"message": "heartbeat"}, "steps": []}),
            json!({"to": "withdraw_authorization", "never": true}),
        ];
        let frames = ApiType::AUTH_APIS.into_iter().flat_map(|api| {
            [Side::Client, Side::Everest].map(|under_test| Frame { under_test, api, has_provider: false })
        });
        let frames: Vec<_> = frames.collect();
        for name in step_names() {
            let mut written = arguments.iter().map(|arguments| json!({&name: arguments})).chain([json!(name)]);
            let step = written.find_map(|step| serde_json::from_value::<Step>(step).ok()).unwrap();
            let rows = frames.iter().map(|frame| step.row(*frame));
            for row in rows {
                assert_eq!(row.key, name);
                assert!(row.follows.is_none_or(|driven| driven_by().contains(&driven)), "no file can name {name}");
            }
        }
    }
}
