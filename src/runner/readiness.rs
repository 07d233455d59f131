//! When the module under test is ready, so that nothing is lost that a scenario says to it.
//!
//! A client is ready when it listens, EVerest when it serves: two questions, both answered here and nowhere else. Nothing
//! here speaks to the module; what asks an EVerest is [`super::probe`].
//!
//! Most clients subscribe to one topic after the other, and nobody says which is the last. One that listens to all that
//! there is to hear is ready at once. One that listens to what the scenario has to show is ready after a quiet of a few
//! of its own round trips. One that does not yet may be slow, or may never want to: it gets [`PATIENCE`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::experience::REACTION;
use super::faults::is_refused_last;
use super::findings::not_started;
use super::lookout::Wake;
use super::module::Module;
use super::observer::{Observer, is_own};
use super::settings::ModuleSource;
use super::stage::Stage;
use super::stop::Stop;
use crate::conformance::judge::STAYED_AWAY;
use crate::conformance::sighting::{Kind, Party};
use crate::diagnostic::words::shown;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::channel::{ApiType, Channel, EntryPoint, Topics};
use crate::protocol::side::Side;
use crate::protocol::topic;
use crate::scenario::model::Ready;
use crate::scenario::shown_channels;
use crate::transcript::record::{Direction, Event, Record};

/// How long a token provider that says nothing may go on saying nothing before the scenario begins.
const MUTE: Duration = Duration::from_secs(1);
/// How long a client that does not listen to what the scenario will show may go on not doing so.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for one that was cut off and listened before: long enough for the monitors to hold it against it.
const BACK: Duration = Duration::from_secs(3);
/// How long a client may take that slept in another scenario until it saw a beacon.
const ASLEEP: Duration = Duration::from_secs(2);
/// So many round trips of a client without a SUBSCRIBE mean that it has subscribed to what it wants.
const QUIET: u32 = 4;
/// The same, where something is missing that the scenario will show.
const LONG_QUIET: u32 = 20;

/// What a client listened to before it was cut off.
#[derive(Debug)]
pub struct Heard {
    topics: Vec<String>,
    /// How many records there were then.
    since: usize,
}

