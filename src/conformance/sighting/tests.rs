//! Every kind of record, and what is made of it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::protocol::channel::Topics;
use crate::protocol::side::Side;
use crate::transcript::record::{Direction, Event, Record};

/// EVerest's external prefix of half of the tests.
const PREFIX: &str = "site/";
const BASE: &str = "everest_api/1/auth_consumer/api";
const PROVIDER: &str = "everest_api/1/auth_token_provider/tp";
const VALIDATOR: &str = "everest_api/1/auth_token_validator/tv";

fn topics(prefix: &str) -> Topics {
    Topics {
        api: ApiType::AUTH_CONSUMER,
        external_prefix: prefix.into(),
        api_version: "1".into(),
        module_id: "api".into(),
    }
}

/// What passes a broker, and what is made of it.
struct Wire {
    classifier: Classifier,
    seq: u64,
    pkid: u16,
}

impl Wire {
    fn new(prefix: &str) -> Self {
        let module = topics(prefix);
        let other_apis =
            [module.of(ApiType::AUTH_TOKEN_PROVIDER, "tp"), module.of(ApiType::AUTH_TOKEN_VALIDATOR, "tv")];
        Self { classifier: Classifier::new(module, &other_apis), seq: 0, pkid: 0 }
    }

    fn event(&mut self, from: Party, event: Event) -> Option<Sighting> {
        let client = if from == Party::Module { "module" } else { "harness" };
        let at = Duration::from_millis(self.seq * 10);
        let record = Record { seq: self.seq, at, client: client.into(), event };
        self.seq += 1;
        self.classifier.sight(&record, from)
    }

    fn publish(&mut self, topic: &str, payload: impl Into<Bytes>) -> Publish {
        self.pkid += 1;
        Publish { topic: topic.into(), payload: payload.into(), qos: 1, retain: false, dup: false, pkid: self.pkid }
    }

    fn sends(&mut self, from: Party, topic: &str, payload: impl Into<Bytes>) -> Sighting {
        let publish = self.publish(topic, payload);
        self.event(from, Event::Publish { direction: Direction::FromClient, publish }).unwrap()
    }

    fn module(&mut self, topic: &str, payload: Value) -> Sighting {
        self.sends(Party::Module, topic, payload.to_string())
    }

    fn harness(&mut self, topic: &str, payload: Value) -> Sighting {
        self.sends(Party::Harness, topic, payload.to_string())
    }

    fn is_handed(&mut self, topic: &str, payload: Value) -> Sighting {
        let publish = self.publish(topic, payload.to_string());
        self.event(Party::Module, Event::Publish { direction: Direction::ToClient, publish }).unwrap()
    }

    fn connects(&mut self, will: Option<Publish>) -> Option<Sighting> {
        let connected = Event::Connected { protocol: 4, clean: true, session_present: false, keep_alive: 20, will };
        self.event(Party::Module, connected)
    }

    fn place(&mut self, topic: &str) -> Place {
        self.harness(topic, json!(0)).place
    }

    fn kind(&mut self, topic: &str) -> Kind {
        self.harness(topic, json!(0)).kind
    }
}

/// A request that wants its reply there.
fn asking(reply_to: &str) -> Value {
    json!({"headers": {"replyTo": reply_to}, "payload": {"id_token": {"value": "T1", "type": "ISO14443"}}})
}

/// The reply topic as given, and whether the message has the prefix.
fn answered(seen: &Sighting) -> Option<(&str, bool)> {
    seen.answers.as_ref().map(|answered| (&*answered.topic.given, answered.has_prefix))
}

fn on(module: usize, channel: Channel) -> Place {
    Place::Channel { module, channel, is_former: false }
}

fn below(module: usize, side: Option<Side>) -> Place {
    Place::Below { module, side, is_for_replies: false }
}

#[test]
fn a_status_alone_tells_of_what_has_a_lane_of_its_own() {
    let (mut wire, token) = (Wire::new(""), json!({"id_token": {"value": "T1", "type": "ISO14443"}}));
    let status = json!({"status": "Processing", "messages": [], "token": token});
    assert_eq!(wire.harness(&format!("{BASE}/e2m/token_validation_status"), status).told_of(), Some("T1"));
    assert_eq!(wire.module(&format!("{PROVIDER}/m2e/provided_token"), token).told_of(), None);
}

