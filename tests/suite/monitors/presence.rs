//! Communication checks of a client.

use super::*;

fn checked(seconds: u64) -> Wire {
    let mut wire = Wire::with(Context {
        communication_check_timeout: Some(Duration::from_secs(seconds)),
        heartbeat_interval: Some(Duration::from_secs(1)),
        ..Context::new(topics(), Side::Client)
    });
    // The first check may take its time.
    wire.after(60_000).module(Channel::COMMUNICATION_CHECK, json!(true));
    wire
}

impl Wire {
    fn check_after(&mut self, millis: u64) -> &mut Self {
        self.after(millis).module(Channel::COMMUNICATION_CHECK, json!(true))
    }
}

#[test]
fn checks_in_time_pass() {
    checked(2).check_after(1000).check_after(1900).check_after(2000).after(1500).is_clean();
}

#[test]
fn what_a_module_says_when_it_is_told_to_end_is_its_farewell() {
    let mut wire = checked(2);
    wire.monitors.told_to_end();
    for value in [false, true, false] {
        wire.after(100).module(Channel::COMMUNICATION_CHECK, json!(value));
    }
    wire.is_clean();
}

#[test]
fn a_busy_machine_is_no_fault() {
    checked(2).check_after(2600).is_clean();
    checked(1).check_after(1500).is_clean();
}

#[test]
fn a_late_check_fails() {
    let mut wire = checked(2);
    let finding = wire.check_after(2800).fails("monitor/communication-check-late", "CC-8");
    assert!(finding.headline.contains("2.8s"), "{}", finding.headline);
}

#[test]
fn a_timer_of_the_timeout_itself_fails_the_second_time() {
    let late = |wire: &mut Wire| {
        let finding = wire.fails("monitor/communication-check-late", "CC-8");
        assert!(finding.headline.contains("2.00"), "{}", finding.headline);
    };
    late(checked(2).check_after(2001).check_after(2004));
    checked(2).check_after(2001).check_after(1999).check_after(2001).is_clean();
    checked(2).check_after(2001).check_after(2400).is_clean();
    late(checked(2).check_after(1000).check_after(2001).check_after(2001));
}

#[test]
fn silence_at_the_end_fails_while_the_module_is_connected() {
    checked(2).after(3000).fails("monitor/communication-check-late", "CC-8");
    checked(2).after(1000).disconnect("module", true).after(3000).is_clean();
}

#[test]
fn wrong_payloads_do_not_count() {
    let mut wire = checked(2);
    wire.after(1000).module(Channel::COMMUNICATION_CHECK, json!("true")).check_after(1900);
    assert_eq!(wire.ids(), ["monitor/schema-violation", "monitor/communication-check-late"]);
}

#[test]
fn nothing_is_owed_after_false() {
    checked(2).after(500).module(Channel::COMMUNICATION_CHECK, json!(false)).after(9000).is_clean();
}

#[test]
fn true_after_false_is_worth_one_warning() {
    let mut wire = checked(2);
    wire.after(500).module(Channel::COMMUNICATION_CHECK, json!(false)).check_after(9000).check_after(9000);
    wire.warns("monitor/checks-stopped", "CC-9");
}

#[test]
fn whoever_sends_false_again_did_not_mean_to_stop() {
    let no = |wire: &mut Wire| {
        wire.after(500).module(Channel::COMMUNICATION_CHECK, json!(false));
    };
    let mut wire = checked(2);
    no(&mut wire);
    wire.check_after(500);
    no(&mut wire);
    assert_eq!(wire.ids(), ["monitor/checks-stopped", "monitor/checks-stopped"]);
    let last = wire.found.last().expect("one");
    assert_eq!((last.severity, last.requirement), (Severity::Fail, Some("CC-9")), "{last:#?}");
    // Two ends in a row are one.
    let mut wire = checked(2);
    no(&mut wire);
    no(&mut wire);
    wire.is_clean();
}

