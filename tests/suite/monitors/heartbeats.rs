//! Numbers and spacing of heartbeats.

use super::*;

#[test]
fn counting_from_zero_passes_and_wraps() {
    Wire::everest().heartbeats(0..20).is_clean();
    let mut wire = Wire::everest();
    wire.monitors.heartbeats_changed();
    wire.heartbeats([u64::MAX - 1, u64::MAX, 0, 1]).is_clean();
}

/// They have 64 bits: a build that counts with 32 is found out.
#[test]
fn the_wrap_is_at_64_bits() {
    let beyond = u64::from(u32::MAX);
    let mut wire = Wire::everest();
    wire.monitors.heartbeats_changed();
    wire.heartbeats([beyond - 1, beyond, beyond + 1]).is_clean();
    let mut wire = Wire::everest();
    wire.monitors.heartbeats_changed();
    wire.heartbeats([beyond, 0, 1]).fails("monitor/heartbeat-sequence", "HB-2");
}

/// Each API module of an EVerest has a connection of its own.
#[test]
fn another_connection_of_everest_explains_no_gap() {
    let mut wire = Wire::everest();
    wire.heartbeats([0, 1]).connect("module-other").heartbeats([3]).fails("monitor/heartbeat-sequence", "HB-2");
    Wire::everest().connect("module-other").heartbeats([1]).fails("monitor/heartbeat-first", "HB-3");
    Wire::everest().heartbeats([0, 1]).connect("module-other").heartbeats([2]).is_clean();
}

#[test]
fn the_first_is_zero() {
    Wire::everest().heartbeats([1, 2]).fails("monitor/heartbeat-first", "HB-3");
    let attached = Context { from_start: false, ..Context::new(topics(), Side::Everest) };
    Wire::with(attached).heartbeats([17, 18]).is_clean();
}

#[test]
fn gaps_repetitions_and_steps_back_fail() {
    for numbers in [[0, 1, 3], [0, 1, 1], [1, 0, 1]] {
        let attached = Context { from_start: false, ..Context::new(topics(), Side::Everest) };
        let finding = Wire::with(attached).heartbeats(numbers).ids();
        assert_eq!(finding, ["monitor/heartbeat-sequence"], "{numbers:?}");
    }
    let mut wire = Wire::everest();
    let finding = wire.heartbeats([0, 1, 3]).fails("monitor/heartbeat-sequence", "HB-2");
    assert_eq!(finding.headline, "module sent heartbeat `3` after `1`, expected `2`");
}

#[test]
fn negative_and_huge_numbers_fail() {
    for payload in ["-1", "18446744073709551616", "1e300"] {
        let mut wire = Wire::everest();
        wire.sends("module", &topics().topic(Channel::HEARTBEAT), payload);
        wire.fails("monitor/heartbeat-value", "HB-1");
    }
    Wire::everest().sends("module", &topics().topic(Channel::HEARTBEAT), "0.0").is_clean();
}

#[test]
fn a_restart_begins_again_whenever_its_first_heartbeat_arrives() {
    let mut wire = Wire::everest();
    wire.heartbeats([0, 1]).monitors.everest_restarted();
    // The last word of the old process may come after the restart was announced.
    wire.heartbeats([2]).disconnect("module", false).connect("module").heartbeats([0, 1]).is_clean();
}

#[test]
fn a_restart_that_goes_on_counting_elsewhere_fails() {
    let mut wire = Wire::everest();
    wire.heartbeats([0, 1]).monitors.everest_restarted();
    wire.connect("module").heartbeats([7]).fails("monitor/heartbeat-first", "HB-3");
}

#[test]
fn messages_lost_between_connections_are_no_gap() {
    Wire::everest().heartbeats([0, 1]).disconnect("module", false).connect("module").heartbeats([5, 6]).is_clean();
}

#[test]
fn redelivery_is_no_repetition() {
    let topic = topics().topic(Channel::HEARTBEAT);
    let mut wire = Wire::everest();
    wire.heartbeats([0, 1]);
    let again = Publish { dup: true, ..message(&topic, "1", wire.pkid) };
    wire.packet("module", Direction::FromClient, again.clone()).heartbeats([2]);
    wire.disconnect("module", false).connect("module");
    wire.packet("module", Direction::FromClient, again).heartbeats([3]).is_clean();
}