#[test]
fn what_there_is_not_is_named_by_the_topic_of_such_a_module() {
    let mut wire = Wire::new("");
    let mut names = |topic: &str| {
        let seen = wire.module(topic, json!({}));
        seen.names_what_there_is_not(ApiType::AUTH_CONSUMER, Channel::WITHDRAW_AUTHORIZATION)
    };
    assert!(names("everest_api/9/auth_consumer/api/m2e/withdraw_authorization"));
    for topic in [&format!("{BASE}/m2e/withdraw_authorization"), "display/shown", "everest_api/9/auth_consumer/api"] {
        assert!(!names(topic), "{topic}");
    }
}

#[test]
fn each_topic_has_its_place() {
    let (client, everest) = (Some(Side::Client), Some(Side::Everest));
    let former = Place::Channel { module: 0, channel: Channel::SET_CONNECTION_TIMEOUT, is_former: true };
    let place_of_replies = Place::Below { module: 2, side: client, is_for_replies: true };
    let aside = |module, aside| Place::Aside { module, aside };
    let table = [
        (format!("{BASE}/e2m/heartbeat"), on(0, Channel::HEARTBEAT)),
        (format!("{PROVIDER}/e2m/heartbeat"), on(1, Channel::HEARTBEAT)),
        (format!("{VALIDATOR}/e2m/validate_token"), on(2, Channel::VALIDATE_TOKEN)),
        (format!("{BASE}/m2e/token_validation_status/get"), on(0, Channel::GET_TOKEN_VALIDATION_STATUS)),
        (format!("{BASE}/m2e/set_connection_timeout"), former),
        // A channel of another API is none of this one.
        (format!("{BASE}/m2e/provided_token"), below(0, client)),
        (format!("{PROVIDER}/m2e/set_connection_timeout"), below(1, client)),
        (format!("{BASE}/e2m/token_validation_status/get"), below(0, everest)),
        (format!("{BASE}/e2m"), below(0, everest)),
        (format!("{BASE}/e2m/"), below(0, everest)),
        (format!("{BASE}/e2mx/heartbeat"), below(0, None)),
        (format!("{BASE}/"), below(0, None)),
        (format!("{VALIDATOR}/m2e/reply/1"), place_of_replies.clone()),
        (format!("{VALIDATOR}/m2e/reply"), place_of_replies),
        (format!("{VALIDATOR}/m2e/replying"), below(2, client)),
        (format!("{BASE}/m2e/reply/1"), below(0, client)),
        (BASE.to_owned(), Place::Misspelt { module: 0 }),
        ("everest_api/7/auth_consumer/api/e2m/heartbeat".to_owned(), Place::Misspelt { module: 0 }),
        (format!("other/{VALIDATOR}/e2m/validate_token"), Place::Misspelt { module: 2 }),
        (format!("glued_{BASE}/e2m/heartbeat"), Place::Misspelt { module: 0 }),
        (format!("deep/below/{VALIDATOR}"), Place::Misspelt { module: 2 }),
        ("other/1/auth_consumer/api/e2m/heartbeat".to_owned(), Place::Elsewhere),
        ("everest_api/auth_consumer/api/e2m/heartbeat".to_owned(), Place::Elsewhere),
        ("everest_api/1/x/auth_consumer/api/e2m/heartbeat".to_owned(), Place::Elsewhere),
        ("everest_api/1/auth_consumer/another/e2m/heartbeat".to_owned(), Place::Elsewhere),
        ("everest_api/1/auth_token_provider/api/e2m/heartbeat".to_owned(), Place::Elsewhere),
        ("everest_api/discover".to_owned(), Place::EntryPoint(EntryPoint::Discover)),
        ("everest_api/query-modules/x".to_owned(), Place::EntryPoint(EntryPoint::QueryModules("x".into()))),
        ("everest_api/discover/more".to_owned(), Place::Elsewhere),
        ("everest_api/ready_beacon".to_owned(), Place::Beacon),
        ("khumbu/api/do".to_owned(), aside(0, Aside::Told)),
        ("khumbu/api/did".to_owned(), aside(0, Aside::Did)),
        ("khumbu/tp/mark".to_owned(), aside(1, Aside::Mark)),
        ("khumbu/other/do".to_owned(), Place::Elsewhere),
        (String::new(), Place::Elsewhere),
    ];
    let mut wire = Wire::new("");
    for (topic, place) in table {
        assert_eq!(wire.place(&topic), place, "{topic}");
    }
}

