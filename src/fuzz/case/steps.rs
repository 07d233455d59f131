//! The inputs of a case as steps, each with what has to be seen upon it: of an EVerest what the station does, of a client what it
//! owes for certain.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Case;
use crate::fuzz::input::{Input, NOWHERE, Payload, UNKNOWN_FIELD};
use crate::fuzz::model::{Led, Model};
use crate::protocol::channel::ApiType;
use crate::protocol::control::Command;
use crate::protocol::deviations::Deviation;
use crate::protocol::schema::{Message, Schemas};
use crate::protocol::side::Side;
use crate::protocol::types::TokenValidationStatus;
use crate::protocol::wire::Wire;
use crate::scenario::written::{expected_status, flow, in_any_order};

impl Case {
    /// The steps, as lines, each with the requirement that an EVerest under test breaks which does something else.
    pub(super) fn steps(&self, within_ms: Option<u64>) -> Vec<(Option<&'static str>, String)> {
        let mut model = self.ground.model();
        let (mut steps, mut looked) = (self.beginning(), BTreeSet::new());
        let has_validator = self.ground.site.config().auth_token_validator.is_some();
        let has_entry_point = !self.ground.in_force().is_on(Deviation::NoEntryPoint);
        let within = within_ms.map_or_else(|| ANSWER_WITHIN.to_owned(), |ms| format!("{ms}ms"));
        for (number, input) in self.inputs.iter().enumerate() {
            let led = model.led(input);
            let mut step = format!("  - {}\n", input.step());
            steps.push(match self.ground.under_test {
                Side::Client => {
                    let (about, expected) = self.owed((number, input), (&model, &led), &within, &mut step).unzip();
                    // Once is enough in a case: it takes seconds.
                    let is_first = about.is_some_and(|about| model.checks && looked.insert(about));
                    let later = about.filter(|_| is_first).map(|about| owed_later(about, checked(within_ms)));
                    let later = later.unwrap_or_default();
                    (about, step + &expected.unwrap_or_default() + &later)
                }
                Side::Everest => {
                    if let Some(last) = led.request.filter(|_| takes_name(input)) {
                        let requests = step.split_inclusive('\n').rev().zip((0..=last).rev());
                        let named: Vec<_> = requests.map(|(line, number)| named(line, number)).collect();
                        step = named.into_iter().rev().collect();
                    }
                    let questions = if has_validator { led.questions.as_slice() } else { &[] };
                    let has_beacon = has_entry_point && *input == Input::RestartEverest;
                    (Some(at_stake(input, &led)), step + &expected(input, &led, (questions, has_beacon)))
                }
            });
        }
        steps.extend(self.end(&model, checked(within_ms)));
        steps
    }

    /// What a client owes upon an input for certain, and the requirement that says so; a request whose reply is meant gets a
    /// name in its step.
    fn owed(
        &self,
        (number, input): (usize, &Input),
        (model, led): (&Model, &Led),
        within: &str,
        step: &mut String,
    ) -> Option<(&'static str, String)> {
        let name = format!("question_{number}");
        match input {
            Input::AwaitNoCheck => Some(("CC-9", String::new())),
            Input::AwaitNoMoreOf(_) => Some(("TP-4", String::new())),
            // What befalls messages may befall these.
            _ if model.has_faults => None,
            Input::Publish { topic, payload } if awaits_reply(input) => {
                let json = payload.json()?;
                let (_, address) = topic.split_once('/')?;
                let asked = self.ground.api.channels().find(|channel| channel.address().ends_with(address))?;
                let is_right = Schemas::of(self.ground.in_force()).check(Message::On(asked), json).is_empty();
                let is_question = asked.is_question() && is_right;
                is_question.then(|| {
                    step.truncate(step.trim_end().len() - 1);
                    step.push_str(&format!(", as: {name}}}\n"));
                    let reply = format!("{{to: {name}, payload: $any, within: {within}}}");
                    let about = match payload {
                        Payload::Written(Wire::ExtraFields, _) => "RR-9",
                        _ if json.get(UNKNOWN_FIELD).is_some() => "RR-9",
                        Payload::Written(..) => "RR-15",
                        _ => "VA-3",
                    };
                    (about, format!("  - expect_reply: {reply}\n"))
                })
            }
            Input::Command(Command::Discover {}) => {
                let provider = self.ground.site.config().auth_token_provider.as_ref();
                let apis = provider.map(|_| [ApiType::AUTH_CONSUMER, ApiType::AUTH_TOKEN_PROVIDER])?;
                // One that waits for something else says nothing yet.
                if led.replies.len() < apis.len() {
                    return None;
                }
                let reply =
                    |api: ApiType| format!("      - expect_reply: {{payload: {{apis: [{{type: {}}}]}}}}\n", api.name());
                Some(("DI-6", format!("{DISCOVERED}  - any_order:\n{}", apis.map(reply).concat())))
            }
            Input::Command(Command::Withdraw(_)) => {
                let result = model.chosen_reply.as_ref()?.payload.as_ref()?.as_str()?;
                let about = match result {
                    "Accepted" => "WD-17",
                    "Rejected" => "WD-13",
                    "AuthorizationNotFound" | "EvseNotFound" => "WD-19",
                    _ => return None,
                };
                Some((about, format!("  - expect_reply: {result}\n")))
            }
            _ => None,
        }
    }

