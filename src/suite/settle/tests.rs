//! What scenarios show of each other's failures.

use super::*;

/// A scenario that the module has ended in, over one of these.
fn ended(suspects: &[&'static str]) -> Arc<ScenarioResult> {
    let found = Diagnostic::new(Severity::Fail, "module/ended", "x").about(Subject::ModuleEnd);
    let found = Diagnostic { requirement: suspects.first().copied(), suspects: suspects.to_vec(), ..found };
    Arc::new(ScenarioResult { findings: vec![found], ..ScenarioResult::default() })
}

fn survived(ids: &[&'static str]) -> Arc<ScenarioResult> {
    Arc::new(ScenarioResult { survived: ids.iter().copied().collect(), ..ScenarioResult::default() })
}

fn named(results: &[Arc<ScenarioResult>]) -> Vec<&'static str> {
    let settled = settle(results.to_vec());
    settled.iter().flat_map(|result| &result.findings).filter_map(|found| found.requirement).collect()
}

#[test]
fn what_explains_most_ends_is_named_for_all_of_them() {
    let start = || ended(&["LV-6", "DI-6"]);
    let results = [start(), ended(&["RR-15", "LV-6"]), start(), ended(&["CN-1", "LV-6"]), ended(&["TV-17"])];
    assert_eq!(named(&results), ["LV-6", "LV-6", "LV-6", "LV-6", "TV-17"]);
}

#[test]
fn what_is_an_accident_once_is_a_habit_where_it_is_never_otherwise() {
    let again = || {
        let found = Diagnostic::new(Severity::Warning, "monitor/handed-in-again", "x").breaking("TP-4");
        Arc::new(ScenarioResult { findings: vec![found], ..ScenarioResult::default() })
    };
    let said = |results: &[Arc<ScenarioResult>]| {
        let of = |result: &Arc<ScenarioResult>| (result.findings[0].severity, result.verdict);
        settle(results.to_vec()).iter().filter(|result| !result.findings.is_empty()).map(of).collect::<Vec<_>>()
    };
    let (accident, habit) = ((Severity::Warning, Verdict::Pass), (Severity::Fail, Verdict::Fail));
    assert_eq!(said(&[again(), survived(&[])]), [accident]);
    assert_eq!(said(&[again(), survived(&["TV-17"]), again()]), [habit, habit]);
    assert_eq!(said(&[again(), survived(&["TP-4"]), again()]), [accident, accident]);
    // Other warnings stay warnings.
    let late = || {
        let found = Diagnostic::new(Severity::Warning, "monitor/late-reply", "x").breaking("VA-5");
        Arc::new(ScenarioResult { findings: vec![found], ..ScenarioResult::default() })
    };
    assert_eq!(said(&[late(), late()]), [accident, accident]);
}

#[test]
fn who_does_not_listen_again_over_nothing_else_breaks_that_wherever_it_is() {
    let away = |requirement| {
        let found = Diagnostic::new(Severity::Fail, STAYS_AWAY[0], "x").about(Subject::Requirement);
        let findings = vec![found.breaking(requirement)];
        Arc::new(ScenarioResult { findings, verdict: Verdict::Fail, ..ScenarioResult::default() })
    };
    assert_eq!(named(&[away("HB-6"), survived(&["CN-1"])]), ["HB-6"]);
    assert_eq!(named(&[away("HB-6"), away("CN-1")]), ["CN-1", "CN-1"]);
}

#[test]
fn who_says_false_in_one_scenario_after_the_other_breaks_that_and_owes_no_checks_besides() {
    let says_false = |is_missed: bool| {
        let stopped = Diagnostic::new(Severity::Warning, CHECKS_STOPPED, "x").breaking("CC-9");
        let missed = Diagnostic::new(Severity::Fail, "expect/missing", "x").about(Subject::Expectation);
        let missed = Diagnostic { owed_by: Some("CC-8"), requirement: Some("CN-2"), ..missed };
        let findings = if is_missed { vec![missed, stopped] } else { vec![stopped] };
        Arc::new(ScenarioResult { findings, ..ScenarioResult::default() })
    };
    let settled = settle(vec![says_false(false), says_false(true)]);
    let fails = settled.iter().flat_map(|result| &result.findings).all(|found| found.severity == Severity::Fail);
    assert!(fails && settled.iter().all(|result| result.verdict == Verdict::Fail));
    assert_eq!(named(&[says_false(false), says_false(true)]), ["CC-9"; 3]);
    assert_eq!(named(&[says_false(true)]), ["CN-2", "CC-9"], "once it may be an accident");
}

#[test]
fn who_skips_acknowledgements_has_not_stopped_where_nothing_comes_after() {
    let stuck = |id, requirement| {
        let found = Diagnostic::new(Severity::Fail, id, "x").about(Subject::Module).breaking(requirement);
        Arc::new(ScenarioResult { findings: vec![found], ..ScenarioResult::default() })
    };
    assert_eq!(named(&[stuck(STOPPED, "TV-17"), stuck(SKIPPED, "MQ-4")]), ["MQ-4", "MQ-4"]);
    assert_eq!(named(&[stuck(STOPPED, "TV-17"), ended(&["LV-6"])]), ["TV-17", "LV-6"]);
}

#[test]
fn who_comes_back_elsewhere_and_stays_away_at_the_end_has_stopped_to_read() {
    let deaf = |suspects: &[&'static str]| {
        let found = Diagnostic::new(Severity::Warning, DEAF, "x").about(Subject::ModuleEnd);
        let found = Diagnostic { requirement: suspects.first().copied(), suspects: suspects.to_vec(), ..found };
        Arc::new(ScenarioResult { findings: vec![found], ..ScenarioResult::default() })
    };
    let comes_back =
        || Arc::new(ScenarioResult { occasions: BTreeMap::from([("CN-1", 1)]), ..ScenarioResult::default() });
    let told = |results: &[Arc<ScenarioResult>]| {
        let settled = settle(results.to_vec());
        let found = settled.iter().find_map(|result| Some((result.findings.first()?.clone(), result.verdict)));
        found.map(|(found, verdict)| (found.severity, found.requirement, verdict))
    };
    let fails = |id| Some((Severity::Fail, Some(id), Verdict::Fail));
    assert_eq!(told(&[deaf(&["RR-15", "TV-17"]), comes_back()]), fails("RR-15"));
    // It has read that elsewhere, and lived on.
    assert_eq!(told(&[deaf(&["TV-17", "RR-9"]), comes_back(), survived(&["TV-17"])]), fails("RR-9"));
    let warns = Some((Severity::Warning, Some("RR-15"), Verdict::Pass));
    assert_eq!(told(&[deaf(&["RR-15"]), survived(&["TV-17"])]), warns, "it may never come back");
}

#[test]
fn who_acknowledges_elsewhere_has_stopped_to_read_where_it_acknowledges_nothing() {
    let dumb = || {
        let found = Diagnostic::new(Severity::Fail, DUMB, "x").about(Subject::ModuleEnd).breaking("MQ-4");
        let found = Diagnostic { suspects: vec!["RR-15", "TV-17"], ..found };
        Arc::new(ScenarioResult { findings: vec![found], ..ScenarioResult::default() })
    };
    let acknowledges = ScenarioResult { acknowledges: true, ..ScenarioResult::clone(&survived(&["TV-17"])) };
    assert_eq!(named(&[dumb(), survived(&["HB-6"])]), ["MQ-4"]);
    assert_eq!(named(&[dumb(), Arc::new(acknowledges)]), ["RR-15"]);
}

#[test]
fn all_plays_of_a_scenario_break_the_same() {
    let again = |over: &[&'static str], other: &[&'static str]| {
        Arc::new(ScenarioResult { other_plays: vec![ended(other)], ..ScenarioResult::clone(&ended(over)) })
    };
    let settled = settle(vec![ended(&["LV-6"]), again(&["RR-15", "LV-6"], &["CN-1", "LV-6"]), ended(&["LV-6"])]);
    let plays = settled.iter().flat_map(|result| result.plays()).flat_map(|play| &play.findings);
    assert_eq!(plays.map(|found| found.requirement).collect::<Vec<_>>(), [Some("LV-6"); 4]);
    // What only another play shows says what it said.
    let settled = settle(vec![again(&["LV-6"], &["CN-1", "TV-17"])]);
    assert_eq!(settled[0].other_plays[0].findings[0].requirement, Some("CN-1"));
}

#[test]
fn what_was_survived_elsewhere_is_less_suspicious() {
    let often = || survived(&["TV-17", "LV-6"]);
    let results = [often(), often(), often(), ended(&["TV-17", "RR-9"]), ended(&["RR-15", "RR-9"]), often()];
    assert_eq!(named(&results), ["RR-9", "RR-9"]);
    // An end now and then, over a few of many statuses: what was survived about as often says nothing.
    let lv = || survived(&["LV-6"]);
    let results = [often(), often(), lv(), lv(), lv(), ended(&["LV-6", "TV-17"]), often()];
    assert_eq!(named(&results), ["LV-6"]);
    // What ends it in several scenarios, although it was survived at times, goes before what is special of one.
    let seldom = || survived(&["TV-17"]);
    let several = || ended(&["TV-17"]);
    let results = [several(), seldom(), ended(&["RR-15", "TV-17"]), several(), seldom(), several(), seldom()];
    assert_eq!(named(&results), ["TV-17"; 4]);
    // What it is told at every start is there at nearly all ends.
    let start = || ended(&["LV-6", "TV-17"]);
    let results = [often(), often(), start(), often(), ended(&["TV-17"]), start(), start()];
    assert_eq!(named(&results), ["TV-17"; 4]);
    // That it was handed something says nothing where it has ended.
    let both = ScenarioResult { survived: ["RR-9"].into(), ..ScenarioResult::clone(&ended(&["RR-9", "TV-17"])) };
    assert_eq!(named(&[often(), Arc::new(both)]), ["RR-9"]);
}

#[test]
fn two_faults_are_two() {
    let results = [ended(&["RR-9"]), survived(&["TV-17"]), ended(&["RR-9", "TV-17"]), ended(&["CN-1", "TV-17"])];
    assert_eq!(named(&results), ["RR-9", "RR-9", "CN-1"]);
    assert_eq!(named(&[ended(&[]), survived(&[])]), <[&str; 0]>::default());
}

#[test]
fn what_a_module_that_sleeps_does_not_do_breaks_what_it_sleeps_by() {
    let missing = Diagnostic::new(Severity::Fail, "expect/missing", "x").about(Subject::Expectation);
    let missing = Diagnostic { requirement: Some("CC-8"), owed_by: Some("CC-8"), ..missing };
    let slept = |severity| Diagnostic::new(severity, "module/x", "x").about(Subject::NotReady).breaking("DI-6");
    let of = |found| Arc::new(ScenarioResult { findings: vec![found], ..ScenarioResult::default() });
    assert_eq!(named(&[of(missing.clone()), of(slept(Severity::Fail))]), ["DI-6", "DI-6"]);
    assert_eq!(named(&[of(missing), of(slept(Severity::Inconclusive))]), ["CC-8", "DI-6"]);
}

#[test]
fn what_a_module_does_late_everywhere_it_fails_to_do_for_no_other_reason() {
    let missing = Diagnostic::new(Severity::Fail, "expect/missing", "x").about(Subject::Expectation);
    let missing = Diagnostic { requirement: Some("CN-2"), owed_by: Some("CC-8"), ..missing };
    let late = Diagnostic::new(Severity::Fail, "monitor/communication-check-late", "x");
    let late = Diagnostic { at_record: Some(7), ..late.about(Subject::Requirement).breaking("CC-8") };
    let of = |findings: &[&Diagnostic]| {
        let findings = findings.iter().copied().cloned().collect();
        Arc::new(ScenarioResult { findings, ..ScenarioResult::default() })
    };
    let (missing, late) = (&missing, &late);
    assert_eq!(named(&[of(&[missing]), of(&[late]), of(&[late])]), ["CC-8"; 3]);
    // Once it may have had another reason, and where it is missed this is the same one.
    assert_eq!(named(&[of(&[missing]), of(&[late, late])]), ["CN-2", "CC-8", "CC-8"]);
    assert_eq!(named(&[of(&[missing, late]), of(&[late])]), ["CN-2", "CC-8", "CC-8"]);
    // What has fallen silent was not late.
    let silent = &Diagnostic { at_record: None, ..late.clone() };
    assert_eq!(named(&[of(&[missing]), of(&[silent]), of(&[silent])]), ["CN-2", "CC-8", "CC-8"]);
    let warned = &Diagnostic { severity: Severity::Warning, ..late.clone() };
    assert_eq!(named(&[of(&[missing]), of(&[warned]), of(&[warned])]), ["CN-2", "CC-8", "CC-8"]);
    // What it owes nobody is another matter.
    let other = &Diagnostic { owed_by: Some("VA-3"), ..missing.clone() };
    assert_eq!(named(&[of(&[other]), of(&[late]), of(&[late])]), ["CN-2", "CC-8", "CC-8"]);
}

#[test]
fn what_a_module_leaves_out_while_it_goes_on_breaks_that_where_several_things_are_at_stake() {
    let missing = |about: &'static str, lives: bool| {
        let found = Diagnostic::new(Severity::Fail, "expect/missing", "x").about(Subject::Expectation);
        let suspects = [about].into_iter().chain(lives.then_some("CC-8")).collect();
        let found = Diagnostic { requirement: Some(about), owed_by: Some("CC-8"), suspects, ..found };
        Arc::new(ScenarioResult { findings: vec![found], ..ScenarioResult::default() })
    };
    assert_eq!(named(&[missing("CN-1", true), missing("HB-7", true), missing("CN-2", false)]), ["CC-8"; 3]);
    assert_eq!(named(&[missing("CN-1", true), missing("CN-1", true)]), ["CN-1"; 2]);
    assert_eq!(named(&[missing("CN-1", true), missing("HB-7", false)]), ["CN-1", "HB-7"]);
}