#[test]
fn the_external_prefix_belongs_to_every_topic_but_khumbus_own() {
    let mut wire = Wire::new(PREFIX);
    assert_eq!(wire.place(&format!("{PREFIX}{BASE}/e2m/heartbeat")), on(0, Channel::HEARTBEAT));
    assert_eq!(wire.place(&format!("{BASE}/e2m/heartbeat")), Place::Misspelt { module: 0 });
    assert_eq!(wire.place("site/everest_api/discover"), Place::EntryPoint(EntryPoint::Discover));
    assert_eq!(wire.place("everest_api/discover"), Place::Elsewhere);
    assert_eq!(wire.place("site/everest_api/ready_beacon"), Place::Beacon);
    assert_eq!(wire.place("everest_api/ready_beacon"), Place::Elsewhere);
    assert_eq!(wire.place("khumbu/api/do"), Place::Aside { module: 0, aside: Aside::Told });
}

#[test]
fn each_message_is_something_in_the_conversation() {
    let table = [
        (format!("{BASE}/e2m/heartbeat"), ApiType::AUTH_CONSUMER, Kind::Channel(Channel::HEARTBEAT)),
        (format!("{PROVIDER}/e2m/heartbeat"), ApiType::AUTH_TOKEN_PROVIDER, Kind::Channel(Channel::HEARTBEAT)),
        // What only former releases had is no channel of the conversation.
        (format!("{BASE}/m2e/set_connection_timeout"), ApiType::AUTH_CONSUMER, Kind::Other),
        (format!("{VALIDATOR}/m2e/nonsense"), ApiType::AUTH_CONSUMER, Kind::Other),
        ("everest_api/discover".into(), ApiType::AUTH_CONSUMER, Kind::EntryPoint(EntryPoint::Discover)),
        ("everest_api/ready_beacon".into(), ApiType::AUTH_CONSUMER, Kind::Beacon),
        ("khumbu/api/do".into(), ApiType::AUTH_CONSUMER, Kind::Control),
        ("khumbu/api/mark".into(), ApiType::AUTH_CONSUMER, Kind::Control),
        // Others are told as well, and that is nobody's business here.
        ("khumbu/tp/do".into(), ApiType::AUTH_CONSUMER, Kind::Other),
        ("elsewhere".into(), ApiType::AUTH_CONSUMER, Kind::Other),
    ];
    let mut wire = Wire::new("");
    for (topic, api, kind) in table {
        let seen = wire.module(&topic, json!(0));
        assert_eq!((seen.api, &seen.kind), (api, &kind), "{topic}");
    }
    // A query that looks like a module of another version is both: expectations take it for the query.
    let twofold = wire.module("everest_api/query-modules/auth_consumer/api", asking("r"));
    assert_eq!(twofold.place, Place::Misspelt { module: 0 });
    assert_eq!(twofold.kind, Kind::EntryPoint(EntryPoint::QueryModules("auth_consumer/api".into())));
    assert!(twofold.asks.is_some());
}

#[test]
fn kinds_have_names_and_some_are_requests() {
    let table = [
        (Kind::Channel(Channel::WITHDRAW_AUTHORIZATION), "withdraw_authorization", true),
        (Kind::Channel(Channel::HEARTBEAT), "heartbeat", false),
        (Kind::EntryPoint(EntryPoint::Discover), "discover", true),
        (Kind::EntryPoint(EntryPoint::QueryModules("x".into())), "query_modules", true),
        (Kind::Beacon, "ready_beacon", false),
        (Kind::Answer(0), "reply", false),
        (Kind::Reply(0), "reply", false),
        (Kind::Did(Deed::EvseCall), "call to an EVSE", false),
        (Kind::Did(Deed::Reserve), "reserve", false),
        (Kind::Control, "message", false),
        (Kind::Other, "message", false),
    ];
    for (kind, name, is_request) in table {
        assert_eq!((kind.name(), kind.is_request()), (name, is_request), "{kind:?}");
    }
}

