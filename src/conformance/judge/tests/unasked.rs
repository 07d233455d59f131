//! Withdraw requests that no step demands: what they explain, and which are told.

use serde_json::json;

use super::evidence::Exhibits;
use super::script::{Message, beat, on, request, stray, withdraw};
use crate::conformance::sighting::Party;
use crate::diagnostic::{Diagnostic, Severity, Subject};
use crate::protocol::channel::Channel;

fn contradicted() -> Diagnostic {
    Diagnostic::new(Severity::Error, "scenario/contradicted", "the simulated EVerest sent something else")
        .otherwise()
        .with_evidence("what it sent")
        .with_help("mend the scenario")
}

/// What a finding has become.
fn explained(exhibits: &Exhibits, mut found: Diagnostic) -> Diagnostic {
    exhibits.ask(|proof| proof.explain_by_unasked(&mut found));
    found
}

fn of_evse(evse: i32, reply_to: &str) -> Message {
    request(Channel::WITHDRAW_AUTHORIZATION, reply_to, &json!({"evse_id": evse}))
}

#[test]
fn what_follows_from_an_unasked_withdraw_request_is_the_clients_fault() {
    let exhibits = Exhibits::of_client().passes(of_evse(1, "r/1")).passes(of_evse(2, "r/2")).passes(withdraw("r/3"));
    let found = explained(&exhibits.claimed(), contradicted());
    assert_eq!((found.severity, found.id, &found.help), (Severity::Fail, "expect/unasked-withdraw", &None));
    assert_eq!(found.subject, Subject::Expectation);
    let headline =
        "module `api` made a withdraw request that no step demands; then the simulated EVerest sent something else";
    assert_eq!(found.headline, headline);
    let [line, before] = found.evidence.as_slice() else { panic!("{:?}", found.evidence) };
    assert!(line.starts_with("no step demands: …/m2e/withdraw_authorization q2 "), "{line}");
    assert!(line.contains("\"evse_id\":2"), "the last one: {line}");
    assert_eq!(before, "what it sent");
    assert!(found.is_otherwise);
}

#[test]
fn what_has_another_cause_stays_as_it_is() {
    let unasked = || Exhibits::of_client().passes(withdraw("r/1"));
    let stays = |exhibits: &Exhibits, found: Diagnostic| explained(exhibits, found.clone()).id == found.id;
    assert!(!stays(&unasked(), contradicted()));
    assert!(stays(&Exhibits::of_client(), contradicted()), "it asked for nothing");
    assert!(stays(&unasked().claimed(), contradicted()), "a step demands it");
    let own = Message { from: Party::Harness, ..withdraw("r/1") };
    assert!(stays(&Exhibits::of_client().passes(own), contradicted()), "it is khumbu's");
    let garbage = Message { json: None, ..withdraw("r/1") };
    assert!(stays(&Exhibits::of_client().passes(garbage), contradicted()), "EVerest cannot read it");
    let get = request(Channel::GET_TOKEN_VALIDATION_STATUS, "r/1", &json!({}));
    assert!(stays(&Exhibits::of_client().passes(get), contradicted()), "it changes nothing");
    let failed = Diagnostic { severity: Severity::Fail, ..contradicted() };
    assert!(stays(&unasked(), failed), "the module is to blame already");
    let broken = Diagnostic { is_otherwise: false, ..contradicted() };
    assert!(stays(&unasked(), broken), "no other conduct of EVerest is told");
    let mut builtin = unasked();
    builtin.court.is_builtin = true;
    assert!(stays(&builtin, contradicted()), "khumbu's own client asks for what it is told to");
    assert!(stays(&Exhibits::of_everest().passes(withdraw("r/1")), contradicted()), "no client is under test");
}

#[test]
fn a_demanded_request_that_is_made_again_is_told() {
    let again = |exhibits: Exhibits| exhibits.ask(|proof| proof.asked_again());
    let demanded = || Exhibits::of_client().passes(of_evse(1, "r/1")).claimed();
    let found = again(demanded().passes(of_evse(1, "r/2")));
    let [warning] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((warning.severity, warning.id), (Severity::Warning, "module/asked-again"));
    assert_eq!(warning.headline, "module `api` made a withdraw request again that no step demands again");
    assert!(warning.evidence[0].contains("r/2"), "{:?}", warning.evidence);
    assert_eq!(again(demanded().passes(of_evse(1, "r/2")).passes(of_evse(1, "r/3"))).len(), 2, "each");
    assert!(again(demanded()).is_empty());
    assert!(again(demanded().passes(of_evse(2, "r/2"))).is_empty(), "another request");
    assert!(again(demanded().passes(of_evse(1, "r/1"))).is_empty(), "the same, sent twice");
    assert!(again(demanded().passes(of_evse(1, "r/2")).claimed()).is_empty(), "demanded twice");
    let unasked = Exhibits::of_client().passes(of_evse(1, "r/1")).passes(of_evse(1, "r/2"));
    assert!(again(unasked).is_empty(), "none was demanded");
    let others = demanded().passes(beat(1)).passes(stray("r/1", json!("Accepted")));
    let others = others.passes(on(Channel::COMMUNICATION_CHECK, json!(true)).by_module());
    assert!(again(others).is_empty());
}
