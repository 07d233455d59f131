//! What EVerest may do in one order or another is no failure, and what it may not do stays one.

use serde_json::{Value, json};

use crate::clients;
use crate::project::{Project, fixture};

/// Stand-ins for EVerest with one way of their own each, the only argument. The oldest waiting token gets the EV in `plain`.
const EVEREST: &str = "\
import json, os
from everest import Everest, arguments
class Youngest(Everest):
    def on_command(self, name, value):
        if name == 'plug_in':
            self.auth.attempts.reverse()
        super().on_command(name, value)
class Both(Everest):
    'Two tokens get one EV.'
    def on_command(self, name, value):
        for attempt in self.auth.attempts[1:] if name == 'plug_in' else ():
            self.publish_status(attempt.token | {'connectors': [value['evse']]}, 'UsedToStart', ())
        super().on_command(name, value)
class Elsewhere(Youngest):
    'The youngest gets an EV where none was plugged in.'
    def publish_status(self, token, status, messages):
        if status == 'UsedToStart':
            token = token | {'connectors': [3]}
        super().publish_status(token, status, messages)
class Nobody(Everest):
    def on_command(self, name, value):
        if name != 'plug_in':
            super().on_command(name, value)
class Late(Everest):
    'Statuses of a kind, or of a token, come a while after replies and other tokens.'
    seconds, which = 0.06, ('Withdrawn', '04A2F3B1')
    def publish_status(self, token, status, messages):
        if {status, token['id_token']['value']} & set(self.which):
            self.after(self.seconds, lambda: super(Late, self).publish_status(token, status, messages))
        else:
            super().publish_status(token, status, messages)
class MuchLate(Late):
    seconds = 0.9
parser = arguments('')
parser.add_argument('way')
args = parser.parse_args()
ways = {'plain': Everest, 'youngest': Youngest, 'both': Both, 'elsewhere': Elsewhere, 'nobody': Nobody, 'late': Late, 'much_late': MuchLate}
ways[args.way](args, json.loads(os.environ.get('KHUMBU_STATION', '{}'))).run()
";

/// The station of two tokens that wait, or find an EVSE at once.
fn station(algorithm: &str) -> String {
    format!(
        "description: A race.\nunder_test: everest\nwithin: 1s\nstation:\n  evses: 3\n  auth: {{selection_algorithm: \
         {algorithm}, connection_timeout: 8s}}\n  tokens:\n    ALICE: {{value: \"04A2F3B1\", type: ISO14443}}\n    BOB: \
         {{value: \"0B0B0B0B\", type: ISO14443}}\nsteps:\n"
    )
}

const WAITING: &str = "  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted]}
  - present_token: BOB
  - expect_status: {token: BOB, sequence: [Processing, Accepted]}
  - plug_in: {evse: 2}
  - expect_status: {token: ALICE, status: UsedToStart, connectors: [2]}
  - expect_none: {message: token_validation_status, for: 200ms}
";

/// The status stands before the reply, and what ALICE gets before what BOB gets.
const WITHDRAWN: &str = "  - present_token: ALICE
  - expect_status: {token: ALICE, sequence: [Processing, Accepted, UsedToStart]}
  - withdraw: {token: ALICE}
  - expect_status: {token: ALICE, status: Withdrawn}
  - expect_reply: Accepted
";
const SWIPED: &str = "  - at_once: [present_token: ALICE, present_token: BOB]
  - expect_status: {token: ALICE, status: Processing}
  - expect_status: {token: BOB, status: Processing}
";

fn project() -> Option<(Project, String)> {
    let python = clients::python()?;
    let path = format!("import sys\nsys.path.insert(0, {:?})\n", fixture("modules"));
    let project = Project::with(&[
        ("waiting.yaml", &(station("PlugEvents") + WAITING)),
        ("withdrawn.yaml", &(station("FindFirst") + WITHDRAWN)),
        ("swiped.yaml", &(station("PlugEvents") + SWIPED)),
        ("own.py", &(path + EVEREST)),
    ]);
    Some((project, format!("{} own.py", python.display())))
}

