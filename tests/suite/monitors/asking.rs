//! Requests of a client.

use super::*;

#[test]
fn requests_made_as_they_should_be_pass() {
    let mut wire = Wire::client();
    for n in 0..3 {
        wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&format!("{BASE}/e2m/withdraw/{n}")));
    }
    wire.is_clean();
}

#[test]
fn a_reply_topic_in_use_fails() {
    let topic = format!("{BASE}/e2m/withdraw/1");
    let mut wire = Wire::client();
    wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic));
    wire.after(20).module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic));
    wire.fails("monitor/reply-topic-reused", "RR-13");
}

#[test]
fn a_reply_topic_in_use_fails_on_a_busy_machine_too() {
    let topic = format!("{BASE}/e2m/withdraw/1");
    let mut wire = Wire::client();
    wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic));
    wire.after(700).module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic));
    wire.fails("monitor/reply-topic-reused", "RR-13");
}

#[test]
fn a_reply_topic_that_was_answered_may_be_used_again() {
    let topic = format!("{BASE}/e2m/withdraw/1");
    let mut wire = Wire::client();
    for _ in 0..2 {
        wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic)).sends("harness", &topic, "\"Accepted\"");
    }
    wire.is_clean();
}

#[test]
fn a_request_given_up_is_worth_a_warning_only() {
    let topic = format!("{BASE}/e2m/withdraw/1");
    let mut wire = Wire::client();
    wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic));
    wire.after(2000).module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic));
    wire.warns("monitor/reply-topic-reused", "RR-13");
}

#[test]
fn requests_lost_with_everest_or_the_connection_are_not_outstanding() {
    let topic = format!("{BASE}/e2m/withdraw/1");
    let mut wire = Wire::client();
    wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic)).monitors.everest_restarted();
    wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic)).disconnect("module", false).connect("module");
    wire.subscribe("module", "#").module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic)).is_clean();
}

#[test]
fn redelivery_is_no_second_request() {
    let topic = format!("{BASE}/e2m/withdraw/1");
    let mut wire = Wire::client();
    wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&topic));
    let request = message(&topics().topic(Channel::WITHDRAW_AUTHORIZATION), withdraw(&topic).to_string(), wire.pkid);
    wire.packet("module", Direction::FromClient, Publish { dup: true, ..request }).is_clean();
}

#[test]
fn subscribing_too_late_or_never_fails() {
    let mut wire = Wire::client();
    wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw("my/replies/1")).after(400);
    wire.subscribe("module", "my/replies/+");
    let finding = wire.fails("monitor/reply-topic-not-subscribed", "RR-13");
    assert!(finding.evidence.iter().any(|line| line.contains("400ms")), "{finding:#?}");
    Wire::client()
        .module(Channel::GET_TOKEN_VALIDATION_STATUS, get("my/replies/1"))
        .fails("monitor/reply-topic-not-subscribed", "RR-13");
    Wire::client()
        .subscribe("module", "my/replies/1")
        .event("module", Event::Unsubscribed { filter: "my/replies/1".into() })
        .module(Channel::GET_TOKEN_VALIDATION_STATUS, get("my/replies/1"))
        .fails("monitor/reply-topic-not-subscribed", "RR-13");
}

#[test]
fn subscriptions_of_all_clients_of_the_module_count() {
    for filter in ["my/replies/1", "my/+/1", "my/#", "#", "$share/group/my/#"] {
        let mut wire = Wire::client();
        wire.connect("module_listener").subscribe("module_listener", filter);
        wire.connect("module_once").sends(
            "module_once",
            &topics().topic(Channel::WITHDRAW_AUTHORIZATION),
            withdraw("my/replies/1").to_string(),
        );
        wire.disconnect("module_once", true).is_clean();
    }
}

#[test]
fn an_acknowledgement_that_a_relay_recorded_a_little_late_is_no_fault() {
    let late = |relayed| {
        let mut wire = Wire::with(Context { relayed, ..Context::new(topics(), Side::Client) });
        wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw("my/replies/1")).after(20);
        wire.subscribe("module", "my/replies/1");
        wire
    };
    late(true).is_clean();
    late(false).fails("monitor/reply-topic-not-subscribed", "RR-13");
}

