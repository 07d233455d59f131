//! Token providers and token validators: as modules under test, and played by khumbu beside an EVerest under test.

use crate::clients;
use crate::project::{Project, WITHDRAW, python_module};

const PROVIDER: &str = "\
description: A provider hands in a token.
under_test: client
api: auth_token_provider
within: 2s
station:
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
";

const VALIDATOR: &str = "\
description: A validator answers.
under_test: client
api: auth_token_validator
within: 2s
station:
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443, verdict: Blocked}
steps:
  - present_token: ALICE
  - expect: {message: validate_token, payload: {payload: {id_token: {value: \"04A2F3B1\"}}}}
  - expect_reply: {to: ALICE, payload: {authorization_status: Blocked}}
  - expect_status: {token: ALICE, sequence: [Processing, Rejected]}
";

const EVEREST: &str = "\
description: Tokens come from a provider, and a validator is asked about them.
under_test: everest
station:
  auth_token_provider: {module_id: reader}
  auth_token_validator: {module_id: backend}
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - any_order:
      - expect: {message: heartbeat, api: auth_token_provider, payload: 0}
      - expect: {message: heartbeat, api: auth_token_validator, payload: 0}
      - expect: {message: heartbeat, payload: 0}
      - expect: {message: communication_check, api: auth_token_provider, payload: true}
      - expect: {message: communication_check, api: auth_token_validator, payload: true}
  - present_token: ALICE
  - expect: {topic: \"{provider}/m2e/provided_token\", payload: {authorization_type: RFID}}
  - expect: {topic: \"{validator}/e2m/validate_token\", payload: {payload: {authorization_type: RFID}}}
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
  - expect_none: {message: reply, for: 50ms}
";

#[test]
fn versions_and_prefixes_reach_the_topics_of_all_apis() {
    let project = Project::with(&[("provider", PROVIDER), ("validator", VALIDATOR), ("everest", EVEREST)]);
    let mut modules: Vec<_> = ["provider", "validator", "everest"].map(|name| (name, "builtin".to_owned())).into();
    for (scenario, file) in
        [("provider", "token_reader.py"), ("validator", "token_validator.py"), ("everest", "everest.py")]
    {
        modules.extend(python_module(file).map(|command| (scenario, command)));
    }
    for (scenario, module) in modules {
        for arguments in [
            // With a release beside it, the version is a name like the others.
            &["--api-version", "1.0", "--release", "main"][..],
            &["--external-prefix", "plant7/", "--module-id", "c"],
            &["--module-id", "d"],
        ] {
            let ran = project.play(&[&[scenario, "--module", &module], arguments].concat());
            assert_eq!(ran.status.code(), Some(0), "{module} {arguments:?}\n{}", ran.stderr);
        }
    }
}

#[test]
fn a_module_learns_which_api_it_is_for() {
    let project = Project::with(&[("p.yaml", VALIDATOR)]);
    let module = "sh -c 'echo \"arguments $*\"; env' sh {api}";
    let report = project.play(&["p.yaml", "--module", module]).exits(3).report();
    let output = report["scenarios"][0]["output"].as_array().unwrap().clone();
    let has = |wanted: &str| assert!(output.iter().any(|line| line == wanted), "no `{wanted}` in {output:#?}");
    has("arguments auth_token_validator");
    has("KHUMBU_API=auth_token_validator");
    let station = output.iter().find_map(|line| line.as_str()?.strip_prefix("KHUMBU_STATION=")).unwrap();
    let station: serde_json::Value = serde_json::from_str(station).unwrap();
    assert_eq!(station["tokens"]["ALICE"]["token"]["id_token"]["value"], "04A2F3B1");
    assert_eq!(station["tokens"]["ALICE"]["validation"]["authorization_status"], "Blocked");
    assert_eq!(station["auth_token_validator"]["cfg_request_reply_to_s"], 550);
}

/// Subscribes to nothing, listens to nobody, and hands in the same card again and again.
const MUTE: &str = "
import json, os, time
import paho.mqtt.client as mqtt
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.connect('127.0.0.1', int(os.environ['MQTT_SERVER_PORT']))
client.loop_start()
topic = f\"everest_api/1/auth_token_provider/{os.environ['KHUMBU_MODULE_ID']}/m2e/provided_token\"
card = {'id_token': {'value': '04A2F3B1', 'type': 'ISO14443'}, 'authorization_type': 'RFID'}
while True:
    time.sleep(FIRST)
    client.publish(topic, json.dumps(card), qos=1)
    time.sleep(60)
";

#[test]
fn a_reader_that_only_speaks_is_ready_and_presents_by_itself() {
    let Some(python) = clients::python() else { return };
    let command = format!("{} mute.py", python.display());
    let project = Project::with(&[("p.yaml", PROVIDER), ("mute.py", &MUTE.replace("FIRST", "1.5"))]);
    project.play(&["p.yaml", "--module", &command]).exits(3).fails_with(&["module/not-drivable"]);
    project.write("khumbu.yaml", "module: {bindings: {present_token: {by_itself: 5s}}}\n");
    project.play(&["p.yaml", "--module", &command]).exits(0);
    // One that never presents anything was never told to either.
    project.write("mute.py", &MUTE.replace("FIRST", "30"));
    project.play(&["p.yaml", "--module", &command]).exits(3).fails_with(&["module/not-drivable"]);
}

#[test]
fn what_everest_makes_of_a_modules_message_is_the_modules_affair() {
    let Some(module) = python_module("misbehaving.py") else { return };
    let wrong = format!("{module} --side validator --behaviour verdict-wrong");
    let scenario = VALIDATOR.replace("verdict: Blocked", "verdict: Accepted").replace("Rejected", "Accepted");
    let scenario: String =
        scenario.lines().filter(|line| !line.contains("expect_reply")).map(|l| format!("{l}\n")).collect();
    let project = Project::with(&[("v.yaml", &scenario)]);
    project
        .play(&["v.yaml", "--module", &wrong])
        .exits(1)
        .fails_with(&["expect/outcome"])
        .says("given what module `auth_api` sent, EVerest published status `Rejected`, expected `Accepted`")
        .says("the module sent: ")
        .says(r#"{"authorization_status":"Blocked","tariff_messages":[]}"#);
    // A display is not to blame for what EVerest says.
    let display = scenario.replace("api: auth_token_validator\n", "").replace("verdict: Accepted", "verdict: Blocked");
    let display: String =
        display.lines().filter(|line| !line.contains("validate_token")).map(|l| format!("{l}\n")).collect();
    project.write("d.yaml", &display);
    project.play(&["d.yaml"]).exits(3).fails_with(&["scenario/contradicted"]);
}

/// Ends when it is asked, and leaves EVerest waiting.
const GONE: &str = "
import os
from token_validator import TokenValidator, arguments, tokens_of_station
module = TokenValidator(arguments('').parse_args(), tokens_of_station())
module.validate = lambda question: os._exit(7)
module.run()
";

#[test]
fn a_validator_that_ends_when_it_is_asked_is_said_to_have_ended() {
    let Some(python) = clients::python() else { return };
    // By the time a status is looked at, EVerest has given the token up.
    let scenario = VALIDATOR
        .replace("station:", "station:\n  auth_token_validator: {cfg_request_reply_to_s: 1}")
        .replace(
            "  - expect: {message: validate_token, payload: {payload: {id_token: {value: \"04A2F3B1\"}}}}",
            "  - run: {command: sleep 3}",
        )
        .replace("  - expect_reply: {to: ALICE, payload: {authorization_status: Blocked}}\n", "");
    let project = Project::with(&[("v.yaml", &scenario), ("gone.py", GONE)]);
    let command = format!("{} gone.py", python.display());
    let ran = project.play(&["v.yaml", "--module", &command]).exits(1);
    let report = ran.report();
    let first = &report["scenarios"][0]["failures"][0];
    assert_eq!(first["id"], "module/ended", "{report:#}");
    ran.says("module `auth_api` exited with code 7");
}

#[test]
fn a_member_that_is_missing_is_named_and_not_the_step() {
    let Some(module) = python_module("misbehaving.py") else { return };
    let project = Project::with(&[("p.yaml", PROVIDER), ("w.yaml", WITHDRAW)]);
    let wrong = |side: &str, behaviour: &str| format!("{module} --side {side} --behaviour {behaviour}");
    let enveloped = wrong("provider", "token-enveloped");
    project.play(&["p.yaml", "--module", &enveloped]).exits(1).says("sent without `authorization_type`, expected");
    let bare = wrong("client", "request-without-envelope");
    project.play(&["w.yaml", "--module", &bare]).exits(1).says("requested without `payload`, expected");
}

#[test]
fn a_question_that_everest_does_not_ask_is_the_scenarios_fault() {
    let scenario = VALIDATOR.replace("verdict: Blocked", "prevalidated: true");
    let scenario: String = scenario.lines().filter(|l| !l.contains("expect: ")).map(|l| format!("{l}\n")).collect();
    let project = Project::with(&[("v.yaml", &scenario.replace("within: 2s", "within: 200ms"))]);
    project.play(&["v.yaml"]).exits(3).fails_with(&["scenario/contradicted"]).says("asked the validator nothing");
}

const CHANGED: &str = "\
description: A validator learns something new.
under_test: client
api: auth_token_validator
station:
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443, verdict: Blocked}
steps:
  - set_verdict: {token: ALICE, verdict: Accepted}
  - present_token: ALICE
  - expect_reply: {payload: {authorization_status: Accepted}}
";

/// Listens to EVerest alone.
const DEAF: &str = "
from token_validator import TokenValidator, arguments, tokens_of_station
module = TokenValidator(arguments('').parse_args(), tokens_of_station())
module.control = 'elsewhere'
module.run()
";

#[test]
fn a_validator_that_cannot_be_told_is_not_judged() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[("c.yaml", CHANGED), ("v.yaml", VALIDATOR), ("deaf.py", DEAF)]);
    let module = format!("{} deaf.py", python.display());
    // What it knows from the start is judged.
    project.play(&["v.yaml", "--module", &module]).exits(0);
    project.play(&["c.yaml", "--module", &module]).exits(3).fails_with(&["module/not-drivable"]);
    project.write("khumbu.yaml", &format!("module:\n  command: {module}\n  cannot: [set_verdict]\n"));
    assert_eq!(project.play(&["c.yaml"]).exits(0).report()["summary"]["not_applicable"], 1);
    let binding = "{publish: {topic: elsewhere, payload: \"{command}\"}}";
    project.write("khumbu.yaml", &format!("module:\n  command: {module}\n  bindings: {{set_verdict: {binding}}}\n"));
    project.play(&["c.yaml"]).exits(0);
}

#[test]
fn khumbu_answers_the_simulated_everest_where_another_api_is_under_test() {
    let head = |api: &str| {
        format!(
            "description: x\nunder_test: client\napi: {api}\nwithin: 2s\nstation:\n  auth_token_validator: {{}}\n  tokens:\n    \
             ALICE: {{value: \"04A2F3B1\", type: ISO14443, verdict: Blocked}}\nsteps:\n"
        )
    };
    let steps = "  - present_token: ALICE\n  - expect_status: {token: ALICE, sequence: [Processing, Rejected]}\n  \
                 - set_verdict: {token: ALICE, verdict: Accepted}\n  - present_token: ALICE\n  \
                 - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}\n";
    for api in ["auth_consumer", "auth_token_provider"] {
        let project = Project::with(&[("x.yaml", &format!("{}{steps}", head(api)))]);
        project.play(&["x.yaml"]).exits(0);
    }
}

const FORGOTTEN: &str = "\
description: EVerest forgets, verdicts stay.
under_test: client
api: auth_token_provider
station:
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - set_verdict: {token: ALICE, verdict: Expired}
  - restart_everest
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Rejected]}
";

#[test]
fn a_verdict_outlives_everest() {
    Project::with(&[("f.yaml", FORGOTTEN)]).play(&["f.yaml"]).exits(0);
}

/// EVerest with EVSEs that are moved on topics of their own, as in a test bench; nobody tells it anything else.
const BENCH: &str = "
import json, os
from everest import Everest, arguments
class Bench(Everest):
    def topics(self):
        return [*super().topics(), ('everest_test/+/cmd', 1)]
    def on_message(self, topic, payload):
        if topic.startswith('everest_test/'):
            number = int(topic.split('/')[1].removeprefix('evse'))
            word = {'plugin': 'plug_in', 'go': 'start_transaction'}[payload.decode()]
            print('bench', number, word, flush=True)
            getattr(self.auth, word)(self.auth.evses[number - 1])
        else:
            super().on_message(topic, payload)
bench = Bench(arguments('').parse_args(), json.loads(os.environ['KHUMBU_STATION']))
bench.control = 'nowhere'
bench.run()
";

const STATION: &str = "\
auth_token_provider: {module_id: reader_api}
bindings:
  - topic: everest_test/evse{evse}/cmd
    is: {command: {plugin: plug_in, go: start_transaction}}
";

const MOVED: &str = "\
description: An EV is plugged in at a bench.
under_test: everest
station:
  evses: 2
  auth: {selection_algorithm: PlugEvents}
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - plug_in: {evse: 2}
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart], connectors: [2]}
  - start_transaction: {evse: 2}
  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, UsedToStop], connectors: [2]}
