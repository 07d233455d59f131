//! Messages for themselves: JSON, schema, topics, retain flag, QoS.

use super::*;

#[test]
fn a_client_may_say_again_what_no_specification_knows() {
    let withdraw = |kind: &str| json!({"payload": {"id_token": {"value": "04A2F3B1", "type": kind}}});
    let told = |said: Value| {
        let mut wire = Wire::client();
        let status = status_of("04A2F3B1", "Implant", "Accepted", &[1]).to_string();
        let publish = message(&topics().topic(Channel::TOKEN_VALIDATION_STATUS), status, 1);
        wire.packet("module", Direction::ToClient, publish);
        wire.module(Channel::WITHDRAW_AUTHORIZATION, said);
        wire
    };
    told(withdraw("Implant")).is_clean();
    told(withdraw("Tattoo")).fails("monitor/schema-violation", "SC-1");
    // It was told this text, and a number belongs there.
    told(json!({"payload": {"evse_id": "Implant"}})).fails("monitor/schema-violation", "SC-1");
}

#[test]
fn valid_messages_of_a_client_pass() {
    let mut wire = Wire::client();
    wire.module(Channel::COMMUNICATION_CHECK, json!(true));
    wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&format!("{BASE}/e2m/withdraw/1")));
    wire.module(Channel::WITHDRAW_AUTHORIZATION, json!({"payload": {}, "unknown": {"deep": [null]}}));
    wire.module(Channel::GET_TOKEN_VALIDATION_STATUS, get(&format!("{BASE}/e2m/get/1")));
    wire.sends("module", "my/own/topic", b"\xff not JSON");
    wire.is_clean();
}

#[test]
fn a_member_that_nearly_names_one_that_is_missing_fails() {
    let send = |payload: Value| {
        let mut wire = Wire::client();
        wire.module(Channel::WITHDRAW_AUTHORIZATION, json!({ "payload": payload }));
        wire
    };
    for (member, meant) in [("evseId", "evse_id"), ("evse", "evse_id"), ("token", "id_token"), ("idToken", "id_token")]
    {
        let mut wire = send(json!({ member: 1 }));
        let finding = wire.fails("monitor/misspelt", "WD-18");
        let lines = [format!("`/payload` lacks `{meant}`")];
        assert!(finding.evidence.ends_with(&lines), "{member}: {finding:#?}");
    }
    for payload in
        [json!({"evse_id": 1, "evseId": 1}), json!({"comment": "all of them"}), json!({"evse_id": 1, "EVSE": 2})]
    {
        send(payload).is_clean();
    }
}

#[test]
fn what_is_not_json_fails() {
    for payload in [&b"{\"payload\": {}"[..], b"", b"\xff\xfe", b"{} {}", b"{\"payload\": {},}"] {
        let mut wire = Wire::client();
        wire.sends("module", &topics().topic(Channel::WITHDRAW_AUTHORIZATION), payload);
        wire.fails("monitor/not-json", "SC-1");
    }
}

#[test]
fn nesting_deeper_than_our_reader_is_no_fault() {
    let deep = format!("{{\"payload\": {{}}, \"x\": {}{}}}", "[".repeat(500), "]".repeat(500));
    Wire::client().sends("module", &topics().topic(Channel::WITHDRAW_AUTHORIZATION), deep).is_clean();
}

#[test]
fn violations_of_the_schema_fail_and_name_the_place() {
    let mut wire = Wire::client();
    wire.module(Channel::WITHDRAW_AUTHORIZATION, json!({"payload": {"evse_id": "1"}}));
    let finding = wire.fails("monitor/schema-violation", "SC-1");
    assert!(finding.headline.contains("`/payload/evse_id`"), "{}", finding.headline);
    Wire::client().module(Channel::COMMUNICATION_CHECK, json!(1)).fails("monitor/schema-violation", "CC-8");
    Wire::client().module(Channel::GET_TOKEN_VALIDATION_STATUS, json!({})).fails("monitor/schema-violation", "SC-1");
    Wire::everest().status("Authorized", &[]).fails("monitor/schema-violation", "TV-1");
    Wire::everest().module(Channel::HEARTBEAT, json!({})).fails("monitor/schema-violation", "HB-1");
}

#[test]
fn the_harness_may_send_what_it_likes() {
    let mut wire = Wire::everest();
    wire.sends("harness", &topics().topic(Channel::WITHDRAW_AUTHORIZATION), "garbage");
    wire.harness(Channel::WITHDRAW_AUTHORIZATION, json!(null));
    wire.harness(Channel::TOKEN_VALIDATION_STATUS, json!(1));
    wire.is_clean();
}

#[test]
fn replies_have_the_shape_that_their_request_asks_for() {
    let topic = format!("{BASE}/e2m/x/1");
    Wire::everest()
        .harness(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic))
        .sends("module", &topic, "\"Done\"")
        .fails("monitor/schema-violation", "RR-1");
    Wire::everest()
        .harness(Channel::GET_TOKEN_VALIDATION_STATUS, get(&topic))
        .sends("module", &topic, "\"Accepted\"")
        .fails("monitor/schema-violation", "LV-2");
    for empty in ["null", "true"] {
        let mut wire = Wire::everest();
        wire.harness(Channel::GET_TOKEN_VALIDATION_STATUS, get(&topic)).sends("module", &topic, empty).is_clean();
    }
}

