//! Commands over HTTP as a program uses them: `khumbu sim --gateway`, a client of HTTP, a client of MQTT.

use std::process::Command;
use std::time::Duration;

use khumbu::sim::link::{Link, Message};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use crate::clients;
use crate::project::{DEADLINE, Project, fixture, wait_for};
use crate::sim::Sim;

/// The first token of the default chargers.
pub const ALICE: &str = "04A2F3B1C4D580";
pub const BOB: &str = "0412345678ABCD";
/// One that the CSMS does not accept.
pub const MALLORY: &str = "04DEADBEEF0000";

/// A gateway that runs, and how to reach it.
pub struct Gateway {
    pub sim: Sim,
    pub url: String,
    pub token: String,
    mqtt: String,
    _project: Project,
}

impl Gateway {
    /// The default: two chargers in one location.
    pub fn start() -> Self {
        Self::with(Project::new(), &[])
    }

    pub fn with(project: Project, arguments: &[&str]) -> Self {
        let sim = Sim::start(&project, &[&["--gateway", "127.0.0.1:0", "--json", "-"], arguments].concat());
        let first: Value = serde_json::from_str(&sim.out()).unwrap();
        let text = |key: &str| first[key].as_str().unwrap_or_default().to_owned();
        Self { url: text("gateway"), token: text("token"), mqtt: text("mqtt"), sim, _project: project }
    }

    /// Any request with the token; the status and the body.
    #[track_caller]
    pub fn request(&self, request: minreq::Request) -> (u16, Value) {
        send(request.with_header("Authorization", format!("Bearer {}", self.token)))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, Value) {
        self.request(minreq::get(format!("{}{path}", self.url)))
    }

    #[track_caller]
    pub fn post(&self, command: &str, body: &Value) -> (u16, Value) {
        self.request(minreq::post(format!("{}/ocpp/commands/{command}", self.url)).with_body(body.to_string()))
    }

    /// A command at the first charger that is answered with 200.
    #[track_caller]
    pub fn command(&self, command: &str, event: Value) -> Value {
        let (status, body) = self.post(command, &json!({"target": {"charger_id": "dep-1"}, "event": event}));
        assert_eq!(status, 200, "{command}: {body}");
        body
    }

    /// A queued command that the first charger takes.
    #[track_caller]
    pub fn does(&self, command: &str, event: Value) {
        let body = self.command(command, event.clone());
        assert_eq!(body["failed"], json!([]), "{command}");
        assert_eq!(body["results"][0]["command"]["payload"], event);
    }

    /// A queued command that the first charger does not take; why.
    #[track_caller]
    pub fn fails(&self, command: &str, event: Value) -> String {
        let body = self.command(command, event);
        assert_eq!(
            (&body["targeted_count"], &body["queued_count"], &body["failed_count"]),
            (&json!(1), &json!(0), &json!(1))
        );
        assert_eq!(body["failed"][0]["identity"], "CP-1");
        body["failed"][0]["error"].as_str().unwrap().to_owned()
    }

    /// What a charger and its CSMS said, the earliest first, as `direction action`.
    #[track_caller]
    pub fn log(&self, charger: &str) -> Vec<(String, Value)> {
        let (status, body) = self.get(&format!("/ocpp/chargers/{charger}/logs?limit=200"));
        assert_eq!(status, 200, "{body}");
        let entry = |entry: &Value| {
            let said = format!("{} {}", entry["direction"].as_str().unwrap(), entry["action"].as_str().unwrap());
            (said, serde_json::from_str(entry["message"].as_str().unwrap()).unwrap())
        };
        body["data"].as_array().unwrap().iter().rev().map(entry).collect()
    }

    /// How often the CSMS of the first charger was asked about a tag.
    #[track_caller]
    pub fn asked(&self) -> usize {
        self.log("dep-1").iter().filter(|(said, _)| said == "outgoing Authorize").count()
    }

    /// Waits until the first charger has told its CSMS this state of a connector last.
    #[track_caller]
    pub fn until_connector(&self, connector: u32, status: &str) {
        wait_for(&format!("connector {connector} to be {status}"), || {
            let log = self.log("dep-1");
            let last = log
                .iter()
                .rev()
                .find(|(said, message)| said == "outgoing StatusNotification" && message["connectorId"] == connector);
            last.filter(|(_, message)| message["status"] == status).map(drop)
        });
    }

