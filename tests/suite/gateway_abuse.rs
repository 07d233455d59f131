//! What a gateway answers to whoever may not, cannot, or does not mean well.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread::{self, JoinHandle};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::clients;
use crate::csms::Csms;
use crate::gateway::{ALICE, Gateway, send};
use crate::project::{Project, fixture};
use crate::sim::Sim;

const CHARGERS: &str = "\
chargers:
  dep-1: {organization: acme, location: depot}
  dep-2: {organization: acme, location: depot}
  dep-3: {organization: other, location: depot}
  dep-4: {location: yard}
";

const TOKENS: &str = "\
tokens:
  - {token: \"everything-0123456789\"}
  - {token: \"of-acme-0123456789\", organization: acme}
  - {token: \"for-one-0123456789\", organization: acme, chargers: [dep-1]}
";

fn tenants() -> Gateway {
    let project = Project::with(&[("chargers.yaml", CHARGERS), ("tokens.yaml", TOKENS)]);
    Gateway::with(project, &["--chargers", "chargers.yaml", "--tokens", "tokens.yaml"])
}

#[test]
fn nobody_acts_on_what_is_not_theirs() {
    let gateway = tenants();
    assert_eq!(gateway.token, "", "a token of a file is not printed");
    let reset = |token: &str, organization: &str, charger: &str| {
        let mut request = minreq::post(format!("{}/ocpp/commands/cache/reset", gateway.url))
            .with_header("Authorization", format!("Bearer {token}-0123456789"))
            .with_body(json!({"target": {"charger_id": charger}}).to_string());
        if !organization.is_empty() {
            request = request.with_header("X-Organization-Id", organization);
        }
        let (status, body) = send(request);
        assert!(status == 200 || body["detail"].is_string() && body.as_object().unwrap().len() == 1, "{body}");
        status
    };
    for (token, organization, charger, status) in [
        ("everything", "", "dep-3", 200),
        ("everything", "acme", "dep-1", 200),
        ("everything", "acme", "dep-3", 403),
        ("everything", "acme", "dep-4", 403),
        ("of-acme", "", "dep-2", 200),
        ("of-acme", "acme", "dep-2", 200),
        ("of-acme", "other", "dep-2", 403),
        ("of-acme", "", "dep-3", 403),
        ("of-acme", "", "dep-4", 403),
        ("for-one", "", "dep-1", 200),
        ("for-one", "", "dep-2", 403),
        ("for-one", "", "dep-9", 404),
        ("for-none", "", "dep-1", 401),
        ("", "", "dep-1", 401),
    ] {
        assert_eq!(reset(token, organization, charger), status, "{token} {organization} {charger}");
    }
    let plug = |token: &str, target: Value| {
        let request = minreq::post(format!("{}/ocpp/commands/plug-connector", gateway.url))
            .with_header("Authorization", format!("Bearer {token}-0123456789"))
            .with_body(json!({"target": target, "event": {}}).to_string());
        let (status, body) = send(request);
        (status, body["targeted_count"].as_i64())
    };
    assert_eq!(plug("everything", json!({"location_id": "depot"})), (200, Some(3)));
    assert_eq!(plug("of-acme", json!({"location_id": "depot"})), (200, Some(2)));
    assert_eq!(plug("for-one", json!({"location_id": "depot"})), (200, Some(1)));
    assert_eq!(plug("for-one", json!({"location_id": "depot", "charger_ids": ["dep-2"]})), (403, None));
    assert_eq!(plug("of-acme", json!({"location_id": "yard"})), (403, None));
    assert_eq!(plug("of-acme", json!({"location_id": "moon"})), (404, None));
    assert_eq!(plug("of-acme", json!({"location_id": "depot", "charger_ids": ["dep-4"]})), (404, None));
    let seen = |token: &str| {
        let list = minreq::get(format!("{}/ocpp/chargers", gateway.url));
        send(list.with_header("Authorization", format!("Bearer {token}-0123456789"))).1["total"].clone()
    };
    assert_eq!([seen("everything"), seen("of-acme"), seen("for-one")], [4, 2, 1]);
}

#[test]
fn every_path_wants_a_token() {
    let gateway = Gateway::start();
    let (status, description) = send(minreq::get(format!("{}/openapi.json", gateway.url)));
    assert_eq!(status, 200);
    let paths = description["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 24);
    for (path, methods) in paths {
        let url = format!("{}{}", gateway.url, path.replace("{charger_id}", "dep-1"));
        let (method, request, wrong) = match methods.as_object().unwrap().contains_key("get") {
            true => ("GET", minreq::get(&url), minreq::post(&url)),
            false => ("POST", minreq::post(&url), minreq::get(&url)),
        };
        let (status, body) = send(request.clone());
        assert_eq!((status, &body["detail"]), (401, &json!("missing or wrong bearer token")), "{path}");
        let (status, _) = send(request.with_header("Authorization", "Bearer 0123456789abcdef0123456789abcdef"));
        assert_eq!(status, 401, "{path}");
        let detail = format!("Method Not Allowed: this path takes {method}");
        assert_eq!(send(wrong), (405, json!({"detail": detail})), "{path}");
    }
    assert_eq!(gateway.get("/ocpp/commands/fly"), (404, json!({"detail": "Not Found"})));
    assert_eq!(gateway.get("/ocpp/chargers/").0, 404);
    assert_eq!(gateway.get("/ocpp/chargers/%FF").0, 404);
    assert_eq!(gateway.get("/ocpp/chargers/dep-9/logs").0, 404);
}

#[test]
fn what_makes_no_sense_is_a_422_that_says_where() {
    let gateway = Gateway::start();
    let one = json!({"charger_id": "dep-1"});
    let tag = "x".repeat(37);
    for (command, body, loc) in [
        ("cache/reset", json!([]), json!(["body"])),
        ("cache/reset", json!(null), json!(["body"])),
        ("cache/reset", json!({}), json!(["body", "target"])),
        ("cache/reset", json!({"target": "dep-1"}), json!(["body", "target"])),
        ("cache/reset", json!({"target": ["dep-1"]}), json!(["body", "target"])),
        ("cache/reset", json!({"target": {}}), json!(["body", "target", "charger_id"])),
        ("cache/reset", json!({"target": {"charger_id": 1}}), json!(["body", "target", "charger_id"])),
        ("cache/reset", json!({"target": {"location_id": "loc-1"}}), json!(["body", "target", "charger_id"])),
        ("cache/reset", json!({"target": one, "event": null}), json!(["body", "event"])),
        ("cache/reset", json!({"target": one, "event": []}), json!(["body", "event"])),
        ("plug-connector", json!({"target": one}), json!(["body", "event"])),
        ("plug-connector", json!({"target": {}, "event": {}}), json!(["body", "target"])),
        ("plug-connector", json!({"target": {"charger_ids": ["dep-1"]}, "event": {}}), json!(["body", "target"])),
        (
            "plug-connector",
            json!({"target": {"charger_id": "dep-1", "location_id": "loc-1"}, "event": {}}),
            json!(["body", "target"]),
        ),
        (
            "plug-connector",
            json!({"target": {"charger_id": "dep-1", "charger_ids": ["dep-1"]}, "event": {}}),
            json!(["body", "target"]),
        ),
        (
            "plug-connector",
            json!({"target": {"location_id": "loc-1", "charger_ids": []}, "event": {}}),
            json!(["body", "target"]),
        ),
        (
            "plug-connector",
            json!({"target": {"location_id": "loc-1", "charger_ids": ["dep-1", 2]}, "event": {}}),
            json!(["body", "target", "charger_ids", 1]),
        ),
        ("plug-connector", json!({"target": one, "event": {"evse_id": "1"}}), json!(["body", "event", "evse_id"])),
        ("plug-connector", json!({"target": one, "event": {"evse_id": 0}}), json!(["body", "event", "evse_id"])),
        (
            "plug-connector",
            json!({"target": one, "event": {"connector_id": true}}),
            json!(["body", "event", "connector_id"]),
        ),
        ("start-transaction", json!({"target": one, "event": {}}), json!(["body", "event", "id_tag"])),
        ("start-transaction", json!({"target": one, "event": {"id_tag": ""}}), json!(["body", "event", "id_tag"])),
        ("start-session", json!({"target": one, "event": {"id_tag": tag}}), json!(["body", "event", "id_tag"])),
        (
            "start-session",
            json!({"target": one, "event": {"id_tag": ALICE, "duration_seconds": 0}}),
            json!(["body", "event", "duration_seconds"]),
        ),
        (
            "start-session",
            json!({"target": one, "event": {"id_tag": ALICE, "target_energy_kwh": 0}}),
            json!(["body", "event", "target_energy_kwh"]),
        ),
        (
            "stop-transaction",
            json!({"target": one, "event": {"transaction_id": 1}}),
            json!(["body", "event", "transaction_id"]),
        ),
        ("power-update", json!({"target": one, "event": {"power_w": -1}}), json!(["body", "event", "power_w"])),
        ("power-update", json!({"target": one, "event": {"power_w": 1.5}}), json!(["body", "event", "power_w"])),
        (
            "inject-fault",
            json!({"target": one, "event": {"fault_type": "Fire"}}),
            json!(["body", "event", "fault_type"]),
        ),
        (
            "configuration",
            json!({"target": one, "event": {"configuration": {}}}),
            json!(["body", "event", "configuration"]),
        ),
        (
            "configuration",
            json!({"target": one, "event": {"configuration": {"HeartbeatInterval": 60}}}),
            json!(["body", "event", "configuration", "HeartbeatInterval"]),
        ),
        (
            "local-auth-list",
            json!({"target": one, "event": {"list_version": 1, "entries": [{"id_tag": "A"}, {"id_tag": "B", "expiry_date": "tomorrow"}]}}),
            json!(["body", "event", "entries", 1, "expiry_date"]),
        ),
        ("local-auth-list", json!({"target": one, "event": {"list_version": 1}}), json!(["body", "event", "entries"])),
    ] {
        let (status, answer) = gateway.post(command, &body);
        assert_eq!((status, &answer["detail"][0]["loc"]), (422, &loc), "{command} {body}: {answer}");
        assert!(answer["detail"][0]["msg"].is_string() && answer["detail"][0]["type"].is_string());
    }
    for (text, kind) in [("", "missing"), ("{", "json_invalid"), ("{} x", "json_invalid"), ("NaN", "json_invalid")] {
        let request = minreq::post(format!("{}/ocpp/commands/cache/reset", gateway.url)).with_body(text);
        let (status, answer) = gateway.request(request);
        assert_eq!((status, &answer["detail"][0]["type"]), (422, &json!(kind)), "{text}");
    }
    for (path, name) in [
        ("/ocpp/chargers?page=0", "page"),
        ("/ocpp/chargers?limit=101", "limit"),
        ("/ocpp/chargers?limit=ten", "limit"),
        ("/ocpp/chargers/dep-1/logs?offset=-1", "offset"),
        ("/ocpp/chargers/dep-1/logs?limit=1&limit=", "limit"),
    ] {
        let (status, answer) = gateway.get(path);
        assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["query", name])), "{path}");
    }
    // Members that nobody knows are ignored, and whole numbers may have a point, as with FastAPI.
    let body = json!({"target": {"charger_id": "dep-1", "x": 1}, "event": {"evse_id": 2.0, "y": []}, "z": null});
    assert_eq!(gateway.post("plug-connector", &body).0, 200);
}

#[test]
fn a_large_body_is_refused_and_not_kept() {
    let gateway = Gateway::start();
    for bytes in [300_000, 10_000_000] {
        let url = format!("{}/ocpp/commands/cache/reset", gateway.url);
        let (status, body) = gateway.request(minreq::post(&url).with_body(vec![b' '; bytes]));
        assert_eq!((status, body), (413, json!({"detail": "the body has more than 262144 bytes"})));
        assert_eq!(send(minreq::post(&url).with_body(vec![b' '; bytes])).0, 401);
    }
    let padded = format!("{}{}", json!({"target": {"charger_id": "dep-1"}}), " ".repeat(200_000));
    let request = minreq::post(format!("{}/ocpp/commands/cache/reset", gateway.url)).with_body(padded);
    assert_eq!(gateway.request(request).0, 200);
}

/// Numbers without order, the same in every run (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 9 } else { 11 }) {
            0 => json!(null),
            1 => json!(true),
            2 => json!(-1),
            3 => json!(self.below(4)),
            4 => json!(u64::MAX),
            5 => json!(0.5),
            6 => {
                json!(self.one(&["", "dep-1", "loc-1", ALICE, "GroundFault", "\u{0}\u{1F600}", "2030-01-01T00:00:00Z"]))
            }
            7 => json!("x".repeat(self.below(5000))),
            8 => json!(ALICE),
            9 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => self.object(depth - 1),
        }
    }

    fn object(&mut self, depth: usize) -> Value {
        const NAMES: [&str; 14] = [
            "charger_id",
            "location_id",
            "charger_ids",
            "evse_id",
            "connector_id",
            "id_tag",
            "power_w",
            "fault_type",
            "configuration",
            "list_version",
            "entries",
            "transaction_id",
            "duration_seconds",
            "payload",
        ];
        (0..self.below(6)).map(|_| (self.one(&NAMES).to_owned(), self.value(depth))).collect()
    }

    fn body(&mut self) -> Vec<u8> {
        let target = match self.below(4) {
            0 => self.value(2),
            1 => json!({"location_id": "loc-1"}),
            _ => json!({"charger_id": self.one(&["dep-1", "dep-2"])}),
        };
        let event = match self.below(4) {
            0 => self.value(3),
            1 => self.object(3),
            2 => json!({}),
            _ => {
                let (number, fault) = (self.below(4), self.one(&["GroundFault", "WeakSignal"]));
                json!({"id_tag": self.one(&[ALICE, "UNKNOWN"]), "evse_id": number.max(1), "power_w": number,
                    "fault_type": fault, "list_version": self.0 % 1000, "entries": [{"id_tag": format!("T{number}")}],
                    "configuration": {"LocalPreAuthorize": self.one(&["true", "false"])},
                    "action": "heartbeat", "ocpp_version": "ocpp1.6", "payload": self.object(2)})
            }
        };
        let mut bytes = json!({"target": target, "event": event}).to_string().into_bytes();
        if self.below(10) == 0 {
            let at = self.below(bytes.len());
            bytes[at] = u8::try_from(self.below(256)).unwrap();
            bytes.truncate(bytes.len() - self.below(at + 1));
        }
        bytes
    }
}