#[test]
fn a_record_shows_a_message_of_the_module_under_test_or_none() {
    let mut wire = Wire::new("");
    let topic = format!("{BASE}/e2m/heartbeat");
    let sent = wire.harness(&topic, json!(1));
    assert_eq!((sent.seq, sent.from, sent.way, &*sent.client), (0, Party::Harness, Way::Sent, "harness"));
    let handed = wire.is_handed(&topic, json!(1));
    assert_eq!((handed.seq, handed.from, handed.way, &*handed.client), (1, Party::Harness, Way::Delivered, "module"));
    assert_eq!(handed.at, Duration::from_millis(10));
    assert_eq!((handed.kind, handed.json), (sent.kind, sent.json));
    let publish = wire.publish(&topic, "1");
    let to_khumbu = Event::Publish { direction: Direction::ToClient, publish: publish.clone() };
    assert!(wire.event(Party::Harness, to_khumbu).is_none());
    let held = Event::Held { publish: publish.clone() };
    assert!(wire.event(Party::Module, held).is_none());
    assert!(wire.connects(None).is_none());
    let will = wire.connects(Some(publish)).unwrap();
    assert_eq!((will.from, will.way, will.place), (Party::Module, Way::Will, on(0, Channel::HEARTBEAT)));
    let by_khumbu = Event::Connected { protocol: 5, clean: true, session_present: false, keep_alive: 0, will: None };
    assert!(wire.event(Party::Harness, by_khumbu).is_none());
}

#[test]
fn what_is_no_json_has_a_reason_and_may_hide_a_reply_topic() {
    let mut wire = Wire::new("");
    let topic = format!("{BASE}/m2e/withdraw_authorization");
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (payload, why, hides) in [
        (bytes(""), "EOF while parsing", false),
        (bytes("{\"a\": }"), "expected value", false),
        (Bytes::from_static(&[b'"', 0xff, b'"']), "invalid unicode", false),
        (bytes("{\"a\": 1} x"), "trailing characters", false),
        (bytes(&nested), "recursion limit", false),
        (bytes("\u{feff}{\"headers\": {\"replyTo\": \"x\"}}"), "expected value", true),
    ] {
        let seen = wire.sends(Party::Harness, &topic, payload);
        let fault = seen.as_sent().unwrap_err();
        assert!(fault.contains(why), "{fault}");
        assert_eq!((seen.json.is_none(), seen.hides_reply_to()), (true, hides), "{fault}");
        assert_eq!(seen.asks, None);
    }
    let plain = wire.harness(&topic, asking("x"));
    assert!(!plain.hides_reply_to() && plain.as_sent().is_ok());
    let null = wire.harness(&topic, Value::Null);
    assert_eq!((null.as_sent(), null.json.as_ref()), (Ok(&Value::Null), Some(&Value::Null)));
}

#[test]
fn fields_that_a_wire_form_has_added_are_no_part_of_what_khumbu_says() {
    let mut wire = Wire::new("");
    let topic = format!("{BASE}/e2m/token_validation_status");
    let form = json!({"status": "Accepted", "token": [{"_khumbu": 1}], "_khumbu": {}});
    let ours = wire.harness(&topic, form.clone());
    assert_eq!(ours.json, Some(json!({"status": "Accepted", "token": [{}]})));
    assert_eq!(ours.as_sent(), Ok(&form));
    let theirs = wire.module(&topic, form.clone());
    assert_eq!((theirs.json.as_ref(), theirs.as_sent()), (Some(&form), Ok(&form)));
}