    /// A client of MQTT that has subscribed to the statuses of all chargers' tokens.
    pub fn listen(&self) -> Listener {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = self.mqtt.strip_prefix("mqtt://").unwrap().parse().unwrap();
        let (link, messages) = runtime.block_on(async {
            let (link, messages) = Link::open(address, "listener").await.unwrap();
            link.subscribe(&["everest_api/1/auth_consumer/+/e2m/token_validation_status".to_owned()], 1).await.unwrap();
            (link, messages)
        });
        Listener { messages, _link: link, runtime }
    }
}

#[track_caller]
pub fn send(request: minreq::Request) -> (u16, Value) {
    let response = request.with_timeout(DEADLINE.as_secs()).send().unwrap();
    let body = serde_json::from_slice(response.as_bytes());
    let body =
        body.unwrap_or_else(|error| panic!("{} no JSON: {error}: {:?}", response.status_code, response.as_str()));
    assert_eq!(response.header("content-type"), Some("application/json"));
    (response.status_code, body)
}

pub struct Listener {
    messages: UnboundedReceiver<Message>,
    _link: Link,
    runtime: tokio::runtime::Runtime,
}

impl Listener {
    /// The next statuses, each as module id, status and token.
    #[track_caller]
    pub fn next(&mut self, count: usize) -> Vec<(String, String, String)> {
        let mut next = || {
            let message = self.runtime.block_on(async { timeout(DEADLINE, self.messages.recv()).await });
            let message = message.expect("a status").expect("a connection");
            let module = message.topic.split('/').nth(3).unwrap().to_owned();
            let body: Value = serde_json::from_slice(&message.payload).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (module, text(&body["status"]), text(&body["token"]["id_token"]["value"]))
        };
        (0..count).map(|_| next()).collect()
    }

    /// The next statuses are these, of one token at one charger.
    #[track_caller]
    pub fn hears(&mut self, module: &str, token: &str, statuses: &[&str]) {
        let expected: Vec<_> =
            statuses.iter().map(|status| (module.to_owned(), (*status).to_owned(), token.to_owned())).collect();
        assert_eq!(self.next(statuses.len()), expected);
    }
}

#[test]
fn a_reset_cache_is_asked_again_and_mqtt_shows_it() {
    let gateway = Gateway::start();
    let mut listener = gateway.listen();
    let mut session = |asked: usize| {
        gateway.does("start-session", json!({"id_tag": ALICE, "connector_id": 1}));
        listener.hears("auth_api", ALICE, &["Processing", "Accepted", "UsedToStart"]);
        gateway.until_connector(1, "Charging");
        assert_eq!(gateway.asked(), asked);
        gateway.does("stop-session", json!({"connector_id": 1}));
        gateway.until_connector(1, "Available");
    };
    session(1);
    session(1);
    let reset = json!({"target": {"charger_id": "dep-1"}});
    let cleared = json!({"msg": "Authorization cache cleared", "cleared_entries": 1});
    assert_eq!(gateway.post("cache/reset", &reset), (200, cleared));
    assert_eq!(gateway.command("cache/reset", json!({}))["cleared_entries"], 0);
    session(2);
}

#[test]
fn a_cache_that_is_switched_off_is_not_said_to_be_reset() {
    let gateway = Gateway::start();
    gateway.command("configuration", json!({"configuration": {"AuthorizationCacheEnabled": "false"}}));
    let reset = json!({"target": {"charger_id": "dep-1"}});
    let refused = json!({"detail": "the authorization cache is switched off"});
    assert_eq!(gateway.post("cache/reset", &reset), (409, refused));
}

#[test]
fn a_cache_outlives_a_restart_of_the_charger() {
    let mut gateway = Gateway::start();
    gateway.does("authorize-id-tag", json!({"id_tag": ALICE}));
    wait_for("the answer", || gateway.log("dep-1").iter().any(|(said, _)| said == "incoming Authorize").then_some(()));
    gateway.sim.type_line("restart_everest");
    // The restart is over when the status is printed.
    gateway.sim.type_line("status");
    assert_eq!(gateway.sim.out(), "{");
    gateway.does("start-session", json!({"id_tag": ALICE, "connector_id": 2}));
    gateway.until_connector(2, "Charging");
    assert_eq!(gateway.asked(), 1);
    assert_eq!(gateway.command("cache/reset", json!({}))["cleared_entries"], 1);
}