#[test]
fn a_command_may_change_the_number() {
    let mut wire = Wire::everest();
    wire.heartbeats([0, 1]).sends("harness", "khumbu/api/do", r#"{"heartbeats": {"next": 9007199254740993}}"#);
    wire.heartbeats([2, 9_007_199_254_740_993, 9_007_199_254_740_994]).is_clean();
}

/// A wire on which heartbeats come every second, and are to come after `millis`.
fn timed(millis: u64) -> Wire {
    Wire::with(Context {
        heartbeat_interval: Some(Duration::from_millis(millis)),
        ..Context::new(topics(), Side::Everest)
    })
}

#[test]
fn a_pace_of_their_own_fails() {
    for configured in [400, 470, 1400, 2000] {
        timed(configured).heartbeats(0..6).fails("monitor/heartbeat-spacing", "HB-4");
    }
    for configured in [500, 1000, 1300] {
        timed(configured).heartbeats(0..6).is_clean();
    }
    // Too few to say.
    timed(400).heartbeats(0..5).is_clean();
}

/// Who is held up together with the harness is not slow.
#[test]
fn what_holds_the_harness_up_makes_heartbeats_late() {
    for (held_up, is_slow) in [(0, true), (500, true), (2000, false)] {
        let mut wire = timed(400);
        for n in 0..6 {
            wire.after(200).heartbeats([n]);
        }
        wire.monitors.held_up(Duration::from_millis(held_up));
        match is_slow {
            true => drop(wire.fails("monitor/heartbeat-spacing", "HB-4").clone()),
            false => wire.is_clean(),
        }
    }
    for (held_up, has_ended) in [(0, true), (3000, false)] {
        let mut wire = timed(1000);
        wire.heartbeats(0..3).after(6000).monitors.held_up(Duration::from_millis(held_up));
        match has_ended {
            true => drop(wire.fails("monitor/heartbeats-stopped", "HB-4").clone()),
            false => wire.is_clean(),
        }
    }
}

#[test]
fn a_pause_of_the_machine_is_no_pace() {
    timed(1000).heartbeats(0..4).after(4000).heartbeats(4..8).after(3000).heartbeats(8..10).is_clean();
    // However many come at once behind it, unless the module cannot have sent so many since it connected.
    for (millis, is_possible) in [(5000, true), (4000, false)] {
        let mut wire = timed(1000);
        wire.after(millis);
        for n in 0..6 {
            wire.after(5).module(Channel::HEARTBEAT, json!(n));
        }
        match is_possible {
            true => wire.is_clean(),
            false => drop(wire.fails("monitor/heartbeat-spacing", "HB-4").clone()),
        }
    }
    // Nor is one between two connections.
    let mut wire = timed(1000);
    for n in 0..8 {
        wire.heartbeats([n]).after(600).disconnect("module", false).connect("module");
    }
    wire.is_clean();
}

#[test]
fn heartbeats_that_end_fail() {
    timed(1000).heartbeats(0..3).after(5100).fails("monitor/heartbeats-stopped", "HB-4");
    timed(1000).heartbeats(0..3).after(4900).is_clean();
    // With their module, when they are switched off, and when they are told to pause.
    timed(1000).heartbeats(0..3).disconnect("module", true).after(9000).is_clean();
    Wire::everest().heartbeats(0..3).after(60_000).is_clean();
    timed(1000).heartbeats(0..3).sends("harness", "khumbu/api/do", r#"{"heartbeats": "pause"}"#).after(9000).is_clean();
}

/// Each of these is asked and answered, or sends a heartbeat, so many milliseconds after the one before it.
fn between_replies(course: &[(char, u64)]) -> Wire {
    let heartbeat_interval = Some(Duration::from_secs(1));
    let mut wire = Wire::with(Context { heartbeat_interval, ..Context::new(topics(), Side::Everest) });
    let (mut number, mut asked) = (0, 0);
    for (what, after) in course {
        wire.after(*after);
        match what {
            'h' => {
                wire.module(Channel::HEARTBEAT, json!(number));
                number += 1;
            }
            'a' => {
                asked += 1;
                wire.harness(Channel::WITHDRAW_AUTHORIZATION, withdraw(&format!("r/{asked}")));
            }
            _ => {
                wire.sends("module", &format!("r/{asked}"), json!("Accepted").to_string());
            }
        }
    }
    wire
}

#[test]
fn heartbeats_that_are_held_back_come_in_bursts() {
    let ask = [('a', 10), ('r', 10), ('a', 2880), ('r', 10)];
    // Three at a time every three seconds: on average they are right.
    let burst = [ask.as_slice(), &[('h', 90), ('h', 1), ('h', 1)]].concat();
    let mut wire = between_replies(&[&[('h', 0)], burst.as_slice(), &burst, &burst].concat());
    let finding = wire.fails("monitor/heartbeat-burst", "HB-4");
    assert_eq!(finding.headline, "module sent 6 of 10 heartbeats in bursts");
}

/// The same heartbeats, held up by the machine.
#[test]
fn heartbeats_that_were_held_up_are_no_bursts() {
    // Nothing is known of when they were sent.
    let burst = [('h', 2990), ('h', 1), ('h', 1)];
    between_replies(&[&[('h', 0)], burst.as_slice(), &burst, &burst].concat()).is_clean();
    // What was asked when they were due is answered behind them; or it was asked so long before that they were due since.
    let behind = [('a', 10), ('h', 2980), ('h', 1), ('h', 1), ('r', 1)];
    between_replies(&[&[('h', 0)], behind.as_slice(), &behind, &behind].concat()).is_clean();
    let before = [('a', 10), ('r', 10), ('h', 2980), ('h', 500), ('h', 500)];
    between_replies(&[&[('h', 0)], before.as_slice(), &before, &before].concat()).is_clean();
    // A reply overtakes a single heartbeat.
    let usual = [('a', 980), ('r', 10), ('h', 10)].repeat(8);
    between_replies(&[&usual, [('a', 900), ('r', 10), ('h', 10), ('h', 80)].as_slice(), &usual].concat()).is_clean();
}
