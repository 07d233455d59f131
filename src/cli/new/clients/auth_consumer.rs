//! A display: a client of EVerest's `auth_consumer` API.
//!
//! It prints each token validation status, and tells EVerest every two seconds that it is there. Lines on standard input
//! are requests: `withdraw {"evse_id": 1}`, `withdraw {}` for whatever is authorized, `get_status`, `discover`.

#![allow(clippy::print_stdout, reason = "a display shows")]

use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, ConnectReturnCode, Event, MqttOptions, Outgoing, Packet, QoS};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep, timeout};
use uuid::Uuid;

/// EVerest gives a client up that says nothing for 5 s, if it is not configured otherwise.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// EVerest may never answer.
const REPLY_WITHIN: Duration = Duration::from_secs(5);
/// How long the broker may take to have the last message, and how long a lost connection is left alone.
const A_MOMENT: Duration = Duration::from_secs(1);
const LARGEST_PACKET: usize = 10 * 1024 * 1024;

/// A request whose reply is awaited.
struct Request {
    topic: String,
    message: Value,
    asked: Instant,
    /// The number of its SUBSCRIBE, until that is acknowledged.
    subscribe: Option<u16>,
}

struct Display {
    client: AsyncClient,
    /// Stands before every topic, but not in `replyTo`.
    prefix: String,
    base: String,
    is_connected: bool,
    /// By the topic of the reply, as EVerest is told it.
    requests: BTreeMap<String, Request>,
    /// What was subscribed to and is not sent yet, in its order: the topic of a reply, or none of the client's own topics.
    subscribing: VecDeque<Option<String>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let setting = |name, otherwise: &str| env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let (host, port) = (setting("MQTT_SERVER_ADDRESS", "localhost"), setting("MQTT_SERVER_PORT", "1883").parse()?);
    let (version, module_id) = (setting("KHUMBU_API_VERSION", "1"), setting("KHUMBU_MODULE_ID", "auth_api"));

    let mut options = MqttOptions::new(format!("display-{}", Uuid::new_v4()), host, port);
    options.set_keep_alive(Duration::from_secs(20)).set_max_packet_size(LARGEST_PACKET, LARGEST_PACKET);
    let (client, mut connection) = AsyncClient::new(options, 64);
    let (sender, mut events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let event = connection.poll().await;
            let is_lost = event.is_err();
            if sender.send(event).is_err() {
                return;
            }
            if is_lost {
                sleep(A_MOMENT).await;
            }
        }
    });

    let mut display = Display {
        client,
        prefix: setting("EV_MQTT_EXTERNAL_PREFIX", ""),
        base: format!("everest_api/{version}/auth_consumer/{module_id}"),
        is_connected: false,
        requests: BTreeMap::new(),
        subscribing: VecDeque::new(),
    };
    let mut lines = BufReader::new(stdin()).lines();
    let mut is_listening = true;
    let mut checks = interval(CHECK_EVERY);
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    loop {
        tokio::select! {
            Some(event) = events.recv() => match event {
                Ok(event) => display.take(event)?,
                Err(error) => display.lost(&error),
            },
            line = lines.next_line(), if is_listening => match line {
                Ok(Some(line)) => display.obey(&line)?,
                _ => is_listening = false,
            },
            _ = checks.tick() => {
                display.check(true)?;
                display.give_up_late_requests()?;
            }
            _ = terminated.recv() => break,
            _ = interrupted.recv() => break,
        }
    }
    // Not heard of for a while is an alarm; gone on purpose is none.
    display.check(false)?;
    let is_acknowledged = |event: &_| matches!(event, Ok(Event::Incoming(Packet::PubAck(_))) | Err(_));
    let acknowledged = async { while events.recv().await.is_some_and(|event| !is_acknowledged(&event)) {} };
    let _ = timeout(A_MOMENT, acknowledged).await;
    display.client.try_disconnect()?;
    let _ = timeout(A_MOMENT, async { while events.recv().await.is_some_and(|event| event.is_ok()) {} }).await;
    Ok(())
}

impl Display {
    fn check(&self, is_there: bool) -> Result<(), Box<dyn Error>> {
        if self.is_connected {
            self.publish(&format!("{}/m2e/communication_check", self.base), &json!(is_there))?;
        }
        Ok(())
    }

    fn publish(&self, topic: &str, message: &Value) -> Result<(), Box<dyn Error>> {
        let topic = format!("{}{topic}", self.prefix);
        Ok(self.client.try_publish(topic, QoS::AtLeastOnce, false, message.to_string())?)
    }

    fn subscribe(&mut self, topic: &str, reply_to: Option<String>) -> Result<(), Box<dyn Error>> {
        self.subscribing.push_back(reply_to);
        Ok(self.client.try_subscribe(format!("{}{topic}", self.prefix), QoS::AtLeastOnce)?)
    }

