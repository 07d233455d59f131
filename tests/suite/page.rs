//! The page of the gateway, what it reads, and a browser that uses it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use khumbu::sim::link::Link;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::project::{DEADLINE, Project};
use crate::sim::Sim;

/// A text that is a script for whoever takes it as HTML, and an id tag.
const EVIL: &str = "<img src=x onerror=alert(1)>";

const CHARGERS: &str = r#"
chargers:
  dep-1:
    identity: "<script>alert(1)</script>"
    name: "<b>Left</b>"
    organization: acme
    location: "<loc 1>"
    station:
      evses: 2
      tokens:
        EVIL: {value: "<img src=x onerror=alert(1)>", type: ISO14443}
        BOB: {value: "0412345678ABCD", type: ISO14443}
  dep-2: {organization: other, location: "<loc 1>"}
"#;

const TOKENS: &str = "\
tokens:
  - {token: \"everything-0123456789\"}
  - {token: \"of-acme-0123456789\", organization: acme}
";

/// A gateway that runs.
pub struct Gateway {
    pub url: String,
    mqtt: String,
    pub sim: Sim,
    project: Project,
}

impl Gateway {
    fn start() -> Self {
        Self::with(CHARGERS)
    }

    /// With these chargers.
    pub fn with(chargers: &str) -> Self {
        let project = Project::with(&[("chargers.yaml", chargers), ("tokens.yaml", TOKENS)]);
        Self::at("127.0.0.1:0", project)
    }

    fn at(address: &str, project: Project) -> Self {
        let files = ["--chargers", "chargers.yaml", "--tokens", "tokens.yaml"];
        let sim = Sim::start(&project, &[&["--gateway", address, "--json", "-"][..], &files].concat());
        let first: Value = serde_json::from_str(&sim.out()).unwrap();
        let text = |key: &str| first[key].as_str().unwrap().to_owned();
        Self { url: text("gateway"), mqtt: text("mqtt"), sim, project }
    }

    /// Ends it; another one can be started in its place.
    pub fn end(self) -> impl FnOnce() -> Self {
        let address = self.url.strip_prefix("http://").unwrap().to_owned();
        assert_eq!(self.sim.end(Signal::SIGINT), Some(0));
        move || Self::at(&address, self.project)
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> minreq::Response {
        let request = minreq::get(format!("{}{path}", self.url)).with_timeout(DEADLINE.as_secs());
        headers.iter().fold(request, |request, (name, value)| request.with_header(*name, *value)).send().unwrap()
    }

    fn state(&self, token: &str) -> (i32, Value) {
        let token = format!("Bearer {token}-0123456789");
        let response = self.get("/state", &[("authorization", &token)]);
        (response.status_code.into(), serde_json::from_slice(response.as_bytes()).unwrap())
    }

    pub fn command(&self, command: &str, event: Value) {
        let response = minreq::post(format!("{}/ocpp/commands/{command}", self.url))
            .with_header("authorization", "Bearer everything-0123456789")
            .with_body(json!({"target": {"charger_id": "dep-1"}, "event": event}).to_string())
            .send()
            .unwrap();
        assert_eq!(response.status_code, 200, "{:?}", response.as_str());
    }

    /// Publishes over MQTT as some client.
    pub fn publish(&self, topic: &str, payload: &str) {
        let address = self.mqtt.strip_prefix("mqtt://").unwrap().parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (link, _messages) = Link::open(address, "stranger").await.unwrap();
            link.publish(topic, payload.to_owned(), 1, false).await.unwrap();
            link.close().await;
        });
    }

    fn watch(&self, token: &str, query: &str) -> Stream {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(
            stream,
            "GET /events{query} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}-0123456789\r\n\r\n"
        )
        .unwrap();
        let mut stream = Stream(BufReader::new(stream));
        stream.until(|line| line.is_empty());
        stream
    }
}

/// A stream of events that is read by hand.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn until(&mut self, is: impl Fn(&str) -> bool) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the stream has ended");
            if is(line.trim_end()) {
                return line;
            }
        }
    }

    /// The next event of which this is true.
    fn event(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        let event = |line: &str| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok();
        let line = self.until(|line| event(line).is_some_and(|event| is(&event)));
        event(line.trim_end()).unwrap()
    }
}