#[test]
fn a_session_step_by_step() {
    let gateway = Gateway::start();
    let mut listener = gateway.listen();
    let tag = json!({"id_tag": ALICE});
    assert!(gateway.fails("start-transaction", tag.clone()).contains("no EVSE"));
    gateway.does("plug-connector", json!({"evse_id": 2, "connector_id": 1}));
    gateway.until_connector(2, "Preparing");
    assert!(gateway.fails("plug-connector", json!({"evse_id": 2})).contains("already"));
    gateway.does("authorize-id-tag", tag.clone());
    listener.hears("auth_api", ALICE, &["Processing", "Accepted", "UsedToStart"]);
    gateway.does("start-transaction", tag);
    gateway.until_connector(2, "Charging");
    gateway.does("ev-stops-energy", json!({"evse_id": 2}));
    gateway.until_connector(2, "SuspendedEV");
    gateway.does("ev-requests-energy", json!({}));
    gateway.until_connector(2, "Charging");
    gateway.does("power-update", json!({"power_w": 0}));
    gateway.until_connector(2, "SuspendedEVSE");
    gateway.does("power-update", json!({"power_w": 7400, "evse_id": 2, "connector_id": 1}));
    gateway.until_connector(2, "Charging");
    assert!(gateway.fails("stop-transaction", json!({"transaction_id": "no such"})).contains("`no such`"));
    gateway.does("stop-transaction", json!({"transaction_id": "1"}));
    gateway.until_connector(2, "Finishing");
    assert!(gateway.fails("stop-transaction", json!({})).contains("no transaction"));
    gateway.does("unplug-connector", json!({}));
    gateway.until_connector(2, "Available");
    assert!(gateway.fails("unplug-connector", json!({"evse_id": 9})).contains("EVSE 9"));
    let log = gateway.log("dep-1");
    let actions: Vec<_> = log.iter().map(|(said, _)| said.as_str()).filter(|it| it.ends_with("Transaction")).collect();
    assert_eq!(actions, ["outgoing StartTransaction", "outgoing StopTransaction"]);
    let stopped = log.iter().find(|(said, _)| said == "outgoing StopTransaction").unwrap();
    assert_eq!((&stopped.1["reason"], &stopped.1["transactionId"]), (&json!("Remote"), &json!(1)));
}

#[test]
fn a_session_ends_by_itself_or_by_unlocking() {
    let gateway = Gateway::start();
    gateway.does("start-session", json!({"id_tag": ALICE, "duration_seconds": 1}));
    gateway.until_connector(1, "Finishing");
    gateway.does("start-session", json!({"id_tag": BOB, "connector_id": 2, "target_energy_kwh": 0.001}));
    gateway.until_connector(2, "Finishing");
    gateway.does("unplug-connector", json!({"connector_id": 2}));
    gateway.does("start-session", json!({"id_tag": BOB, "connector_id": 2}));
    gateway.until_connector(2, "Charging");
    gateway.does("unlock-connector", json!({"evse_id": 2}));
    gateway.until_connector(2, "Finishing");
    let log = gateway.log("dep-1");
    let reasons: Vec<_> =
        log.iter().filter(|(said, _)| said.ends_with("StopTransaction")).map(|(_, it)| it["reason"].clone()).collect();
    assert_eq!(reasons, ["Local", "Local", "UnlockCommand"]);
}

#[test]
fn a_tag_that_the_csms_refuses_starts_nothing() {
    let gateway = Gateway::start();
    let mut listener = gateway.listen();
    gateway.does("start-session", json!({"id_tag": MALLORY}));
    listener.hears("auth_api", MALLORY, &["Processing", "Rejected"]);
    let answer = wait_for("the answer of the CSMS", || {
        gateway.log("dep-1").into_iter().find(|(said, _)| said == "incoming Authorize")
    });
    assert_eq!(answer.1, json!({"idTagInfo": {"status": "Invalid"}}));
    gateway.until_connector(1, "Preparing");
}

