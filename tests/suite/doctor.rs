//! `khumbu doctor`: what a module does, what is missing, and how that ends.

use crate::clients;
use crate::project::{Project, python_module};

/// Listens to one topic, and says nothing.
const LISTENER: &str = "\
import sys
import paho.mqtt.client as mqtt
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect = lambda *_: client.subscribe(sys.argv[3])
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_forever()
";

#[test]
fn what_a_module_does_is_told_and_what_is_missing() {
    let Some(module) = python_module("stranger.py") else { return };
    let project = Project::new();
    let ran = project.run(&["doctor", "--module", &format!("{module} --way at-once")]).exits(0);
    for words in [
        " connects: MQTT 3.1.1, a new session, keep-alive 30s\n",
        " subscribes to `…/e2m/heartbeat` at QoS 1: heartbeat\n",
        " publishes communication check on `…/m2e/communication_check` at QoS 1: `true`\n",
        "\nlistens to the API                yes: heartbeat, token validation status\n",
        "\nsays that it is there             yes: communication check\n",
        "\ntakes orders                      no: neither on the control topic, nor by `bindings` of khumbu.yaml\n",
        "\nstays                             yes\n",
        "\nnothing is missing\n",
    ] {
        assert!(ran.stdout.contains(words), "no {words} in {}", ran.stdout);
    }
    project.assert_nothing_left();
}

/// It has the topics of another module, and does not even say that it is there.
#[test]
fn topics_that_are_nearly_right_are_named_with_the_right_one() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[("listener.py", LISTENER)]);
    let base = "everest_api/1/auth_consumer/auth_ap";
    for (topic, near) in [
        (format!("{base}/e2m/heartbeat"), "did you mean `everest_api/1/auth_consumer/auth_api/e2m/heartbeat`?"),
        // Whatever ready means, nobody can judge it.
        (
            "my/own/topic".to_owned(),
            "help: let the module subscribe to what it is to hear, such as `everest_api/1/auth_consumer/auth_api/e2m/token_validation_status`",
        ),
    ] {
        let command = format!("{} listener.py {{host}} {{port}} {topic}", python.display());
        let ran = project.run(&["doctor", "--ready-within", "2s", "--module", &command]).exits(3);
        assert!(ran.stdout.contains(&format!(" subscribes to `{topic}` at QoS ")), "{}", ran.stdout);
        assert!(ran.stdout.contains(&format!("but to `{topic}`\n")), "{}", ran.stdout);
        assert!(ran.stdout.contains("\nsays that it is there             no: communication check\n"), "{}", ran.stdout);
        // Wrapped as the terminal has it.
        let words = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(near) && !words.contains("--ready connected"), "{}", ran.stdout);
    }
    // One that says that it is there may have nothing to hear.
    project.write("display.py", &DISPLAY.replace("base + '/e2m/#'", "'my/own/topic'"));
    let command = format!("{} display.py {{host}} {{port}} {base}i", python.display());
    let ran = project.run(&["doctor", "--ready-within", "2s", "--module", &command]).exits(3);
    assert!(unwrapped(&ran.stdout).contains("`--ready connected`"), "{}", ran.stdout);
}

