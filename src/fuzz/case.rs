//! A case, and the scenario that plays it.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::input::{Input, Payload, flow};
use super::model::{Led, Model};
use crate::protocol::channel::ApiType;
use crate::protocol::control::Command;
use crate::protocol::deviations::Deviations;
use crate::protocol::schema::{Message, Schemas};
use crate::protocol::side::Side;
use crate::protocol::types::TokenValidationStatus;
use crate::protocol::wire::Wire;
use crate::scenario;
use crate::station::config::StationConfig;

/// The tokens and EVSEs of every case: known and unknown ones, of one group, differently cased.
const STATION: &str = "\
evses: 2
auth: {connection_timeout: 60s}
tokens:
  ALICE: {value: \"04A2F3B1\", type: ISO14443}
  ALICE_IN_LOWER_CASE: {value: \"04a2f3b1\", type: ISO14443}
  BOB: {value: \"0B0B0B0B\", type: KeyCode, parent_id_token: {value: \"FAMILY\", type: Central}}
  CAROL: {value: \"0C0C0C0C\", type: ISO14443, parent_id_token: {value: \"FAMILY\", type: Central}}
  MALLORY: {value: \"0BADBAD0\", type: ISO14443, verdict: Invalid}
";

/// What a case stands on.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The side of the module under test.
    pub under_test: Side,
    /// The API that it uses, or through which it is tested.
    pub api: ApiType,
    /// How khumbu writes its messages.
    pub wire: Wire,
}

/// What is done, and on what ground.
#[derive(Debug, Clone)]
pub struct Case {
    /// The ground.
    pub ground: Ground,
    /// What is done, in order.
    pub inputs: Vec<Input>,
}

impl Ground {
    /// A ground in EVerest's own form.
    pub fn new(under_test: Side, api: ApiType) -> Self {
        Self { under_test, api, wire: Wire::Everest }
    }

    /// The station that stands there.
    pub fn model(&self) -> Model {
        static STATION_CONFIG: OnceLock<Arc<StationConfig>> = OnceLock::new();
        let read = || Arc::new(scenario::parse_station("station", STATION).expect("a test reads it"));
        Model::new(self.under_test, self.api, STATION_CONFIG.get_or_init(read).clone())
    }

    /// What is right there.
    pub fn in_force(&self) -> Deviations {
        Deviations::default()
    }
}

impl Case {
    /// Whether every input is possible after those before it.
    pub fn is_possible(&self) -> bool {
        let mut model = self.ground.model();
        self.inputs.iter().all(|input| {
            let is_possible = model.is_possible(input);
            model.led(input);
            is_possible
        })
    }

    /// The same with less in one of its messages, each; none strays further from the shape that is described.
    pub fn simpler(&self) -> Vec<Self> {
        let schemas = Schemas::of(self.ground.in_force());
        let faults = |input: &Input| match input {
            Input::Publish { topic, payload: Payload::Json(value) } => {
                let channel = self.ground.api.channels().find(|channel| {
                    let (_, rest) = channel.address().split_once('/').unwrap_or_default();
                    topic.split_once('/').is_some_and(|(_, it)| it == rest)
                });
                channel.map_or(0, |channel| schemas.check(Message::On(channel), value).len())
            }
            _ => 0,
        };
        let mut cases = Vec::new();
        for (at, input) in self.inputs.iter().enumerate() {
            let before = faults(input);
            for simpler in input.simpler().into_iter().filter(|simpler| faults(simpler) <= before) {
                let mut case = self.clone();
                case.inputs[at] = simpler;
                cases.push(case);
            }
        }
        cases
    }

    /// The scenario that plays it: `comment` stands before it, it says what it shows in `description`, and it is about a
    /// requirement, or about what the module owes whatever happens.
    pub fn scenario(&self, description: &str, requirement: Option<&str>, comment: &str) -> String {
        let Ground { under_test, api, wire } = &self.ground;
        let mut text: String = comment.lines().map(|line| format!("# {line}\n")).collect();
        text.push_str(&format!("description: {}\n", flow(&description.into())));
        let (side, owed) = match under_test {
            Side::Client => ("client", "CC-8"),
            Side::Everest => ("everest", "TV-1"),
        };
        let requirement = requirement.unwrap_or(owed);
        let steps = self.steps();
        let about = steps.iter().filter_map(|(about, _)| *about).filter(|id| *id != requirement);
        let all: BTreeSet<_> = about.collect();
        let all: Vec<_> = std::iter::once(requirement).chain(all).collect();
        text.push_str(&format!("requirements: [{}]\nunder_test: {side}\n", all.join(", ")));
        if *under_test == Side::Client {
            text.push_str(&format!("api: {}\n", api.name()));
        }
        if *wire != Wire::Everest {
            text.push_str(&format!("wire: {}\n", wire.name()));
        }
        text.push_str("station:\n");
        text.extend(STATION.lines().map(|line| format!("  {line}\n")));
        text.push_str("steps:\n");
        let mut last = None;
        for (about, step) in steps {
            if let Some(about) = about.filter(|about| last.replace(*about) != Some(*about)) {
                text.push_str(&format!("  - about: {about}\n"));
            }
            text.push_str(&step);
        }
        text
    }

    /// The steps, as lines, each with the requirement that an EVerest under test breaks which does something else.
    fn steps(&self) -> Vec<(Option<&'static str>, String)> {
        let mut model = self.ground.model();
        let mut steps = Vec::new();
        for (number, input) in self.inputs.iter().enumerate() {
            let (mut step, led) = (format!("  - {}\n", input.step()), model.led(input));
            steps.push(match self.ground.under_test {
                Side::Client => (None, step),
                Side::Everest => {
                    let mut to = String::new();
                    if led.reply.is_some() && matches!(input, Input::Publish { .. }) {
                        step = step.replace("}\n", &format!(", as: request_{number}}}\n"));
                        to = format!("to: request_{number}, ");
                    }
                    (Some(about(input, &led)), step + &expected(&led.statuses, led.reply.as_ref(), &to))
                }
            });
        }
        steps.push(match self.ground.under_test {
            Side::Client => (None, "  - expect: {message: communication_check, payload: true}\n".to_owned()),
            Side::Everest => {
                (Some("TV-16"), "  - expect_none: {message: token_validation_status, for: 50ms}\n".to_owned())
            }
        });
        steps
    }
}

/// The requirement that an EVerest breaks which does something else than this upon an input.
fn about(input: &Input, led: &Led) -> &'static str {
    use TokenValidationStatus::{UsedToReauthorize, UsedToStart, UsedToStop};
    let has = |wanted: &[TokenValidationStatus]| led.statuses.iter().any(|(_, status)| wanted.contains(status));
    let named = match input {
        Input::Command(Command::Withdraw(request)) => Some((request.evse_id.is_some(), request.id_token.is_some())),
        Input::Publish { payload: Payload::Json(json), .. } => {
            let has = |at| json.pointer(at).is_some();
            Some((has("/payload/evse_id"), has("/payload/id_token")))
        }
        _ => None,
    };
    match (input, &led.reply, named) {
        (_, Some(Value::Object(_)), _) => return "LV-2",
        (_, Some(Value::String(result)), Some((evse, token))) => {
            return match (evse, token, result.as_str()) {
                (_, _, "EvseNotFound") => "WD-1",
                (true, true, _) => "WD-5",
                (false, true, _) => "WD-6",
                (false, false, _) => "WD-7",
                (true, false, "AuthorizationNotFound") => "WD-3",
                (true, false, _) if led.statuses.is_empty() => "WD-4",
                (true, false, _) => "WD-2",
            };
        }
        (_, Some(_), _) => return "LV-1",
        _ => {}
    }
    match input {
        Input::PresentToken(_) if led.statuses.is_empty() => "TV-8",
        Input::PresentToken(_) if has(&[UsedToStop, UsedToReauthorize]) => "TV-7",
        Input::PresentToken(_) => "TV-4",
        Input::Publish { .. } => "RR-10",
        _ if has(&[UsedToStart]) => "TV-13",
        _ => "TV-16",
    }
}

/// What an EVerest has to say then.
fn expected(statuses: &[(String, TokenValidationStatus)], reply: Option<&Value>, to: &str) -> String {
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in statuses {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let of = |name: &String| {
        let words: Vec<_> =
            statuses.iter().filter(|(other, _)| other == name).map(|(_, status)| format!("{status:?}")).collect();
        format!("expect_status: {{token: {name}, sequence: [{}]}}", words.join(", "))
    };
    let mut steps: Vec<_> = names.into_iter().map(of).collect();
    steps.extend(reply.map(|reply| format!("expect_reply: {{{to}payload: {}}}", flow(reply))));
    match steps.as_slice() {
        [] => String::new(),
        [step] => format!("  - {step}\n"),
        steps => {
            let lines = steps.iter().map(|step| format!("      - {step}\n"));
            format!("  - any_order:\n{}", lines.collect::<String>())
        }
    }
}
