//! Tells the module under test what to do: by a binding of the user, else on the control topic if the module listens
//! there.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::findings;
use super::module::{environment, fill};
use super::observer::Observer;
use super::played::Played;
use super::presence::asks_for_orders;
use super::process::run_to_end;
use super::settings::{Binding as Told, BoundPublish};
use super::stage::Stage;
use super::stop::{Stop, broken};
use crate::conformance::judge::{Prompt, WITHIN};
use crate::conformance::sighting::Sighting;
use crate::diagnostic::Diagnostic;
use crate::diagnostic::words::shown;
use crate::parity::station_file::Binding;
use crate::protocol::control::{Command, command_name};
use crate::sim::everest::Order;

/// How long a binding's command may take.
const RUN_WITHIN: Duration = Duration::from_secs(10);
/// How long a module may take to read a line from its standard input, once the pipe is full.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// How long the end of a module may be known later than that of its standard input.
const SOON: Duration = Duration::from_millis(500);
/// How long a module that was never seen on the control topic may take to come there, once it is ready.
const FIRST_VISIT: Duration = Duration::from_millis(500);
/// How long a broker that says that nobody hears is left alone before it is tried again.
const AGAIN: Duration = Duration::from_millis(50);
/// How long an EVSE that was told something may take to show that it has done it.
const EFFECT: Duration = Duration::from_secs(1);
/// How long it takes at most until Auth, or a module that was told by a line, has heard of it; nothing shows when it has.
const HEARD: Duration = Duration::from_millis(100);

