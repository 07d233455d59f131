//! What EVerest's releases do that only shows on the wire: QoS, subscriptions, retained messages, a lost broker, an end.

use std::collections::BTreeMap;

use khumbu::protocol::channel::{ApiType, Channel, Topics};
use khumbu::protocol::deviations::Deviation;
use khumbu::protocol::release::Release;
use khumbu::protocol::wire;
use khumbu::sim::bugs::edge::Edge;
use khumbu::sim::everest::{Everest, Order};
use khumbu::sim::link::{Link, LinkError};
use khumbu::station::config::{StationConfig, TokenConfig, ValidatorConfig};
use khumbu::transcript::record::{Direction, Event, Record};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::broker_wire::{Bench, Wire};

/// An EVerest behind a broker of its own.
struct Stand {
    bench: Bench,
    topics: Topics,
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<Result<(), LinkError>>,
}

const EVEREST: &str = "everest";
const WITHDRAW: &str = "m2e/withdraw_authorization";

impl Stand {
    async fn with(config: StationConfig, prefix: &str) -> Self {
        Self::behind(Bench::start().await, config, prefix).await
    }

    async fn behind(bench: Bench, station: StationConfig, prefix: &str) -> Self {
        let topics = Topics {
            api: ApiType::AUTH_CONSUMER,
            external_prefix: prefix.to_owned(),
            api_version: "1".to_owned(),
            module_id: "auth_api".to_owned(),
        };
        let (address, client_id) = (bench.address(), EVEREST.to_owned());
        let everest = Everest {
            address,
            client_id,
            topics: topics.clone(),
            station,
            is_driven: false,
            tells: false,
            inside: None,
            wire: wire::Wire::Everest,
            csms: None,
            ends: None,
            edge: Edge::default(),
        };
        let (orders, received) = mpsc::unbounded_channel();
        let (ready, is_ready) = oneshot::channel();
        let task = tokio::spawn(everest.run(received, ready));
        is_ready.await.unwrap().unwrap();
        Self { bench, topics, orders, task }
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> T {
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).unwrap();
        answered.await.unwrap()
    }

    /// The next message of EVerest whose topic ends like this.
    async fn published(&mut self, end: &str) -> Value {
        let record = self.bench.wait(end, |record| is_from_everest(record, end)).await;
        let Event::Publish { publish, .. } = record.event else { unreachable!() };
        serde_json::from_slice(&publish.payload).unwrap()
    }

    /// Everything that passed.
    async fn end(self) -> Vec<Record> {
        drop(self.orders);
        self.task.await.unwrap().unwrap();
        self.bench.stop().await
    }
}

fn is_from_everest(record: &Record, end: &str) -> bool {
    matches!(&record.event, Event::Publish { direction: Direction::FromClient, publish }
        if &*record.client == EVEREST && publish.topic.ends_with(end))
}

fn is_subscribed(record: &Record, end: &str) -> bool {
    matches!(&record.event, Event::Subscribed { filter, .. } if filter.ends_with(end))
}

fn switched(deviation: Deviation, is_on: bool) -> StationConfig {
    StationConfig { deviations: BTreeMap::from([(deviation, is_on)]), ..StationConfig::default() }
}

async fn both<T>(deviation: Deviation, look: impl AsyncFn(StationConfig) -> T) -> [T; 2] {
    [look(switched(deviation, true)).await, look(switched(deviation, false)).await]
}

#[tokio::test]
async fn publish_qos_0() {
    let qos = both(Deviation::PublishQos0, async |config| {
        let records = Stand::with(config, "").await.end().await;
        let first = records.into_iter().find(|record| is_from_everest(record, "e2m/heartbeat")).unwrap();
        match first.event {
            Event::Publish { publish, .. } => (publish.qos, publish.retain),
            _ => unreachable!(),
        }
    });
    assert_eq!(qos.await, [(0, false), (2, false)]);
}