#[test]
fn what_was_done_inside_everest_is_told_in_one_way() {
    let mut wire = Wire::new("");
    let told = wire.module("khumbu/api/did", json!({"reserve": {"reservation_id": 1}}));
    assert_eq!((told.kind, told.json), (Kind::Did(Deed::Reserve), Some(json!({"reservation_id": 1}))));
    let unheard_of = wire.module("khumbu/api/did", json!({"sing": 1}));
    assert_eq!((unheard_of.kind.clone(), unheard_of.json.clone()), (Kind::Control, None));
    assert_eq!(unheard_of.as_sent(), Ok(&json!({"sing": 1})));
    // Only the module under test tells.
    assert_eq!(wire.module("khumbu/tp/did", json!({"reserve": {}})).kind, Kind::Other);
    let is_shown = |topic: &str, payload: &Value| (topic == "inside").then(|| json!({"call": payload}));
    wire.classifier = Classifier::new(topics(""), &[]).with_calls(is_shown);
    let call = wire.module("inside", json!(7));
    assert_eq!((call.kind.clone(), call.json.clone()), (Kind::Did(Deed::EvseCall), Some(json!({"call": 7}))));
    assert_eq!(call.as_sent(), Ok(&json!(7)));
    // What khumbu's wire form has added is no part of the call, and was sent all the same.
    let form = json!({"a": 1, "_khumbu": {}});
    let ours = wire.harness("inside", form.clone());
    assert_eq!((ours.kind.clone(), ours.json.clone()), (Kind::Did(Deed::EvseCall), Some(json!({"call": {"a": 1}}))));
    assert_eq!(ours.as_sent(), Ok(&form));
    let theirs = wire.module("inside", form.clone());
    assert_eq!((theirs.json.as_ref(), theirs.as_sent()), (Some(&json!({"call": form})), Ok(&form)));
    let form = json!({"reserve": {"reservation_id": 1}, "_khumbu": {}});
    let ours = wire.harness("khumbu/api/did", form.clone());
    assert_eq!((ours.kind.clone(), ours.json.clone()), (Kind::Did(Deed::Reserve), Some(json!({"reservation_id": 1}))));
    assert_eq!(ours.as_sent(), Ok(&form));
    assert_eq!(wire.sends(Party::Module, "inside", "no json").kind, Kind::Other);
    assert_eq!(wire.module("outside", json!(7)).kind, Kind::Other);
}

#[test]
fn a_request_wants_its_reply_behind_the_prefix() {
    let withdraw = format!("{PREFIX}{BASE}/m2e/withdraw_authorization");
    let question = format!("{PREFIX}{VALIDATOR}/e2m/validate_token");
    let discover = format!("{PREFIX}everest_api/discover");
    let prefixed = format!("{PREFIX}everest_api/r");
    for (topic, given, on_wire) in [
        (&withdraw, "r", Some("site/r")),
        (&withdraw, "site/r", Some("site/site/r")),
        (&withdraw, "", Some("site/")),
        (&withdraw, &*prefixed, Some("site/site/everest_api/r")),
        (&discover, "r", Some("site/r")),
        (&question, "r", Some("site/r")),
        // EVerest's specification has the prefix in a question already.
        (&question, &*prefixed, Some(&*prefixed)),
        (&question, "site/r", Some("site/site/r")),
        (&format!("{PREFIX}{BASE}/e2m/heartbeat"), "r", None),
        (&format!("{PREFIX}{BASE}/m2e/set_connection_timeout"), "r", None),
        (&"elsewhere".to_owned(), "r", None),
    ] {
        let seen = Wire::new(PREFIX).harness(topic, asking(given));
        let asks = seen.asks.as_ref().map(|asks| (&*asks.given, &*asks.on_wire));
        assert_eq!(asks, on_wire.map(|on_wire| (given, on_wire)), "{topic}");
    }
    let numbered = json!({"headers": {"replyTo": 7}});
    assert_eq!(Wire::new("").harness(&withdraw, numbered).asks, None);
}

