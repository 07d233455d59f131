//! Which requirement a failure breaks.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::Blame;
use super::court::Court;
use super::evidence::Exhibits;
use super::script::{ALICE, beat, on, request, stray, withdraw};
use crate::conformance::requirements;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::channel::Channel;

/// What a module has broken that ended over these messages, in a scenario about this.
fn ended(about: &str, exhibits: Exhibits) -> Option<&'static str> {
    let blame = exhibits.ask(|proof| proof.blame(requirements::find(about)));
    let mut found = [Diagnostic::new(Severity::Fail, "module/ended", "x").about(Subject::ModuleEnd)];
    blame.name(&mut found);
    found[0].requirement
}

fn of(what: Value) -> super::script::Message {
    on(Channel::TOKEN_VALIDATION_STATUS, what)
}

fn token() -> Value {
    json!({"authorization_type": "RFID", "id_token": {"value": ALICE, "type": "ISO14443"}})
}

/// A status with nothing odd.
fn usual(status: &str) -> super::script::Message {
    of(json!({"status": status, "messages": [], "token": token()}))
}

#[test]
fn who_listens_to_nothing_any_more_hears_no_reply_either() {
    let found = |id| Diagnostic::new(Severity::Fail, id, "x").about(Subject::Requirement);
    let mut unheard = [found("monitor/reply-topic-not-subscribed").breaking("RR-13")];
    let mut both = [unheard[0].clone(), found("monitor/not-subscribed-again").breaking("CN-1")];
    Blame::default().name(&mut unheard);
    Blame::default().name(&mut both);
    assert_eq!(unheard[0].severity, Severity::Fail);
    assert_eq!(both.map(|found| found.severity), [Severity::Warning, Severity::Fail]);
}

#[test]
fn who_does_not_listen_again_does_so_over_what_is_put_to_the_test_besides() {
    let long = || on(Channel::HEARTBEAT, json!(u64::MAX));
    let named = |about, exhibits: Exhibits| {
        let blame = exhibits.ask(|proof| proof.blame(requirements::find(about)));
        let found = Diagnostic::new(Severity::Fail, "module/stayed-away", "x").about(Subject::Requirement);
        let mut found = [found.breaking("CN-1")];
        blame.name(&mut found);
        found[0].requirement
    };
    assert_eq!(named("HB-6", Exhibits::of_client().shown(long())), Some("HB-6"));
    assert_eq!(named("HB-6", Exhibits::of_client().shown(beat(0))), Some("CN-1"), "nothing was odd about it");
    // Nobody stumbles over these.
    for about in ["CC-8", "RR-14", "CN-1"] {
        assert_eq!(named(about, Exhibits::of_client().shown(long())), Some("CN-1"), "{about}");
    }
}

