//! Charge points of `khumbu sim --gateway` at a CSMS that nobody here wrote (`fixtures/csms.py`), which holds all that
//! is said against OCPP's own schemas.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::csms::Csms;
use crate::gateway::{ALICE, BOB, Gateway};
use crate::project::{DEADLINE, Project, wait_for};

pub const VERSIONS: [&str; 2] = ["ocpp1.6", "ocpp2.0.1"];

/// A charger at a CSMS, which has accepted it.
pub fn connected(csms: &Csms, version: &str, more: &str) -> Gateway {
    let gateway = charger(csms, version, more);
    csms.request("BootNotification");
    until_online(csms, version);
    gateway
}

/// A charger that looks for a CSMS, and sends no meter values by itself.
fn charger(csms: &Csms, version: &str, more: &str) -> Gateway {
    metering(csms, version, 0, more)
}

/// One that sends meter values after so many seconds each.
fn metering(csms: &Csms, version: &str, interval: u32, more: &str) -> Gateway {
    let port = csms.port;
    let station =
        format!("{{evses: 2, charge_point: {{configuration: {{MeterValueSampleInterval: \"{interval}\"}}}}}}");
    let file = format!(
        "chargers:\n  dep-1:\n    identity: CP-1\n    csms: ws://127.0.0.1:{port}/ocpp\n    ocpp_version: {version}\n    \
         module_id: auth_api\n    station: {station}\n{more}"
    );
    Gateway::with(Project::with(&[("chargers.yaml", &file)]), &["--chargers", "chargers.yaml"])
}

/// Every connector has told its state, and so the charge point knows that the CSMS is there.
#[track_caller]
fn until_online(csms: &Csms, version: &str) {
    for _ in 0..(if version == "ocpp1.6" { 3 } else { 2 }) {
        csms.request("StatusNotification");
    }
}

pub fn session(gateway: &Gateway, csms: &Csms, tag: &str) {
    gateway.does("start-session", json!({"id_tag": tag, "connector_id": 1}));
    csms.of_transactions(1);
    gateway.does("stop-session", json!({"connector_id": 1}));
    csms.of_transactions(1);
}

#[test]
fn a_cached_tag_is_asked_for_again_after_a_reset_only() {
    for version in VERSIONS {
        let Some(csms) = Csms::start() else { return };
        let gateway = connected(&csms, version, "");
        session(&gateway, &csms, ALICE);
        csms.request("Authorize");
        session(&gateway, &csms, ALICE);
        assert_eq!(csms.unseen("Authorize"), 0, "the cache knows it");
        assert_eq!(gateway.command("cache/reset", json!({}))["cleared_entries"], 1);
        assert_eq!(gateway.command("cache/reset", json!({}))["cleared_entries"], 0);
        session(&gateway, &csms, ALICE);
        csms.request("Authorize");
        assert_eq!(csms.status("ClearCache", json!({})), "Accepted");
        session(&gateway, &csms, ALICE);
        csms.request("Authorize");
        csms.is_content();
        let log = gateway.log("dep-1");
        let asked: Vec<_> = log.iter().filter(|(said, _)| said.ends_with(" Authorize")).collect();
        assert_eq!(asked.len(), 6, "{log:#?}");
        assert!(asked[0].0.starts_with("outgoing") && asked[1].0.starts_with("incoming"));
        assert!(log.iter().any(|(said, message)| said == "outgoing ClearCache" && message["status"] == "Accepted"));
    }
}

#[test]
fn what_the_csms_refuses_is_refused() {
    for version in VERSIONS {
        let Some(csms) = Csms::start() else { return };
        csms.set(json!({"tags": {BOB: "Blocked"}}));
        let gateway = connected(&csms, version, "");
        let mut listener = gateway.listen();
        gateway.does("start-session", json!({"id_tag": BOB}));
        csms.request("Authorize");
        listener.hears("auth_api", BOB, &["Processing", "Rejected"]);
        csms.set(json!({"refuse": ["Authorize"]}));
        gateway.does("authorize-id-tag", json!({"id_tag": ALICE}));
        listener.hears("auth_api", ALICE, &["Processing", "Rejected"]);
        csms.event("refused");
        assert_eq!(gateway.command("cache/reset", json!({}))["cleared_entries"], 1, "an error is no answer");
    }
}