/// Plays scenarios to one way; the verdict of each, and the ids of what was found.
fn verdicts(way: &str, scenarios: &[&str]) -> Option<Vec<(String, Vec<String>)>> {
    let (project, module) = project()?;
    let module = format!("{module} {way}");
    let report = project.play(&[scenarios, &["--module", &module]].concat()).report();
    let ids = |of: &Value| {
        let failures = of["failures"].as_array().unwrap();
        failures.iter().map(|found| found["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let played = report["scenarios"].as_array().unwrap();
    Some(played.iter().map(|of| (of["verdict"].as_str().unwrap().to_owned(), ids(of))).collect())
}

#[track_caller]
fn earn(way: &str, scenarios: &[&str], expected: &[(&str, &str)]) {
    let Some(verdicts) = verdicts(way, scenarios) else { return };
    let told: Vec<_> =
        verdicts.iter().map(|(verdict, ids)| (verdict.as_str(), ids.first().map_or("", |id| id))).collect();
    assert_eq!(told, expected, "{way}: {verdicts:?}");
}

#[test]
fn whichever_waiting_token_gets_the_ev_is_no_failure() {
    let suite = fixture("../scenarios/everest/status_waiting_tokens.yaml");
    let scenarios = ["waiting.yaml", &suite];
    earn("plain", &scenarios, &[("pass", ""), ("pass", "")]);
    // A scenario that wants one of them judges nobody; that of the suite takes either.
    earn("youngest", &scenarios, &[("inconclusive", "scenario/race"), ("pass", "")]);
    earn("both", &scenarios, &[("fail", "expect/unexpected"), ("fail", "expect/unexpected")]);
    earn("elsewhere", &scenarios, &[("fail", "expect/missing"), ("fail", "expect/missing")]);
    earn("nobody", &scenarios, &[("fail", "expect/missing"), ("fail", "expect/missing")]);
}

#[test]
fn statuses_and_replies_come_in_either_order_and_not_whenever() {
    let scenarios = ["withdrawn.yaml", "swiped.yaml"];
    earn("plain", &scenarios, &[("pass", ""), ("pass", "")]);
    earn("late", &scenarios, &[("pass", ""), ("pass", "")]);
    let order = ("fail", "expect/out-of-order");
    earn("much_late", &scenarios, &[order, order]);
}

/// A recording of two tokens that wait for an EV, of which one gets it.
fn waiting(winner: &str) -> String {
    let base = "everest_api/1/auth_consumer/auth_api";
    let token = |value: &str, evses: Option<i32>| {
        let mut token = json!({"authorization_type": "RFID", "id_token": {"type": "ISO14443", "value": value}});
        if let Some(evse) = evses {
            token["connectors"] = json!([evse]);
        }
        token
    };
    let status = |value: &str, status: &str, evse| {
        let content = json!({"messages": [], "status": status, "token": token(value, evse)});
        (format!("{base}/e2m/token_validation_status"), content)
    };
    let tell = |command: Value| ("khumbu/auth_api/do".to_owned(), command);
    let present = |value: &str| {
        tell(
            json!({"present_token": {"token": token(value, None), "validation": {"after_ms": 0, "authorization_status": "Accepted"}}}),
        )
    };
    let beat = |number: u64| (1000 * number + 100, (format!("{base}/e2m/heartbeat"), json!(4 + number)));
    let mut lines = vec![beat(0), beat(1), beat(2), beat(3), beat(4)];
    for (at, value) in [(2200, "A"), (2400, "B")] {
        let statuses = [status(value, "Processing", None), status(value, "Accepted", None)];
        lines.extend([(at, present(value)), (at + 1, statuses[0].clone()), (at + 2, statuses[1].clone())]);
    }
    lines.extend([(2600, tell(json!({"plug_in": {"evse": 2}}))), (2602, status(winner, "UsedToStart", Some(2)))]);
    lines.push((5000, ("nobody/knows".to_owned(), json!(null))));
    lines.sort_by_key(|(at, _)| *at);
    let lines =
        lines.into_iter().map(|(t_ms, (topic, payload))| json!({"t_ms": t_ms, "topic": topic, "payload": payload}));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_replay_takes_either_outcome_of_a_race() {
    let Some((project, module)) = project() else { return };
    project.write(
        "station.yaml",
        "evses: 3\nauth: {connection_timeout: 8, selection_algorithm: PlugEvents}\nstart: {communication_check: false}\n",
    );
    let replay = |winner: &str, way: &str| {
        project.write("r.jsonl", &waiting(winner));
        let module = format!("{module} {way}");
        let arguments =
            ["replay", "r.jsonl", "--station", "station.yaml", "--speed", "max", "--json", "-", "--module", &module];
        let ran = project.run(&arguments);
        let report = ran.report();
        (report["verdict"].as_str().unwrap().to_owned(), !report["raced"].as_array().unwrap().is_empty(), ran.stderr)
    };
    for (winner, way, verdict, raced) in [
        ("A", "plain", "pass", false),
        ("B", "plain", "pass", true),
        ("A", "youngest", "pass", true),
        ("A", "both", "fail", false),
        ("B", "elsewhere", "fail", false),
        ("A", "nobody", "fail", false),
        // That was no EVerest.
        ("C", "plain", "fail", false),
    ] {
        let (got, has_raced, said) = replay(winner, way);
        assert_eq!((got.as_str(), has_raced), (verdict, raced), "{winner} {way}: {said}");
    }
}