#[test]
fn a_module_ends_over_what_it_was_handed_last() {
    let (known, unknown) = (|| usual("Processing"), || usual("UsedToReserve"));
    let more = || of(json!({"status": "Processing", "messages": [], "token": token(), "mood": "cheerful"}));
    let bare = || of(json!({"status": "Processing", "token": token()}));
    let broken = || of(json!([1]));
    let none = || stray("r/1", json!(null));
    let get = |reply_to| request(Channel::GET_TOKEN_VALIDATION_STATUS, reply_to, &json!({}));
    let latched = |status: &str| stray("r/1", json!({"status": status}));
    let new = Exhibits::of_client;
    let (soon, later) = (Duration::from_millis(900), Duration::from_millis(1500));
    // It has taken one as this is written, some time ago.
    let client = || new().shown(usual("Accepted")).passes(beat(0)).passes(beat(1));
    let asked = || client().passes(get("r/1")).shown(latched("x")).passes(beat(2)).passes(beat(3));
    for (about, exhibits, broken) in [
        ("WD-18", new(), "WD-18"),
        ("WD-18", client().delivered(known()), "TV-17"),
        ("WD-18", new().passes(known()), "WD-18"),
        ("TV-17", new().delivered(known()), "RR-15"),
        // Heartbeats in turn come all the time.
        ("WD-18", client().delivered(known()).delivered(beat(0)).delivered(beat(1)), "TV-17"),
        ("WD-18", client().delivered(beat(7)).delivered(beat(0)), "HB-6"),
        ("TV-17", client().shown(beat(7)).delivered(beat(7)), "HB-7"),
        ("HB-6", client().shown(beat(7)).delivered(beat(7)), "HB-6"),
        ("TV-17", client().delivered(unknown()), "TV-15"),
        ("TV-15", client().delivered(more()), "RR-9"),
        ("TV-17", client().delivered(bare()), "TV-14"),
        ("LV-6", client().passes(withdraw("r/1")).delivered(usual("Withdrawn")), "WD-12"),
        ("LV-6", client().delivered(usual("Withdrawn")), "TV-17"),
        ("TV-17", client().shown(known()).delivered(known()), "CN-3"),
        // The next one comes before it has ended.
        ("WD-18", client().passes(withdraw("r/1")).delivered(usual("Withdrawn")).delivered(usual("Rejected")), "WD-12"),
        ("TV-15", client().delivered(unknown()).delivered(known()).delivered(usual("Rejected")), "TV-15"),
        // It asked for the last status at its start, and was answered at the time of the first message of the scenario.
        ("TV-17", asked().delivered(known()).delivered(latched("y")), "TV-17"),
        ("LV-6", asked().delivered(latched("y")).delivered(known()), "LV-6"),
        ("TV-17", asked().delivered(none()).delivered(known()), "LV-6"),
        // Some libraries acknowledge first: what came just before may be it, too.
        ("TV-15", client().shown(unknown()).delivered(known()), "TV-15"),
        ("CN-2", asked().delivered(broken()).delivered(latched("y")), "CN-2"),
        // What it has lived on after is not why it has ended; what it has not acknowledged may be.
        ("RR-14", client().shown(known()).gone_after(soon), "TV-17"),
        ("RR-14", client().shown(known()).gone_after(later), "RR-14"),
        ("RR-14", client().delivered(known()).gone_after(later), "TV-17"),
    ] {
        assert_eq!(ended(about, exhibits), Some(broken), "{about}");
    }
}

#[test]
fn a_silence_that_a_step_has_waited_through_is_told_once() {
    let missing = |requirement| {
        let found = Diagnostic::new(Severity::Fail, "expect/missing", "x").about(Subject::Expectation);
        Diagnostic { requirement, owed_by: Some("CC-8"), ..found }
    };
    let silent = Diagnostic::new(Severity::Fail, "monitor/communication-check-late", "x");
    let silent = || silent.clone().about(Subject::Requirement).breaking("CC-8");
    let late = || Diagnostic { at_record: Some(7), ..silent() };
    let blame = Blame { about: Some("HB-6"), is_exercised: true, ..Blame::default() };
    let named = |found: &[Diagnostic]| {
        let mut found = found.to_vec();
        blame.name(&mut found);
        found.into_iter().map(|it| (it.severity, it.requirement)).collect::<Vec<_>>()
    };
    let fails = |id| (Severity::Fail, Some(id));
    assert_eq!(named(&[missing(None), silent()]), [fails("HB-6"), (Severity::Warning, Some("CC-8"))]);
    assert_eq!(named(&[missing(None), late()]), [fails("HB-6"), fails("CC-8")], "this one came");
    assert_eq!(named(&[missing(Some("CC-8")), silent()]), [fails("CC-8"), fails("CC-8")]);
    let other = || Diagnostic { owed_by: Some("VA-3"), ..missing(None) };
    assert_eq!(named(&[other(), silent()]), [fails("HB-6"), fails("CC-8")]);
    let unclear = || Diagnostic { severity: Severity::Inconclusive, ..missing(None) };
    assert_eq!(named(&[unclear(), silent()])[1], fails("CC-8"));
}