#[tokio::test]
async fn compact_json() {
    // Everything that goes out, by whatever way: beacon, heartbeat, status, reply, answer to a discovery.
    let layouts = both(Deviation::CompactJson, async |config| {
        let mut stand = Stand::with(config, "").await;
        let (client, _) = Link::open(stand.bench.address(), "client").await.unwrap();
        let command = Box::new(token("A").to_command());
        assert_eq!(stand.order(|answer| Order::Command(command, answer)).await, None);
        let get = stand.topics.topic(Channel::GET_TOKEN_VALIDATION_STATUS);
        for (topic, reply_to) in [(get.as_str(), "latched"), ("everest_api/discover", "found")] {
            let request = json!({"headers": {"replyTo": reply_to}}).to_string();
            client.publish(topic, request, 1, false).await.unwrap();
            stand.published(reply_to).await;
        }
        let records = stand.end().await;
        let texts = records.into_iter().filter(|record| is_from_everest(record, "")).map(|record| match record.event {
            Event::Publish { publish, .. } => String::from_utf8(publish.payload.to_vec()).unwrap(),
            _ => unreachable!(),
        });
        let objects: Vec<_> = texts.filter(|text| text.starts_with('{') && text != "{}").collect();
        assert!(objects.len() >= 5, "{objects:?}");
        let is_compact =
            |text: &String| serde_json::to_string(&serde_json::from_str::<Value>(text).unwrap()).unwrap() == *text;
        (objects.iter().all(is_compact), objects.iter().any(is_compact))
    });
    assert_eq!(layouts.await, [(true, true), (false, false)]);
}

#[tokio::test]
async fn subscribe_qos_0() {
    let qos = both(Deviation::SubscribeQos0, async |config| {
        let records = Stand::with(config, "").await.end().await;
        match records.into_iter().find(|record| is_subscribed(record, WITHDRAW)).unwrap().event {
            Event::Subscribed { qos, .. } => qos,
            _ => unreachable!(),
        }
    });
    assert_eq!(qos.await, [0, 2]);
}

#[tokio::test]
async fn late_subscriptions() {
    let is_late = both(Deviation::LateSubscriptions, async |config| {
        let records = Stand::with(config, "").await.end().await;
        let position = |is: &dyn Fn(&Record) -> bool| records.iter().position(is).unwrap();
        let subscribed = position(&|record| is_subscribed(record, WITHDRAW));
        let beacon = position(&|record| is_from_everest(record, "ready_beacon"));
        // The getter and the entry point are there before, in either case.
        assert!(position(&|record| is_subscribed(record, "everest_api/discover")) < beacon);
        assert!(position(&|record| is_subscribed(record, "m2e/token_validation_status/get")) < beacon);
        [beacon, position(&|record| is_from_everest(record, "e2m/heartbeat"))].map(|first| first < subscribed)
    });
    assert_eq!(is_late.await, [[true; 2], [false; 2]]);
}

#[tokio::test]
async fn getter_below_m2e() {
    for is_on in [true, false] {
        let mut stand = Stand::with(switched(Deviation::GetterBelowM2e, is_on), "").await;
        let (client, _) = Link::open(stand.bench.address(), "client").await.unwrap();
        for (topic, reply_to) in [("e2m", "tutorial"), ("m2e", "specification")] {
            let topic = format!("{}/{topic}/token_validation_status/get", stand.topics.base());
            let request = json!({"headers": {"replyTo": reply_to}}).to_string();
            client.publish(&topic, request, 1, false).await.unwrap();
        }
        // The requests are answered in their order.
        assert_eq!(stand.published("specification").await, json!(true));
        let records = stand.end().await;
        assert_eq!(records.iter().any(|record| is_from_everest(record, "tutorial")), !is_on);
    }
}

#[tokio::test]
async fn retained_messages_are_executed_or_not() {
    for is_on in [true, false] {
        let bench = Bench::start().await;
        let (client, _) = Link::open(bench.address(), "client").await.unwrap();
        let request = |reply_to: &str| json!({"headers": {"replyTo": reply_to}, "payload": {}}).to_string();
        let topic = format!("everest_api/1/auth_consumer/auth_api/{WITHDRAW}");
        client.publish(&topic, request("retained"), 1, true).await.unwrap();
        // Once this comes back, the broker has the other.
        client.subscribe(&["done".to_owned()], 0).await.unwrap();
        let mut stand = Stand::behind(bench, switched(Deviation::RetainedExecuted, is_on), "").await;
        client.publish(&topic, request("fresh"), 1, false).await.unwrap();
        assert_eq!(stand.published("fresh").await, json!("AuthorizationNotFound"));
        let records = stand.end().await;
        assert_eq!(records.iter().any(|record| is_from_everest(record, "retained")), is_on);
    }
}

#[tokio::test]
async fn broker_loss_ends_everest() {
    for is_on in [true, false] {
        let mut stand = Stand::with(switched(Deviation::BrokerLossEndsEverest, is_on), "").await;
        assert_eq!(stand.published("e2m/heartbeat").await, json!(0));
        // Whoever takes its name takes its connection.
        let _thief = Wire::v5(stand.bench.address(), EVEREST).await;
        if is_on {
            assert_eq!(stand.task.await.unwrap(), Err(LinkError::Lost));
        } else {
            assert_eq!(stand.published("ready_beacon").await, json!({}));
            assert_eq!(stand.published("e2m/heartbeat").await, json!(0));
        }
    }
}