/// One that says that it is there, and of two topics hears one.
#[test]
fn what_it_will_not_see_is_missing() {
    let Some(python) = clients::python() else { return };
    let says = "client.connect(sys.argv[1], int(sys.argv[2]))\nclient.publish(sys.argv[3] + '/m2e/communication_check', 'true', 1)";
    let display = LISTENER.replace("client.connect(sys.argv[1], int(sys.argv[2]))", says);
    let display = display.replace("subscribe(sys.argv[3])", "subscribe(sys.argv[3] + '/e2m/heartbeat')");
    let project = Project::with(&[("display.py", &display)]);
    let base = "everest_api/1/auth_consumer/auth_api";
    let command = format!("{} display.py {{host}} {{port}} {base}", python.display());
    let ran = project.run(&["doctor", "--module", &command]).exits(0);
    assert!(ran.stdout.ends_with("\nit will not see: token validation status\n"), "{}", ran.stdout);
    // `false` is no sign of life.
    project.write("display.py", &display.replace("'true'", "'false'"));
    let ran = project.run(&["doctor", "--module", &command]).exits(1);
    assert!(ran.stdout.contains("[expect/missing]"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nsays that it is there             no: communication check\n"), "{}", ran.stdout);
}

/// A display below any base, which sends its checks and hears all that EVerest says there. What it does with a message, and
/// with a line on its standard input, is written into it.
const DISPLAY: &str = "\
import os, sys, threading, time
import paho.mqtt.client as mqtt
base = sys.argv[3]
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect = lambda *_: client.subscribe(base + '/e2m/#')
def on_message(_client, _userdata, message):
    pass  # MESSAGE
def follow():
    for line in sys.stdin:
        pass  # LINE
client.on_message = on_message
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_start()
threading.Thread(target=follow, daemon=True).start()
while True:
    client.publish(base + '/m2e/communication_check', 'true', 1)
    time.sleep(1)
";

/// The output without line breaks and what indents them: findings are wrapped as the terminal has it.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn topics_that_other_flags_make_right_name_these_flags() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[("display.py", DISPLAY)]);
    for (base, flags) in [
        ("site/7/everest_api/1/auth_consumer/auth_api", vec!["--external-prefix", "site/7/"]),
        ("site7everest_api/1/auth_consumer/auth_api", vec!["--external-prefix", "site7"]),
        ("everest_api/1/auth_token_provider/auth_api", vec!["--api", "auth_token_provider"]),
        ("everest_api/1.0/auth_consumer/display_1", vec!["--api-version", "1.0", "--module-id", "display_1"]),
    ] {
        let command = format!("{} display.py {{host}} {{port}} {base}", python.display());
        let ran = project.run(&["doctor", "--ready-within", "2s", "--module", &command]).exits(3);
        let wanted = format!("`{}`", flags.join(" "));
        let told = unwrapped(&ran.stdout);
        assert!(told.contains(&wanted), "no {wanted} in {}", ran.stdout);
        let levels = "a prefix that is a level of its own ends with `/`";
        assert_eq!(told.contains(levels), flags.last() == Some(&"site7"), "{}", ran.stdout);
        // They do make it right.
        let ran = project.run(&[&["doctor", "--module", &command], flags.as_slice()].concat()).exits(0);
        assert!(ran.stdout.contains("\nlistens to the API                yes: "), "{}", ran.stdout);
    }
    let base = "everest_api/1/auth_consumer/auth_api";
    for written in [&format!("/{base}"), "everest_api//1/auth_consumer/auth_api"] {
        let command = format!("{} display.py {{host}} {{port}} {written}", python.display());
        let ran = project.run(&["doctor", "--ready-within", "2s", "--module", &command]).exits(3);
        let told = unwrapped(&ran.stdout);
        let help = "help: let no topic of the module begin or end with `/`, or have two in a row";
        for words in [&format!("did you mean `{base}/e2m/#`?"), help] {
            assert!(told.contains(words), "no {words} in {}", ran.stdout);
        }
    }
}

#[test]
fn a_module_of_another_api_of_everest_is_told_which() {
    let Some(python) = clients::python() else { return };
    let project = Project::with(&[("display.py", DISPLAY)]);
    let base = "everest_api/1/evse_manager_consumer/evse_1";
    let command = format!("{} display.py {{host}} {{port}} {base}", python.display());
    let ran = project.run(&["doctor", "--ready-within", "2s", "--module", &command]).exits(3);
    let told = unwrapped(&ran.stdout);
    for words in [
        &format!("it uses `{base}/e2m/#`, which is `evse_manager_consumer`'s, and none of `auth_consumer`'s"),
        "help: start a client of `auth_consumer`, or play scenarios of `evse_manager_consumer`: `khumbu run --asyncapi FILE`",
    ] {
        assert!(told.contains(words), "no {words} in {}", ran.stdout);
    }
}

/// A trailing slash is one level more, and a topic of nobody.
#[test]
fn a_slash_at_the_end_is_named() {
    let Some(python) = clients::python() else { return };
    let project =
        Project::with(&[("display.py", &DISPLAY.replace("'/m2e/communication_check'", "'/m2e/communication_check/'"))]);
    let base = "everest_api/1/auth_consumer/auth_api";
    let command = format!("{} display.py {{host}} {{port}} {base}", python.display());
    let ran = project.run(&["doctor", "--module", &command]).exits(1);
    let told = unwrapped(&ran.stdout);
    for words in [
        &format!("it published on `{base}/m2e/communication_check/`"),
        &format!("did you mean `{base}/m2e/communication_check`?"),
        "help: let no topic of the module begin or end with `/`",
    ] {
        assert!(told.contains(words), "no {words} in {}", ran.stdout);
    }
}

#[test]
fn a_binding_counts_when_the_module_follows_it() {
    let Some(python) = clients::python() else { return };
    let request = r#"client.subscribe(base + '/m2e/reply/1')
        client.publish(base + '/m2e/withdraw_authorization', '{"headers": {"replyTo": "' + base + '/m2e/reply/1"}, "payload": ' + line + '}', 1)"#;
    let project = Project::with(&[("display.py", &DISPLAY.replace("pass  # LINE", request))]);
    let command = format!("{} display.py {{host}} {{port}} everest_api/1/auth_consumer/auth_api", python.display());
    for (binding, exit, words) in [
        ("{stdin: \"{arguments}\"}", 0, "yes: by bindings for withdraw; not tried: bindings for set_verdict\n"),
        ("{run: no-such-program}", 3, "no: the binding for `withdraw` failed: No such file or directory (os error 2)"),
        ("{run: \"sh -c 'exit 5'\"}", 3, "no: the binding for `withdraw` failed: exited with code 5"),
        (
            "{run: \"true\"}",
            1,
            "no: nothing comes of the binding for `withdraw`: module `auth_api` sent no withdraw_authorization request",
        ),
        ("{publish: {topic: my/cmd}}", 3, "no: nothing comes of the binding for `withdraw`: "),
        ("{by_itself: 1s}", 0, "unknown: not tried: bindings for set_verdict; by itself: withdraw\n"),
    ] {
        let bindings = format!("module: {{bindings: {{withdraw: {binding}, set_verdict: {{run: \"true\"}}}}}}\n");
        project.write("khumbu.yaml", &bindings);
        let ran = project.run(&["doctor", "--module", &command]).exits(exit);
        let wanted = format!("\ntakes orders                      {words}");
        assert!(ran.stdout.contains(&wanted), "no {wanted} in {}", ran.stdout);
    }
}

/// A validator is told what tokens are worth before it is asked about one.
#[test]
fn a_validator_that_does_not_follow_its_binding_is_found() {
    let Some(python) = clients::python() else { return };
    let backend = crate::project::fixture("modules/stranger_backend.py");
    let command = format!("{} {backend}", python.display());
    let project = Project::new();
    for (binding, exit, words) in [
        ("no-such-program", 3, "no: the binding for `set_verdict` failed: "),
        ("\"true\"", 1, "no: nothing comes of the binding for `set_verdict`: "),
    ] {
        project.write("khumbu.yaml", &format!("module: {{bindings: {{set_verdict: {{run: {binding}}}}}}}\n"));
        let ran = project.run(&["doctor", "--api", "auth_token_validator", "--module", &command]).exits(exit);
        let wanted = format!("\ntakes orders                      {words}");
        assert!(ran.stdout.contains(&wanted), "no {wanted} in {}", ran.stdout);
    }
}

#[test]
fn a_module_that_ends_upon_a_message_says_upon_which() {
    let Some(python) = clients::python() else { return };
    let project = Project::new();
    let command = format!("{} display.py {{host}} {{port}} everest_api/1/auth_consumer/auth_api", python.display());
    for (last_level, code, exit, handed) in [
        ("heartbeat", 3, 1, "heartbeat on `…/e2m/heartbeat` at QoS 0: `"),
        ("token_validation_status", 4, 1, "token validation status on `…/e2m/token_validation_status` at QoS 0: `{"),
        // It may do so, and is told.
        ("heartbeat", 0, 0, "heartbeat on `…/e2m/heartbeat` at QoS 0: `"),
    ] {
        let end = format!(
            "if message.topic.endswith('/{last_level}'):\n        print('cannot read', file=sys.stderr, flush=True)\n        os._exit({code})"
        );
        project.write("display.py", &DISPLAY.replace("pass  # MESSAGE", &end));
        let ran = project.run(&["doctor", "--module", &command]).exits(exit);
        for words in [
            &format!(" is handed {handed}"),
            &format!("\nstays                             no: it has ended, and was handed last {handed}"),
            &format!(" exited with code {code} before the end of the scenario\n"),
            "= it wrote: cannot read\n",
        ] {
            assert!(ran.stdout.contains(words), "no {words} in {}", ran.stdout);
        }
        assert!(!ran.stdout.contains("nothing is missing"), "{}", ran.stdout);
        // Neither the story nor what is found has an id token, but where somebody wants to see them.
        let (story, found) = ran.stdout.split_once("[module/").unwrap();
        for told in [story, found] {
            assert!(!told.contains("04A2F3B1"), "{told}");
            assert_eq!(told.contains("\"value\":\"…\""), last_level != "heartbeat", "{told}");
        }
        if last_level != "heartbeat" {
            let ran = project.run(&["doctor", "--show-tokens", "--module", &command]).exits(exit);
            let (story, found) = ran.stdout.split_once("[module/").unwrap();
            assert!(story.contains("04A2F3B1") && found.contains("04A2F3B1"), "{}", ran.stdout);
        }
    }
}

/// While it is busy with one message, others are on the wire: over those it has not ended.
#[test]
fn a_module_that_ends_over_a_message_is_said_to_have_left_that_unacknowledged() {
    let Some(python) = clients::python() else { return };
    let end = "if message.topic.endswith('/token_validation_status'):
        more = threading.Event()
        other = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        other.on_connect = lambda *_: other.subscribe(base + '/e2m/heartbeat')
        other.on_message = lambda *_: more.set()
        other.connect(sys.argv[1], int(sys.argv[2]))
        other.loop_start()
        more.wait()
        os._exit(4)";
    let display = DISPLAY.replace("pass  # MESSAGE", end).replace("'/e2m/#')", "'/e2m/#', 1)");
    // With a thread of its own the library acknowledges a message only behind what it has read besides.
    let display =
        display.replace("client.loop_start()", "threading.Thread(target=client.loop_forever, daemon=True).start()");
    let project = Project::with(&[("display.py", &display)]);
    let command = format!("{} display.py {{host}} {{port}} everest_api/1/auth_consumer/auth_api", python.display());
    let ran = project.run(&["doctor", "--module", &command]).exits(1);
    let told = unwrapped(&ran.stdout);
    for words in [
        "no: it has ended, and has not acknowledged token validation status on `…/e2m/token_validation_status` at QoS 1: `{",
        " = delivered to it, and not acknowledged: …/e2m/token_validation_status q1 {",
    ] {
        let (_, rest) = told.split_once(words).unwrap_or_else(|| panic!("no {words} in {}", ran.stdout));
        assert!(rest.contains(" more followed"), "{}", ran.stdout);
    }
    assert!(!told.contains("delivered to it last"), "{}", ran.stdout);
}

#[test]
fn what_never_connects_and_what_ends_says_so() {
    let project = Project::new();
    let ran = project.run(&["doctor", "--ready-within", "500ms", "--module", "sleep 60"]).exits(3);
    assert!(ran.stdout.contains("\nnobody has connected to the broker\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nconnects                          no: nobody came\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("[module/never-connected]"), "{}", ran.stdout);
    let ran = project.run(&["doctor", "--module", "sh -c 'echo lost >&2; exit 7'"]).exits(3);
    assert!(ran.stdout.contains("exited with code 7") && ran.stdout.contains("it wrote: lost"), "{}", ran.stdout);
}

#[test]
fn either_side_and_every_api_can_be_looked_at() {
    let project = Project::with(&[("khumbu.yaml", "module: {bindings: {present_token: {by_itself: 1s}}}\n")]);
    let ran = project.run(&["doctor", "--side", "everest"]).exits(0);
    assert!(ran.stdout.contains("\nsays that it is there             yes: heartbeat\n"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("takes orders"), "{}", ran.stdout);
    let ran = project.run(&["doctor", "--api", "auth_token_provider"]).exits(0);
    assert!(ran.stdout.contains("a client of `auth_token_provider`, topics below"), "{}", ran.stdout);
    let ran = project.run(&["doctor", "--api", "auth_token_validator"]).exits(0);
    assert!(ran.stdout.contains("listens to the API                yes: heartbeat"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\ntakes orders                      yes: on the control topic\n"), "{}", ran.stdout);
    project.run(&["doctor", "--api", "nothing"]).exits(2);
}
