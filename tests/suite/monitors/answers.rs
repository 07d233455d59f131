//! Replies of EVerest's side.

use super::*;

#[test]
fn one_reply_each_passes() {
    let mut wire = Wire::everest();
    for n in 0..3 {
        wire.harness(Channel::WITHDRAW_AUTHORIZATION, withdraw(&format!("replies/{n}")));
    }
    for n in 0..3 {
        wire.sends("module", &format!("replies/{n}"), "\"AuthorizationNotFound\"");
    }
    wire.is_clean();
}

#[test]
fn a_second_reply_fails() {
    let mut wire = Wire::everest();
    wire.harness(Channel::WITHDRAW_AUTHORIZATION, withdraw("r"));
    wire.sends("module", "r", "\"Accepted\"").after(30).sends("module", "r", "\"Accepted\"");
    let finding = wire.fails("monitor/second-reply", "RR-1");
    assert!(finding.evidence.iter().any(|line| line.contains("30ms")), "{finding:#?}");
    let mut wire = Wire::everest();
    wire.harness(Channel::GET_TOKEN_VALIDATION_STATUS, get("r"));
    wire.sends("module", "r", "true").sends("module", "r", "true").fails("monitor/second-reply", "LV-2");
}

#[test]
fn a_reply_topic_used_twice_is_answered_twice() {
    let mut wire = Wire::everest();
    for _ in 0..2 {
        wire.harness(Channel::WITHDRAW_AUTHORIZATION, withdraw("r")).sends("module", "r", "\"Accepted\"");
    }
    wire.is_clean();
}

#[test]
fn redelivered_requests_and_replies_are_no_second_reply() {
    let topic = topics().topic(Channel::WITHDRAW_AUTHORIZATION);
    let mut wire = Wire::everest();
    wire.harness(Channel::WITHDRAW_AUTHORIZATION, withdraw("r"));
    for _ in 0..2 {
        let delivery = message(&topic, withdraw("r").to_string(), 1);
        wire.packet("module", Direction::ToClient, delivery).sends("module", "r", "\"Accepted\"");
    }
    let again = Publish { dup: true, ..message("r", "\"Accepted\"", wire.pkid) };
    wire.packet("module", Direction::FromClient, again);
    wire.disconnect("module", false).connect("module").sends("module", "r", "\"Accepted\"").is_clean();
}

#[test]
fn a_retained_request_is_executed_at_every_start() {
    let mut wire = Wire::everest();
    let request = message(&topics().topic(Channel::WITHDRAW_AUTHORIZATION), withdraw("r").to_string(), 1);
    wire.packet("harness", Direction::FromClient, Publish { retain: true, ..request });
    wire.sends("module", "r", "\"Accepted\"").sends("module", "r", "\"Accepted\"").is_clean();
}

#[test]
fn a_reply_that_nobody_asked_for_fails() {
    let mut wire = Wire::everest();
    wire.harness(Channel::WITHDRAW_AUTHORIZATION, withdraw(&format!("{BASE}/e2m/withdraw/1")));
    wire.sends("module", &format!("{BASE}/e2m/withdraw/2"), "\"Accepted\"");
    wire.fails("monitor/stray-reply", "RR-1");
    Wire::everest().sends("module", "elsewhere/e2m/withdraw/2", "\"Accepted\"").is_clean();
}

#[test]
fn requests_of_others_on_a_shared_broker_are_known_by_their_delivery() {
    let topic = format!("{BASE}/e2m/withdraw/7");
    let delivery = message(&topics().topic(Channel::WITHDRAW_AUTHORIZATION), withdraw(&topic).to_string(), 0);
    Wire::everest().packet("module", Direction::ToClient, delivery).sends("module", &topic, "\"Accepted\"").is_clean();
}

#[test]
fn the_external_prefix_may_stand_before_the_reply_topic() {
    let prefixed = Topics { external_prefix: "site/".into(), ..topics() };
    let mut wire = Wire::with(Context::new(prefixed.clone(), Side::Everest));
    let reply_to = prefixed.reply_topic("withdraw", "1");
    wire.sends("harness", &prefixed.topic(Channel::WITHDRAW_AUTHORIZATION), withdraw(&reply_to).to_string());
    wire.sends("module", &format!("site/{reply_to}"), "\"Accepted\"").is_clean();
}

#[test]
fn absence_is_judged_only_after_a_grace() {
    let ask = |grace: Option<u64>, request: Value, delivered: bool| {
        let reply_grace = grace.map(Duration::from_millis);
        let mut wire = Wire::with(Context { reply_grace, ..Context::new(topics(), Side::Everest) });
        wire.harness(Channel::WITHDRAW_AUTHORIZATION, request.clone());
        if delivered {
            let topic = topics().topic(Channel::WITHDRAW_AUTHORIZATION);
            wire.packet("module", Direction::ToClient, message(&topic, request.to_string(), 0));
        }
        wire.after(1000);
        wire
    };
    ask(Some(500), withdraw("r"), true).fails("monitor/missing-reply", "RR-1");
    ask(Some(1500), withdraw("r"), true).is_clean();
    ask(None, withdraw("r"), true).is_clean();
    ask(Some(500), withdraw("r"), false).is_clean();
    ask(Some(500), json!({"headers": {"replyTo": "r"}}), true).is_clean();
}

#[test]
fn a_reply_topic_that_only_everest_can_read_is_no_stray() {
    let topic = format!("{BASE}/e2m/withdraw/1");
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for request in [
        format!("\u{feff}{}", withdraw(&topic)),
        format!("{{\"headers\": {{\"replyTo\": \"{topic}\"}}, \"payload\": {{\"x\": {deep}}}}}"),
    ] {
        let mut wire = Wire::everest();
        wire.sends("harness", &topics().topic(Channel::WITHDRAW_AUTHORIZATION), request);
        wire.sends("module", &topic, "\"Accepted\"").is_clean();
    }
}

#[test]
fn an_attached_module_may_answer_what_was_asked_before() {
    let mut wire = Wire::with(Context { from_start: false, ..Context::new(topics(), Side::Everest) });
    wire.sends("module", &format!("{BASE}/e2m/withdraw/2"), "\"Accepted\"").warns("monitor/stray-reply", "RR-1");
}

#[test]
fn a_request_that_is_not_executed_is_not_answered() {
    let topic = format!("{BASE}/e2m/withdraw/1");
    let asks = |request: Value| {
        let mut wire = Wire::everest();
        wire.harness(Channel::WITHDRAW_AUTHORIZATION, request);
        wire
    };
    for (payload, requirement) in
        [(None, "RR-5"), (Some(json!({"evse_id": "1"})), "RR-8"), (Some(json!({"id_token": 5})), "RR-8")]
    {
        let mut request = json!({"headers": {"replyTo": topic}});
        if let Some(payload) = payload {
            request["payload"] = payload;
        }
        asks(request.clone()).sends("module", &topic, "\"Rejected\"").fails("monitor/stray-reply", requirement);
        asks(request.clone()).is_clean();
        // One on the same topic that is executed explains it.
        let mut both = asks(request);
        both.harness(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic))
            .sends("module", &topic, "\"Accepted\"")
            .is_clean();
    }
    // EVerest takes any other kind for a withdraw of everything.
    asks(json!({"headers": {"replyTo": topic}, "payload": null})).sends("module", &topic, "\"Accepted\"").is_clean();
}