#[test]
fn the_local_list_decides_until_it_expires_or_is_cleared() {
    let gateway = Gateway::start();
    let mut listener = gateway.listen();
    let send = |version: i32, expiry: &str| {
        let entries =
            json!([{"id_tag": MALLORY, "expiry_date": expiry, "parent_id_tag": "GROUP"}, {"id_tag": "OTHER"}]);
        gateway.command("local-auth-list", json!({"list_version": version, "entries": entries}))
    };
    let answer = |status: &str, version: i32| json!({"status": status, "list_version": version, "entries_received": 2});
    assert_eq!(send(5, "2099-01-01T00:00:00+02:00"), answer("Accepted", 5));
    assert_eq!(send(5, "2099-01-01T00:00:00Z"), answer("VersionMismatch", 5));
    gateway.does("authorize-id-tag", json!({"id_tag": MALLORY}));
    listener.hears("auth_api", MALLORY, &["Processing", "Accepted"]);
    assert_eq!(gateway.asked(), 0);
    gateway.does("unplug-connector", json!({"evse_id": 1}));
    // From here on the list does not accept the tag any more, and the CSMS refuses it.
    assert_eq!(send(6, "2001-01-01T00:00:00Z"), answer("Accepted", 6));
    wait_for("a refusal", || {
        gateway.does("authorize-id-tag", json!({"id_tag": MALLORY}));
        (gateway.asked() > 0).then_some(())
    });
    let cleared = gateway.command("clear-local-auth-list", json!({}));
    assert_eq!(cleared["entries_deleted"], 2);
    assert_eq!(gateway.command("clear-local-auth-list", json!({}))["entries_deleted"], 0);
    assert_eq!(send(1, "2099-01-01T00:00:00Z"), answer("Accepted", 1));
    gateway.command("configuration", json!({"configuration": {"LocalAuthListEnabled": "false"}}));
    assert_eq!(send(2, "2099-01-01T00:00:00Z"), answer("NotSupported", 0));
}

#[test]
fn faults_come_and_go() {
    let gateway = Gateway::start();
    let answer =
        gateway.command("inject-fault", json!({"fault_type": "OverTemperature", "evse_id": 2, "connector_id": 1}));
    let expected = json!({"msg": "Fault injected", "fault_type": "OverTemperature", "evse_id": 2, "connector_id": 1,
        "status": "Faulted"});
    assert_eq!(answer, expected);
    gateway.until_connector(2, "Faulted");
    let log = gateway.log("dep-1");
    assert!(log.iter().any(|(_, message)| message["errorCode"] == "HighTemperature"), "{log:?}");
    assert!(gateway.fails("start-session", json!({"id_tag": ALICE, "connector_id": 2})).contains("faulted"));
    assert_eq!(
        gateway.command("inject-fault", json!({"fault_type": "WeakSignal", "evse_id": 2}))["status"],
        "Rejected"
    );
    assert_eq!(
        gateway.command("inject-fault", json!({"fault_type": "WeakSignal", "evse_id": 7}))["status"],
        "Rejected"
    );
    let cleared = gateway.command("clear-fault", json!({}));
    assert_eq!((&cleared["status"], &cleared["evse_id"]), (&json!("Available"), &json!(2)));
    gateway.until_connector(2, "Available");
    assert_eq!(gateway.command("clear-fault", json!({"evse_id": 2}))["status"], "Rejected");
}

#[test]
fn configuration_keys_are_obeyed_one_by_one() {
    let gateway = Gateway::start();
    let set = |values: Value| gateway.command("configuration", json!({"configuration": values}));
    let answer = set(json!({"LocalPreAuthorize": "false"}));
    assert_eq!((&answer["status"], &answer["configured"]), (&json!("Accepted"), &json!(["LocalPreAuthorize"])));
    for asked in 1..=2 {
        gateway.does("authorize-id-tag", json!({"id_tag": MALLORY}));
        wait_for("the question", || (gateway.asked() == asked).then_some(()));
    }
    let answer = set(json!({"AuthorizationCacheEnabled": "perhaps", "HeartbeatInterval": "60", "Unheard": "1"}));
    assert_eq!(
        (&answer["status"], &answer["configured"]),
        (&json!("PartiallyAccepted"), &json!(["HeartbeatInterval"]))
    );
    assert_eq!(
        answer["msg"],
        "AuthorizationCacheEnabled: Rejected, HeartbeatInterval: Accepted, Unheard: NotSupported"
    );
    assert_eq!(set(json!({"NumberOfConnectors": "9"}))["status"], "Rejected");
}