impl Stage<'_> {
    /// Waits until the module is ready.
    ///
    /// # Errors
    /// `inconclusive` when it does not become ready, a fail when it ends although it served already.
    pub async fn wait_ready(&mut self) -> Result<(), Stop> {
        let told = self.scene.scenario.model.ready.clone().or_else(|| self.scene.settings.ready.clone());
        self.wait_as_told(told).await?;
        self.judging.judge.past.ready_since = self.lookout.observer.mark();
        self.judging.judge.past.ready_at = self.judging.now();
        Ok(())
    }

    /// Ends the module under test and starts it anew, until it is ready again.
    ///
    /// # Errors
    /// When it does not come up again.
    pub async fn restart_module(&mut self) -> Result<(), Stop> {
        let settings = self.scene.settings;
        if settings.module == ModuleSource::Attached {
            let why = "a module that is attached cannot be restarted";
            let diagnostic = Diagnostic::new(Severity::Inconclusive, "module/not-restartable", why);
            return Err(diagnostic.about(Subject::Module).at(self.scene.scenario.place("/steps")).into());
        }
        if !self.lookout.module.restart_everest().await {
            self.lookout.module.end(settings).await;
            self.lookout.drain_after_end().await;
            self.lookout.module =
                Module::start(self.scene, self.broker.address()).map_err(|error| not_started(settings, &error))?;
        }
        self.wait_ready().await
    }

    async fn wait_as_told(&mut self, told: Option<Ready>) -> Result<(), Stop> {
        match (told, self.scene.scenario.model.under_test) {
            (Some(Ready::Connected), _) => {
                self.ready_when("connected", |observer| observer.connections.is_connected()).await
            }
            (Some(Ready::CommunicationCheck), _) => {
                let is_check = |kind: &Kind| *kind == Kind::Channel(Channel::COMMUNICATION_CHECK);
                self.ready_when("a communication check came", |observer| {
                    observer.messages.iter().any(|seen| seen.from == Party::Module && is_check(&seen.kind))
                })
                .await
            }
            (Some(Ready::Topic(filter)), _) => {
                let filter = self.case().filled(&filter);
                self.ready_when(&format!("a message came on `{filter}`"), |observer| {
                    let mut messages = observer.messages.iter().filter(|seen| seen.from == Party::Module);
                    messages.any(|seen| topic::matches(&filter, &seen.publish.topic))
                })
                .await
            }
            // Such a client has nothing that it must listen to.
            (None, Side::Client) if self.scene.topics.api == ApiType::AUTH_TOKEN_PROVIDER => {
                self.wait_provider_begun().await
            }
            (Some(Ready::Subscribed) | None, Side::Client) => self.wait_client_listens().await,
            (Some(Ready::Subscribed), Side::Everest) => self.wait_everest_serves().await,
            (None, Side::Everest) => {
                self.wait_everest_serves().await?;
                // Only Auth is known well enough to be asked.
                if self.scene.topics.api.behaviour().is_known() { self.wait_everest_answers().await } else { Ok(()) }
            }
        }
    }

    /// A client is ready when it has subscribed to something that EVerest says, and its subscriptions have settled.
    async fn wait_client_listens(&mut self) -> Result<(), Stop> {
        let topics = &self.scene.topics;
        let heard = topics.api.channels().filter(|channel| channel.is_from_everest());
        // Who is asked and hears no questions is of no use.
        let is_asked = topics.api.asks_clients();
        let heard = heard.filter(|channel| !is_asked || channel.is_request());
        let wanted: Vec<_> = heard.map(|channel| topics.topic(channel)).collect();
        let meaning = format!("subscribed to {}", last_levels(&wanted).join(" or "));
        let is_any = |observer: &Observer, topics: &[String]| {
            topics.iter().any(|topic| observer.connections.is_subscribed(topic))
        };
        let listens = |observer: &Observer| is_any(observer, &wanted);
        let bare: Vec<_> = match self.scene.has_prefix_of_its_own() {
            true => wanted
                .iter()
                .filter_map(|topic| topic.strip_prefix(&topics.external_prefix))
                .map(str::to_owned)
                .collect(),
            false => Vec::new(),
        };
        let mut within = self.ready_within();
        let is_decided = |observer: &Observer| listens(observer) || is_any(observer, &bare);
        if self.lookout.experience.is_asleep() {
            // It slept in another scenario, once it listened to the beacon.
            let beacon = EntryPoint::beacon_topic(&topics.external_prefix);
            let is_there = |observer: &Observer| is_decided(observer) || observer.connections.is_subscribed(&beacon);
            if self.lookout.wait_until(within, is_there).await?.is_some() {
                within = within.min(ASLEEP);
            }
        }
        if self.has_become_ready(&meaning, within, is_decided).await?.is_none() {
            let why = self.wake_by_beacon(listens, within).await?;
            return Err(why.unwrap_or_else(|| self.not_ready(&meaning)).into());
        }
        if !listens(&self.lookout.observer) {
            return Err(self.takes_no_prefix().into());
        }
        self.settle().await
    }

    /// The module listens as if EVerest had no external prefix: nobody has taught it to have one.
    fn takes_no_prefix(&self) -> Diagnostic {
        let Topics { module_id, external_prefix, .. } = &self.scene.topics;
        let headline = format!("module `{module_id}` subscribed without EVerest's external prefix `{external_prefix}`");
        let diagnostic = Diagnostic::new(Severity::Inconclusive, "module/takes-no-prefix", headline)
            .about(Subject::Module)
            .at(self.scene.scenario.place("/external_prefix"));
        diagnostic
            .unexercised("a module that reads EV_MQTT_EXTERNAL_PREFIX, or a command line with `{external_prefix}`")
    }

    /// A token provider has nothing that it must listen to: it has begun when it has subscribed or sent something; one
    /// that does neither, a while after it has connected.
    async fn wait_provider_begun(&mut self) -> Result<(), Stop> {
        self.ready_when("connected", |observer| observer.connections.is_connected()).await?;
        let has_begun = |observer: &Observer| {
            let mut subscriptions = observer.connections.subscriptions.values();
            subscriptions.any(|filters| !filters.is_empty())
                || observer.messages.iter().any(|seen| seen.from == Party::Module)
        };
        match self.lookout.wait_until(MUTE, has_begun).await? {
            Some(()) => self.settle().await,
            None => Ok(()),
        }
    }

    /// Waits until the subscriptions of a client have settled.
    async fn settle(&mut self) -> Result<(), Stop> {
        let topics = &self.scene.topics;
        let all = topics.api.channels().filter(|channel| channel.is_from_everest());
        let mut everything: Vec<_> = all.map(|channel| topics.topic(channel)).collect();
        everything.push(topics.control_topic());
        let shown = shown_channels(self.scene.scenario, self.scene.station.release);
        let needed: Vec<_> = shown.into_iter().map(|channel| topics.topic(channel)).collect();
        self.settle_on(&needed, &everything, PATIENCE, Pace::default()).await
    }

    /// Waits until a client listens to `everything`, or has had its time: little if it listens to what is `needed`.
    async fn settle_on(
        &mut self,
        needed: &[String],
        everything: &[String],
        patience: Duration,
        mut pace: Pace,
    ) -> Result<(), Stop> {
        let has_all = |observer: &Observer, topics: &[String]| {
            topics.iter().all(|topic| observer.connections.is_subscribed(topic))
        };
        let mut limit = self.lookout.patience();
        let mut quiet = self.lookout.patience();
        loop {
            if pace.take(&self.lookout.observer) {
                quiet = self.lookout.patience();
            }
            self.learnt.round_trip = self.learnt.round_trip.max(pace.round_trip);
            // One that has ended is judged by what is asked of it next.
            if has_all(&self.lookout.observer, everything) || self.lookout.module.has_ended() {
                return Ok(());
            }
            let (limit_is, quiet_is) = (
                self.scene.settings.ready_within,
                match has_all(&self.lookout.observer, needed) {
                    true => pace.round_trip * QUIET,
                    false => patience.max(pace.round_trip * LONG_QUIET),
                },
            );
            let deadline: Instant = quiet.deadline(quiet_is).min(limit.deadline(limit_is));
            if self.lookout.wait(deadline).await? != Wake::Deadline {
                continue;
            }
            if limit.is_over(limit_is).await || quiet.is_over(quiet_is).await {
                self.lookout.observer.drain();
                if !pace.take(&self.lookout.observer) {
                    return Ok(());
                }
                quiet = self.lookout.patience();
            }
        }
    }

    /// What a client listens to now, of all that there is to hear.
    pub fn heard(&self) -> Heard {
        let topics = &self.scene.topics;
        let all = topics.api.channels().filter(|channel| channel.is_from_everest());
        let all = all.map(|channel| topics.topic(channel)).chain([topics.control_topic()]);
        let topics = all.filter(|topic| self.lookout.observer.connections.is_subscribed(topic)).collect();
        Heard { topics, since: self.lookout.observer.records.len() }
    }

    /// Waits until a client that was cut off by the step there has come back, and listens again to what it `heard` before.
    ///
    /// # Errors
    /// When it stays away.
    pub async fn wait_back(&mut self, heard: &Heard, at: &str) -> Result<(), Stop> {
        let within = self.scene.settings.back_within();
        if self.lookout.wait_until(within, |observer| observer.connections.is_connected()).await?.is_none() {
            // One that has ended is judged by what is asked of it next.
            return if self.lookout.module.has_ended() { Ok(()) } else { Err(self.stayed_away(at).into()) };
        }
        self.settle_on(&heard.topics, &heard.topics, BACK, Pace::behind(heard.since)).await?;
        self.judging.judge.past.ready_since = self.lookout.observer.mark();
        Ok(())
    }

    /// Nothing obliges a client to try once more after a broker has refused it; MQTT.js, for example, does so only if it is
    /// told to.
    fn stayed_away(&self, at: &str) -> Diagnostic {
        let (module, within) = (&self.scene.topics.module_id, shown(self.scene.settings.back_within()));
        if is_refused_last(&self.lookout.observer.records) {
            let headline = format!("module `{module}` was refused and tried no more within {within}");
            let help = "let the client try again after a CONNACK that refuses it: the broker may be about to start";
            return Diagnostic::new(Severity::Inconclusive, "module/gave-up", headline)
                .about(Subject::Module)
                .at(self.scene.scenario.place(at))
                .with_help(help);
        }
        let headline = format!("module `{module}` did not connect again within {within} after it was cut off");
        Diagnostic::new(Severity::Fail, STAYED_AWAY, headline)
            .about(Subject::Module)
            .at(self.scene.scenario.place(at))
            .breaking("CN-1")
            .with_evidence(format!("ran: {}", self.lookout.module.description))
            .with_help(
                "let the client connect again when its connection is lost, or allow it more with `--ready-within`",
            )
    }

    /// EVerest is ready when it has subscribed to all that clients send it in every release, if they send anything but
    /// communication checks.
    async fn wait_everest_serves(&mut self) -> Result<(), Stop> {
        let is_heard = |channel: &Channel| {
            !channel.is_from_everest() && *channel != Channel::COMMUNICATION_CHECK && channel.is_in_every_release()
        };
        let heard = |topics: &Topics| {
            let heard = topics.api.channels().filter(is_heard).map(|channel| topics.topic(channel));
            heard.collect::<Vec<_>>()
        };
        let modules = std::iter::once(&self.scene.topics).chain(self.scene.played_other_apis());
        let wanted: Vec<_> = modules.flat_map(heard).collect();
        if wanted.is_empty() {
            return self.ready_when("connected", |observer| observer.connections.is_connected()).await;
        }
        let meaning = format!("subscribed to {}", last_levels(&wanted).join(" and "));
        self.ready_when(&meaning, |observer| wanted.iter().all(|topic| observer.connections.is_subscribed(topic))).await
    }

    /// Waits until this holds, which is what ready means.
    async fn ready_when(&mut self, meaning: &str, condition: impl Fn(&Observer) -> bool) -> Result<(), Stop> {
        match self.has_become_ready(meaning, self.ready_within(), condition).await? {
            Some(()) => Ok(()),
            None => Err(self.not_ready(meaning).into()),
        }
    }

    /// Waits until this holds, which is what ready means. `None` when it does not: within the time, or soon where another scenario
    /// has waited so long in vain.
    async fn has_become_ready(
        &mut self,
        meaning: &str,
        within: Duration,
        condition: impl Fn(&Observer) -> bool,
    ) -> Result<Option<()>, Stop> {
        let (experience, what) = (self.lookout.experience.clone(), ready(meaning));
        let is_ready = tokio::select! {
            biased;
            is_ready = self.lookout.wait_until(within, &condition) => is_ready?,
            () = experience.in_vain(&what, within, REACTION) => {
                self.lookout.observer.drain();
                self.learnt.is_in_vain = true;
                condition(&self.lookout.observer).then_some(())
            }
        };
        if is_ready.is_some() {
            experience.has_done(what);
        }
        Ok(is_ready)
    }

    /// How long the module may take to be ready: no time, if it is to run already and was waited for in vain.
    fn ready_within(&self) -> Duration {
        if self.is_known_absent() { Duration::ZERO } else { self.scene.settings.ready_within }
    }

    /// Whether another scenario has waited in vain for a module that is to run already, and none is there now.
    fn is_known_absent(&self) -> bool {
        self.lookout.experience.is_absent() && !self.lookout.observer.connections.is_connected()
    }

    /// What can be done for a module that is connected. Whether one is there that neither says nor hears anything of the API nobody
    /// can judge, whatever ready means.
    fn how_it_gets_ready(&self) -> String {
        let (observer, topics) = (&self.lookout.observer, &self.scene.topics);
        let is_client = self.scene.scenario.model.under_test == Side::Client;
        let heard = topics.api.channels().filter(|channel| channel.is_from_everest() == is_client);
        let mut heard: Vec<_> = heard.map(|channel| topics.topic(channel)).collect();
        let speaks = observer.messages.iter().any(|seen| seen.from == Party::Module && seen.kind != Kind::Other);
        let is_told = observer.connections.is_subscribed(&topics.control_topic());
        if speaks || is_told || heard.iter().any(|topic| observer.connections.is_subscribed(topic)) {
            return "say what ready means for this module with `--ready connected`, or `ready:` in khumbu.yaml"
                .to_owned();
        }
        heard.truncate(1);
        format!("let the module subscribe to what it is to hear, such as `{}`", heard.concat())
    }

    /// The module is not ready within its time.
    pub(super) fn not_ready(&self, meaning: &str) -> Diagnostic {
        let module = &self.scene.topics.module_id;
        let was_known = self.is_known_absent();
        let within = shown(self.scene.settings.ready_within);
        let connections = &self.lookout.observer.connections;
        let ended = self.lookout.module.ended.borrow().clone();
        let is_connection = |event: &Event, client: &str| matches!(event, Event::Connected { .. }) && !is_own(client);
        let connected_once =
            self.lookout.observer.records.iter().any(|record| is_connection(&record.event, &record.client));
        let mut diagnostic = match (&ended, connected_once) {
            (Some(how), _) => Diagnostic::new(
                Severity::Inconclusive,
                "module/ended-early",
                format!("module `{module}` {how} before it was ready"),
            )
            .with_help("start the command by hand and read what it says"),
            (None, false) => Diagnostic::new(
                Severity::Inconclusive,
                "module/never-connected",
                format!("module `{module}` had no connection accepted within {within}"),
            )
            .with_help(
                "pass `{host}` and `{port}` to the module, or let it read MQTT_SERVER_ADDRESS and MQTT_SERVER_PORT",
            ),
            (None, true) => Diagnostic::new(
                Severity::Inconclusive,
                "module/never-ready",
                format!("module `{module}` connected but was not ready within {within}"),
            )
            .with_evidence(format!("ready means: {meaning}"))
            .with_help(self.how_it_gets_ready()),
        };
        if self.learnt.is_in_vain {
            let less = format!(
                "another scenario has waited so long in vain, so that this one gave up after {}",
                shown(REACTION)
            );
            diagnostic = diagnostic.with_evidence(less);
        } else if was_known {
            diagnostic = diagnostic.with_evidence("an earlier scenario has waited so long, so that this one did not");
        } else if ended.is_none() && self.scene.settings.module == ModuleSource::Attached {
            self.lookout.experience.set_absent(!connected_once);
        } else if ended.is_none() {
            self.lookout.experience.has_not_done(ready(meaning), self.scene.settings.ready_within);
        }
        diagnostic.place = Some(self.scene.scenario.place("/under_test"));
        diagnostic = diagnostic
            .about(Subject::NotReady)
            .with_evidence(format!("ran: {}", self.lookout.module.description))
            .with_evidence(format!(
                "broker {}: {} TCP connections, {} MQTT clients now",
                self.broker.address(),
                connections.accepted,
                connections.subscriptions.len()
            ));
        for why in &connections.refused {
            diagnostic = diagnostic.with_evidence(format!("refused: {why}"));
        }
        for (client, filters) in &connections.subscriptions {
            let filters: Vec<_> = filters.iter().map(|filter| self.case().elided(filter)).collect();
            let what = if filters.is_empty() { " nothing".to_owned() } else { format!(": {}", filters.join(", ")) };
            diagnostic = diagnostic.with_evidence(format!("client `{client}` subscribes to{what}"));
        }
        diagnostic
    }
}