#[test]
fn a_reply_is_to_the_request_that_gave_its_topic() {
    let mut wire = Wire::new(PREFIX);
    let withdraw = format!("{PREFIX}{BASE}/m2e/withdraw_authorization");
    let early = wire.module("site/a", json!("Accepted"));
    assert_eq!((early.kind.clone(), answered(&early)), (Kind::Other, None));
    wire.harness(&withdraw, asking("a"));
    wire.module(&format!("{PREFIX}{VALIDATOR}/e2m/validate_token"), asking("b"));
    wire.harness("site/everest_api/discover", asking("c"));
    let requests = wire.classifier.requests();
    let told: Vec<_> = requests.iter().map(|it| (it.seq, it.from, it.token.as_deref(), &*it.reply_topic)).collect();
    let table = [
        (1, Party::Harness, None, "site/a"),
        (2, Party::Module, Some("T1"), "site/b"),
        (3, Party::Harness, None, "site/c"),
    ];
    assert_eq!(told, table);
    for (from, topic, kind, answers) in [
        (Party::Module, "site/a", Kind::Reply(0), Some(("a", true))),
        // Who leaves the prefix out is understood, and has replied to nothing.
        (Party::Module, "a", Kind::Other, Some(("a", false))),
        (Party::Harness, "site/b", Kind::Reply(1), Some(("b", true))),
        (Party::Harness, "b", Kind::Other, Some(("b", false))),
        (Party::Module, "site/c", Kind::Answer(2), Some(("c", true))),
        // Nobody answers what it has asked itself.
        (Party::Harness, "site/a", Kind::Reply(0), None),
        (Party::Module, "site/b", Kind::Reply(1), None),
        (Party::Module, "site/d", Kind::Other, None),
    ] {
        let seen = wire.sends(from, topic, "\"Accepted\"");
        assert_eq!((&seen.kind, answered(&seen)), (&kind, answers), "{from:?} {topic}");
    }
    assert!(wire.classifier.requests().iter().all(|request| request.is_answered));
}

#[test]
fn a_topic_with_and_without_prefix_is_the_one_that_stands_there() {
    let mut wire = Wire::new(PREFIX);
    let withdraw = format!("{PREFIX}{BASE}/m2e/withdraw_authorization");
    wire.harness(&withdraw, asking("r"));
    wire.harness(&withdraw, asking("site/r"));
    assert_eq!(answered(&wire.module("r", json!(0))), Some(("r", false)));
    assert_eq!(answered(&wire.module("site/r", json!(0))), Some(("r", true)));
    assert_eq!(answered(&wire.module("site/site/r", json!(0))), Some(("site/r", true)));
}

#[test]
fn replies_on_one_topic_come_in_the_order_of_the_requests() {
    let mut wire = Wire::new("");
    let withdraw = format!("{BASE}/m2e/withdraw_authorization");
    for _ in 0..3 {
        wire.harness(&withdraw, asking("r"));
    }
    let replies = [(); 5].map(|()| wire.module("r", json!("Accepted")).kind);
    // What is one too many is taken for one to the last request.
    assert_eq!(replies, [0, 1, 2, 2, 2].map(Kind::Reply));
    wire.harness(&withdraw, asking("r"));
    assert_eq!(wire.module("r", json!("Accepted")).kind, Kind::Reply(3));
    wire.harness("everest_api/discover", asking("r"));
    assert_eq!(wire.module("r", json!({})).kind, Kind::Answer(4));
}

#[test]
fn a_channel_stays_one_whoever_wants_replies_there() {
    let mut wire = Wire::new("");
    let status = format!("{BASE}/e2m/token_validation_status");
    wire.harness(&format!("{BASE}/m2e/withdraw_authorization"), asking(&status));
    let seen = wire.module(&status, json!({}));
    assert_eq!(seen.kind, Kind::Channel(Channel::TOKEN_VALIDATION_STATUS));
    assert_eq!(answered(&seen), Some((&*status, true)));
    assert!(!wire.classifier.requests()[0].is_answered);
}

#[test]
fn a_request_that_only_others_have_made_is_known_from_its_delivery() {
    let mut wire = Wire::new("");
    let handed = wire.is_handed(&format!("{BASE}/m2e/withdraw_authorization"), asking("r"));
    assert!(handed.asks.is_some());
    let reply = wire.module("r", json!("Accepted"));
    assert_eq!((reply.kind.clone(), answered(&reply)), (Kind::Other, Some(("r", true))));
    assert!(wire.classifier.requests().is_empty());
    // A will asks for nothing yet.
    let mut wire = Wire::new("");
    let will = wire.publish(&format!("{BASE}/m2e/withdraw_authorization"), asking("r").to_string());
    assert!(wire.connects(Some(will)).unwrap().asks.is_some());
    assert_eq!(answered(&wire.harness("r", json!(0))), None);
}