#[test]
fn a_message_to_the_csms_is_in_the_log() {
    let gateway = Gateway::start();
    let event = json!({"action": "boot_notification", "ocpp_version": "ocpp1.6", "payload": {"chargePointModel": "X"}});
    let answer = gateway.command("proxy-message", event.clone());
    assert_eq!(answer["payload"], event);
    assert_eq!((&answer["event_type"], &answer["ocpp_version"]), (&json!("proxy_message"), &json!("ocpp1.6")));
    assert_eq!(gateway.log("dep-1"), [("outgoing BootNotification".to_owned(), event["payload"].clone())]);
    for (event, place) in [
        (json!({"action": "transaction_event", "ocpp_version": "ocpp1.6", "payload": {}}), "action"),
        (json!({"action": "fly", "ocpp_version": "ocpp1.6", "payload": {}}), "action"),
        (json!({"action": "heartbeat", "ocpp_version": "ocpp2.0.1", "payload": {}}), "ocpp_version"),
        (json!({"action": "heartbeat", "ocpp_version": "ocpp3", "payload": {}}), "ocpp_version"),
        (json!({"action": "heartbeat", "ocpp_version": "ocpp1.6", "payload": []}), "payload"),
        (json!({"action": "heartbeat", "ocpp_version": "ocpp1.6"}), "payload"),
    ] {
        let (status, body) = gateway.post("proxy-message", &json!({"target": {"charger_id": "dep-1"}, "event": event}));
        assert_eq!((status, &body["detail"][0]["loc"]), (422, &json!(["body", "event", place])), "{event}");
    }
}