#[test]
fn true_after_false_on_command_is_no_remark() {
    let mut wire = checked(2);
    wire.module(Channel::COMMUNICATION_CHECK, json!(false));
    wire.sends("harness", "khumbu/api/do", r#"{"communication_check": true}"#);
    wire.check_after(9000).check_after(9000).is_clean();
}

#[test]
fn without_a_timeout_nothing_is_late() {
    let mut wire = Wire::client();
    wire.check_after(0).check_after(60_000).is_clean();
}

#[test]
fn what_the_harness_cut_off_is_not_late() {
    let mut wire = checked(2);
    wire.monitors.module_cut_off();
    wire.check_after(9000).is_clean();
    checked(2).disconnect("module", false).after(9000).connect("module").check_after(0).is_clean();
}

#[test]
fn everest_starting_again_begins_the_count_again() {
    let mut wire = checked(2);
    wire.module(Channel::COMMUNICATION_CHECK, json!(false)).monitors.everest_restarted();
    wire.check_after(9000).check_after(1000).is_clean();
    let mut wire = checked(2);
    wire.module(Channel::COMMUNICATION_CHECK, json!(false)).monitors.everest_restarted();
    wire.check_after(0).check_after(9000).fails("monitor/communication-check-late", "CC-8");
}

#[test]
fn a_client_that_may_believe_everest_gone_is_only_warned() {
    let mut wire = checked(2);
    wire.harness(Channel::HEARTBEAT, json!(0)).after(8000).harness(Channel::HEARTBEAT, json!(1));
    wire.check_after(500).warns("monitor/communication-check-late", "CC-8");
    let mut wire = checked(2);
    wire.harness(Channel::HEARTBEAT, json!(0));
    wire.after(9000).warns("monitor/communication-check-late", "CC-8");
}

#[test]
fn heartbeats_in_time_leave_no_excuse() {
    let mut wire = checked(2);
    for number in 0..9 {
        wire.after(1000).harness(Channel::HEARTBEAT, json!(number));
    }
    wire.check_after(0).fails("monitor/communication-check-late", "CC-8");
}

#[test]
fn a_lag_excuses_one_gap_and_no_other() {
    let mut wire = checked(2);
    wire.harness(Channel::HEARTBEAT, json!(0)).after(5000).harness(Channel::HEARTBEAT, json!(1)).check_after(0);
    for number in 2..6 {
        wire.after(1000).harness(Channel::HEARTBEAT, json!(number));
    }
    wire.check_after(0);
    let severities: Vec<_> = wire.found.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Fail], "{:#?}", wire.found);
}

#[test]
fn a_machine_that_stood_still_is_not_held_against_it() {
    let check = |held_up: u64, gap: u64| {
        let mut wire = Wire::with(Context {
            communication_check_timeout: Some(Duration::from_secs(2)),
            heartbeat_interval: None,
            ..Context::new(topics(), Side::Client)
        });
        wire.module(Channel::COMMUNICATION_CHECK, json!(true)).after(gap);
        wire.monitors.held_up(Duration::from_millis(held_up));
        wire.check_after(0);
        // What has explained one gap does not explain the next.
        wire.check_after(1000);
        wire.found.iter().map(|found| found.severity).collect::<Vec<_>>()
    };
    assert_eq!(check(0, 6000), [Severity::Fail]);
    assert_eq!(check(5000, 6000), [Severity::Warning]);
    assert_eq!(check(1000, 6000), [Severity::Fail]);
    let mut wire = checked(2);
    wire.monitors.held_up(Duration::from_secs(5));
    wire.check_after(1000).check_after(6000).fails("monitor/communication-check-late", "CC-8");
}

/// A client that was cut off after a check, and is back a second later: what it does then.
fn back(then: impl FnOnce(&mut Wire)) -> Wire {
    let mut wire = Wire::with(Context {
        communication_check_timeout: Some(Duration::from_secs(5)),
        ..Context::new(topics(), Side::Client)
    });
    wire.subscribe("module", &format!("{BASE}/e2m/heartbeat")).module(Channel::COMMUNICATION_CHECK, json!(true));
    wire.monitors.module_cut_off();
    wire.disconnect("module", false).after(1000).connect("module");
    then(&mut wire);
    wire
}

fn listen(wire: &mut Wire) -> &mut Wire {
    wire.subscribe("module", &format!("{BASE}/e2m/heartbeat"))
}

