//! When an authorization times out.

use khumbu::auth::{AuthConfig, SelectionAlgorithm};

use super::*;

/// An EVerest that was seen to start, with this `connection_timeout` in seconds.
fn everest(algorithm: SelectionAlgorithm, seconds: u64) -> Wire {
    Wire::with(context(algorithm, seconds))
}

fn context(algorithm: SelectionAlgorithm, seconds: u64) -> Context {
    let auth = AuthConfig {
        selection_algorithm: algorithm,
        connection_timeout: khumbu::timespan::Seconds(Duration::from_secs(seconds)),
        ..AuthConfig::default()
    };
    Context { auth: Some(auth), ..Context::new(topics(), Side::Everest) }
}

/// `TimedOut` so many milliseconds after the authorization.
fn granted(wire: &mut Wire, millis: u64) -> &mut Wire {
    wire.status("Processing", &[]).status("Accepted", &[]).status("UsedToStart", &[1]);
    wire.after(millis - 10).status("TimedOut", &[1])
}

/// `TimedOut` so many milliseconds after the wait for a plug-in began.
fn waiting(wire: &mut Wire, millis: u64) -> &mut Wire {
    wire.status("Processing", &[]).status("Accepted", &[]);
    wire.after(millis - 10).status("TimedOut", &[])
}

#[test]
fn an_authorization_lasts_for_the_timeout() {
    let first = || everest(SelectionAlgorithm::FindFirst, 8);
    for millis in [6000, 8000, 8050, 30_000] {
        granted(&mut first(), millis).is_clean();
    }
    for millis in [10, 4000, 5700] {
        granted(&mut first(), millis).fails("monitor/timed-out-early", "TV-9");
    }
}

#[test]
fn a_wait_for_a_plug_in_lasts_for_the_timeout() {
    for algorithm in [SelectionAlgorithm::PlugEvents, SelectionAlgorithm::PlugEventsLIFO] {
        let wire = || everest(algorithm, 2);
        waiting(&mut wire(), 2000).is_clean();
        waiting(&mut wire(), 1000).fails("monitor/timed-out-early", "TV-10");
    }
    // FindFirst does not wait.
    waiting(&mut everest(SelectionAlgorithm::FindFirst, 2), 20).is_clean();
}

/// Each EVSE has a timer, and a second validator that accepts a token begins the wait anew.
#[test]
fn the_right_time_is_meant() {
    let mut wire = everest(SelectionAlgorithm::FindFirst, 4);
    for evse in [1, 2] {
        wire.status("Processing", &[]).status("Accepted", &[]).status("UsedToStart", &[evse]).after(2000);
    }
    wire.status("TimedOut", &[1]).after(2000).status("TimedOut", &[2]).is_clean();
    let mut wire = everest(SelectionAlgorithm::PlugEvents, 4);
    wire.status("Processing", &[]).status("Accepted", &[]).after(3000).status("Accepted", &[]);
    wire.after(4000).status("TimedOut", &[]).is_clean();
}

/// What the record does not tell is nobody's fault.
#[test]
fn what_is_not_known_is_not_judged() {
    granted(&mut Wire::everest(), 10).is_clean();
    let attached = Context { from_start: false, ..context(SelectionAlgorithm::FindFirst, 8) };
    granted(&mut Wire::with(attached), 10).is_clean();
    let mut wire =
        Wire::with(Context { in_force: running(Release::V2025_10), ..context(SelectionAlgorithm::FindFirst, 8) });
    let topic = topics().topic(Channel::SET_CONNECTION_TIMEOUT);
    wire.sends("harness", &topic, "1").status("Processing", &[]).status("Accepted", &[]).status("UsedToStart", &[1]);
    wire.after(1000).status("TimedOut", &[1]);
    let findings: Vec<_> = wire.ids().into_iter().filter(|id| id.starts_with("monitor/timed-out")).collect();
    assert!(findings.is_empty(), "{findings:?}");
}

/// A broker that is held up reads late what has begun before.
#[test]
fn what_was_read_late_began_with_what_moved_everest() {
    let stalled = |before: u64| {
        let mut wire = everest(SelectionAlgorithm::FindFirst, 2);
        wire.sends("harness", "khumbu/api/do", r#"{"plug_in":{"evse":1}}"#).after(before);
        granted(&mut wire, 600);
        wire
    };
    stalled(1500).is_clean();
    stalled(5).fails("monitor/timed-out-early", "TV-9");
    // A communication check moves nothing.
    let mut wire = everest(SelectionAlgorithm::FindFirst, 2);
    wire.sends("harness", "khumbu/api/do", r#"{"plug_in":{"evse":1}}"#).after(1500);
    wire.harness(Channel::COMMUNICATION_CHECK, json!(true));
    granted(&mut wire, 600).is_clean();
}
