//! Bodies of the gateway's commands, and what a charge point makes of them.

use std::time::Duration;

use khumbu::gateway::commands::{self, Work};
use khumbu::scenario;
use khumbu::station::{Input, Station};
use serde_json::{Value, json};

const STATION: &str = "evses: 2\ncharge_point: {}\ntokens: {A: {value: A, type: ISO14443}}\n";

pub fn run(bytes: &[u8]) {
    let body: Option<Value> = serde_json::from_slice(bytes).ok();
    let config = scenario::parse_station("station.yaml", STATION).expect("it is valid");
    let mut station = Station::new(&config);
    let mut now = Duration::from_secs(1_790_000_000);
    station.apply(now, Input::Ready);
    for command in commands::all() {
        match command.asked(bytes) {
            Ok(asked) => {
                let body = body.as_ref().expect("what was understood is JSON");
                assert_eq!(&asked.target, &body["target"]);
                assert!(asked.event == body["event"] || body.get("event").is_none() && asked.event == json!({}));
                if let Work::Queue(request) | Work::Ask(request, _) = asked.work {
                    // Refused or not: it has an answer, and the station goes on.
                    let _ = station.request(now, request);
                    now += Duration::from_secs(1);
                    station.apply(now, Input::Deadline);
                }
            }
            Err(fault) => {
                assert!(!fault.msg.is_empty() && fault.msg.chars().count() <= 301, "{fault:?}");
                let loc = json!(fault.loc);
                assert_eq!(loc[0], "body", "{loc}");
                // All but the last step of the way is there.
                if let Some(body) = &body {
                    let steps = loc.as_array().expect("it is a list");
                    let mut at = Some(body);
                    for step in steps[1..].iter().rev().skip(1).rev() {
                        at = at.and_then(|at| match step {
                            Value::String(name) => at.get(name),
                            index => at.get(index.as_u64().expect("an index") as usize),
                        });
                        assert!(at.is_some(), "{loc} is no way into {body}");
                    }
                }
            }
        }
    }
    let deadline = station.next_deadline();
    assert!(deadline.is_none_or(|at| at > now), "{deadline:?} has passed");
}