/// The resident memory of a process in bytes.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Two chargers with links to a CSMS, where there is one.
fn linked(csms: Option<&Csms>) -> Gateway {
    let Some(Csms { port, .. }) = csms else { return Gateway::start() };
    let charger = format!("csms: 'ws://127.0.0.1:{port}', location: loc-1, station: {{evses: 2}}");
    let file = format!("chargers:\n  dep-1: {{{charger}}}\n  dep-2: {{{charger}, ocpp_version: ocpp2.0.1}}\n");
    Gateway::with(Project::with(&[("chargers.yaml", &file)]), &["--chargers", "chargers.yaml"])
}

/// Watches what passes, as the page does, until the gateway ends; how many bytes there were.
fn watch(gateway: &Gateway) -> JoinHandle<usize> {
    let address = gateway.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let token = &gateway.token;
    write!(stream, "GET /events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n").unwrap();
    thread::spawn(move || {
        let (mut buffer, mut bytes) = (vec![0; 64 * 1024], 0);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            bytes += count;
        }
        bytes
    })
}

#[test]
fn random_requests_get_documented_answers() {
    // `KHUMBU_GATEWAY_REQUESTS=100000 cargo test --test suite random_requests -- --nocapture` is the long measurement.
    let requests = std::env::var("KHUMBU_GATEWAY_REQUESTS").map_or(1500, |count| count.parse().unwrap());
    const MOST: u64 = 100 * 1024 * 1024;
    let csms = Csms::start();
    let mut gateway = linked(csms.as_ref());
    let watching = watch(&gateway);
    let (_, description) = send(minreq::get(format!("{}/openapi.json", gateway.url)));
    // This one never ends.
    let ends = |path: &&String| *path != "/events";
    let paths: Vec<&String> = description["paths"].as_object().unwrap().keys().filter(ends).collect();
    let mut random = Random(7);
    let mut seen = std::collections::BTreeMap::new();
    for number in 0..requests {
        let path = random.one(&paths);
        let url = format!("{}{}", gateway.url, path.replace("{charger_id}", random.one(&["dep-1", "dep-2", "x"])));
        let is_reading = description["paths"][path]["get"].is_object();
        let request = match is_reading {
            true => minreq::get(format!("{url}?limit={}&page=1", random.below(120))),
            false => minreq::post(url).with_body(random.body()),
        };
        let (status, body) = gateway.request(request);
        let method = if is_reading { "get" } else { "post" };
        let documented = &description["paths"][path][method]["responses"][status.to_string()];
        assert!(documented.is_object() && status != 500, "request {number}: {path} {status} {body}");
        *seen.entry(status).or_insert(0) += 1;
    }
    println!("statuses: {seen:?}, memory: {} kB", memory(gateway.sim.child.id()) / 1024);
    assert!([200, 404, 422].iter().all(|status| seen.contains_key(status)), "{seen:?}");
    assert!(gateway.sim.child.try_wait().unwrap().is_none());
    assert!(memory(gateway.sim.child.id()) < MOST);
    assert_eq!(gateway.sim.end(Signal::SIGTERM), Some(0));
    let bytes = watching.join().unwrap();
    assert!(bytes > requests, "{bytes}");
}