#[test]
fn a_client_that_is_back_and_listens_again_owes_its_checks() {
    let never = |millis| {
        back(|wire| {
            listen(wire).after(millis);
        })
    };
    never(6000).is_clean();
    // It may be about to.
    never(8400).warns("monitor/checks-not-resumed", "CC-8");
    let mut silent = never(9000);
    let found = silent.fails("monitor/checks-not-resumed", "CC-8");
    assert!(found.headline.ends_with("in the 9s since it came back"), "{}", found.headline);
    // Nothing else need pass meanwhile.
    let mut quiet = never(0);
    quiet.monitors.silent_until(Duration::from_secs(10));
    quiet.fails("monitor/checks-not-resumed", "CC-8");
    back(|wire| {
        listen(wire).check_after(6000);
    })
    .is_clean();
    back(|wire| {
        listen(wire).check_after(9000);
    })
    .fails("monitor/communication-check-late", "CC-8");
    // Then all is as before.
    back(|wire| {
        listen(wire).check_after(1000).after(4000);
    })
    .is_clean();
    back(|wire| {
        listen(wire).check_after(1000).after(9000);
    })
    .fails("monitor/communication-check-late", "CC-8");
    // What comes at once was queued, perhaps, before the connection was lost.
    let queued = |millis| {
        back(|wire| {
            listen(wire).check_after(100).after(millis);
        })
    };
    queued(6000).is_clean();
    let mut silent = queued(9000);
    let found = silent.fails("monitor/checks-not-resumed", "CC-8");
    assert!(found.headline.ends_with("for 9s behind the one as it came back"), "{}", found.headline);
    back(|wire| {
        listen(wire).check_after(100).check_after(4000).check_after(4000).after(9000);
    })
    .fails("monitor/communication-check-late", "CC-8");
    // EVerest has started again before it was cut off, which excuses nobody.
    let mut wire = back(|_| ());
    wire.monitors.everest_restarted();
    listen(&mut wire).after(9000).fails("monitor/checks-not-resumed", "CC-8");
}

#[test]
fn a_client_that_is_not_back_or_meant_to_stop_owes_no_checks() {
    // It does not listen again: that is another fault.
    back(|wire| {
        wire.after(9000);
    })
    .fails("monitor/not-subscribed-again", "CN-1");
    back(|wire| {
        listen(wire.after(8000)).after(4000);
    })
    .is_clean();
    back(|wire| {
        listen(wire).after(4000).disconnect("module", false).after(9000);
    })
    .is_clean();
    back(|wire| {
        listen(wire).disconnect("module", false).after(9000).connect("module").after(100).subscribe("module", "#");
    })
    .is_clean();
    // One of its connections stays away.
    let mut wire = checked(5);
    wire.connect("module2").monitors.module_cut_off();
    wire.disconnect("module2", false).disconnect("module", false).connect("module").after(30_000).is_clean();
    // It said that it stops.
    let mut wire = checked(5);
    wire.module(Channel::COMMUNICATION_CHECK, json!(false)).monitors.module_cut_off();
    wire.disconnect("module", false).connect("module").after(30_000).is_clean();
    let mut wire = checked(5);
    wire.module(Channel::COMMUNICATION_CHECK, json!(false)).monitors.everest_restarted();
    wire.disconnect("module", false).connect("module").after(30_000).is_clean();
    // Nobody has told it a timeout.
    let mut wire = Wire::client();
    wire.module(Channel::COMMUNICATION_CHECK, json!(true)).disconnect("module", false).connect("module");
    wire.subscribe("module", "#").after(30_000).is_clean();
    // It had not begun.
    let timeout = Some(Duration::from_secs(5));
    let mut wire = Wire::with(Context { communication_check_timeout: timeout, ..Context::new(topics(), Side::Client) });
    wire.disconnect("module", false).connect("module").after(30_000).warns("monitor/checks-not-resumed", "CC-8");
    // While heartbeats stay out, it may take EVerest for gone.
    let mut wire = checked(5);
    wire.disconnect("module", false).connect("module").after(30_000).warns("monitor/checks-not-resumed", "CC-8");
}
