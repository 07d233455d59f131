//! A CSMS that nobody here wrote (`fixtures/csms.py`): what it is told, and what it says of its charge points.

use std::cell::RefCell;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use serde_json::{Value, json};

use crate::clients;
use crate::project::{DEADLINE, fixture};
use crate::sim::lines;

/// A CSMS that runs.
pub struct Csms {
    child: Child,
    stdin: RefCell<ChildStdin>,
    events: Receiver<String>,
    /// Events that nobody has asked for yet.
    seen: RefCell<Vec<Value>>,
    pub port: u64,
}

impl Csms {
    pub fn start() -> Option<Self> {
        let mut command = Command::new(clients::csms()?);
        let mut child = command.arg(fixture("csms.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let events = lines(child.stdout.take().unwrap());
        let stdin = RefCell::new(child.stdin.take().unwrap());
        let mut csms = Self { child, stdin, events, seen: RefCell::default(), port: 0 };
        csms.port = csms.event("listening")["port"].as_u64().unwrap();
        Some(csms)
    }

    pub fn order(&self, order: &Value) {
        writeln!(self.stdin.borrow_mut(), "{order}").unwrap();
    }

    pub fn set(&self, settings: Value) {
        self.order(&json!({"do": "set", "settings": settings}));
        self.event("set");
    }

    /// Takes the first event that suits, now or as soon as it comes.
    #[track_caller]
    pub fn take(&self, what: &str, suits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + DEADLINE;
        loop {
            let mut seen = self.seen.borrow_mut();
            if let Some(position) = seen.iter().position(&suits) {
                return seen.remove(position);
            }
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => seen.push(serde_json::from_str(&line).unwrap()),
                Err(_) => panic!("no {what}; seen {seen:#?}"),
            }
        }
    }

    #[track_caller]
    pub fn event(&self, name: &str) -> Value {
        self.take(name, |event| event["event"] == name)
    }

    /// The payload of the next request of the charge point with this action.
    #[track_caller]
    pub fn request(&self, action: &str) -> Value {
        let is_it = |event: &Value| event["event"] == "frame" && event["frame"][2] == action;
        self.take(action, is_it)["frame"][3].clone()
    }

    /// The next requests about transactions, in their order.
    #[track_caller]
    pub fn of_transactions(&self, count: usize) -> Vec<Value> {
        let is_it = |event: &Value| {
            ["StartTransaction", "MeterValues", "StopTransaction", "TransactionEvent"]
                .iter()
                .any(|action| event["frame"][2] == *action)
        };
        (0..count).map(|_| self.take("a message of a transaction", is_it)["frame"].clone()).collect()
    }

    /// Sends a request to the charge point; its answer.
    #[track_caller]
    pub fn ask(&self, action: &str, payload: Value) -> Value {
        self.order(&json!({"do": "ask", "charger": "CP-1", "action": action, "payload": payload}));
        let answer = self.take(action, |event| {
            (event["event"] == "answer" || event["event"] == "error") && event["action"] == action
        });
        assert_eq!(answer["event"], "answer", "{answer}");
        answer["payload"].clone()
    }

    #[track_caller]
    pub fn status(&self, action: &str, payload: Value) -> String {
        self.ask(action, payload)["status"].as_str().unwrap().to_owned()
    }

    /// How many requests of this kind came so far and were not looked at.
    pub fn unseen(&self, action: &str) -> usize {
        let mut seen = self.seen.borrow_mut();
        seen.extend(self.events.try_iter().map(|line| serde_json::from_str(&line).unwrap()));
        seen.iter().filter(|event| event["event"] == "frame" && event["frame"][2] == action).count()
    }

    /// Nothing that came was wrong by OCPP's schemas.
    #[track_caller]
    pub fn is_content(&self) {
        let _ = self.unseen("");
        let refused: Vec<_> = self.seen.borrow().iter().filter(|event| event["event"] == "refused").cloned().collect();
        assert!(refused.is_empty(), "{refused:#?}");
    }
}

impl Drop for Csms {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
