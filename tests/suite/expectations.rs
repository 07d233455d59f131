//! What an expectation means: which messages count for it, and what is said of the one that nearly did.

use std::fmt::Write as _;

use crate::project::Project;

const ALICE: &str = "station: {evses: 2, auth: {selection_algorithm: PlugEvents, connection_timeout: 1s}, tokens: {\
                     ALICE: {value: \"04A2F3B1\", type: ISO14443}, BOB: {value: \"B0B\", type: ISO14443, verdict: Invalid, \
                     verdict_after: 5ms}}}";

/// Presentations in a row: their statuses come as fast as EVerest makes them, before and after the last of them.
const IN_A_ROW: [(&str, &str); 5] = [
    (
        "a swipe begins an attempt, more of them are ignored",
        "  - repeat: {times: 4, steps: [present_token: ALICE]}
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, TimedOut]}
",
    ),
    (
        "each of two attempts is refused",
        "  - present_token: BOB
  - expect_none: {message: heartbeat, payload: 99, for: 50ms}
  - present_token: BOB
  - expect_status: {token: BOB, sequence: [Processing, Rejected]}
  - expect_status: {token: BOB, sequence: [Processing, Rejected]}
  - expect_none: {message: token_validation_status, for: 20ms}
",
    ),
    (
        "the second swipe stops what the first has started",
        "  - plug_in: {evse: 1}
  - present_token: ALICE
  - start_transaction: {evse: 1}
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart, Processing, UsedToStop]}
",
    ),
    (
        "two tokens in turn",
        "  - present_token: ALICE
  - present_token: BOB
  - any_order:
      - expect_status: {token: BOB, sequence: [Processing, Rejected]}
      - expect_status: {token: ALICE, sequence: [Processing, Accepted]}
  - present_token: ALICE
  - present_token: BOB
  - any_order:
      - expect_status: {token: BOB, sequence: [Processing, Rejected]}
      - expect_status: {token: ALICE, sequence: [TimedOut]}
",
    ),
    (
        "what was expected before is over",
        "  - present_token: BOB
  - expect_status: {token: BOB, status: Processing}
  - expect: {message: token_validation_status, payload: {status: Rejected}}
  - present_token: BOB
  - expect_status: {token: BOB, sequence: [Processing, Rejected]}
",
    ),
];

#[test]
fn the_same_token_in_a_row_is_judged_alike_each_time() {
    let project = Project::new();
    for (number, (description, steps)) in IN_A_ROW.iter().enumerate() {
        // Khumbu's own station calls it a mistake of the scenario if it has no use for a swipe.
        let is_ignored = [0, 3].contains(&number);
        for side in ["client", "everest"].into_iter().filter(|side| !is_ignored || *side == "everest") {
            // Several of each, at once, so that they are in each other's way.
            for copy in 0..8 {
                let text = format!("description: {description}\nunder_test: {side}\n{ALICE}\nsteps:\n{steps}");
                project.write(&format!("all/{side}_{number}_{copy}.yaml"), &text);
            }
        }
    }
    project.play(&["all"]).fails_with(&[]).exits(0);
}

#[test]
fn a_reply_to_what_the_module_asks_by_itself_is_no_affair_of_the_scenario() {
    const UNANSWERED: &str = "\
description: Nobody answers a query of the scenario; the module's own requests are answered.
under_test: client
steps:
  - query_modules: auth_butler
  - expect_none: {message: reply, for: 300ms}
";
    // What it asks by itself goes out with what it was told to ask, so that its reply comes while silence is demanded; its
    // topic is the same each time, or another.
    const ASKER: &str = "
import sys
from consumer import Consumer, arguments
class Asker(Consumer):
    def on_command(self, name, value):
        super().on_command(name, value)
        self.request('token_validation_status/get', {})
    def reply_topic(self, operation):
        return f'{self.path}/e2m/mine' if sys.argv[1] == 'one' else super().reply_topic(operation)
Asker(arguments('').parse_args([])).run()
";
    let Some(python) = crate::clients::python() else { return };
    let answered = UNANSWERED.replace("query_modules: auth_butler", "withdraw: {evse_id: 7}");
    let project = Project::with(&[("none.yaml", UNANSWERED), ("one.yaml", &answered), ("asker.py", ASKER)]);
    let module = |topics: &str| format!("{} asker.py {topics}", python.display());
    project.play(&["none.yaml", "--module", &module("many")]).fails_with(&[]).exits(0);
    // The scenario's own request is answered, and that is what it forbids.
    project.play(&["one.yaml", "--module", &module("many")]).fails_with(&["scenario/contradicted"]).exits(3);
}

#[test]
fn an_expectation_may_look_at_what_the_step_before_has_had_the_module_send() {
    let scenario = |steps: &str| {
        format!(
            "description: x\nunder_test: client\napi: auth_token_provider\nwithin: 200ms\nstation: {{tokens: {{ALICE: \
             {{value: \"04A2F3B1\", type: ISO14443}}}}}}\nsteps:\n  - present_token: ALICE\n{steps}"
        )
    };
    let looks = "  - expect: {message: provided_token, payload: {id_token: {type: ISO14443}}, qos: 1}\n";
    let other = "  - expect: {message: provided_token, payload: {id_token: {type: Central}}}\n";
    let again = [looks, looks].concat();
    let later = format!("  - plug_in: {{evse: 1}}\n{looks}");
    let project = Project::new();
    for (name, steps) in [("looks", looks), ("other", other), ("again", &again), ("later", &later)] {
        project.write(&format!("{name}.yaml"), &scenario(steps));
    }
    project.play(&["looks.yaml"]).fails_with(&[]).exits(0);
    let other = project.play(&["other.yaml"]).fails_with(&["expect/missing"]).exits(1);
    other.says("nearest: …/m2e/provided_token").says("but `id_token.type` is `ISO14443`, expected `Central`");
    project.play(&["again.yaml"]).fails_with(&["expect/missing"]).says("but it has met the step in line 8");
    project.play(&["later.yaml"]).fails_with(&["expect/missing"]).says("but it has met the step in line 7");
}

#[test]
fn a_failed_expectation_shows_the_nearest_message_and_what_differs() {
    let cases = [
        (
            "withdraw: {as: one}",
            "expect: {message: reply, payload: Accepted}",
            &[
                "nearest: …/e2m/withdraw_authorization/",
                "but the payload is `AuthorizationNotFound`, expected `Accepted`",
            ][..],
        ),
        (
            "note: x",
            "expect: {message: heartbeat, payload: 9, qos: 0}",
            &["nearest: …/e2m/heartbeat", "but it was sent at QoS", "but the payload is `"],
        ),
        (
            "withdraw: {}",
            "expect: {topic: \"{e2m}/heartbeat\", retain: true}",
            &["but its retain flag is false, expected true"],
        ),
    ];
    let mut text = String::new();
    let project = Project::new();
    for (number, (stimulus, expected, says)) in cases.iter().enumerate() {
        let steps = format!("steps:\n  - expect: {{message: heartbeat}}\n  - {stimulus}\n  - {expected}\n");
        project
            .write(&format!("{number}.yaml"), &format!("description: x\nunder_test: everest\nwithin: 300ms\n{steps}"));
        let ran = project.play(&[&format!("{number}.yaml")]).fails_with(&["expect/missing"]).exits(1);
        for part in says.iter().filter(|part| !ran.stderr.contains(**part)) {
            writeln!(text, "{expected}: no `{part}` in\n{}", ran.stderr).unwrap();
        }
    }
    assert!(text.is_empty(), "{text}");
}