/// What a module does that becomes ready, as experience has it.
fn ready(meaning: &str) -> String {
    format!("ready: {meaning}")
}

/// How fast a client goes on subscribing.
#[derive(Debug, Default)]
struct Pace {
    /// The longest that it took from an answer of the broker to what it said next.
    round_trip: Duration,
    /// When the broker had answered CONNECT or SUBSCRIBE, of clients that have said nothing since.
    answered: BTreeMap<Arc<str>, Duration>,
    /// How many records were taken.
    taken: usize,
}

impl Pace {
    /// Of what comes behind the first `taken` records: long before, a client had nothing to subscribe to.
    fn behind(taken: usize) -> Self {
        Self { taken, ..Self::default() }
    }

    /// Takes what is new; whether it has to do with subscriptions.
    fn take(&mut self, observer: &Observer) -> bool {
        let is_request = |seq| {
            let index = observer.messages.binary_search_by_key(&seq, |seen| seen.seq);
            index.is_ok_and(|index| observer.messages[index].kind.is_request())
        };
        self.follow(&observer.records, is_request)
    }

    /// The same; `is_request` says whether the message at a place of the record is a request.
    fn follow(&mut self, records: &[Record], is_request: impl Fn(u64) -> bool) -> bool {
        let mut has_moved = false;
        for record in records[self.taken..].iter().filter(|record| !is_own(&record.client)) {
            match &record.event {
                Event::Connected { .. } | Event::Subscribed { .. } => {
                    has_moved = true;
                    self.answered.insert(record.client.clone(), record.at);
                }
                Event::Packet { direction: Direction::FromClient, kind: "SUBSCRIBE", .. } => {
                    has_moved = true;
                    if let Some(answered) = self.answered.remove(&record.client) {
                        self.round_trip = self.round_trip.max(record.at.saturating_sub(answered));
                    }
                }
                // Whoever has asked something subscribes to the next topic when it has read the replies, for which it may
                // have waited long: to a discovery any number comes.
                Event::Publish { direction: Direction::FromClient, .. } if is_request(record.seq) => {
                    self.answered.remove(&record.client);
                }
                // What else it says without being asked, such as a communication check, tells nothing of its pace.
                _ => {}
            }
        }
        self.taken = records.len();
        has_moved
    }
}