#[test]
fn whoever_is_back_and_silent_has_kept_what_a_lost_connection_asks() {
    let missing = || Diagnostic { owed_by: Some("CC-8"), ..unmet() };
    let silent = |severity| {
        let found = Diagnostic::new(severity, "monitor/checks-not-resumed", "x");
        found.about(Subject::Requirement).breaking("CC-8")
    };
    let named = |about, first: Diagnostic, silent: &[Diagnostic]| {
        let mut found = [&[first], silent].concat();
        Blame { about: Some(about), is_exercised: true, ..Blame::default() }.name(&mut found);
        let last = found.last().map(|it| it.severity);
        (found[0].requirement.unwrap(), found[0].suspects.clone(), last.unwrap())
    };
    let (fail, warning) = (Severity::Fail, Severity::Warning);
    for grave in [fail, warning] {
        assert_eq!(named("CN-1", missing(), &[silent(grave)]), ("CC-8", vec![], grave));
    }
    assert_eq!(named("CN-1", missing(), &[]), ("CN-1", vec!["CN-1"], fail), "it may not be back");
    // What it was shown since may have stopped it.
    assert_eq!(named("CN-3", missing(), &[silent(fail)]), ("CN-3", vec!["CN-3"], warning));
    let other = || Diagnostic { owed_by: Some("VA-3"), ..unmet() };
    assert_eq!(named("CN-1", other(), &[silent(fail)]), ("CN-1", vec!["CN-1"], fail));
    assert_eq!(named("CN-1", missing().breaking("RR-13"), &[silent(fail)]).0, "RR-13");
}

#[test]
fn whoever_does_nothing_may_wait_for_a_reply() {
    let suspects = |about, waits| {
        let mut found = [Diagnostic { owed_by: Some("CC-8"), ..unmet() }];
        Blame { about: Some(about), is_exercised: true, waits, ..Blame::default() }.name(&mut found);
        found[0].suspects.clone()
    };
    assert_eq!(suspects("HB-6", true), ["HB-6", "RR-14"]);
    assert_eq!(suspects("HB-6", false), ["HB-6"]);
    assert_eq!(suspects("RR-14", true), ["RR-14"]);
    let client = || Exhibits::of_client().passes(withdraw("r/1"));
    assert!(client().ask(|proof| proof.blame(None).waits && proof.view.waits_for_reply().is_some()));
    assert!(!client().shown(stray("r/1", json!("Accepted"))).ask(|proof| proof.blame(None).waits));
}

