//! Plays the steps of a scenario, one after the other.
//!
//! A stimulus sets a mark before it acts; expectations count what came after the mark. Expectations that follow each
//! other must be met in that order, unless `any_order` says otherwise.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::findings;
use super::losses;
use super::module::{environment, fill, in_words};
use super::patterns::{compiled, not_captured, strings_filled};
use super::played::Played;
use super::process::run_to_end;
use super::requests::said;
use super::stage::Stage;
use super::stop::{Stop, broken};
use crate::conformance::judge::Replies;
use crate::conformance::requirements;
use crate::conformance::sighting::{Kind, Party};
use crate::diagnostic::words::{cut, shown};
use crate::diagnostic::{Diagnostic, Severity};
use crate::protocol::channel::EntryPoint;
use crate::protocol::control::{Command, HeartbeatControl, SetReply};
use crate::protocol::side::Side;
use crate::protocol::wire::{Encoder, Wire};
use crate::protocol::{codec, topic};
use crate::scenario::model::{Heartbeats, Publish, Run};
use crate::scenario::pattern;
use crate::scenario::step::Step;
use crate::scenario::{Pointer, from_hex, played};
use crate::sim::everest::Order;

/// The default time limit of a command of the user.
const RUN_WITHIN: Duration = Duration::from_secs(10);

