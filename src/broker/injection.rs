//! Injected faults, carried out: what [`super::faults`] has decided befalls messages, connections and the port.
//!
//! Runs under the hub's lock; touches no socket. Each fault that befalls something is recorded before it shows.
//!
//! A message that is lost is one that the broker has acknowledged and hands to nobody: its sender sees nothing, whatever its
//! QoS, and no receiver has a packet identifier for it. What khumbu's own clients publish is lost for others only; what
//! others publish is lost for all. What is retained stays retained, and wills are left alone.

use std::sync::Arc;
use std::time::Instant;

use super::faults::{Faults, Rule, Sieve};
use super::hub::{Core, Ending, Hub};
use super::pipe::Pipe;
use super::routing::seen;
use super::session::{Message, Out};
use crate::transcript::injected::{ConnectRefusal, Copies, Effect, Injected};
use crate::transcript::record::Event;

/// The faults of a broker, and what waits because of them.
pub(super) struct Injection {
    sieve: Arc<dyn Sieve>,
    faults: Faults,
    /// Messages that are late, and when they are handed over.
    delayed: Vec<(Instant, Arc<Message>)>,
    /// What waits for another message, by the number of its rule.
    held_back: Vec<(usize, Arc<Message>)>,
    /// Connections that nothing passes, and whose they are.
    stalled: Vec<(Arc<str>, Arc<Pipe>)>,
}

/// For whom a message is.
#[derive(Clone, Copy)]
enum Whom {
    All,
    /// Who is not befallen by what befalls it.
    Spared,
    Befallen,
}

impl Hub {
    /// Has faults injected from now on, or none any more.
    pub(super) fn inject(&self, sieve: Option<Arc<dyn Sieve>>) {
        self.with(|core| {
            core.lift();
            core.injection = sieve.map(|sieve| Injection {
                sieve,
                faults: Faults::default(),
                delayed: Vec::new(),
                held_back: Vec::new(),
                stalled: Vec::new(),
            });
        });
    }

    pub(super) fn add_fault(&self, rule: Rule) -> Option<usize> {
        self.with(|core| Some(core.injection.as_mut()?.faults.add(rule)))
    }

    pub(super) fn refuse_connects(&self, refusal: ConnectRefusal, most: Option<u32>) {
        self.with(|core| {
            if let Some(injection) = &mut core.injection {
                injection.faults.refuse(refusal, most);
            }
        });
    }

    pub(super) fn lift_faults(&self) {
        self.with(Core::lift);
    }

    /// Lets nothing pass the connections of others any more.
    pub(super) fn stall(&self) {
        self.with(|core| {
            for (client, pipe) in core.foreign_links() {
                pipe.stall();
                core.recorder.record(&client, Event::Injected(Injected::Stalled));
                core.injection.iter_mut().for_each(|it| it.stalled.push((client.clone(), pipe.clone())));
            }
        });
    }

    pub(super) fn flow(&self) {
        self.with(Core::flow);
    }

    /// Cuts off everybody but khumbu, as a broker that goes down without a word.
    pub(super) fn close_foreign(&self, cause: &str) {
        self.with(|core| {
            core.recorder.record(&"broker".into(), Event::Injected(Injected::BrokerAway));
            let own = core.own_numbers();
            for slot in 0..core.sessions.len() {
                if let Some(seat) = core.seat(slot).filter(|seat| !own.contains(&seat.number)) {
                    core.end(seat, &Ending { cause, clean: false, will: false });
                }
            }
            for number in core.relayed.numbers().into_iter().filter(|number| !own.contains(number)) {
                core.end_relayed(number, cause, false);
            }
            // Also those that are not accepted yet.
            for (_, pipe) in core.links.iter().filter(|(number, _)| !own.contains(number)) {
                pipe.abandon();
            }
        });
    }

    /// How the CONNECT of a client is refused, if it is.
    pub(super) fn refusal(&self, client: &str) -> Option<ConnectRefusal> {
        self.with(|core| core.refusal(client))
    }
}

impl Core {
    /// Hands a message on that was published, by its record's place, as the faults in force will have it.
    pub(super) fn pass_on(&mut self, message: &Arc<Message>, seq: u64) {
        let Some(mut injection) = self.injection.take() else { return self.route(message, |_| true) };
        let met = injection.sieve.sift(&message.from, &seen(message, false, 0));
        let decision = injection.faults.decide(&met, &message.payload);
        if let Some((rule, effect)) = decision.fault {
            let injected = Injected::Message { seq, rule, topic: message.topic.clone(), effect };
            self.recorder.record(&message.from, Event::Injected(injected));
        }
        let sieve = injection.sieve.clone();
        match decision.fault {
            None => self.hand_over(&*sieve, message, Whom::All),
            Some((number, effect)) => {
                self.hand_over(&*sieve, message, Whom::Spared);
                match effect {
                    Effect::Drop => {}
                    Effect::Delay(by) => {
                        injection.delayed.push((self.now + by, message.clone()));
                        self.has_deadlines = true;
                    }
                    Effect::Duplicate(copies) => {
                        self.hand_over(&*sieve, message, Whom::Befallen);
                        let done = match copies {
                            Copies::Message => Vec::new(),
                            Copies::Redelivery => {
                                [self.redeliver(&*sieve, message), self.exactly_once(message)].concat()
                            }
                        };
                        self.route(message, |client| {
                            befalls(&*sieve, message, client) && !done.iter().any(|it| **it == *client)
                        });
                    }
                    Effect::Reorder => injection.held_back.push((number, message.clone())),
                    Effect::Corrupt(_) => {
                        let payload = decision.payload.unwrap_or_default();
                        let changed = Arc::new(message.with_payload(payload));
                        self.hand_over(&*sieve, &changed, Whom::Befallen);
                    }
                }
            }
        }
        let is_released = |(number, _): &mut (usize, Arc<Message>)| decision.released.contains(number);
        for (_, held) in injection.held_back.extract_if(.., is_released) {
            self.hand_over(&*sieve, &held, Whom::Befallen);
        }
        self.injection = Some(injection);
    }

