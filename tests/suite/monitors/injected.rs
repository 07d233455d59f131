//! Faults that khumbu injects: nobody is to blame for what they do.

use khumbu::transcript::injected::{Copies, Corruption, Effect, Injected};

use super::*;

const KEPT: [Effect; 4] =
    [Effect::Drop, Effect::Delay(Duration::from_secs(2)), Effect::Reorder, Effect::Corrupt(Corruption::Flip)];
const TWICE: Effect = Effect::Duplicate(Copies::Message);

impl Wire {
    /// A fault befell the last message.
    fn befell(&mut self, effect: Effect) -> &mut Self {
        let injected = Injected::Message { seq: self.seq - 1, rule: 0, topic: "t".into(), effect };
        self.event("harness", Event::Injected(injected))
    }
}

/// A client that stops its checks while it is sent heartbeats that a fault befalls.
fn silent_while(effect: Effect) -> Wire {
    let mut wire = Wire::with(Context {
        communication_check_timeout: Some(Duration::from_secs(2)),
        heartbeat_interval: Some(Duration::from_secs(1)),
        ..Context::new(topics(), Side::Client)
    });
    wire.harness(Channel::HEARTBEAT, json!(0)).module(Channel::COMMUNICATION_CHECK, json!(true));
    for number in 1..9 {
        wire.after(1000).harness(Channel::HEARTBEAT, json!(number)).befell(effect);
    }
    wire.module(Channel::COMMUNICATION_CHECK, json!(true));
    wire
}

#[test]
fn heartbeats_that_were_kept_from_a_client_explain_checks_that_stay_out() {
    for effect in KEPT {
        silent_while(effect).warns("monitor/communication-check-late", "CC-8");
    }
    silent_while(TWICE).fails("monitor/communication-check-late", "CC-8");
}

/// A validator that was asked, and a fault befell the question.
fn asked(effect: Effect) -> (Wire, String, Publish) {
    let topics = Topics { api: ApiType::AUTH_TOKEN_VALIDATOR, ..topics() };
    let mut wire = Wire::with(Context::new(topics.clone(), Side::Client));
    let reply_to = topics.reply_topic_to_everest("1");
    let token = json!({"id_token": {"value": "T1", "type": "ISO14443"}, "authorization_type": "RFID"});
    let question = json!({"headers": {"replyTo": reply_to}, "payload": token}).to_string();
    let topic = topics.topic(Channel::VALIDATE_TOKEN);
    wire.sends("harness", &topic, &question).befell(effect);
    (wire, reply_to, message(&topic, question, 1))
}

const RESULT: &str = r#"{"authorization_status": "Accepted", "tariff_messages": []}"#;

#[test]
fn a_question_that_was_befallen_may_be_answered_late_or_never() {
    for effect in KEPT {
        for answers in [true, false] {
            let (mut wire, topic, question) = asked(effect);
            wire.after(1000).event("harness", Event::Unsubscribed { filter: topic.clone() });
            wire.after(900).packet("module", Direction::ToClient, question);
            if answers {
                wire.sends("module", &topic, RESULT);
            }
            wire.is_clean();
        }
    }
    let (mut wire, topic, question) = asked(TWICE);
    wire.packet("module", Direction::ToClient, question);
    wire.after(1000).event("harness", Event::Unsubscribed { filter: topic });
    wire.fails("monitor/missing-reply", "VA-3");
}

#[test]
fn a_question_that_came_twice_may_be_answered_twice() {
    let (mut wire, topic, question) = asked(TWICE);
    wire.packet("module", Direction::ToClient, question.clone()).packet("module", Direction::ToClient, question);
    wire.sends("module", &topic, RESULT).sends("module", &topic, RESULT).is_clean();
    wire.sends("module", &topic, RESULT).fails("monitor/second-reply", "VA-3");
}

#[test]
fn everest_owes_no_reply_to_a_request_that_was_befallen() {
    let grace = Some(Duration::from_secs(1));
    let asked = |effect: Option<Effect>| {
        let mut wire = Wire::with(Context { reply_grace: grace, ..Context::new(topics(), Side::Everest) });
        wire.harness(Channel::WITHDRAW_AUTHORIZATION, withdraw("r"));
        if let Some(effect) = effect {
            wire.befell(effect);
        }
        let topic = topics().topic(Channel::WITHDRAW_AUTHORIZATION);
        wire.packet("module", Direction::ToClient, message(&topic, withdraw("r").to_string(), 1)).after(2000);
        wire
    };
    KEPT.into_iter().for_each(|effect| asked(Some(effect)).is_clean());
    asked(Some(TWICE)).fails("monitor/missing-reply", "RR-1");
    asked(None).fails("monitor/missing-reply", "RR-1");
}

#[test]
fn heartbeats_of_everest_that_are_lost_were_sent() {
    let mut wire = Wire::everest();
    for number in 0..9 {
        wire.after(1000).module(Channel::HEARTBEAT, json!(number)).befell(Effect::Drop);
    }
    wire.is_clean();
}

#[test]
fn a_reply_that_was_lost_is_still_waited_for() {
    for (effect, is_answered) in [(Effect::Drop, false), (Effect::Corrupt(Corruption::Encoding), false), (TWICE, true)]
    {
        let mut wire = Wire::client();
        wire.module(Channel::WITHDRAW_AUTHORIZATION, withdraw(&format!("{BASE}/e2m/r")));
        wire.sends("harness", &format!("{BASE}/e2m/r"), "\"Accepted\"");
        assert!(wire.classifier.requests()[0].is_answered);
        wire.befell(effect);
        assert_eq!(wire.classifier.requests()[0].is_answered, is_answered, "{effect}");
    }
}