#[test]
fn whoever_falls_silent_with_each_lost_connection_breaks_nothing_else_by_that() {
    let missing = |about: &'static str| {
        let found = Diagnostic::new(Severity::Fail, "expect/missing", "x").about(Subject::Expectation);
        let found = Diagnostic { requirement: Some(about), owed_by: Some("CC-8"), ..found };
        Diagnostic { suspects: vec![about], ..found }
    };
    let at_stake = || Diagnostic { suspects: Vec::new(), ..missing("CC-8") };
    let silent = |severity| Diagnostic::new(severity, NOT_RESUMED, "x").breaking("CC-8");
    let of =
        |findings: &[Diagnostic]| Arc::new(ScenarioResult { findings: findings.to_vec(), ..ScenarioResult::default() });
    let does = || Arc::new(ScenarioResult { occasions: [("CC-8", 1)].into(), ..ScenarioResult::default() });
    let (fail, warning) = (Severity::Fail, Severity::Warning);
    let back = of(&[at_stake(), silent(warning)]);
    let other = of(&[missing("CN-3"), silent(warning)]);
    let no_loss = of(&[missing("CN-2")]);
    let results = [back.clone(), other.clone(), no_loss.clone(), does()];
    assert_eq!(named(&results), ["CC-8", "CC-8", "CC-8", "CC-8", "CN-2"]);
    // What the monitor alone has seen says the same.
    assert_eq!(named(&[of(&[silent(fail)]), other.clone(), does()]), ["CC-8", "CC-8", "CC-8"]);
    // It was cut off before it had sent any.
    let early = |about| of(&[Diagnostic { suspects: vec![about], ..at_stake() }, silent(warning)]);
    assert_eq!(named(&[early("CN-1"), does()]), ["CC-8", "CC-8"]);
    assert_eq!(named(&[early("CN-3"), early("CN-1"), does()]), ["CC-8"; 4]);
    assert_eq!(named(&[early("CN-3"), does()]), ["CN-3", "CC-8"]);
    // It comes back as it should where nothing else is at stake.
    assert_eq!(named(&[other.clone(), no_loss, does()]), ["CN-3", "CC-8", "CN-2"]);
    // It was seen to check nowhere.
    assert_eq!(named(&[back, of(&[missing("CN-2")])]), ["CC-8", "CC-8", "CC-8"]);
}