#[test]
fn a_question_with_more_is_not_like_others() {
    let question = |more: Value| {
        let mut question = json!({"headers": {"replyTo": "q/1"}, "payload": token()});
        question["payload"]["id_token"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let message = on(Channel::VALIDATE_TOKEN, question);
        Exhibits::of(Court::of("client", "auth_token_validator", "- note: x")).delivered(message)
    };
    assert_eq!(ended("RR-9", question(json!({"colour": "green"}))), Some("RR-9"));
    assert_eq!(ended("VA-3", question(json!({"colour": "green"}))), Some("RR-9"));
}

#[test]
fn whoever_lost_its_connection_ends_over_that() {
    let client = || Exhibits::of_client().shown(usual("Accepted")).passes(beat(0)).passes(beat(1));
    let lost = client().delivered(usual("Processing")).cut_off();
    assert_eq!(ended("CC-8", lost), Some("CN-1"));
    let back = client().cut_off().delivered(usual("Processing"));
    assert_eq!(ended("CC-8", back), Some("TV-17"));
    // It may have ended before, and nobody has seen it.
    let early = client().delivered(usual("Processing")).cut_off();
    let suspects = early.ask(|proof| proof.blame(requirements::find("CC-8")).suspects);
    assert_eq!(suspects, ["CN-1", "TV-17"]);
    let again = client().delivered(usual("Processing")).cut_off().delivered(usual("Rejected"));
    assert_eq!(again.ask(|proof| proof.blame(None).suspects), ["TV-17", "CN-1"]);
    assert_eq!(again.ask(|proof| proof.survived()), ["RR-15", "TV-17"].into());
    let everest = Exhibits::of_everest().shown(usual("Accepted"));
    assert!(everest.ask(|proof| proof.survived().is_empty() && proof.blame(None).suspects.is_empty()));
    // Acknowledgements may be lost with it.
    let more = of(json!({"status": "Processing", "messages": [], "token": token(), "mood": "cheerful"}));
    let several = client().delivered(usual("Processing")).delivered(more).delivered(usual("Rejected"));
    assert_eq!(several.ask(|proof| proof.blame(None).suspects), ["RR-9", "TV-17"]);
}

fn objection(at: u64, requirement: &'static str) -> Diagnostic {
    let found = Diagnostic::new(Severity::Fail, "monitor/x", "x").about(Subject::Requirement).breaking(requirement);
    Diagnostic { at_record: Some(at), ..found }
}

/// An expectation that was not met at record 9.
fn unmet() -> Diagnostic {
    let found = Diagnostic::new(Severity::Fail, "expect/missing", "x").about(Subject::Expectation);
    Diagnostic { at_record: Some(9), ..found }
}

#[test]
fn what_a_monitor_objects_to_explains_what_it_stands_for() {
    let suspects = vec!["TV-17", "LV-6"];
    let blame = Blame { about: Some("CN-1"), is_exercised: true, suspects, ..Blame::default() };
    let named = |found: Diagnostic, objections: &[Diagnostic]| {
        let mut all = [std::slice::from_ref(&found), objections].concat();
        blame.name(&mut all);
        all[0].requirement
    };
    let misplaced = || unmet().instead_of(5);
    assert_eq!(named(unmet(), &[]), Some("CN-1"));
    assert_eq!(named(misplaced(), &[objection(5, "VA-4")]), Some("VA-4"));
    assert_eq!(named(misplaced(), &[objection(6, "VA-4")]), Some("CN-1"), "another message");
    let warning = Diagnostic { severity: Severity::Warning, ..objection(5, "VA-4") };
    assert_eq!(named(misplaced(), &[warning]), Some("CN-1"), "no failure");
    assert_eq!(named(misplaced().breaking("WD-18"), &[objection(5, "SC-1")]), Some("SC-1"), "the shape comes first");
    assert_eq!(named(misplaced().breaking("WD-18"), &[]), Some("WD-18"));
    // Whoever breaks MQTT is cut off.
    assert_eq!(named(unmet(), &[objection(3, "MQ-1")]), Some("MQ-1"));
    assert_eq!(named(unmet(), &[objection(10, "MQ-1")]), Some("CN-1"), "afterwards");
    let ended = Diagnostic::new(Severity::Fail, "module/ended", "x").about(Subject::ModuleEnd);
    assert_eq!(named(ended.clone(), &[objection(3, "MQ-1")]), Some("TV-17"), "the likeliest");
    let mut all = [ended, unmet()];
    blame.name(&mut all);
    assert_eq!((&*all[0].suspects, all[1].suspects.is_empty()), (&["TV-17", "LV-6"][..], true));
    let blame = Blame { about: Some("LV-6"), ..blame.clone() };
    let owed = Diagnostic { owed_by: Some("CC-8"), ..unmet() };
    let mut all = [all[0].clone(), owed];
    all[0].requirement = None;
    blame.name(&mut all);
    assert_eq!((all[0].requirement, &*all[0].suspects), (Some("TV-17"), &["LV-6", "TV-17"][..]));
    assert_eq!(all[1].suspects, ["LV-6"]);
    // Inconclusive is nobody's fault.
    assert_eq!(named(Diagnostic { severity: Severity::Inconclusive, ..unmet() }, &[]), None);
}

#[test]
fn what_was_not_put_to_the_test_is_not_broken() {
    let owed = Diagnostic { owed_by: Some("VA-3"), ..unmet() };
    for (is_exercised, broken) in [(true, "CN-1"), (false, "VA-3")] {
        let mut found = [owed.clone()];
        Blame { about: Some("CN-1"), is_exercised, ..Blame::default() }.name(&mut found);
        assert_eq!(found[0].requirement, Some(broken));
    }
    let client = Exhibits::of_client().shown(usual("Processing"));
    let of = |about| client.ask(|proof| proof.blame(requirements::find(about)).is_exercised);
    assert!(of("TV-17") && !of("CN-1") && !of("TV-15"));
    // It may stumble before it has acknowledged anything.
    let at_a_loss = Exhibits::of_client().delivered(usual("Processing"));
    assert!(at_a_loss.ask(|proof| proof.blame(requirements::find("TV-17")).is_exercised));
    let kept_from = Exhibits::of_client().passes(usual("Processing"));
    assert!(!kept_from.ask(|proof| proof.blame(requirements::find("TV-17")).is_exercised));
}