#[test]
fn messages_of_transactions_wait_for_the_csms() {
    for version in VERSIONS {
        let Some(csms) = Csms::start() else { return };
        let gateway = connected(&csms, version, "");
        let mut listener = gateway.listen();
        gateway.does("start-session", json!({"id_tag": ALICE, "connector_id": 1}));
        let first = csms.of_transactions(1);
        wait_for("the answer of the CSMS", || {
            let is_it = |said: &str| said == "incoming StartTransaction" || said == "incoming TransactionEvent";
            gateway.log("dep-1").iter().any(|(said, _)| is_it(said)).then_some(())
        });
        csms.order(&json!({"do": "go"}));
        csms.event("gone");
        wait_for("the loss of the CSMS", || {
            gateway.log("dep-1").iter().any(|(said, _)| said.ends_with("Disconnected")).then_some(())
        });
        gateway.does("stop-session", json!({"connector_id": 1}));
        listener.next(3);
        gateway.does("start-session", json!({"id_tag": ALICE, "connector_id": 2}));
        listener.hears("auth_api", ALICE, &["Processing", "Accepted", "UsedToStart"]);
        gateway.does("stop-session", json!({"connector_id": 2}));
        gateway.does("start-session", json!({"id_tag": BOB, "connector_id": 2}));
        listener.hears("auth_api", BOB, &["Processing", "Rejected"]);
        csms.order(&json!({"do": "come"}));
        let later = csms.of_transactions(3);
        if version == "ocpp1.6" {
            assert_eq!(first[0][2], "StartTransaction");
            let named: Vec<_> = later.iter().map(|it| (it[2].clone(), it[3]["transactionId"].clone())).collect();
            assert_eq!(
                named,
                [
                    (json!("StopTransaction"), json!(7001)),
                    (json!("StartTransaction"), Value::Null),
                    (json!("StopTransaction"), json!(7002)),
                ]
            );
        } else {
            let all: Vec<_> = first.iter().chain(&later).map(|it| it[3].clone()).collect();
            let told: Vec<_> =
                all.iter().map(|it| (it["eventType"].clone(), it["seqNo"].clone(), it["offline"].clone())).collect();
            assert_eq!(
                told,
                [
                    (json!("Started"), json!(0), Value::Null),
                    (json!("Ended"), json!(1), json!(true)),
                    (json!("Started"), json!(0), json!(true)),
                    (json!("Ended"), json!(1), json!(true)),
                ]
            );
            assert_ne!(all[0]["transactionInfo"]["transactionId"], all[2]["transactionInfo"]["transactionId"]);
        }
        csms.is_content();
    }
}

#[test]
fn the_meter_is_told_while_a_transaction_runs() {
    for version in VERSIONS {
        let Some(csms) = Csms::start() else { return };
        let gateway = metering(&csms, version, 1, "");
        until_online(&csms, version);
        gateway.does("start-session", json!({"id_tag": ALICE, "connector_id": 1}));
        let told = csms.of_transactions(3);
        let of = |frame: &Value| match version {
            "ocpp1.6" => frame[3]["transactionId"].clone(),
            _ => frame[3]["transactionInfo"]["transactionId"].clone(),
        };
        let id = if version == "ocpp1.6" { json!(7001) } else { of(&told[0]) };
        let mut before = -1.0;
        for frame in &told[1..] {
            assert_eq!(of(frame), id, "{frame}");
            let trigger = &frame[3]["triggerReason"];
            assert!(frame[2] == "MeterValues" || trigger == "MeterValuePeriodic", "{frame}");
            let value = &frame[3]["meterValue"][0]["sampledValue"][0]["value"];
            let meter = value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap();
            assert!(meter > before, "{meter} after {before}");
            before = meter;
        }
        csms.is_content();
    }
}

/// A CSMS that says nothing of its own accord.
type Quiet = tungstenite::WebSocket<TcpStream>;

/// Takes the next connection of a charger of OCPP 1.6.
fn accepted(listener: &TcpListener) -> Quiet {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    #[allow(clippy::result_large_err, reason = "tungstenite has it so")]
    let speaks = |_: &Request, mut response: Response| {
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("ocpp1.6"));
        Ok(response)
    };
    tungstenite::accept_hdr(stream, speaks).unwrap()
}

