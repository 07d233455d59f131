//! A client after a lost connection.

use super::*;

/// A client that has lost its connection and is back, in a session that the broker has kept or not.
fn back(session_present: bool) -> Wire {
    let mut wire = Wire::with(Context::new(topics(), Side::Client));
    wire.event("module", connected(5, true, false)).subscribe("module", &format!("{BASE}/e2m/#"));
    wire.after(1000).disconnect("module", false);
    wire.after(1000).event("module", connected(5, !session_present, session_present));
    wire
}

#[test]
fn a_client_that_listens_no_more_fails() {
    let mut wire = back(false);
    wire.subscribe("module", "khumbu/api/do").after(2500);
    wire.fails("monitor/not-subscribed-again", "CN-1");
    // Half of it is not all of it.
    let mut wire = back(false);
    wire.subscribe("module", &format!("{BASE}/e2m/heartbeat")).after(2500);
    wire.fails("monitor/not-subscribed-again", "CN-1");
    // A second loss does not excuse the first.
    let mut wire = back(false);
    wire.disconnect("module", false).connect("module").after(2500);
    wire.fails("monitor/not-subscribed-again", "CN-1");
}

#[test]
fn a_client_that_listens_again_or_had_no_need_to_passes() {
    back(false).subscribe("module", &format!("{BASE}/#")).after(9000).is_clean();
    back(true).after(9000).is_clean();
    // It has hardly come back.
    back(false).after(2400).is_clean();
    // Another of its connections listens now.
    back(false).connect("module2").subscribe("module2", "#").after(9000).is_clean();
    // It had given up listening before, or says goodbye itself.
    let mut wire = Wire::client();
    wire.event("module", Event::Unsubscribed { filter: format!("{BASE}/e2m/#") }).disconnect("module", false);
    wire.connect("module").after(9000).is_clean();
    Wire::client().disconnect("module", true).connect("module").after(9000).is_clean();
    // Nobody saw what an attached one had.
    let mut wire = Wire::with(Context { from_start: false, ..Context::new(topics(), Side::Client) });
    wire.disconnect("module", false).connect("module").after(9000).is_clean();
}