fn last_levels(topics: &[String]) -> Vec<&str> {
    topics.iter().map(|topic| topic.rsplit('/').next().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::record::Publish;

    /// The records of a client, each at so many milliseconds.
    fn of_client(events: &[(u64, Event)]) -> Vec<Record> {
        let record = |(seq, (ms, event)): (u64, &(u64, Event))| Record {
            seq,
            at: Duration::from_millis(*ms),
            client: "display".into(),
            event: event.clone(),
        };
        (0..).zip(events).map(record).collect()
    }

    #[test]
    fn what_a_client_does_with_a_reply_is_not_its_pace() {
        let subscribe = || Event::Packet { direction: Direction::FromClient, kind: "SUBSCRIBE", pkid: 1 };
        let granted = || Event::Subscribed { filter: "x".to_owned(), qos: 1 };
        let publish = || {
            let (topic, payload) = ("y".into(), Default::default());
            let publish = Publish { topic, payload, qos: 1, retain: false, dup: false, pkid: 2 };
            Event::Publish { direction: Direction::FromClient, publish }
        };
        let connected =
            Event::Connected { protocol: 4, clean: true, session_present: false, keep_alive: 20, will: None };
        // It connects, subscribes to where it wants the replies, publishes, and subscribes again 2 s later.
        let records = of_client(&[
            (0, connected),
            (5, subscribe()),
            (6, granted()),
            (7, publish()),
            (2007, subscribe()),
            (2008, granted()),
            (2020, subscribe()),
        ]);
        let pace = |is_request: bool| {
            let mut pace = Pace::default();
            assert!(pace.follow(&records, |_| is_request) && !pace.follow(&records, |_| is_request));
            pace.round_trip.as_millis()
        };
        assert_eq!(pace(true), 12, "a request");
        assert_eq!(pace(false), 2001, "a communication check");
        let mut since = Pace::behind(5);
        assert!(since.follow(&records, |_| false));
        assert_eq!(since.round_trip.as_millis(), 12, "what was before a cut is not taken");
    }
}