/// Answers the charger's requests until there is another frame of its own.
fn next_frame(socket: &mut Quiet) -> Value {
    loop {
        let Message::Text(text) = socket.read().unwrap() else { continue };
        let frame: Value = serde_json::from_str(&text).unwrap();
        if frame[0] != 2 {
            return frame;
        }
        let now = "2026-11-28T08:00:00Z";
        let answer = match frame[2].as_str().unwrap() {
            "BootNotification" => json!({"currentTime": now, "interval": 300, "status": "Accepted"}),
            _ => json!({}),
        };
        let is_last = frame[2] == "StatusNotification" && frame[3]["connectorId"] == 2;
        socket.send(Message::text(json!([3, frame[1], answer]).to_string())).unwrap();
        if is_last {
            return frame;
        }
    }
}

#[test]
fn the_socket_stays_until_the_csms_has_read_the_answer_to_its_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let file = format!(
        "chargers:\n  dep-1:\n    identity: CP-1\n    csms: ws://127.0.0.1:{port}\n    station: {{evses: 2, charge_point: {{}}}}\n"
    );
    let _gateway = Gateway::with(Project::with(&[("chargers.yaml", &file)]), &["--chargers", "chargers.yaml"]);
    for is_slow in [true, false] {
        let mut socket = accepted(&listener);
        next_frame(&mut socket);
        socket.send(Message::text("[2,\"r\",\"Reset\",{\"type\":\"Hard\"}]")).unwrap();
        assert_eq!(next_frame(&mut socket), json!([3, "r", {"status": "Accepted"}]));
        if is_slow {
            // What it says is never read there, and the end of the connection comes no sooner for it.
            socket.get_mut().write_all(b"\x81\x03abc").unwrap();
            let since = Instant::now();
            // The answer to the close frame goes out with the next read, which is of the stream alone.
            let closing = socket.read().unwrap();
            assert!(closing.is_close(), "{closing:?}");
            socket.get_mut().read_to_end(&mut Vec::new()).unwrap();
            assert!(since.elapsed() >= Duration::from_millis(900), "{:?}", since.elapsed());
        } else {
            while socket.read().is_ok() {}
        }
    }
    accepted(&listener);
}

#[test]
fn pending_and_rejected_charge_points_try_again() {
    for (version, status) in [("ocpp1.6", "Pending"), ("ocpp2.0.1", "Rejected")] {
        let Some(csms) = Csms::start() else { return };
        csms.set(json!({"boot": status, "interval": 1}));
        let gateway = charger(&csms, version, "");
        csms.request("BootNotification");
        csms.request("BootNotification");
        assert_eq!(csms.unseen("StatusNotification"), 0);
        let mut listener = gateway.listen();
        gateway.does("authorize-id-tag", json!({"id_tag": ALICE}));
        listener.hears("auth_api", ALICE, &["Processing", "Rejected"]);
        csms.set(json!({"boot": "Accepted"}));
        until_online(&csms, version);
        csms.request("Heartbeat");
        csms.is_content();
    }
}

#[test]
fn the_password_must_be_right_and_is_never_shown() {
    const SECRET: &str = "correct-horse";
    for version in VERSIONS {
        let Some(csms) = Csms::start() else { return };
        csms.set(json!({"passwords": {"CP-1": "something else"}}));
        let gateway = charger(&csms, version, &format!("    csms_password: {SECRET}\n"));
        csms.event("unauthorized");
        csms.event("unauthorized");
        let log = gateway.log("dep-1");
        assert!(
            log.iter().any(|(_, message)| message["reason"].as_str().is_some_and(|why| why.contains("401"))),
            "{log:?}"
        );
        csms.set(json!({"passwords": {"CP-1": SECRET}}));
        csms.request("BootNotification");
        until_online(&csms, version);
        assert!(!format!("{:?}", gateway.log("dep-1")).contains(SECRET));
    }
}