    pub(super) fn beginning(&self) -> Vec<(Option<&'static str>, String)> {
        let config = self.ground.site.config();
        if self.ground.under_test == Side::Client {
            // Who checks no more has done so.
            return vec![(None, CHECKED.to_owned())];
        }
        // A module that has not said so may not listen yet.
        let modules = [
            (config.auth_token_provider.is_some(), ApiType::AUTH_TOKEN_PROVIDER),
            (config.auth_token_validator.is_some(), ApiType::AUTH_TOKEN_VALIDATOR),
        ];
        let is_there = modules.into_iter().filter(|(is_there, _)| *is_there);
        is_there.map(|(_, api)| (None, format!("  - expect: {{message: heartbeat, api: {}}}\n", api.name()))).collect()
    }

    fn end(&self, model: &Model, checked: &str) -> Vec<(Option<&'static str>, String)> {
        let mut steps = Vec::new();
        match self.ground.under_test {
            Side::Client => {
                if model.has_faults {
                    steps.push((None, "  - lift_faults\n".to_owned()));
                }
                if !model.checks {
                    steps.push((None, "  - communication_check: true\n".to_owned()));
                }
                steps.push((None, checked.to_owned()));
            }
            Side::Everest if self.ground.site.is_slow() => {
                steps.push((None, "  - note: What has not run out yet is nobody's affair.\n".to_owned()));
            }
            Side::Everest => {
                let none = format!("  - expect_none: {{message: token_validation_status, for: {END}}}\n");
                steps.push((Some("TV-16"), none));
            }
        }
        steps
    }
}

/// How long an EVerest under test says nothing more when all is done.
const END: &str = "250ms";
/// A client has done something since.
const CHECKED: &str = "  - expect: {message: communication_check, payload: true}\n";
/// The same where messages are not waited for so long: no client need check as often as that.
const CHECKED_IN_HASTE: &str = "  - expect: {message: communication_check, payload: true, within: 3s}\n";
/// A client has asked for all modules.
const DISCOVERED: &str = "  - expect: {topic: \"{external_prefix}everest_api/discover\"}\n";
/// Another module takes its time to say what it is.
const LATE_REPLY: &str = "  - publish: {topic: \"{reply_to}\", qos: 2, payload: {apis: [{type: butler, module_id: butler_1, version: 1}]}}\n";
/// How long no reply comes to a request that gets none yet, or none at all.
const NO_REPLY: &str = "20ms";
/// As long as EVerest waits for an answer, and a little longer.
const ANSWER_WITHIN: &str = "11s";

fn checked(within_ms: Option<u64>) -> &'static str {
    if within_ms.is_some() { CHECKED_IN_HASTE } else { CHECKED }
}

/// What else a client does that has taken what a requirement is about.
fn owed_later(about: &str, checked: &str) -> String {
    match about {
        "DI-6" => [checked, LATE_REPLY].concat(),
        // Whether it waits for a status besides takes longer to see.
        "WD-17" => checked.repeat(2),
        "WD-13" | "WD-19" => checked.to_owned(),
        _ => String::new(),
    }
}

/// A request with a name, by which its reply is told from others.
fn named(line: &str, number: usize) -> String {
    let line = line.trim_end();
    let line = line.strip_suffix('}').unwrap_or(line);
    let comma = if line.ends_with('{') { "" } else { ", " };
    format!("{line}{comma}as: request_{number}}}\n")
}

/// Whether a request may have a name, so that its reply is told from others.
fn takes_name(input: &Input) -> bool {
    match input {
        Input::Publish { .. } => awaits_reply(input),
        Input::WithdrawTwice(_) => true,
        Input::Command(command) => {
            matches!(command, Command::Withdraw(_) | Command::GetStatus {} | Command::Discover {})
        }
        _ => false,
    }
}