#[test]
fn a_session_keeps_its_subscriptions_and_a_clean_start_loses_them() {
    let persistent = connected(4, false, true);
    let request = || withdraw("my/replies/1");
    let mut wire = Wire::client();
    let is_new = connected(4, false, false);
    wire.event("module", is_new.clone()).subscribe("module", "my/#").disconnect("module", false);
    wire.event("module", persistent).module(Channel::WITHDRAW_AUTHORIZATION, request()).is_clean();
    let mut wire = Wire::client();
    wire.event("module", is_new.clone()).subscribe("module", "my/#").disconnect("module", false);
    // The broker has forgotten it.
    wire.event("module", is_new).module(Channel::WITHDRAW_AUTHORIZATION, request());
    wire.fails("monitor/reply-topic-not-subscribed", "RR-13");
    let mut wire = Wire::client();
    wire.subscribe("module", "my/#").disconnect("module", false).connect("module");
    wire.module(Channel::WITHDRAW_AUTHORIZATION, request());
    wire.fails("monitor/reply-topic-not-subscribed", "RR-13");
}

#[test]
fn what_a_library_sends_late_was_subscribed_for_in_the_session_before() {
    let again = |wire: &mut Wire| {
        wire.disconnect("module", false).event("module", connected(4, false, false));
    };
    let mut wire = Wire::client();
    wire.event("module", connected(4, false, false)).subscribe("module", "my/replies/1");
    again(&mut wire);
    wire.module(Channel::GET_TOKEN_VALIDATION_STATUS, get("my/replies/1"));
    wire.is_clean();
    // It asks a second time without being subscribed.
    again(&mut wire);
    wire.after(2000).module(Channel::GET_TOKEN_VALIDATION_STATUS, get("my/replies/1"));
    wire.fails("monitor/reply-topic-not-subscribed", "RR-13");
}

#[test]
fn a_reply_topic_that_is_a_filter_fails() {
    for reply_to in ["my/+", "my/#", "my/\0"] {
        Wire::client()
            .subscribe("module", "#")
            .module(Channel::WITHDRAW_AUTHORIZATION, withdraw(reply_to))
            .fails("monitor/reply-topic-unusable", "RR-13");
    }
    Wire::client().module(Channel::WITHDRAW_AUTHORIZATION, withdraw("")).is_clean();
}

#[test]
fn whoever_asks_for_a_reply_alone_says_where_it_goes() {
    let mut wire = Wire::client();
    wire.module(Channel::GET_TOKEN_VALIDATION_STATUS, get("")).fails("monitor/reply-topic-unusable", "RR-13");
    let mut wire = Wire::client();
    wire.sends("module", "everest_api/discover", get("").to_string()).fails("monitor/reply-topic-unusable", "RR-13");
}

#[test]
fn a_broker_behind_a_relay_may_keep_an_older_session() {
    let persistent = connected(5, false, true);
    let mut wire = Wire::with(Context { relayed: true, ..Context::new(topics(), Side::Client) });
    wire.event("module", persistent).module(Channel::WITHDRAW_AUTHORIZATION, withdraw("my/replies/1")).is_clean();
}

#[test]
fn an_attached_module_may_have_subscribed_before() {
    let mut wire = Wire::with(Context { from_start: false, ..Context::new(topics(), Side::Client) });
    wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw("my/replies/1")).is_clean();
}

#[test]
fn a_reply_comes_behind_the_external_prefix_and_nowhere_else() {
    let topics = Topics { external_prefix: "site/".into(), ..topics() };
    let ask = |subscribed: &str, reply_to: &str| {
        let mut wire = Wire::with(Context::new(topics.clone(), Side::Client));
        wire.subscribe("module", subscribed);
        wire.sends("module", &topics.topic(Channel::WITHDRAW_AUTHORIZATION), withdraw(reply_to).to_string());
        wire
    };
    ask("site/a/1", "a/1").is_clean();
    ask("a/1", "a/1").fails("monitor/reply-topic-not-subscribed", "RR-13");
    ask("site/a/1", "site/a/1").fails("monitor/reply-topic-not-subscribed", "RR-13");
}