#[test]
fn the_page_has_no_secret_and_lets_nobody_in() {
    let gateway = Gateway::start();
    for path in ["/", "/page.js", "/diagram.js", "/page.css", "/docs"] {
        let response = gateway.get(path, &[]);
        assert_eq!(response.status_code, 200, "{path}");
        assert!(!response.as_str().unwrap().contains("0123456789"), "{path}");
        let header = |name: &str| response.header(name).unwrap_or_default().to_owned();
        assert!(header("content-security-policy").starts_with("default-src 'none'; script-src 'self';"), "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("access-control-allow-origin"), "");
    }
    let schema = "/schemas/dep-1/auth_consumer/withdraw_authorization/reply";
    for path in ["/", "/page.js", "/docs", "/state", "/events", schema] {
        let response =
            gateway.get(path, &[("host", "evil.example"), ("authorization", "Bearer everything-0123456789")]);
        assert_eq!(response.status_code, 403, "{path}");
        assert!(!response.as_str().unwrap().contains("evil"));
    }
    for path in ["/state", "/events", schema] {
        assert_eq!(gateway.get(path, &[]).status_code, 401);
    }
    let bad = gateway.get("/events?heartbeats=maybe", &[("authorization", "Bearer everything-0123456789")]);
    assert_eq!(bad.status_code, 422);
}

#[test]
fn the_state_is_that_of_the_charge_points() {
    let gateway = Gateway::start();
    gateway.command("start-session", json!({"id_tag": EVIL, "connector_id": 2}));
    let (status, state) = gateway.state("of-acme");
    assert_eq!((status, &state["total"]), (200, &json!(1)));
    let connectors = &state["data"][0]["charge_point"]["connectors"];
    assert_eq!(connectors[0]["status"], "Available");
    assert_eq!(connectors[1]["plugged_in"], true);
    assert_eq!(state["data"][0]["tokens"][1], json!({"name": "EVIL", "id_tag": EVIL, "verdict": "Accepted"}));
    crate::project::wait_for("the transaction", || {
        let (_, state) = gateway.state("everything");
        assert_eq!(state["total"], 2);
        let point = &state["data"][0]["charge_point"];
        let transaction = &point["connectors"][1]["transaction"];
        (transaction["id_tag"] == EVIL && point["cached_tags"] == 1).then_some(())
    });
    gateway.command("inject-fault", json!({"fault_type": "GroundFault", "evse_id": 1}));
    let (_, state) = gateway.state("everything");
    let connector = &state["data"][0]["charge_point"]["connectors"][0];
    assert_eq!((&connector["status"], &connector["fault"]), (&json!("Faulted"), &json!("GroundFault")));
}

#[test]
fn chargers_are_searched_by_what_they_are_called_and_where_they_are() {
    let gateway = Gateway::start();
    for (search, total) in
        [("", 2), ("dep-", 2), ("EP-2", 1), ("left", 1), ("loc+1", 2), ("%3Cscript%3E", 1), ("0412", 0)]
    {
        let token = [("authorization", "Bearer everything-0123456789")];
        let answer = gateway.get(&format!("/state?search={search}"), &token);
        let state: Value = serde_json::from_slice(answer.as_bytes()).unwrap();
        assert_eq!((answer.status_code, &state["total"]), (200, &json!(total)), "{search}");
    }
}

#[test]
fn watchers_see_what_is_theirs() {
    let gateway = Gateway::start();
    let mut all = gateway.watch("everything", "?heartbeats=false");
    let mut acme = gateway.watch("of-acme", "");
    gateway.publish("some/topic", "of nobody");
    gateway.publish("everest_api/1/auth_consumer/dep-2/m2e/communication_check", "true");
    gateway.command("plug-connector", json!({"evse_id": 1}));
    let published = |event: &Value| event["kind"] == "mqtt" && event["client"] == "stranger";
    let event = all.event(published);
    assert_eq!((&event["topic"], &event["payload"]), (&json!("some/topic"), &json!("of nobody")));
    assert_eq!((&event["charger_id"], &event["bytes"]), (&Value::Null, &json!(9)));
    assert_eq!(all.event(published)["charger_id"], "dep-2");
    let plugged = |event: &Value| event["kind"] == "log" && event["entry"]["action"] == "StatusNotification";
    assert_eq!(all.event(|event| !plugged(event))["entry"]["action"], "plug_connector", "no heartbeat is shown");
    let message = all.event(plugged)["entry"]["message"].as_str().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&message).unwrap()["status"], "Preparing");
    // The other one has seen everything up to here, but for what was not his.
    let mut seen = Vec::new();
    loop {
        let event = acme.event(|_| true);
        let is_last = plugged(&event);
        seen.push(event);
        if is_last {
            break;
        }
    }
    assert!(seen.iter().all(|event| event["charger_id"] == "dep-1"), "{seen:?}");
    acme.event(|event| event["topic"] == "everest_api/1/auth_consumer/dep-1/e2m/heartbeat");
}

#[test]
fn who_does_not_read_misses_something_and_hears_how_much() {
    let gateway = Gateway::start();
    let mut slow = gateway.watch("everything", "");
    let mut fast = gateway.watch("everything", "");
    let address = gateway.mqtt.strip_prefix("mqtt://").unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // More than sockets and the feed hold.
    let count = 20_000;
    runtime.block_on(async {
        let (link, _messages) = Link::open(address, "flood").await.unwrap();
        let payload = "x".repeat(2000);
        for number in 0..count {
            link.publish("flood", format!("{number} {payload}"), 0, false).await.unwrap();
        }
        link.publish("flood", "last", 0, false).await.unwrap();
        link.close().await;
    });
    let (mut shown, mut left_out) = (0, 0);
    loop {
        let event = slow.event(|event| event["topic"] == "flood" || event["kind"] == "left_out");
        left_out += event["count"].as_u64().unwrap_or(0);
        shown += u64::from(event["topic"] == "flood");
        if event["payload"] == "last" {
            break;
        }
    }
    assert!(left_out > 0);
    assert!(shown + left_out > count, "{shown} + {left_out}");
    fast.event(|event| event["payload"] == "last");
}