#[test]
fn what_khumbu_hands_over_answers_the_module() {
    let mut wire = Wire::new("");
    wire.module("everest_api/discover", asking("r"));
    assert_eq!(answered(&wire.is_handed("r", json!({}))), Some(("r", true)));
    // A delivery is no second reply, and the first is yet to come.
    assert!(!wire.classifier.requests()[0].is_answered);
    assert_eq!(wire.harness("r", json!({})).kind, Kind::Answer(0));
    assert!(wire.classifier.requests()[0].is_answered);
}

#[test]
fn a_probe_is_no_part_of_the_conversation_and_is_answered_all_the_same() {
    let mut wire = Wire::new("");
    let withdraw = format!("{BASE}/m2e/withdraw_authorization");
    let probe = topics("").probe_reply_topic("1");
    let question = wire.harness(&withdraw, asking(&probe));
    assert_eq!((&question.kind, &question.place), (&Kind::Control, &on(0, Channel::WITHDRAW_AUTHORIZATION)));
    assert!(question.asks.is_some() && wire.classifier.requests().is_empty());
    let reply = wire.module(&probe, json!("Rejected"));
    assert_eq!((&reply.kind, answered(&reply)), (&Kind::Control, Some((&*probe, true))));
}

/// The messages of a module that loses its connection, each with what came of it.
#[test]
fn what_a_library_sends_again_is_no_new_message() {
    let status = format!("{BASE}/e2m/token_validation_status");
    let question = format!("{VALIDATOR}/e2m/validate_token");
    let check = format!("{BASE}/m2e/communication_check");
    let asks = asking("r").to_string();
    for (topic, payload, dup, is_reconnected, repeat, is_again) in [
        (&status, "{}", false, false, Repeat::No, false),
        (&status, "{}", true, false, Repeat::Yes, true),
        (&status, "{}", false, true, Repeat::Maybe, false),
        (&status, "{}", true, true, Repeat::Yes, true),
        (&check, "true", false, true, Repeat::Maybe, false),
        // What is no request is no second one, whatever stands in it.
        (&status, &*asks, false, true, Repeat::Maybe, false),
        (&question, &*asks, false, false, Repeat::No, false),
        (&question, &*asks, true, false, Repeat::Yes, true),
        (&question, &*asks, false, true, Repeat::Maybe, true),
        // Without a reply topic it may well be another one.
        (&question, "{}", false, true, Repeat::Maybe, false),
    ] {
        let mut wire = Wire::new("");
        wire.connects(None);
        let first = wire.publish(topic, payload.to_owned());
        let again = Publish { dup, ..first.clone() };
        let event = |publish| Event::Publish { direction: Direction::FromClient, publish };
        let original = wire.event(Party::Module, event(first)).unwrap();
        assert_eq!((original.repeat, original.is_again()), (Repeat::No, false));
        if is_reconnected {
            wire.connects(None);
        }
        let requests = wire.classifier.requests().len();
        let seen = wire.event(Party::Module, event(again)).unwrap();
        let case = format!("{topic} {payload} dup {dup} reconnected {is_reconnected}");
        assert_eq!((seen.repeat, seen.is_again()), (repeat, is_again), "{case}");
        assert_eq!(wire.classifier.requests().len() > requests, seen.asks.is_some() && !is_again, "{case}");
    }
}

#[test]
fn what_khumbu_repeats_it_means() {
    let mut wire = Wire::new("");
    let publish = wire.publish(&format!("{BASE}/m2e/withdraw_authorization"), asking("r").to_string());
    for _ in 0..2 {
        let publish = Publish { dup: true, ..publish.clone() };
        let seen = wire.event(Party::Harness, Event::Publish { direction: Direction::FromClient, publish }).unwrap();
        assert!(!seen.is_again());
    }
    assert_eq!(wire.classifier.requests().len(), 2);
}

#[test]
fn a_topic_may_end_like_a_channel_of_any_module() {
    let mut wire = Wire::new("");
    for (topic, is_alike) in [
        (format!("{BASE}/m2e/communication_check"), true),
        ("everest_api/1/x/y/m2e/communication_check".to_owned(), true),
        ("/m2e/communication_check".to_owned(), true),
        ("m2e/communication_check".to_owned(), false),
        (format!("{BASE}x2m2e/communication_check"), false),
        (format!("{BASE}/m2e/communication_check/x"), false),
    ] {
        assert_eq!(wire.harness(&topic, json!(true)).ends_like(Channel::COMMUNICATION_CHECK), is_alike, "{topic}");
    }
}