impl Stage<'_> {
    /// Tells the module, if there is a way to.
    ///
    /// # Errors
    /// When a binding fails.
    pub async fn tell(&mut self, command: &Command, at: &str) -> Result<Prompt, Stop> {
        self.lookout.observer.connections.to_undo.extend(undo(command));
        let name = command_name(command);
        let json = serde_json::to_value(command).map_err(|error| broken(&error.to_string()))?;
        let arguments = json.get(&name).cloned().unwrap_or(Value::Null);
        let bindings = &self.scene.settings.bindings;
        match bindings.get(&name) {
            Some(Told::ByItself(within)) => Ok(Prompt::ByItself(within.0)),
            Some(binding) => {
                let binding = binding.clone();
                self.follow(&binding, &name, &json, &arguments, at).await?;
                Ok(Prompt::Told)
            }
            None if let Some((topic, word)) = self.station_binding(command) => {
                let since = self.lookout.observer.mark();
                self.send_bound(&topic, word, &name, at).await?;
                self.wait_for_effect(command, since).await?;
                Ok(Prompt::Told)
            }
            None if self.is_on_control_topic().await? => {
                self.send(&self.scene.topics.control_topic(), json.to_string()).await?;
                Ok(Prompt::Told)
            }
            None => Ok(Prompt::Never),
        }
    }

    /// Gives a module time for what it was told by a line or a command, and shows nothing of: what the scenario does next
    /// reaches it another way.
    ///
    /// # Errors
    /// As [`Lookout::wait`](super::lookout::Lookout::wait).
    pub async fn let_bound_module_hear(&mut self, command: &str) -> Result<(), Stop> {
        if matches!(self.scene.settings.bindings.get(command), Some(Told::Stdin(_) | Told::Run(_))) {
            self.lookout.wait_until(HEARD, |_| false).await?;
        }
        Ok(())
    }

    /// Whether the module can be told this; one that does it by itself cannot.
    ///
    /// # Errors
    /// As [`Lookout::wait`](super::lookout::Lookout::wait).
    pub async fn can_be_told(&mut self, command: &str) -> Result<bool, Stop> {
        match self.scene.settings.bindings.get(command) {
            Some(Told::ByItself(_)) => Ok(false),
            Some(_) => Ok(true),
            None => self.is_on_control_topic().await,
        }
    }

    /// The message by which the station file of an EVerest under test moves an EVSE.
    fn station_binding(&self, command: &Command) -> Option<(String, String)> {
        let bindings =
            self.scene.settings.station.as_ref().filter(|_| matches!(self.cast.played, Played::Client(_)))?;
        bindings.bindings.iter().find_map(|binding| binding.message_of(command))
    }

    /// Says something on a topic of a binding, to somebody who hears it.
    ///
    /// Where the broker is another one, somebody may hear it whom khumbu does not see: then the broker's word counts. One
    /// that does not say that nobody hears a message leaves it open.
    async fn send_bound(&mut self, topic: &str, payload: String, name: &str, at: &str) -> Result<(), Stop> {
        let is_heard = |observer: &Observer| observer.connections.is_subscribed(topic);
        if self.scene.settings.upstream.is_none() {
            if self.lookout.wait_until(FIRST_VISIT, is_heard).await?.is_none() {
                return Err(self.nobody_hears(at, name, topic).into());
            }
            return self.send(topic, payload).await;
        }
        let patience = self.lookout.patience();
        loop {
            let since = self.lookout.observer.mark();
            self.send(topic, payload.clone()).await?;
            if !self.lookout.observer.is_unheard(since, topic) {
                break;
            }
            if patience.waited() >= FIRST_VISIT {
                return Err(self.nobody_hears(at, name, topic).into());
            }
            // It has reached nobody, and may be said again.
            self.lookout.wait_until(AGAIN, is_heard).await?;
        }
        if !is_heard(&self.lookout.observer) {
            self.learnt.unseen.insert(topic.to_owned());
        }
        Ok(())
    }

    /// Waits until an EVSE shows that it has done what it was told, where the station file says how it shows that, and until
    /// Auth has heard of it: what comes next must not overtake it. It may have had nothing to do, and then shows nothing.
    async fn wait_for_effect(&mut self, command: &Command, since: u64) -> Result<(), Stop> {
        let Some(file) = &self.scene.settings.station else { return Ok(()) };
        let shows = |binding: &Binding, seen: &Sighting| {
            let text = || Value::String(String::from_utf8_lossy(&seen.publish.payload).into_owned());
            let payload = seen.json.clone().unwrap_or_else(text);
            binding.effect_in(&seen.publish.topic, &payload).filter(|shown| shown == command)
        };
        let shown_at = |observer: &Observer| {
            let first = observer.messages.partition_point(|seen| seen.seq < since);
            let is_it = |seen: &&Sighting| file.bindings.iter().any(|binding| shows(binding, seen).is_some());
            observer.messages[first..].iter().find(is_it).map(|seen| seen.seq)
        };
        if file.bindings.iter().any(Binding::shows_effects) {
            // What the EVSE told Auth before it showed this may still be underway, at a higher QoS.
            let is_told = |observer: &Observer| shown_at(observer).is_some_and(|seq| observer.is_nothing_behind(seq));
            self.lookout.wait_until(EFFECT, is_told).await?;
        }
        // What the scenario does next goes another way, and Auth has a thread for each.
        if !self.is_at_once {
            self.lookout.wait_until(HEARD, |_| false).await?;
        }
        Ok(())
    }

    fn nobody_hears(&self, at: &str, name: &str, topic: &str) -> Diagnostic {
        let seen = (self.scene.settings, &self.lookout.observer.connections);
        findings::nobody_hears(self.case(), seen, at, name, topic)
    }

    async fn is_on_control_topic(&mut self) -> Result<bool, Stop> {
        let control = self.scene.topics.control_topic();
        let was_there = self.judging.means(&self.lookout).listens;
        // A module that was cut off needs time to come back.
        let is_ready_for = self.judging.now().saturating_sub(self.judging.judge.past.ready_at);
        let within = if was_there { WITHIN } else { FIRST_VISIT.saturating_sub(is_ready_for) };
        let condition = move |observer: &Observer| {
            observer.connections.subscriptions.values().flatten().any(|filter| asks_for_orders(filter, &control))
        };
        Ok(self.lookout.wait_until(within, condition).await?.is_some())
    }

    async fn send(&mut self, topic: &str, payload: String) -> Result<(), Stop> {
        match &self.cast.played {
            Played::Client(client) => {
                let from = self.lookout.observer.messages.len();
                let published = client.link().publish(topic, payload, 1, false).await;
                published.map_err(|error| broken(&error.to_string()))?;
                self.reach_broker(from, topic).await
            }
            Played::Everest { .. } => {
                // As its statuses are sent, so that it overtakes none of them, and none that come after it overtakes it.
                let (from, topic_name) = (self.lookout.observer.messages.len(), topic.to_owned());
                self.cast.played.order(Order::Publish {
                    topic: topic_name,
                    payload: payload.into(),
                    qos: 2,
                    retain: false,
                })?;
                self.reach_broker(from, topic).await
            }
        }
    }

    async fn follow(
        &mut self,
        binding: &Told,
        name: &str,
        command: &Value,
        arguments: &Value,
        at: &str,
    ) -> Result<(), Stop> {
        let filled =
            |text: &str| text.replace("{command}", &command.to_string()).replace("{arguments}", &arguments.to_string());
        match binding {
            Told::ByItself(_) => Ok(()),
            Told::Stdin(line) => {
                let line = filled(line);
                let written = tokio::select! {
                    () = self.lookout.interrupted() => return Err(Stop::Interrupted),
                    written = timeout(READ_WITHIN, self.lookout.module.write_line(&line)) => written,
                };
                let why = match written {
                    Ok(Ok(())) => return Ok(()),
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => format!("it did not read its standard input within {}", shown(READ_WITHIN)),
                };
                // A pipe breaks before it is known that its reader has ended.
                self.lookout.wait_until(SOON, |_| false).await?;
                if self.lookout.module.has_ended() {
                    let when = format!("when it was told to `{name}`");
                    return Err(self.judging.ended_while(&self.lookout, at, &when).into());
                }
                Err(findings::binding_failed(self.case(), at, name, &why).into())
            }
            Told::Publish(BoundPublish { topic, payload }) => {
                let topic = fill(topic, &self.scene.topics, self.broker.address());
                let payload = match payload {
                    None => arguments.to_string(),
                    Some(Value::String(text)) if text == "{arguments}" => arguments.to_string(),
                    Some(Value::String(text)) if text == "{command}" => command.to_string(),
                    Some(payload) => filled_in(payload, command, arguments).to_string(),
                };
                self.send_bound(&topic, payload, name, at).await
            }
            Told::Run(line) => {
                let broker = self.broker.address();
                let words = shell_words::split(line)
                    .map_err(|error| findings::binding_failed(self.case(), at, name, &error.to_string()))?;
                let words: Vec<_> = words.iter().map(|word| filled(&fill(word, &self.scene.topics, broker))).collect();
                let environment = environment(self.scene, broker);
                let finished = tokio::select! {
                    finished = run_to_end(&words, &environment, "", RUN_WITHIN) => finished,
                    () = self.lookout.interrupted() => return Err(Stop::Interrupted),
                };
                let why = match finished {
                    Ok(finished) if finished.status.is_some_and(|status| status.success()) => return Ok(()),
                    Ok(finished) => match finished.status {
                        Some(status) => super::module::in_words(status),
                        None => format!("it did not end within {}", shown(RUN_WITHIN)),
                    },
                    Err(error) => error.to_string(),
                };
                let ran = format!("ran: {}", words.join(" "));
                Err(findings::binding_failed(self.case(), at, name, &why).with_evidence(ran).into())
            }
        }
    }
}

/// What takes back what a command leaves behind at an EVSE, besides an EV, which is unplugged anyway.
fn undo(command: &Command) -> Option<Command> {
    Some(match command {
        Command::InjectFault(it) => Command::ClearFault(*it),
        Command::Disable(it) => Command::Enable(*it),
        Command::Reserve(reserve) => Command::CancelReservation { reservation_id: reserve.reservation_id },
        _ => return None,
    })
}

/// A payload with the values of `{command}` and `{arguments}` in the place of these texts.
fn filled_in(payload: &Value, command: &Value, arguments: &Value) -> Value {
    match payload {
        Value::String(text) if text == "{command}" => command.clone(),
        Value::String(text) if text == "{arguments}" => arguments.clone(),
        Value::Array(items) => items.iter().map(|item| filled_in(item, command, arguments)).collect(),
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), filled_in(value, command, arguments))).collect()
        }
        other => other.clone(),
    }
}
