//! What goes to token validators and comes from them.

use super::*;

#[test]
fn certificate_hash_data_dropped() {
    let hash = CertificateHashData {
        hash_algorithm: HashAlgorithm::SHA256,
        issuer_key_hash: "k".into(),
        issuer_name_hash: "n".into(),
        responder_url: "http://ocsp.example".into(),
        serial_number: "1".into(),
    };
    let mut provided = bare_token("A");
    provided["iso15118CertificateHashData"] = json!([hash]);
    let outcomes = pair(&with_other_apis(), Deviation::CertificateHashDataDropped).map(|mut desk| {
        provide(&mut desk, provided.clone());
        present(
            &mut desk,
            ProvidedIdToken { certificate_hash_data: Some(vec![hash.clone()]), ..token("B") },
            accepted_after(0),
        );
        desk.statuses.iter().map(|status| status["token"]["iso15118CertificateHashData"].clone()).collect::<Vec<_>>()
    });
    assert_eq!(outcomes, [[Value::Null, Value::Null], [json!([hash]), json!([hash])]]);
    // A malformed one spoils the token in either case.
    provided["iso15118CertificateHashData"] = json!([{"hashAlgorithm": "MD5"}]);
    for mut desk in pair(&with_other_apis(), Deviation::CertificateHashDataDropped) {
        provide(&mut desk, provided.clone());
        assert_eq!(desk.seen(), NOTHING);
    }
}

#[test]
fn validator_reply_time() {
    let mut config = with_other_apis();
    config.auth_token_validator.as_mut().unwrap().cfg_communication_check_to_s = 7;
    let times = pair(&config, Deviation::ValidatorReplyTime).map(|mut desk| {
        at(&mut desk, ApiType::AUTH_TOKEN_VALIDATOR, Channel::COMMUNICATION_CHECK, "false");
        provide(&mut desk, bare_token("A"));
        desk.station.next_deadline().unwrap()
    });
    assert_eq!(times, [secs(20), secs(7)]);
}

#[test]
fn validator_call_time() {
    let mut config = with_other_apis();
    config.auth_token_validator.as_mut().unwrap().cfg_request_reply_to_s = 550;
    let act = |desk: &mut Desk| {
        provide(desk, bare_token("A"));
        provide(desk, bare_token("B"));
        desk.seen();
        desk.pass(secs(301));
    };
    differs(Deviation::ValidatorCallTime, &config, act, &["A Rejected", "B Rejected"], &[]);
    // The module goes on: it waits for the reply, and asks about the other token.
    let mut desk = Desk::ready(&config);
    act(&mut desk);
    desk.seen();
    reply(&mut desk, 0, r#"{"authorization_status": "Accepted", "tariff_messages": []}"#);
    assert_eq!(desk.seen(), ["asked 0", "ask 1 B"]);
}

#[test]
fn bad_reply_awaits_another() {
    let act = |desk: &mut Desk| {
        provide(desk, bare_token("A"));
        reply(desk, 0, r#"{"authorization_status": "Perhaps", "tariff_messages": []}"#);
        desk.pass(secs(1));
    };
    differs(
        Deviation::BadReplyAwaitsAnother,
        &with_other_apis(),
        act,
        &["A Processing", "ask 0 A"],
        &["A Processing", "ask 0 A", "asked 0", "A Rejected"],
    );
}

#[test]
fn unknown_pin_required() {
    for status in ["PinRequired", "Timeout"] {
        let act = |desk: &mut Desk| {
            provide(desk, bare_token("A"));
            desk.seen();
            reply(desk, 0, &json!({"authorization_status": status, "tariff_messages": []}).to_string());
            desk.pass(secs(1));
        };
        differs(Deviation::UnknownPinRequired, &with_other_apis(), act, &[], &["asked 0", "A Rejected"]);
    }
}

/// A result with a mode that may be unknown.
#[track_caller]
fn differs_by_mode(deviation: Deviation, modes: [&str; 2]) {
    for mode in modes {
        let act = |desk: &mut Desk| {
            provide(desk, bare_token("A"));
            desk.seen();
            let modes = ["DC", mode];
            let result = json!({
                "allowed_energy_transfer_modes": modes,
                "authorization_status": "Blocked",
                "tariff_messages": [],
            });
            reply(desk, 0, &result.to_string());
        };
        differs(deviation, &with_other_apis(), act, &[], &["asked 0", "A Rejected"]);
    }
}

#[test]
fn unknown_mcs_modes() {
    differs_by_mode(Deviation::UnknownMcsModes, ["MCS", "MCS_BPT"]);
}

#[test]
fn unknown_der_modes() {
    differs_by_mode(Deviation::UnknownDerModes, ["AC_DER_IEC", "AC_DER_SAE"]);
}

#[test]
fn tariff_messages_required() {
    let answers = pair(&with_other_apis(), Deviation::TariffMessagesRequired).map(|mut desk| {
        provide(&mut desk, bare_token("A"));
        desk.seen();
        reply(&mut desk, 0, r#"{"authorization_status": "Accepted"}"#);
        desk.seen_publications()
    });
    assert_eq!(answers, [vec![], vec!["asked 0", "A Accepted", "A UsedToStart [1]"]]);
}

#[test]
fn serial_validation() {
    let act = |desk: &mut Desk| {
        provide(desk, bare_token("A"));
        provide(desk, bare_token("B"));
    };
    differs(
        Deviation::SerialValidation,
        &with_other_apis(),
        act,
        &["A Processing", "ask 0 A", "B Processing"],
        &["A Processing", "ask 0 A", "B Processing", "ask 1 B"],
    );
    let mut desk = Desk::ready(&with_other_apis());
    act(&mut desk);
    desk.seen();
    reply(&mut desk, 0, r#"{"authorization_status": "Blocked", "tariff_messages": []}"#);
    assert_eq!(desk.seen(), ["asked 0", "A Rejected", "ask 1 B"]);
}