#[test]
fn what_is_no_ocpp_does_no_harm() {
    for version in VERSIONS {
        let Some(csms) = Csms::start() else { return };
        let gateway = connected(&csms, version, "");
        let raw = |text: &str| csms.order(&json!({"do": "raw", "charger": "CP-1", "text": text}));
        let error = || {
            let frame = csms.take("a CALLERROR", |event| event["event"] == "frame" && event["frame"][0] == 4);
            (frame["frame"][1].as_str().unwrap().to_owned(), frame["frame"][2].as_str().unwrap().to_owned())
        };
        let old = version == "ocpp1.6";
        for (text, id, code) in [
            ("[2,\"g1\",\"Dance\",{}]", "g1", "NotImplemented"),
            ("[2,\"g2\",\"UpdateFirmware\",{}]", "g2", "NotSupported"),
            ("[2,\"g3\",\"Reset\",[]]", "g3", if old { "FormationViolation" } else { "FormatViolation" }),
            (
                "[2,\"g4\",\"Reset\",{}]",
                "g4",
                if old { "OccurenceConstraintViolation" } else { "OccurrenceConstraintViolation" },
            ),
            ("[2,\"g5\",\"Reset\",{\"type\":\"Gentle\"}]", "g5", "PropertyConstraintViolation"),
            (
                "[2,\"g6\",\"SendLocalList\",{\"listVersion\":\"1\",\"versionNumber\":\"1\",\"updateType\":\"Full\"}]",
                "g6",
                "TypeConstraintViolation",
            ),
        ] {
            raw(text);
            assert_eq!(error(), (id.to_owned(), code.to_owned()), "{text}");
        }
        for text in ["", "nonsense", "{}", "[", "[3,\"nobody\",{}]", "[4,\"nobody\",\"x\",\"y\",{}]", "[5,[]]", "\u{0}"]
        {
            raw(text);
        }
        raw(&"[".repeat(200_000));
        if !old {
            assert_eq!(error(), ("-1".to_owned(), "RpcFrameworkError".to_owned()));
        }
        raw("[2,\"g7\",\"Dance\",{}]");
        csms.take("the last CALLERROR", |event| event["frame"][1] == "g7");
        // More than it takes: the connection ends, and another begins.
        csms.order(&json!({"do": "raw", "charger": "CP-1", "length": 3_000_000}));
        csms.event("disconnected");
        csms.take("a new connection", |event| event["event"] == "connected");
        csms.take("a connection", |event| event["event"] == "connected");
        gateway.does("start-session", json!({"id_tag": ALICE, "connector_id": 1}));
    }
}

#[test]
fn a_message_that_the_csms_does_not_take_is_tried_again_and_the_rest_goes_on() {
    let Some(csms) = Csms::start() else { return };
    csms.set(json!({"refuse": ["StartTransaction"]}));
    let keys = "{TransactionMessageRetryInterval: \"1\", TransactionMessageAttempts: \"2\"}";
    let port = csms.port;
    let file = format!(
        "chargers:\n  dep-1:\n    identity: CP-1\n    csms: ws://127.0.0.1:{port}\n    module_id: auth_api\n    \
         station: {{evses: 1, charge_point: {{configuration: {keys}}}}}\n"
    );
    let gateway = Gateway::with(Project::with(&[("chargers.yaml", &file)]), &["--chargers", "chargers.yaml"]);
    csms.request("StatusNotification");
    csms.request("StatusNotification");
    gateway.does("start-session", json!({"id_tag": ALICE}));
    csms.request("StartTransaction");
    csms.request("StartTransaction");
    gateway.does("stop-session", json!({}));
    assert_eq!(csms.request("StopTransaction")["transactionId"], -1);
    assert_eq!(csms.unseen("StartTransaction"), 0);
}

#[test]
fn a_message_is_proxied_for_real_or_fails_with_the_reason() {
    let Some(csms) = Csms::start() else { return };
    let gateway = connected(&csms, "ocpp1.6", "");
    let event = json!({"action": "data_transfer", "ocpp_version": "ocpp1.6", "payload": {"vendorId": "Khumbu", "data": "hello"}});
    gateway.command("proxy-message", event.clone());
    assert_eq!(csms.request("DataTransfer"), event["payload"]);
    csms.order(&json!({"do": "go"}));
    csms.event("gone");
    wait_for("the loss of the CSMS", || {
        gateway.log("dep-1").iter().any(|(said, _)| said.ends_with("Disconnected")).then_some(())
    });
    let (status, body) = gateway.post("proxy-message", &json!({"target": {"charger_id": "dep-1"}, "event": event}));
    assert_eq!((status, &body["detail"][0]["msg"]), (422, &json!("the CSMS is away")), "{body}");
    csms.is_content();
}