";

#[test]
fn a_station_file_says_how_a_real_everest_is_moved() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[("scenarios/m.yaml", MOVED), ("bench.py", BENCH), ("bench/station.yaml", STATION)]);
    let command = format!("{} bench.py", python.display());
    project.write("khumbu.yaml", &format!("module:\n  command: {command}\n  station: bench/station.yaml\n"));
    let report = project.play(&[]).exits(0).report();
    let output = report["scenarios"][0]["output"].to_string();
    assert!(output.contains("bench 2 plug_in") && output.contains("bench 2 start_transaction"), "{output}");
    // What the file has no word for cannot be done.
    project.write("bench/station.yaml", &STATION.replace(", go: start_transaction", ""));
    project.play(&[]).exits(3).fails_with(&["module/not-drivable"]);
    project.write("bench/station.yaml", "evces: 1\n");
    project.run(&["run"]).exits(2).says("error[config/invalid]").says("bench/station.yaml:1:1");
}

#[test]
fn an_everest_without_the_apis_of_the_scenario_is_not_judged() {
    let Some(module) = python_module("everest.py") else { return };
    let project = Project::with(&[("e.yaml", EVEREST)]);
    let module = format!("env KHUMBU_STATION={{{{}}}} {module}").replace("{{}}", "{}");
    project
        .play(&["e.yaml", "--module", &module, "--ready-within", "1500ms"])
        .exits(3)
        .fails_with(&["module/never-ready"])
        .says("ready means: subscribed to withdraw_authorization and provided_token and validate_result_update");
    for (lacks, exit) in [("auth_token_validator", 0), ("auth_token_provider", 0), ("auth_consumer", 0)] {
        project.write("khumbu.yaml", &format!("module: {{command: 'false', lacks: [{lacks}]}}\n"));
        let report = project.play(&["e.yaml"]).exits(exit).report();
        assert_eq!(report["scenarios"][0]["notes"][0]["id"], "module/lacks", "{report:#}");
    }
}