impl Stage<'_> {
    /// Plays steps that stand at `pointer`.
    ///
    /// # Errors
    /// The first step that cannot be met, or after which nothing more is wanted.
    pub async fn play(&mut self, steps: &[Step], pointer: &Pointer) -> Result<(), Stop> {
        for (at, step) in played(steps, pointer, self.scene.station.release) {
            if self.lookout.is_interrupted() {
                return Err(Stop::Interrupted);
            }
            self.play_one(step, &at).await?;
            if let Some(stops_after) = self.scene.settings.stops_after
                && (self.broker.now() >= stops_after || self.lookout.observer.has_failed())
            {
                return Err(Stop::Enough(self.scene.scenario.place(&at)));
            }
        }
        Ok(())
    }

    /// Plays a step that is none of those that `only` holds for other releases.
    ///
    /// # Errors
    /// When it cannot be met.
    pub async fn play_one(&mut self, step: &Step, at: &Pointer) -> Result<(), Stop> {
        self.lookout.awaited.step(self.scene.scenario, at);
        match Box::pin(self.step(step, at)).await {
            Ok(()) => self.note_met(step),
            // What a fault from outside has kept from happening is no end: the rest is played under it, too.
            Err(Stop::Found(found))
                if losses::is_explained(&found) && self.lookout.faults.is_over && !remembers(step) =>
            {
                self.lookout.observer.findings.push(*found);
            }
            Err(stop) => return Err(stop),
        }
        Ok(())
    }

    /// A step was met that may have asked something of the module.
    fn note_met(&mut self, step: &Step) {
        let frame = self.scene.frame();
        let demanding = match step {
            Step::AnyOrder(steps) => steps.iter().filter(|step| step.row(frame).demands).count(),
            step => usize::from(step.row(frame).demands),
        };
        if demanding > 0 {
            *self.judging.judge.past.met.entry(self.about.map(|requirement| requirement.id)).or_default() += demanding;
        }
    }

    pub async fn step(&mut self, step: &Step, at: &Pointer) -> Result<(), Stop> {
        let row = step.row(self.scene.frame());
        if shows_in_no_message(step) {
            self.note_deed(&json!({row.key: {}}));
        }
        match step {
            Step::PlugIn(it) => self.stimulate(Command::PlugIn(*it), at).await,
            Step::Unplug(it) => self.stimulate(Command::Unplug(*it), at).await,
            Step::StartTransaction(it) => self.stimulate(Command::StartTransaction(*it), at).await,
            Step::StopTransaction(it) => self.stimulate(Command::StopTransaction(*it), at).await,
            Step::InjectFault(it) => self.stimulate(Command::InjectFault(*it), at).await,
            Step::ClearFault(it) => self.stimulate(Command::ClearFault(*it), at).await,
            Step::Disable(it) => self.stimulate(Command::Disable(*it), at).await,
            Step::Enable(it) => self.stimulate(Command::Enable(*it), at).await,
            Step::PauseCharging(it) => self.stimulate(Command::PauseCharging(*it), at).await,
            Step::ResumeCharging(it) => self.stimulate(Command::ResumeCharging(*it), at).await,
            Step::Authorize(it) => self.stimulate(Command::Authorize(*it), at).await,
            Step::Reserve(reserve) => self.reserve(reserve, at).await,
            Step::CancelReservation(cancel) => self.cancel_reservation(cancel, at).await,
            Step::AtOnce(steps) => self.at_once(steps, at).await,
            Step::Heartbeats(change) => {
                let control = match change {
                    Heartbeats::Pause => HeartbeatControl::Pause,
                    Heartbeats::Resume => HeartbeatControl::Resume,
                    Heartbeats::Every(span) => {
                        HeartbeatControl::Every(u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX).max(1))
                    }
                    Heartbeats::Next(number) => HeartbeatControl::Next(*number),
                };
                self.lookout.observer.monitors.heartbeats_changed();
                self.stimulate(Command::Heartbeats(control), at).await
            }
            Step::SetReply(set) => {
                let (payload, never) = (set.payload.clone(), set.never);
                let after_ms = set.after.map_or(0, |span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX));
                let to = set.to.name().to_owned();
                self.stimulate(Command::SetReply(SetReply { to, payload, never, after_ms }), at).await
            }
            Step::PresentToken(name) => self.present_token(name, said(&row)?, at).await,
            Step::SetVerdict(change) => {
                let config = self.token_mut(&change.token)?;
                config.verdict = change.verdict;
                config.verdict_after = change.after;
                let command = config.to_verdict();
                self.set_verdict(command, at).await
            }
            Step::UpdateVerdict(update) => self.update_verdict(update, said(&row)?, at).await,
            Step::RestartEverest => self.restart_everest().await,
            Step::Disconnect => self.disconnect(at).await,
            Step::Drop(_) | Step::Delay(_) | Step::Duplicate(_) | Step::Reorder(_) | Step::Corrupt(_) => {
                self.lay(step, Some(at))
            }
            Step::LiftFaults => {
                self.lift_faults();
                Ok(())
            }
            Step::HalfOpen(half_open) => self.half_open(half_open.r#for.map(|span| span.0), at).await,
            Step::RefuseConnect(refuse) => {
                self.refuse_connect(refuse, Some(at));
                Ok(())
            }
            Step::BrokerAway(away) => self.broker_away(*away, at).await,
            Step::Csms(state) => self.set_csms(*state).await,
            Step::ResetCache(_) => self.reset_cache(at).await,
            Step::SendLocalList(list) => self.send_local_list(list, at).await,
            Step::Gateway(gateway) => self.ask_gateway(gateway, at).await,
            Step::Withdraw(withdraw) => self.withdraw(withdraw, &row, at).await,
            Step::GetStatus(_) => self.request(Kind::Channel(said(&row)?), None, Command::GetStatus {}, &row, at).await,
            Step::Discover(_) => {
                self.request(Kind::EntryPoint(EntryPoint::Discover), None, Command::Discover {}, &row, at).await
            }
            Step::QueryModules(api) => {
                let kind = Kind::EntryPoint(EntryPoint::QueryModules(api.clone()));
                self.request(kind, None, Command::QueryModules(api.clone()), &row, at).await
            }
            Step::CommunicationCheck(on) => self.communication_check(*on, at).await,
            Step::Publish(publish) => self.publish(publish, at).await,
            Step::Expect(_) | Step::ExpectStatus(_) | Step::ExpectReply(_) | Step::ExpectEvse(_) => {
                self.judging.expect(&mut self.lookout, &[(at.clone(), step)], at).await?;
                self.note_request(at);
                Ok(())
            }
            Step::AnyOrder(steps) => {
                let steps = played(steps, &at.key("any_order"), self.scene.station.release);
                self.judging.expect(&mut self.lookout, &steps, at).await?;
                self.note_request(at);
                Ok(())
            }
            Step::ExpectCsms(expect) => self.expect_csms(expect, at).await,
            Step::ExpectNone(none) => match none.csms {
                Some(message) => self.expect_none_of_csms(message, none, at).await,
                None => self.judging.expect_none(&mut self.lookout, none, at).await,
            },
            Step::Run(run) => self.run_command(run, at).await,
            Step::Repeat(repeat) => {
                for _ in 0..repeat.times {
                    self.play(&repeat.steps, &at.key("repeat").key("steps")).await?;
                }
                Ok(())
            }
            Step::When(when) => self.when(when, at).await,
            Step::About(id) => {
                self.about = requirements::find(id);
                Ok(())
            }
            // What `only` holds is played in its place.
            Step::Only(_) | Step::Note(_) => Ok(()),
        }
    }

    /// A request that the client under test has made by itself, and that has met an expectation, may be answered as well.
    fn note_request(&mut self, at: &Pointer) {
        if self.scene.scenario.model.under_test != Side::Client {
            return;
        }
        let judge = &mut self.judging.judge;
        let view = self.lookout.observer.view();
        let requests = judge.claims().by(at).filter_map(|seq| view.request(seq));
        if let Some(request) = requests.filter(|request| request.from == Party::Module).last() {
            let (topic, since) = (request.reply_topic.clone(), request.seq);
            judge.past.request(None, Replies { topic, since });
        }
    }

    /// Stimuli without anything between them. The mark is that of the first.
    async fn at_once(&mut self, steps: &[Step], at: &Pointer) -> Result<(), Stop> {
        self.set_mark();
        let mark = self.judging.judge.past.mark;
        self.is_at_once = true;
        let outcome = self.play(steps, &at.key("at_once")).await;
        self.is_at_once = false;
        self.judging.judge.past.set_mark(mark);
        outcome
    }

    async fn publish(&mut self, publish: &Publish, at: &Pointer) -> Result<(), Stop> {
        self.set_mark();
        let topics = self.scene.topics.clone();
        let asks = self.case().is_asked();
        let is_request = publish.topic.contains(if asks { "{e2m}" } else { "{m2e}" });
        let id = uuid::Uuid::new_v4().to_string();
        let reply_to = if asks { topics.reply_topic_to_everest(&id) } else { topics.reply_topic("publish", &id) };
        let fill_in = |text: &str| self.case().filled(text).replace("{reply}", &reply_to);
        let topic = match self.judging.judge.wanted_reply_topic(self.lookout.observer.view()) {
            _ if !publish.topic.contains("{reply_to}") => fill_in(&publish.topic),
            Some(wanted) => fill_in(&publish.topic).replace("{reply_to}", wanted),
            None => {
                let at = at.key("publish").key("topic");
                // No EVerest asks and wants no answer.
                let mut messages = self.lookout.observer.messages.iter().rev();
                let question = messages.find(|seen| seen.from == Party::Module && seen.kind.is_question());
                return Err(match question {
                    Some(question) if topics.api.behaviour().is_known() => {
                        findings::asked_without_reply_topic(self.case(), &at, question)
                    }
                    _ => self.judging.no_reply_asked_for(&self.lookout.observer, &at),
                }
                .into());
            }
        };
        let payload = match (&publish.payload, &publish.text, &publish.hex) {
            (Some(value), ..) => {
                let value = pattern::fill(value, &self.judging.judge.captures).map_err(|name| not_captured(&name))?;
                let value = strings_filled(&value, &fill_in);
                // In EVerest's name it is written as EVerest writes.
                let encoder = || Encoder::of_everest(Wire::Everest, self.scene.station.in_force());
                let is_question = || topics.api.channels().any(|own| own.is_question() && topics.topic(own) == topic);
                match self.scene.scenario.model.under_test {
                    Side::Client if is_question() => encoder().encode_compact(&value),
                    Side::Client => encoder().encode(&value),
                    Side::Everest => codec::encode(&value),
                }
                .into()
            }
            (None, Some(text), _) => fill_in(text).into_bytes(),
            (None, None, Some(hex)) => from_hex(hex).unwrap_or_default(),
            (None, None, None) => Vec::new(),
        };
        let wire = topics.reply_topic_on_wire(&reply_to);
        let is_of_everest = topic.starts_with(&format!("{}everest_api/", topics.external_prefix));
        self.judging.judge.past.is_told_by_hand |= !is_of_everest && !publish.topic.contains("{reply");
        let (qos, retain) = (publish.qos, publish.retain);
        if let Err(why) = topic::check_name(&topic) {
            return Err(findings::cannot_publish(self.case(), &at.key("publish").key("topic"), &why).into());
        }
        match &self.cast.played {
            Played::Client(client) => {
                let (from, link) = (self.lookout.observer.messages.len(), client.link());
                let published = async {
                    link.subscribe(std::slice::from_ref(&wire), 2).await?;
                    link.publish(&topic, payload, qos, retain).await
                };
                published.await.map_err(|error| broken(&error.to_string()))?;
                self.reach_broker(from, &topic).await?;
            }
            Played::Everest { .. } => {
                let from = self.lookout.observer.messages.len();
                let payload = Bytes::from(payload);
                let order = Order::Publish { topic: topic.clone(), payload: payload.clone(), qos, retain };
                self.cast.played.order(order)?;
                self.reach_record().await?;
                // What the module said before it could have seen this was not moved by it.
                let mut said = self.lookout.observer.messages[from..].iter().filter(|seen| seen.from == Party::Harness);
                if let Some(it) = said.find(|seen| (&*seen.publish.topic, &seen.publish.payload) == (&*topic, &payload))
                {
                    self.judging.judge.past.set_mark(it.seq);
                }
            }
        }
        let past = &mut self.judging.judge.past;
        let replies = Replies { topic: wire, since: past.mark };
        past.name(publish.r#as.as_deref(), replies.clone());
        if is_request {
            past.request(None, replies);
        }
        Ok(())
    }

    async fn run_command(&mut self, run: &Run, at: &Pointer) -> Result<(), Stop> {
        self.set_mark();
        self.judging.judge.past.is_told_by_hand = true;
        let within = run.within.map_or(RUN_WITHIN, |span| span.0);
        self.lookout.awaited.until(Instant::now() + within);
        let pointer = at.key("run");
        let broker = self.broker.address();
        let not_started = |error: &dyn std::fmt::Display| {
            findings::run_not_started(self.case(), &pointer.key("command"), &run.command, &error.to_string())
        };
        let words = shell_words::split(&run.command).map_err(|error| not_started(&error))?;
        let command: Vec<String> = words.iter().map(|word| fill(word, &self.scene.topics, broker)).collect();
        let environment = environment(self.scene, broker);
        let stdin = run.stdin.as_deref().unwrap_or_default();
        let finished = tokio::select! {
            finished = run_to_end(&command, &environment, stdin, within) => finished,
            () = self.lookout.interrupted() => return Err(Stop::Interrupted),
        };
        let finished = finished.map_err(|error| not_started(&error))?;
        let command = &run.command;
        let fail = |id, headline, key: &str| {
            Diagnostic::new(Severity::Fail, id, headline).at(self.scene.scenario.place(&pointer.key(key)))
        };
        let diagnostic = match (finished.status, &run.stdout) {
            (None, _) => {
                let headline = format!("command `{command}` did not end within {}", shown(within));
                Some(fail("run/timeout", headline, "command"))
            }
            (Some(status), _) if status.code() != Some(run.exit) => {
                let headline = format!("command `{command}` {}, expected code {}", in_words(status), run.exit);
                Some(fail("run/exit-code", headline, if run.exit == 0 { "command" } else { "exit" }))
            }
            (Some(_), None) => None,
            (Some(_), Some(expected)) => {
                let stdout = finished.output.stdout().trim().to_owned();
                let mismatch =
                    compiled(&json!(expected))?.matches(&json!(stdout), &mut self.judging.judge.captures).err();
                mismatch.map(|mismatch| {
                    fail("run/output", format!("command `{command}` printed something else"), "stdout")
                        .with_evidence(format!("expected: {}", mismatch.expected))
                        .with_evidence(format!("printed: `{}`", cut(&stdout, 400)))
                })
            }
        };
        match diagnostic {
            None => {
                self.judging.judge.past.is_judged = true;
                Ok(())
            }
            Some(mut diagnostic) => {
                for line in finished.output.tail(8) {
                    diagnostic.evidence.push(format!("command wrote: {line}"));
                }
                Err(diagnostic.into())
            }
        }
    }
}

/// Whether khumbu does something of which a recording would have nothing.
fn shows_in_no_message(step: &Step) -> bool {
    let is_fault = matches!(
        step,
        Step::Drop(_)
            | Step::Delay(_)
            | Step::Duplicate(_)
            | Step::Reorder(_)
            | Step::Corrupt(_)
            | Step::LiftFaults
            | Step::HalfOpen(_)
            | Step::RefuseConnect(_)
            | Step::BrokerAway(_)
    );
    is_fault
        || matches!(
            step,
            Step::Csms(_) | Step::ResetCache(_) | Step::SendLocalList(_) | Step::Gateway(_) | Step::Run(_)
        )
}

/// Whether later steps may use what an expectation has captured.
fn remembers(step: &Step) -> bool {
    let payload = match step {
        Step::Expect(expect) => expect.payload.as_ref(),
        Step::ExpectStatus(expect) => expect.payload.as_ref(),
        Step::ExpectReply(expect) => Some(&expect.payload),
        Step::AnyOrder(steps) => return steps.iter().any(remembers),
        _ => None,
    };
    payload.is_some_and(|payload| compiled(payload).is_ok_and(|pattern| !pattern.captures().is_empty()))
}
