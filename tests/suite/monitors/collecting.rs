//! Clients that listen on for later replies to their discovery, and those that do not.

use super::*;

const DISCOVER: &str = "everest_api/discover";
const REPLIES: &str = "replies/1";

fn ask(wire: &mut Wire, topic: &str) {
    wire.subscribe("module", REPLIES);
    wire.sends("module", topic, json!({"headers": {"replyTo": REPLIES}}).to_string());
    wire.after(10);
}

fn reply(wire: &mut Wire) -> &mut Wire {
    wire.sends("harness", REPLIES, json!({"apis": []}).to_string())
}

fn stop(wire: &mut Wire, after_ms: u64) {
    wire.after(after_ms).event("module", Event::Unsubscribed { filter: REPLIES.into() });
}

#[test]
fn whoever_takes_the_first_reply_for_the_last_loses_the_others() {
    let mut wire = Wire::client();
    ask(&mut wire, DISCOVER);
    reply(&mut wire);
    stop(&mut wire, 2);
    wire.after(300);
    reply(&mut wire);
    // Once is enough.
    reply(&mut wire);
    let finding = wire.fails("monitor/discovery-cut-short", "DI-6");
    assert!(finding.headline.contains("12ms"), "{finding:#?}");
}

#[test]
fn a_client_of_one_connection_for_each_request_is_no_exception() {
    let mut wire = Wire::client();
    wire.connect("module-2").subscribe("module-2", REPLIES);
    wire.sends("module-2", DISCOVER, json!({"headers": {"replyTo": REPLIES}}).to_string());
    wire.after(10).disconnect("module-2", true);
    reply(wire.after(300));
    wire.fails("monitor/discovery-cut-short", "DI-6");
}

#[test]
fn nobody_is_blamed_who_lost_nothing_or_could_not_help_it() {
    // Nothing comes later.
    let mut wire = Wire::client();
    ask(&mut wire, DISCOVER);
    reply(&mut wire);
    stop(&mut wire, 2);
    wire.is_clean();

    // It waited.
    let mut wire = Wire::client();
    ask(&mut wire, DISCOVER);
    stop(&mut wire, 300);
    reply(&mut wire);
    wire.is_clean();

    // It asked for modules of one type, and knows which.
    let mut wire = Wire::client();
    ask(&mut wire, "everest_api/query-modules/auth_consumer");
    stop(&mut wire, 2);
    reply(&mut wire);
    wire.is_clean();

    // It listens with another filter, too.
    let mut wire = Wire::client();
    wire.subscribe("module", "replies/#");
    ask(&mut wire, DISCOVER);
    stop(&mut wire, 2);
    reply(&mut wire);
    wire.is_clean();

    // It was cut off, or EVerest was.
    for cut in [Monitors::module_cut_off, Monitors::everest_restarted] {
        let mut wire = Wire::client();
        ask(&mut wire, DISCOVER);
        cut(&mut wire.monitors);
        stop(&mut wire, 2);
        reply(&mut wire);
        wire.is_clean();
    }
}