    fn hand_over(&mut self, sieve: &dyn Sieve, message: &Arc<Message>, whom: Whom) {
        self.route(message, |client| match whom {
            Whom::All => true,
            Whom::Spared => !befalls(sieve, message, client),
            Whom::Befallen => befalls(sieve, message, client),
        });
    }

    /// Sends a message again on the connections on which that may be done; whose they are.
    fn redeliver(&mut self, sieve: &dyn Sieve, message: &Arc<Message>) -> Vec<Arc<str>> {
        let Core { sessions, recorder, flushes, now, .. } = self;
        let mut out = Out { recorder, flushes, now: *now };
        let befallen = sessions.iter_mut().flatten().filter(|session| befalls(sieve, message, &session.client));
        befallen.filter_map(|session| session.redeliver(message, &mut out).then(|| session.client.clone())).collect()
    }

    /// Who gets a message at QoS 2, and so never twice.
    fn exactly_once(&self, message: &Arc<Message>) -> Vec<Arc<str>> {
        let sessions = self.sessions.iter().flatten();
        sessions.filter(|session| session.has_exactly_once(message)).map(|session| session.client.clone()).collect()
    }

    /// Hands over what is late no longer; when the next is due.
    pub(super) fn hand_over_delayed(&mut self) -> Option<Instant> {
        let injection = self.injection.as_mut()?;
        let (sieve, now) = (injection.sieve.clone(), self.now);
        let due: Vec<_> = injection.delayed.extract_if(.., |(at, _)| *at <= now).collect();
        let next = injection.delayed.iter().map(|(at, _)| *at).min();
        for (_, message) in due {
            self.hand_over(&*sieve, &message, Whom::Befallen);
        }
        next
    }

    /// Lifts every fault. What was held back is handed over now; what is late comes at its time.
    fn lift(&mut self) {
        let Some(injection) = &mut self.injection else { return };
        injection.faults.lift();
        let sieve = injection.sieve.clone();
        let held_back = std::mem::take(&mut injection.held_back);
        self.flow();
        for (_, message) in held_back {
            self.hand_over(&*sieve, &message, Whom::Befallen);
        }
    }

    fn flow(&mut self) {
        let Some(injection) = &mut self.injection else { return };
        for (client, pipe) in std::mem::take(&mut injection.stalled) {
            pipe.flow();
            self.recorder.record(&client, Event::Injected(Injected::Flows));
        }
    }

    pub(super) fn refusal(&mut self, client: &str) -> Option<ConnectRefusal> {
        let injection = self.injection.as_mut()?;
        if injection.sieve.is_own(client) {
            return None;
        }
        let refusal = injection.faults.connect()?;
        self.recorder.record(&client.into(), Event::Injected(Injected::ConnectRefused(refusal)));
        Some(refusal)
    }

    fn is_own(&self, client: &str) -> bool {
        self.injection.as_ref().is_some_and(|injection| injection.sieve.is_own(client))
    }

    /// The connections of accepted clients by number.
    fn accepted(&self) -> impl Iterator<Item = (u64, &Arc<str>)> {
        let own = self.sessions.iter().flatten();
        let own = own.filter_map(|session| Some((session.link.as_ref()?.number, &session.client)));
        own.chain(self.relayed.clients())
    }

    fn own_numbers(&self) -> Vec<u64> {
        self.accepted().filter(|(_, client)| self.is_own(client)).map(|(number, _)| number).collect()
    }

    /// The connections of everybody but khumbu that are accepted.
    fn foreign_links(&self) -> Vec<(Arc<str>, Arc<Pipe>)> {
        let foreign = self.accepted().filter(|(_, client)| !self.is_own(client));
        let mut links: Vec<_> = foreign.collect();
        links.sort_unstable_by_key(|(number, _)| *number);
        links.iter().filter_map(|(number, client)| Some(((*client).clone(), self.links.get(number)?.clone()))).collect()
    }
}

/// Whether what befalls a message befalls it for this client.
fn befalls(sieve: &dyn Sieve, message: &Message, client: &str) -> bool {
    !(sieve.is_own(&message.from) && sieve.is_own(client))
}
