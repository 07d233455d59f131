//! What passes between the player of a recording and the module: what is said with the names of now, what comes is read with
//! the names of then.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Answer, Player};
use crate::conformance::sighting::{Kind, Party, Sighting};
use crate::protocol::control::{Command, command_name};
use crate::protocol::side::Side;
use crate::protocol::{codec, topic};
use crate::recording::Message;
use crate::runner::clock::Speed;
use crate::runner::played::Played;
use crate::runner::settings::ModuleSource;
use crate::runner::stop::{Stop, broken};

impl Player<'_, '_> {
    /// Whether the module hears what passes on the topic of a recorded message, as far as khumbu can see.
    pub(super) fn is_heard(&mut self, message: &Message) -> bool {
        let topic = self.renaming.topic_to_live(&message.topic, fresh);
        let is_elsewhere =
            self.stage.scene.settings.module == ModuleSource::Attached && self.stage.scene.settings.upstream.is_some();
        is_elsewhere || self.stage.lookout.observer.connections.is_subscribed(&topic)
    }

    pub(super) async fn tell(&mut self, command: &Command) -> Result<bool, Stop> {
        let name = command_name(command);
        if self.cannot.contains(&name) {
            return Ok(false);
        }
        // A command has names in it, too; with others it is still one.
        let text = serde_json::to_string(command).unwrap_or_default();
        let renamed = serde_json::from_str(&self.renaming.to_live(&text, fresh));
        let is_told = self.stage.tell(renamed.as_ref().unwrap_or(command), "").await?.is_told();
        if !is_told {
            self.cannot.insert(name);
        }
        Ok(is_told)
    }

    /// Publishes a recorded message with the names of now; what asks for a reply has its topic subscribed before.
    pub(super) async fn say(&mut self, message: &Message) -> Result<(), Stop> {
        let topic = self.renaming.topic_to_live(&message.topic, fresh);
        let payload = self.payload(message);
        if let Some(reply_to) = message.reply_to() {
            let bare = self.renaming.to_live(&reply_to, fresh);
            let live = self.stage.scene.topics.reply_topic_on_wire(&bare);
            let recorded = format!("{}{reply_to}", self.replay.script.file.external_prefix);
            if let Played::Client(client) = &self.stage.cast.played
                && topic::check_name(&live).is_ok()
            {
                let subscribed = client.link().subscribe(std::slice::from_ref(&live), 2).await;
                subscribed.map_err(|error| broken(&error.to_string()))?;
            }
            self.renaming.pair_replies(live, recorded);
        }
        self.publish(&topic, payload, message.qos, message.retain).await
    }

    /// The payload of a recorded message with the names of now, in the form in which its publisher writes it.
    fn payload(&mut self, message: &Message) -> Bytes {
        let bytes = match (message.json(), self.side) {
            // Questions are compact at EVerest, too.
            (Some(_), Side::Client) if self.witness.is_question(message) => message.bytes.clone(),
            (Some(payload), Side::Client) => codec::encode(payload),
            _ => message.bytes.clone(),
        };
        match std::str::from_utf8(&bytes) {
            Ok(text) => self.renaming.to_live(text, fresh).into(),
            Err(_) => bytes,
        }
    }

    pub(super) async fn publish(&self, topic: &str, payload: Bytes, qos: u8, retain: bool) -> Result<(), Stop> {
        let Played::Client(client) = &self.stage.cast.played else { return Ok(()) };
        // What cannot be published now was not published then.
        if topic::check_name(topic).is_err() {
            return Ok(());
        }
        client.link().publish(topic, payload, qos, retain).await.map_err(|error| broken(&error.to_string()).into())
    }

    /// Looks at what is new in the record.
    pub(super) fn look(&mut self) {
        if let Some(last) = self.stage.lookout.observer.records.last() {
            // The one that was read soonest tells best.
            self.epoch = self.epoch.min(Instant::now().checked_sub(last.at).unwrap_or(self.epoch));
        }
        while let Some(seen) = self.stage.lookout.observer.messages.get(self.next) {
            self.next += 1;
            if seen.from != Party::Module || seen.kind == Kind::Control {
                continue;
            }
            let seen = seen.clone();
            self.take(&seen);
        }
    }

    fn take(&mut self, seen: &Sighting) {
        let records = &self.stage.lookout.observer.records;
        let index = records.first().and_then(|first| usize::try_from(seen.seq - first.seq).ok());
        let at = index.and_then(|index| records.get(index)).map_or(Duration::ZERO, |record| record.at);
        let at = self.epoch + at;
        let topic = self.renaming.topic_to_recorded(&seen.publish.topic);
        let payload = match std::str::from_utf8(&seen.publish.payload) {
            Ok(text) => self.renaming.to_recorded(text).into(),
            Err(_) => seen.publish.payload.clone(),
        };
        let message = Message::new(Duration::ZERO, &topic, &payload, seen.publish.qos, seen.publish.retain);
        let is_asking = match self.side {
            Side::Client => self.witness.is_request(&message),
            Side::Everest => self.witness.is_question(&message),
        };
        if is_asking {
            self.take_request(seen, &message, at);
        }
        self.moves_evses |= self.side == Side::Everest && self.witness.is_report(&message);
        if self.side == Side::Everest
            && let Some(outcome) = self.witness.outcome(&message)
        {
            self.live.push((at, outcome));
        }
    }

    /// Finds the recorded request that a live one is, and has it answered as that was.
    fn take_request(&mut self, seen: &Sighting, message: &Message, at: Instant) {
        let content = self.witness.content(message);
        let found = self.part.requests.iter().zip(&self.requests).position(|(recorded, state)| {
            !state.is_made
                && recorded.topic == message.topic
                && recorded.content.as_ref().is_none_or(|recorded| *recorded == content)
        });
        let Some(found) = found else {
            self.others.push((message.topic.clone(), content));
            return;
        };
        self.requests[found].is_made = true;
        let reply_to = seen.json.as_ref().and_then(|json| json.pointer("/headers/replyTo")?.as_str());
        let Some(reply_to) = reply_to else { return };
        let topics = &self.stage.scene.topics;
        let topic = match reply_to.starts_with(&topics.external_prefix) {
            // EVerest says its own topics with the prefix, or without.
            true if self.side == Side::Everest => reply_to.to_owned(),
            _ => topics.reply_topic_on_wire(reply_to),
        };
        for (delay_ms, reply) in &self.part.requests[found].replies {
            let due = at + self.clock.span(*delay_ms);
            self.answers.push(Answer { due, topic: topic.clone(), message: reply.clone() });
        }
    }

    /// Whether everything was played that was recorded before a reply; at full speed its time may come earlier.
    pub(super) fn may_answer(&self, answer: &Answer) -> bool {
        let next = self.part.cues.get(self.cue);
        self.replay.speed != Speed::Max || next.is_none_or(|cue| answer.message.at_ms() <= cue.at_ms)
    }

    /// Sends the replies that are due.
    pub(super) async fn answer(&mut self) -> Result<(), Stop> {
        let is_next = |player: &Self, answer: &Answer| answer.due <= Instant::now() && player.may_answer(answer);
        while let Some(next) = self.answers.iter().position(|answer| is_next(self, answer)) {
            let Answer { topic, message, .. } = self.answers.remove(next);
            let payload = self.payload(&message);
            self.publish(&topic, payload, message.qos, message.retain).await?;
        }
        Ok(())
    }
}

fn fresh() -> String {
    Uuid::new_v4().to_string()
}