fn with_validator(mut config: StationConfig) -> StationConfig {
    config.auth_token_validator = Some(ValidatorConfig::default());
    config
}

fn token(value: &str) -> TokenConfig {
    serde_json::from_value(json!({"value": value, "type": "ISO14443"})).unwrap()
}

#[tokio::test]
async fn reply_to_without_prefix() {
    for (is_on, begins) in [(true, "everest_api/1/auth_token_validator/"), (false, "site/everest_api/1/auth_token_")] {
        let config = with_validator(switched(Deviation::ReplyToWithoutPrefix, is_on));
        let mut stand = Stand::with(config, "site/").await;
        let (client, _) = Link::open(stand.bench.address(), "validator").await.unwrap();
        let command = Box::new(token("A").to_command());
        assert_eq!(stand.order(|answer| Order::Command(command, answer)).await, None);
        let record = stand.bench.wait("a question", |record| is_from_everest(record, "e2m/validate_token")).await;
        let Event::Publish { publish, .. } = record.event else { unreachable!() };
        assert!(publish.topic.starts_with("site/everest_api/1/auth_token_validator/token_validator_api/"));
        // EVerest's own requests are compact.
        assert!(publish.payload.starts_with(br#"{"headers":{"replyTo":""#), "{:?}", publish.payload);
        let question: Value = serde_json::from_slice(&publish.payload).unwrap();
        let reply_to = question["headers"]["replyTo"].as_str().unwrap();
        assert!(reply_to.starts_with(begins) && reply_to.contains("/m2e/reply/"), "{reply_to}");
        // A reply where EVerest listens is heard, and it listens no longer.
        let topic = if is_on { format!("site/{reply_to}") } else { reply_to.to_owned() };
        let accepted = json!({"authorization_status": "Accepted", "tariff_messages": []}).to_string();
        client.publish(&topic, accepted, 1, false).await.unwrap();
        let started = |record: &Record| {
            is_from_everest(record, "e2m/token_validation_status")
                && matches!(&record.event, Event::Publish { publish, .. }
                    if publish.payload.windows(11).any(|word| word == b"UsedToStart"))
        };
        let gone = |record: &Record| matches!(&record.event, Event::Unsubscribed { filter } if *filter == topic);
        stand.bench.wait("the end of the subscription", gone).await;
        stand.bench.wait("UsedToStart", started).await;
        stand.end().await;
    }
}

#[tokio::test]
async fn an_earlier_release_ends_on_an_empty_reply_topic_and_can_be_started_again() {
    let config = StationConfig { release: Release::V2025_12, ..StationConfig::default() };
    let mut stand = Stand::with(config, "").await;
    let (client, _) = Link::open(stand.bench.address(), "client").await.unwrap();
    let request = json!({"headers": {"replyTo": ""}, "payload": {}}).to_string();
    client.publish(&stand.topics.topic(Channel::WITHDRAW_AUTHORIZATION), request, 1, false).await.unwrap();
    stand.bench.disconnected(EVEREST).await;
    let status = stand.order(Order::Status).await;
    assert_eq!(status["ended"], true);
    let command = Box::new(token("A").to_command());
    let ignored = stand.order(|answer| Order::Command(command, answer)).await;
    assert_eq!(ignored.as_deref(), Some("EVerest has ended"));
    assert_eq!(stand.order(Order::Restart).await, Ok(()));
    let status = stand.order(Order::Status).await;
    assert_eq!(status["ended"], false);
    stand.end().await;
}

#[tokio::test]
async fn every_module_answers_a_discovery_on_the_wire() {
    let mut stand = Stand::with(with_validator(StationConfig::default()), "site/").await;
    let (client, _) = Link::open(stand.bench.address(), "client").await.unwrap();
    let request = json!({"headers": {"replyTo": "found"}}).to_string();
    client.publish("site/everest_api/query-modules/auth_token_validator", request.clone(), 1, false).await.unwrap();
    let found = stand.published("site/found").await;
    assert_eq!(
        found,
        json!({"apis": [{
            "communication_monitoring": {
                "communication_check_period_s": 5, "heartbeat_period_ms": 1000, "request_reply_timeout_s": 550,
            },
            "module_id": "token_validator_api", "type": "auth_token_validator", "version": 1,
        }]})
    );
    client.publish("site/everest_api/discover", request, 1, false).await.unwrap();
    let mut types = Vec::new();
    for _ in 0..2 {
        types.push(stand.published("site/found").await["apis"][0]["type"].clone());
    }
    assert_eq!(types, ["auth_token_validator", "auth_consumer"]);
    stand.end().await;
}