#[test]
fn what_keeps_a_module_from_all_else_is_broken_where_it_was_seen_on_its_own() {
    let missing = |suspects: &[&'static str]| {
        let found = Diagnostic::new(Severity::Fail, "expect/missing", "x").about(Subject::Expectation);
        let (requirement, owed_by) = (suspects.first().copied(), Some("CC-8"));
        let found = Diagnostic { requirement, owed_by, suspects: suspects.to_vec(), ..found };
        Arc::new(ScenarioResult { findings: vec![found], ..ScenarioResult::default() })
    };
    let (waits, other) = (missing(&["RR-14"]), missing(&["HB-6", "RR-14"]));
    assert_eq!(named(&[waits.clone(), other.clone(), missing(&["HB-6"])]), ["RR-14", "RR-14", "HB-6"]);
    assert_eq!(named(std::slice::from_ref(&other)), ["HB-6"]);
    assert_eq!(named(&[other, missing(&["TV-17"])]), ["HB-6", "TV-17"]);
}

#[test]
fn what_a_module_fails_to_do_at_all_breaks_that_alone() {
    let unmet = |requirement, owed_by| {
        let found = Diagnostic::new(Severity::Fail, "expect/missing", "x").about(Subject::Expectation);
        let found = Diagnostic { requirement: Some(requirement), owed_by, ..found };
        Arc::new(ScenarioResult { findings: vec![found], ..ScenarioResult::default() })
    };
    assert_eq!(named(&[unmet("CC-8", None), unmet("TV-17", Some("CC-8"))]), ["CC-8", "CC-8"]);
    assert_eq!(named(&[unmet("CN-1", None), unmet("TV-17", Some("CC-8"))]), ["CN-1", "TV-17"]);
    // It does so elsewhere.
    let never = |about| {
        let found = Diagnostic { suspects: vec![about], ..unmet("CC-8", Some("CC-8")).findings[0].clone() };
        Arc::new(ScenarioResult { findings: vec![found], ..ScenarioResult::default() })
    };
    let does = ScenarioResult { occasions: [("CC-8", 1)].into(), ..ScenarioResult::default() };
    assert_eq!(named(&[never("RR-14"), never("TV-17")]), ["CC-8", "CC-8"]);
    assert_eq!(named(&[never("RR-14"), Arc::new(does.clone()), never("TV-17")]), ["RR-14", "TV-17"]);
    let fails = ScenarioResult { occasions: [("CC-8", 1)].into(), ..ScenarioResult::clone(&unmet("CC-8", None)) };
    assert_eq!(named(&[never("RR-14"), Arc::new(fails)]), ["CC-8", "CC-8"]);
    // Neither what is no failure says anything, nor what is none of an expectation; nor is it said anything of.
    let turned = |it: Arc<ScenarioResult>, turn: fn(&mut Diagnostic)| {
        let mut result = ScenarioResult::clone(&it);
        turn(&mut result.findings[0]);
        Arc::new(result)
    };
    let warned = |it| turned(it, |found| found.severity = Severity::Warning);
    let watched = turned(unmet("CC-8", None), |found| found.subject = Subject::Requirement);
    assert_eq!(named(&[warned(unmet("CC-8", None)), unmet("TV-17", Some("CC-8"))]), ["CC-8", "TV-17"]);
    assert_eq!(named(&[watched, unmet("TV-17", Some("CC-8"))]), ["CC-8", "TV-17"]);
    assert_eq!(named(&[unmet("CC-8", None), warned(unmet("TV-17", Some("CC-8")))]), ["CC-8", "TV-17"]);
    let two = || ended(&["RR-9", "TV-17"]);
    let other = turned(two(), |found| found.subject = Subject::Module);
    let survived = survived(&["RR-9"]);
    assert_eq!(named(&[survived.clone(), survived.clone(), warned(two()), ended(&["TV-17"])]), ["RR-9", "TV-17"]);
    assert_eq!(named(&[survived.clone(), survived, other, ended(&["TV-17"])]), ["RR-9", "TV-17"]);
}