#[test]
fn schemathesis_finds_nothing() {
    let Some(schemathesis) = clients::schemathesis() else { return };
    let csms = Csms::start();
    let mut gateway = linked(csms.as_ref());
    let project = Project::new();
    let output = Command::new(schemathesis)
        .args(["run", &format!("{}/openapi.json", gateway.url), "--checks", "all", "--seed", "7", "--no-color"])
        .args(["--max-time", "25", "--max-examples", "6", "--request-timeout", "30"])
        // It never ends.
        .args(["--exclude-path", "/events"])
        .args(["--header", &format!("Authorization: Bearer {}", gateway.token)])
        .env("SCHEMATHESIS_HOOKS", "gateway_hooks")
        .env("PYTHONPATH", fixture("clients"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(project.path("."))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace(&gateway.token, "…");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Tested: 23"), "{text}");
    assert!(gateway.sim.child.try_wait().unwrap().is_none());
    gateway.command("cache/reset", json!({}));
}

#[test]
fn bad_files_and_flags_are_refused() {
    let project = Project::with(&[
        ("none.yaml", "chargers: {}\n"),
        ("odd.yaml", "chargers:\n  dep-1: {}\n  \"a b\": {}\n"),
        ("chargers.yaml", CHARGERS),
        ("short.yaml", "tokens: [{token: secret}]\n"),
        ("broken.yaml", "tokens:\n  - {token: \"0123456789-secret\", scope: all}\n"),
        ("stranger.yaml", "tokens: [{token: \"0123456789-secret\", chargers: [dep-9]}]\n"),
    ]);
    let sim = |arguments: &[&str]| project.run(&[&["sim"], arguments].concat()).exits(2);
    let gateway = ["--gateway", "127.0.0.1:0"];
    sim(&[&gateway[..], &["--chargers", "none.yaml"]].concat()).says("config/invalid").says("none.yaml:1");
    sim(&[&gateway[..], &["--chargers", "odd.yaml"]].concat()).says("odd.yaml:3").says("`a b` is no charger id");
    sim(&[&gateway[..], &["--chargers", "missing.yaml"]].concat()).says("file/not-found");
    for (file, said) in [("short.yaml", "token 1"), ("broken.yaml", "line 2"), ("stranger.yaml", "`dep-9`")] {
        let ran = sim(&[&gateway[..], &["--chargers", "chargers.yaml", "--tokens", file]].concat());
        let ran = ran.says("config/bad-tokens").says(said);
        assert!(!ran.stderr.contains("secret") && !ran.stdout.contains("secret"), "{}", ran.stderr);
    }
    sim(&["--chargers", "chargers.yaml"]).says("--gateway");
    sim(&["--tokens", "short.yaml"]).says("--gateway");
    sim(&[&gateway[..], &["--chargers", "chargers.yaml", "--station", "x"]].concat()).says("cannot be used with");
}

#[test]
fn the_address_is_said_and_can_be_taken() {
    let project = Project::new();
    let sim = Sim::start(&project, &["--gateway", "127.0.0.1:0"]);
    assert!(sim.out().starts_with("mqtt://127.0.0.1:"));
    let gateway = sim.out();
    let address = gateway.strip_prefix("gateway http://").unwrap();
    let token = sim.out().strip_prefix("token ").unwrap().to_owned();
    assert_eq!(token.len(), 64);
    assert_eq!(sim.out(), "charger dep-1 everest_api/1/auth_consumer/auth_api");
    assert_eq!(sim.out(), "charger dep-2 everest_api/1/auth_consumer/auth_api_2");
    let list = minreq::get(format!("http://{address}/ocpp/chargers"));
    assert_eq!(send(list.with_header("Authorization", format!("Bearer {token}"))).0, 200);
    project.run(&["sim", "--gateway", address]).exits(3).says("harness/no-gateway").says(address);
    assert_eq!(sim.end(Signal::SIGINT), Some(0));
}