    /// What comes from the broker, and what has gone to it.
    fn take(&mut self, event: Event) -> Result<(), Box<dyn Error>> {
        match event {
            Event::Incoming(Packet::ConnAck(answer)) if answer.code == ConnectReturnCode::Success => {
                self.is_connected = true;
                // Again after each lost connection: this client has no session that the broker would keep.
                for name in ["heartbeat", "token_validation_status"] {
                    self.subscribe(&format!("{}/e2m/{name}", self.base), None)?;
                }
                self.check(true)?;
            }
            Event::Outgoing(Outgoing::Subscribe(number)) => {
                if let Some(Some(reply_to)) = self.subscribing.pop_front()
                    && let Some(request) = self.requests.get_mut(&reply_to)
                {
                    request.subscribe = Some(number);
                }
            }
            Event::Incoming(Packet::SubAck(granted)) => {
                let is_it = |request: &&mut Request| request.subscribe == Some(granted.pkid);
                if let Some(request) = self.requests.values_mut().find(is_it) {
                    request.subscribe = None;
                    // Only now: a reply that comes before the subscription is lost.
                    let (topic, message) = (request.topic.clone(), request.message.clone());
                    self.publish(&topic, &message)?;
                }
            }
            Event::Incoming(Packet::Publish(message)) => match serde_json::from_slice(&message.payload) {
                Ok(content) => self.hear(&message.topic, &content)?,
                Err(_) => println!("not JSON: {}", message.topic),
            },
            _ => {}
        }
        Ok(())
    }

    fn lost(&mut self, why: &dyn Error) {
        println!("not connected: {why}");
        self.is_connected = false;
        // Replies to what was asked before the connection was lost cannot reach us.
        self.requests.clear();
    }

    fn hear(&mut self, topic: &str, content: &Value) -> Result<(), Box<dyn Error>> {
        let topic = topic.strip_prefix(&self.prefix).unwrap_or(topic);
        if self.requests.contains_key(topic) {
            println!("reply: {content}");
            // Several may answer a discovery.
            if !topic.contains("/discover/") {
                self.forget(topic)?;
            }
        } else if topic.ends_with("/e2m/token_validation_status") {
            // Later releases may add fields and statuses: what is not known is no error.
            if let Some(token) = content.pointer("/token/id_token/value") {
                println!("token {token}: {}", content["status"]);
            }
        }
        Ok(())
    }

    fn obey(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        let (command, argument) = line.trim().split_once(' ').unwrap_or((line.trim(), "{}"));
        let base = self.base.clone();
        match command {
            "withdraw" => match serde_json::from_str(argument) {
                Ok(payload) => self.ask(&format!("{base}/m2e/withdraw_authorization"), command, Some(payload)),
                Err(error) => {
                    println!("not JSON: {error}");
                    Ok(())
                }
            },
            "get_status" => self.ask(&format!("{base}/m2e/token_validation_status/get"), command, None),
            "discover" => self.ask("everest_api/discover", command, None),
            "" => Ok(()),
            _ => {
                println!("unknown command: {command}");
                Ok(())
            }
        }
    }

    fn ask(&mut self, topic: &str, name: &str, payload: Option<Value>) -> Result<(), Box<dyn Error>> {
        if !self.is_connected {
            println!("not connected: nothing was asked");
            return Ok(());
        }
        // A topic of its own for each request: that is how the reply is told from others.
        let reply_to = format!("{}/e2m/{name}/{}", self.base, Uuid::new_v4());
        let mut message = json!({"headers": {"replyTo": reply_to}});
        if let Some(payload) = payload {
            message["payload"] = payload;
        }
        let request = Request { topic: topic.to_owned(), message, asked: Instant::now(), subscribe: None };
        self.requests.insert(reply_to.clone(), request);
        self.subscribe(&reply_to.clone(), Some(reply_to))
    }

    fn give_up_late_requests(&mut self) -> Result<(), Box<dyn Error>> {
        let is_late = |request: &Request| request.asked.elapsed() > REPLY_WITHIN;
        let late: Vec<_> = self.requests.iter().filter(|(_, it)| is_late(it)).map(|(topic, _)| topic.clone()).collect();
        for reply_to in late {
            if !reply_to.contains("/discover/") {
                println!("no reply");
            }
            self.forget(&reply_to)?;
        }
        Ok(())
    }

    fn forget(&mut self, reply_to: &str) -> Result<(), Box<dyn Error>> {
        self.requests.remove(reply_to);
        Ok(self.client.try_unsubscribe(format!("{}{reply_to}", self.prefix))?)
    }
}