/// The requirement that an EVerest breaks which does something else than this upon an input.
pub fn at_stake(input: &Input, led: &Led) -> &'static str {
    use TokenValidationStatus::{TimedOut, UsedToReauthorize, UsedToStart, UsedToStop};
    let has = |wanted: &[TokenValidationStatus]| led.statuses.iter().any(|(_, status)| wanted.contains(&status.status));
    let named = match input {
        Input::Command(Command::Withdraw(request)) => Some((request.evse_id.is_some(), request.id_token.is_some())),
        Input::Publish { payload, .. } => payload.json().map(|json| {
            let has = |at| json.pointer(at).is_some();
            (has("/payload/evse_id"), has("/payload/id_token"))
        }),
        _ => None,
    };
    if matches!(input, Input::WithdrawTwice(_)) {
        return "RR-12";
    }
    match (input, led.replies.first().map(|(_, reply)| reply), named) {
        _ if input.asks_nowhere() => return "LV-4",
        (Input::Command(Command::Discover {}), ..) => return "DI-1",
        (Input::Command(Command::QueryModules(_)), Some(_), _) => return "DI-2",
        (Input::Command(Command::QueryModules(_)), None, _) => return "DI-3",
        (Input::AwaitTimeout, Some(_), _) => return "WD-11",
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
        Input::PresentToken(_) if has(&[UsedToReauthorize]) => "TV-12",
        Input::PresentToken(_) if has(&[UsedToStop]) => "TV-7",
        Input::PresentToken(_) => "TV-4",
        Input::AwaitTimeout if has(&[TimedOut]) => "TV-9",
        Input::AwaitTimeout if has(&[TokenValidationStatus::Accepted]) => "TV-5",
        Input::AwaitTimeout => "VA-6",
        Input::AwaitHeartbeat => "HB-4",
        Input::AwaitNoHeartbeat => "HB-5",
        Input::RestartEverest => "DI-5",
        Input::Command(Command::GetStatus {}) => "LV-3",
        Input::Command(Command::Withdraw(_)) => "WD-11",
        Input::Command(Command::CommunicationCheck(_)) => "CC-5",
        Input::Command(Command::UpdateVerdict(_)) => "VA-9",
        Input::Publish { topic, .. } if topic == "{reply_to}" => "VA-7",
        Input::Publish { topic, .. } if topic.starts_with("{provider}") => "TP-5",
        Input::Publish { .. } => "RR-10",
        _ if has(&[UsedToStart]) => "TV-13",
        _ => "TV-16",
    }
}

/// What an EVerest has to say then.
fn expected(input: &Input, led: &Led, (questions, has_beacon): (&[Value], bool)) -> String {
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in &led.statuses {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let answer = |(number, reply): &(usize, Value)| match input {
        Input::Command(Command::QueryModules(_)) => format!("expect_reply: {{payload: {}}}", flow(reply)),
        _ => format!("expect_reply: {{to: request_{number}, payload: {}}}", flow(reply)),
    };
    // The reply to the first comes before anything that the second leads to.
    let (first, replies) = match led.replies.split_first() {
        Some((first, others)) if matches!(input, Input::WithdrawTwice(_)) => {
            (format!("  - {}\n", answer(first)), others)
        }
        _ => (String::new(), led.replies.as_slice()),
    };
    let mut steps = Vec::new();
    if has_beacon {
        steps.push("expect: {message: ready_beacon}".to_owned());
    }
    // One after the other, as nothing else comes.
    let is_alone = names.len() == 1 && replies.is_empty() && questions.is_empty();
    for name in names {
        let of_it: Vec<_> =
            led.statuses.iter().filter(|(other, _)| other == name).map(|(_, status)| status.as_ref()).collect();
        if is_alone {
            steps.extend(of_it.iter().map(|status| expected_status(name, &[status], None)));
        } else {
            steps.push(expected_status(name, &of_it, None));
        }
    }
    let asked = |asked: &Value| format!("expect: {{message: validate_token, payload: {}}}", flow(asked));
    steps.extend(questions.iter().map(asked));
    steps.extend(replies.iter().map(answer));
    let is_put_off = led.request.is_some() && led.replies.is_empty() && takes_name(input) && awaits_reply(input);
    let mut none = led.request.filter(|_| is_put_off).map_or_else(String::new, |number| {
        format!("  - expect_none: {{message: reply, to: request_{number}, for: {NO_REPLY}}}\n")
    });
    if input.asks_nowhere() {
        let topic = format!("{{external_prefix}}{NOWHERE}");
        none.push_str(&format!("  - expect_none: {{topic: \"{topic}\", for: {NO_REPLY}}}\n"));
    }
    let lines: String = match is_alone {
        true => steps.iter().map(|step| format!("  - {step}\n")).collect(),
        false => in_any_order(&steps),
    };
    first + &lines + &none
}

/// Whether somebody listens for the reply to a request.
pub(super) fn awaits_reply(input: &Input) -> bool {
    match input {
        // What is broken is taken for a request by some.
        Input::Publish { payload: Payload::Text(text), .. } => text.contains("{reply}"),
        Input::Publish { payload, .. } => {
            let topic = payload.json().and_then(|json| json.pointer("/headers/replyTo"));
            topic.is_some_and(|topic| topic == "{reply}")
        }
        Input::Command(_) | Input::WithdrawTwice(_) => true,
        _ => false,
    }
}