#[test]
fn a_location_is_all_its_chargers_or_some() {
    let gateway = Gateway::start();
    let plug = |target: Value| gateway.post("plug-connector", &json!({"target": target, "event": {"evse_id": 1}}));
    let (status, body) = plug(json!({"location_id": "loc-1", "charger_ids": ["dep-2"]}));
    assert_eq!((status, &body["results"][0]["charger_id"]), (200, &json!("dep-2")));
    let (status, body) = plug(json!({"location_id": "loc-1", "charger_id": null}));
    assert_eq!(status, 200);
    let counts = [&body["targeted_count"], &body["queued_count"], &body["failed_count"]];
    assert_eq!(counts, [2, 1, 1]);
    assert_eq!(body["results"][0]["charger_id"], "dep-1");
    assert_eq!(body["results"][0]["command"]["ocpp_version"], "ocpp1.6");
    assert_eq!(body["failed"], json!([{"identity": "CP-2", "error": "EVSE 1: an EV is plugged in already"}]));
    // The other charger speaks 2.0.1, on topics of its own.
    let mut listener = gateway.listen();
    let target = json!({"location_id": "loc-1", "charger_ids": ["dep-2"]});
    gateway.post("start-transaction", &json!({"target": target, "event": {"id_tag": ALICE, "evse_id": 1}}));
    listener.hears("auth_api_2", ALICE, &["Processing", "Accepted", "UsedToStart"]);
    wait_for("its start", || {
        let log = gateway.log("dep-2");
        log.into_iter().find(|(said, message)| said == "outgoing TransactionEvent" && message["eventType"] == "Started")
    });
    let ids: Vec<_> = (0..20).map(|_| gateway.command("unlock-connector", json!({"evse_id": 1}))).collect();
    let mut ids: Vec<_> = ids.iter().map(|body| body["results"][0]["command"]["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[test]
fn chargers_can_be_read_in_pages() {
    let gateway = Gateway::start();
    let (status, page) = gateway.get("/ocpp/chargers?page=2&limit=1");
    assert_eq!((status, &page["total"], &page["page"], &page["limit"]), (200, &json!(2), &json!(2), &json!(1)));
    assert_eq!(page["data"][0]["id"], "dep-2");
    assert_eq!(gateway.get("/ocpp/chargers?page=9").1["data"], json!([]));
    let (status, charger) = gateway.get("/ocpp/chargers/dep-1");
    assert_eq!(status, 200);
    let mut charger = charger.as_object().unwrap().clone();
    let (created, updated) = (charger.remove("created_at").unwrap(), charger.remove("updated_at").unwrap());
    assert!(created.as_str().unwrap().ends_with('Z') && updated == created);
    let expected = json!({"id": "dep-1", "identity": "CP-1", "name": "Left", "vendor_name": "Khumbu",
        "model": "Simulated", "ocpp_version": "ocpp1.6", "number_of_connectors": 2, "max_charging_power": 11000,
        "connector_type": "Type2", "location_id": "loc-1"});
    assert_eq!(Value::Object(charger), expected);
    for _ in 0..3 {
        gateway.command("cache/reset", json!({}));
    }
    let (_, log) = gateway.get("/ocpp/chargers/dep-1/logs?limit=2&offset=2");
    assert_eq!((&log["total"], &log["limit"], &log["offset"]), (&json!(3), &json!(2), &json!(2)));
    assert_eq!(log["data"].as_array().unwrap().len(), 1);
    assert_ne!(gateway.get("/ocpp/chargers/dep-1").1["updated_at"], created);
}

#[test]
fn a_station_file_is_one_charger_on_its_own_topics() {
    let station = "evses: 3\ntokens:\n  CAROL: {value: CAROL, type: Central}\n";
    let project = Project::with(&[("station.yaml", station)]);
    let mut gateway = Gateway::with(project, &["--station", "station.yaml", "--module-id", "my_api"]);
    let (_, page) = gateway.get("/ocpp/chargers");
    assert_eq!((&page["total"], &page["data"][0]["number_of_connectors"]), (&json!(1), &json!(3)));
    let mut listener = gateway.listen();
    gateway.does("start-session", json!({"id_tag": "CAROL", "connector_id": 3}));
    listener.hears("my_api", "CAROL", &["Processing", "Accepted", "UsedToStart"]);
    // The console and the gateway are at the same charger.
    gateway.sim.type_line("stop_transaction 3");
    gateway.until_connector(3, "Finishing");
    assert_eq!(gateway.sim.end(nix::sys::signal::Signal::SIGTERM), Some(0));
}

#[test]
fn a_hundred_chargers_follow_a_command_at_their_location() {
    let mut file = String::from("chargers:\n");
    for number in 0..100 {
        file.push_str(&format!("  cp-{number:03}: {{location: depot}}\n"));
    }
    let gateway = Gateway::with(Project::with(&[("chargers.yaml", &file)]), &["--chargers", "chargers.yaml"]);
    let started = std::time::Instant::now();
    let body = json!({"target": {"location_id": "depot"}, "event": {}});
    let (status, body) = gateway.post("plug-connector", &body);
    assert_eq!((status, &body["queued_count"]), (200, &json!(100)), "{body}");
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(gateway.get("/ocpp/chargers?limit=100").1["data"].as_array().unwrap().len(), 100);
}

/// Every command, by a program written for the API with the API's own client; see `drive_ocpplab.py`.
#[test]
fn a_program_of_the_api_drives_it() {
    let Some(python) = clients::ocpplab() else { return };
    for version in ["ocpp1.6", "ocpp2.0.1"] {
        let mut command = Command::new(&python);
        command.args([&fixture("clients/drive_ocpplab.py"), env!("CARGO_BIN_EXE_khumbu"), version]);
        let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
        let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!((output.status.code(), out.trim()), (Some(0), &*format!("{version}: 18 commands")), "{errors}");
    }
}

#[test]
fn where_there_are_no_tenants_any_may_be_named() {
    let gateway = Gateway::start();
    let list = minreq::get(format!("{}/ocpp/chargers", gateway.url)).with_header("X-Organization-Id", "acme");
    let (status, page) = gateway.request(list);
    assert_eq!((status, &page["total"]), (200, &json!(2)));
}