#[test]
fn each_side_keeps_to_its_own_topics() {
    Wire::client()
        .module(Channel::TOKEN_VALIDATION_STATUS, status_of("T1", "ISO14443", "Processing", &[]))
        .fails("monitor/wrong-direction", "SC-2");
    Wire::client().sends("module", &format!("{BASE}/e2m/anything"), "1").fails("monitor/wrong-direction", "SC-2");
    Wire::client()
        .sends("module", &format!("{BASE}/e2m/token_validation_status/get"), get("r").to_string())
        .fails("monitor/wrong-direction", "LV-4");
    Wire::everest().module(Channel::COMMUNICATION_CHECK, json!(true)).fails("monitor/wrong-direction", "SC-2");
}

#[test]
fn a_reply_topic_under_m2e_is_the_clients_choice() {
    let topic = format!("{BASE}/m2e/reply/1");
    Wire::everest()
        .harness(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic))
        .sends("module", &topic, "\"Accepted\"")
        .is_clean();
}

#[test]
fn a_client_sends_on_no_topic_that_nobody_reads() {
    Wire::client().sends("module", &format!("{BASE}/m2e/withdraw"), "{}").fails("monitor/unknown-topic", "SC-2");
    Wire::client()
        .sends("module", "everest_api/1.0/auth_consumer/api/m2e/communication_check", "true")
        .warns("monitor/unknown-topic", "SC-2");
    Wire::client().sends("module", "everest_api/1/auth_consumer/other/m2e/communication_check", "1").is_clean();
    Wire::client().sends("module", "everest_api/1/evse_manager/api/m2e/anything", "1").is_clean();
}

#[test]
fn a_topic_without_the_external_prefix_fails_for_whoever_knows_it() {
    let prefixed = Topics { external_prefix: "site/".into(), ..topics() };
    let check = |topics: &Topics| topics.topic(Channel::COMMUNICATION_CHECK);
    let sends = |first: &str| {
        let mut wire = Wire::with(Context::new(prefixed.clone(), Side::Client));
        wire.sends("module", first, "true").sends("module", &check(&topics()), "true");
        wire.found.extend(wire.monitors.finish(wire.at));
        wire.found.iter().map(|found| (found.severity, found.id, found.requirement)).collect::<Vec<_>>()
    };
    assert_eq!(sends(&check(&prefixed)), [(Severity::Fail, "monitor/unknown-topic", Some("SC-2"))]);
    assert_eq!(sends("elsewhere"), [(Severity::Warning, "monitor/unknown-topic", Some("SC-2"))]);
}

#[test]
fn retained_messages_fail_on_either_side() {
    let retained = |channel, payload: &str| Publish { retain: true, ..message(&topics().topic(channel), payload, 1) };
    Wire::client()
        .packet("module", Direction::FromClient, retained(Channel::COMMUNICATION_CHECK, "true"))
        .fails("monitor/retained", "RR-17");
    Wire::everest()
        .packet("module", Direction::FromClient, retained(Channel::HEARTBEAT, "0"))
        .fails("monitor/retained", "RR-16");
    let reply = Publish { retain: true, ..message("r", "\"Accepted\"", 1) };
    Wire::everest()
        .harness(Channel::WITHDRAW_AUTHORIZATION, withdraw("r"))
        .packet("module", Direction::FromClient, reply)
        .fails("monitor/retained", "RR-16");
    // What the broker hands on with the flag was retained by somebody else.
    Wire::client().packet("module", Direction::ToClient, retained(Channel::HEARTBEAT, "0")).is_clean();
}

#[test]
fn another_qos_fails_once_a_channel() {
    let beat = |number: u64| Publish { qos: 0, ..message(&topics().topic(Channel::HEARTBEAT), number.to_string(), 0) };
    Wire::everest()
        .packet("module", Direction::FromClient, beat(0))
        .packet("module", Direction::FromClient, beat(1))
        .fails("monitor/qos", "RR-16");
    let check = Publish { qos: 0, ..message(&topics().topic(Channel::COMMUNICATION_CHECK), "true", 0) };
    Wire::client().packet("module", Direction::FromClient, check).is_clean();
}

#[test]
fn a_last_will_is_a_message_of_the_module() {
    let with_will = |topic: &str, payload: &str, retain: bool| {
        let mut wire = Wire::client();
        let will = Some(Publish { retain, qos: 1, ..message(topic, payload, 0) });
        wire.event(
            "module-2",
            Event::Connected { protocol: 4, clean: true, session_present: false, keep_alive: 20, will },
        );
        wire
    };
    let check = format!("{BASE}/m2e/communication_check");
    with_will(&check, "true", false).is_clean();
    with_will(&check, "false", false).fails("monitor/checks-stopped", "CC-9");
    with_will("display/gone", "yes", true).is_clean();
    let mut offline = with_will(&check, "\"offline\"", false);
    let finding = offline.fails("monitor/schema-violation", "CC-8");
    assert!(finding.evidence.iter().any(|line| line.contains("last will")), "{finding:#?}");
    with_will(&check, "true", true).fails("monitor/retained", "RR-17");
    with_will(&format!("{BASE}/e2m/heartbeat"), "0", false).fails("monitor/wrong-direction", "SC-2");
}

#[test]
fn the_beacon_is_everests() {
    Wire::client().sends("module", "everest_api/ready_beacon", "{}").fails("monitor/wrong-direction", "SC-2");
}