#[test]
fn a_message_is_on_a_channel_of_a_module_that_is_known_or_not() {
    let mut wire = Wire::new("");
    for (topic, is_on) in [
        (format!("{PROVIDER}/m2e/provided_token"), true),
        ("everest_api/1/auth_token_provider/nobody_knows/m2e/provided_token".to_owned(), true),
        (PROVIDER.replace("/1/", "/2/") + "/m2e/provided_token", true),
        (format!("{PROVIDER}/m2e/communication_check"), false),
        (format!("{BASE}/m2e/provided_token"), false),
        ("m2e/provided_token".to_owned(), false),
    ] {
        assert_eq!(wire.harness(&topic, json!({})).is_on(Channel::PROVIDED_TOKEN), is_on, "{topic}");
    }
}

#[test]
fn only_channels_of_today_are_found_at_a_place() {
    let mut wire = Wire::new("");
    let place = wire.place(&format!("{PROVIDER}/m2e/provided_token"));
    assert_eq!(place.channel(), Some((1, Channel::PROVIDED_TOKEN)));
    assert_eq!(place.channel_of(1), Some(Channel::PROVIDED_TOKEN));
    assert_eq!(place.channel_of(0), None);
    assert_eq!(wire.place(&format!("{BASE}/m2e/set_connection_timeout")).channel(), None);
    assert_eq!(wire.kind(&format!("{PROVIDER}/m2e/provided_token")), Kind::Channel(Channel::PROVIDED_TOKEN));
}

/// Levels that make up topics which are nearly right.
fn level() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "everest_api",
        "1",
        "auth_consumer",
        "auth_token_validator",
        "api",
        "tv",
        "e2m",
        "m2e",
        "reply",
        "discover",
        "query-modules",
        "token_validation_status",
        "get",
        "withdraw_authorization",
        "validate_token",
        "khumbu",
        "do",
        "site",
        "",
        "x",
    ])
}

/// Who publishes what on such a topic, and where it wants a reply.
fn message() -> impl Strategy<Value = (bool, String, String)> {
    let topic = || proptest::collection::vec(level(), 1..8).prop_map(|levels| levels.join("/"));
    let known = proptest::sample::select(vec![
        format!("{BASE}/m2e/withdraw_authorization"),
        format!("{VALIDATOR}/e2m/validate_token"),
        "everest_api/discover".to_owned(),
        "r".to_owned(),
    ]);
    (any::<bool>(), prop_oneof![topic(), known], prop_oneof![topic(), Just("r".to_owned())])
}

proptest! {
    /// Whatever passes, the two readings of a message agree where they speak of the same, a reply has its request before
    /// it, and the same record gives the same sightings.
    #[test]
    fn sightings_are_consistent(messages in proptest::collection::vec(message(), 1..40)) {
        let (mut one, mut other) = (Wire::new(""), Wire::new(""));
        for (is_module, topic, reply_to) in messages {
            let from = if is_module { Party::Module } else { Party::Harness };
            let payload = asking(&reply_to).to_string();
            let asked = one.classifier.requests().len();
            let seen = one.sends(from, &topic, payload.clone());
            prop_assert_eq!(format!("{seen:?}"), format!("{:?}", other.sends(from, &topic, payload)));
            if let Kind::Channel(channel) = seen.kind {
                prop_assert_eq!(seen.place.channel().map(|(_, channel)| channel), Some(channel));
            }
            if let Kind::Reply(index) | Kind::Answer(index) = seen.kind {
                prop_assert!(index < asked);
                let request = &one.classifier.requests()[index];
                prop_assert!(request.is_answered && *request.reply_topic == *topic && request.seq < seen.seq);
            }
            if let Some(answered) = &seen.answers {
                prop_assert!(answered.has_prefix && *answered.topic.on_wire == *topic);
            }
            let made = one.classifier.requests().len() - asked;
            prop_assert_eq!(made, usize::from(seen.kind.is_request()));
        }
    }
}
