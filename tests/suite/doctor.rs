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
        ("my/own/topic".to_owned(), "--ready connected"),
    ] {
        let command = format!("{} listener.py {{host}} {{port}} {topic}", python.display());
        let ran = project.run(&["doctor", "--ready-within", "2s", "--module", &command]).exits(3);
        assert!(ran.stdout.contains(&format!(" subscribes to `{topic}` at QoS ")), "{}", ran.stdout);
        assert!(ran.stdout.contains(&format!("but to `{topic}`\n")), "{}", ran.stdout);
        assert!(ran.stdout.contains("\nsays that it is there             no: communication check\n"), "{}", ran.stdout);
        // Wrapped as the terminal has it.
        let words = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(near), "{}", ran.stdout);
    }
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