#[test]
fn streams_are_few_and_their_places_come_back() {
    let gateway = Gateway::start();
    let mut open: Vec<_> = (0..16).map(|_| gateway.watch("everything", "")).collect();
    let token = [("authorization", "Bearer everything-0123456789")];
    assert_eq!(gateway.get("/events", &token).status_code, 503);
    open.pop();
    let address = gateway.url.strip_prefix("http://").unwrap();
    crate::project::wait_for("a place", || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET /events HTTP/1.1\r\nhost: {address}\r\nauthorization: {}\r\n\r\n", token[0].1).unwrap();
        let mut first = String::new();
        BufReader::new(stream).read_line(&mut first).unwrap();
        first.contains(" 200 ").then_some(())
    });
}

#[test]
fn a_browser_shows_and_drives_the_chargers() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::start();
    browser.widen(1600);
    browser.open(&gateway.url);
    browser.value("document.getElementById('token').focus()");
    browser.write_text("everything-0123456789");
    browser.press("Enter");
    browser.until("document.querySelectorAll('#chargers article').length === 2");
    browser.until("document.getElementById('connection').textContent === 'Connected'");
    let title = browser.value("document.querySelector('article h3').textContent");
    assert_eq!(title, "dep-1 · <script>alert(1)</script> · <b>Left</b>");

    // By keyboard, whose place is kept.
    browser.value("document.querySelector('article [data-command=plug-connector]').focus()");
    browser.press("Enter");
    browser.until("document.querySelector('article .state').textContent.startsWith('EVSE 1: Preparing, plugged in')");
    assert_eq!(browser.value("document.activeElement.textContent"), "Unplug");
    browser.until("document.getElementById('messages').textContent.includes('plug_connector')");
    browser.until("document.getElementById('messages').textContent.includes('StatusNotification')");

    // A tag, a topic and payloads that would be scripts.
    browser.press("Tab");
    assert_eq!(browser.value("document.activeElement.textContent"), "Start");
    browser.value("document.querySelector('article .tag').value = '<img src=x onerror=alert(1)>'");
    browser.press("Enter");
    browser.until("document.querySelector('article .state').textContent.includes('of <img src=x onerror=alert(1)>')");
    browser.until("document.querySelector('article .state').textContent.startsWith('EVSE 1: Charging')");
    browser.until("document.getElementById('messages').textContent.includes('token_validation_status')");
    gateway.publish("<img src=x onerror=alert(2)>", "<script>document.title = 'owned'</script>");
    browser.until("[...document.querySelectorAll('#messages strong')].some(it => it.textContent.includes('alert(2)'))");
    browser.until("document.getElementById('messages').textContent.includes(\"<script>document.title = 'owned'\")");

    // A location, whose name has everything in it.
    browser.choose("name", "plug-connector");
    browser.choose("target", "location <loc 1>");
    browser.value("document.querySelector('[data-name=evse_id] input').value = '2'");
    browser.value("document.querySelector('#command button.main').click()");
    browser.until("document.getElementById('answer').textContent.includes('\"queued_count\": 1')");
    browser.until("document.getElementById('answer').textContent.includes('there is no EVSE 2')");

    // Narrow and wide.
    for width in [400, 480, 1600] {
        browser.widen(width);
        let inside = "document.documentElement.scrollWidth === document.documentElement.clientWidth";
        assert_eq!(browser.value(inside), true, "at {width} pixels something sticks out");
    }

    // Tags can be hidden, in everything.
    assert_eq!(browser.value("document.body.innerText.includes('onerror=alert(1)')"), true);
    browser.value("document.getElementById('hide').click()");
    browser.until("!document.body.innerText.includes('onerror=alert(1)')");

    assert_eq!(browser.value("document.querySelectorAll('img, main script, iframe, b').length"), 0);
    assert_eq!(browser.value("document.title"), "Khumbu");
    assert_eq!(browser.value("document.documentElement.outerHTML.includes('0123456789\"')"), false);
    assert_eq!(browser.value("document.getElementById('token').value"), "");
    let foreign: Vec<_> = browser
        .requests()
        .into_iter()
        .filter(|url| !url.starts_with(&format!("{}/", gateway.url)) && !url.starts_with("data:"))
        .collect();
    assert_eq!(foreign, Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<Value>::new());

    // The token is kept for this tab only, and forgotten when it is wrong.
    browser.value("sessionStorage.setItem('khumbu-token', 'wrong')");
    browser.open(&format!("{}/?again", gateway.url));
    browser.until("document.getElementById('connection').textContent === 'The gateway does not know this token'");
    assert_eq!(browser.value("document.getElementById('main').hidden && sessionStorage.length"), 0);
}
