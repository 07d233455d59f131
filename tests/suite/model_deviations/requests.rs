//! How requests are read, and what waits behind one.

use super::*;

#[test]
fn withdraw_all_by_any_payload() {
    for payload in ["null", "5", "false", "\"x\"", "[]"] {
        let text = format!(r#"{{"headers": {{"replyTo": "r"}}, "payload": {payload}}}"#);
        assert_eq!(is_executed(Deviation::WithdrawAllByAnyPayload, &text), [true, false], "{payload}");
    }
}

#[test]
fn withdraw_all_by_typo() {
    assert_eq!(is_executed(Deviation::WithdrawAllByTypo, r#"{"payload": {"evseId": 2}}"#), [true, false]);
    for good in [r#"{"payload": {}}"#, r#"{"payload": {"evse_id": 1, "x": 2}}"#] {
        assert_eq!(is_executed(Deviation::WithdrawAllByTypo, good), [true, true], "{good}");
    }
}

#[test]
fn evse_id_cast() {
    for value in ["1.9", "true", "4294967297"] {
        let text = format!(r#"{{"payload": {{"evse_id": {value}}}}}"#);
        assert_eq!(is_executed(Deviation::EvseIdCast, &text), [true, false], "{value}");
    }
    assert_eq!(is_executed(Deviation::EvseIdCast, r#"{"payload": {"evse_id": 1.0}}"#), [true, true]);
    // Beyond 32 bits it is an EVSE that there is not, not an error.
    let mut desk = Desk::ready(&switched(quiet(), Deviation::EvseIdCast, false));
    desk.withdraw("r", json!({"evse_id": 4_294_967_297_i64}));
    assert_eq!(desk.seen(), ["r: \"EvseNotFound\""]);
}

#[test]
fn long_token_value() {
    let request =
        |characters: usize| json!({"payload": {"id_token": {"value": "ü".repeat(characters), "type": "Local"}}});
    for (characters, with, without) in [(36, true, true), (37, true, false)] {
        let executed = [true, false].map(|is_on| {
            let deviations = Deviations::default().with(Deviation::LongTokenValue, is_on);
            let decoded = codec::decode_withdraw(request(characters).to_string().as_bytes(), deviations);
            matches!(decoded, codec::Decoded::Execute { .. })
        });
        assert_eq!(executed, [with, without], "{characters}");
    }
}

#[test]
fn arrays_of_any_kind() {
    for info in ["null", "{}", r#"{"k": {"value": "v", "type": "t"}}"#] {
        let text = format!(
            r#"{{"payload": {{"id_token": {{"value": "A", "type": "ISO14443", "additional_info": {info}}}}}}}"#
        );
        assert_eq!(is_executed(Deviation::ArraysOfAnyKind, &text), [true, false], "{info}");
    }
}

#[test]
fn headers_of_any_kind() {
    for headers in ["null", "\"x\"", "[]"] {
        let text = format!(r#"{{"headers": {headers}, "payload": {{}}}}"#);
        assert_eq!(is_executed(Deviation::HeadersOfAnyKind, &text), [true, false], "{headers}");
    }
}

#[test]
fn lenient_json() {
    for text in ["\u{feff}{\"payload\": {}}", "{\"payload\": {}}\0x"] {
        assert_eq!(is_executed(Deviation::LenientJson, text), [true, false], "{text:?}");
    }
}

#[test]
fn missing_payload_dropped() {
    assert_eq!(is_executed(Deviation::MissingPayloadDropped, r#"{"headers": {"replyTo": "r"}}"#), [false, true]);
    assert_eq!(is_executed(Deviation::MissingPayloadDropped, "[]"), [false, false]);
}

#[test]
fn reply_address_required() {
    for text in [r#"{"payload": {}}"#, r#"{"headers": {}, "payload": {}}"#] {
        assert_eq!(is_executed(Deviation::ReplyAddressRequired, text), [false, true], "{text}");
    }
}

#[test]
fn exit_on_empty_reply_to() {
    exits(Deviation::ExitOnEmptyReplyTo, "");
}

#[test]
fn exit_on_wildcard_reply_to() {
    exits(Deviation::ExitOnWildcardReplyTo, "my/+/reply");
    exits(Deviation::ExitOnWildcardReplyTo, "my/#");
}

#[track_caller]
fn exits(deviation: Deviation, reply_to: &str) {
    let [mut with, mut without] = pair(&quiet(), deviation);
    for desk in [&mut with, &mut without] {
        desk.present("A", 0);
        desk.seen();
        desk.withdraw(reply_to, json!({}));
    }
    assert_eq!(with.seen_publications(), ["A Withdrawn [1]", "exit"]);
    assert_eq!(without.seen_publications(), ["A Withdrawn [1]"]);
    assert_eq!(with.station.next_deadline(), None);
    with.present("B", 0);
    assert_eq!(with.why(), "EVerest has ended");
    without.present("B", 0);
    assert!(!without.seen().is_empty());
}

#[test]
fn exit_on_missing_reply_to() {
    for (text, ends) in [
        (r#"{"payload": {}}"#, true),
        (r#"{"headers": {}, "payload": {}}"#, true),
        (r#"{"headers": null, "payload": {}}"#, false),
        (r#"{"headers": {"replyTo": null}, "payload": {}}"#, false),
        ("[]", false),
    ] {
        let [mut with, mut without] = pair(&quiet(), Deviation::ExitOnMissingReplyTo);
        for desk in [&mut with, &mut without] {
            withdraw_text(desk, text);
        }
        assert_eq!(with.seen_publications().contains(&"exit".to_owned()), ends, "{text}");
        assert!(!without.seen_publications().contains(&"exit".to_owned()), "{text}");
    }
}

#[test]
fn nul_cuts_reply_to() {
    let act = |desk: &mut Desk| desk.withdraw("r\0+", json!({}));
    differs(Deviation::NulCutsReplyTo, &quiet(), act, &["r: \"AuthorizationNotFound\""], &[]);
}

#[test]
fn withdraw_blocks_messages() {
    let act = |desk: &mut Desk| {
        desk.present("A", 9000);
        desk.withdraw("a", json!({"id_token": {"value": "A", "type": "ISO14443"}}));
        desk.check("true");
        desk.withdraw("b", json!({"evse_id": 99}));
        desk.withdraw("c", json!({"id_token": {"value": "C", "type": "ISO14443"}}));
        desk.get("g");
        desk.pass(millis(4900));
        desk.check("true");
        desk.seen_publications()
    };
    let [with, without] = pair(&with_check(5), Deviation::WithdrawBlocksMessages).map(|mut desk| act(&mut desk));
    assert_eq!(with, ["A Processing"]);
    let latched = json!({"messages": [], "status": "Processing", "token": token("A")});
    assert_eq!(
        without,
        [
            "A Processing",
            "cleared Initial communication check",
            "b: \"EvseNotFound\"",
            "c: \"AuthorizationNotFound\"",
            &format!("g: {latched}"),
        ]
    );
}

#[test]
fn checks_beside_withdraws() {
    let act = |desk: &mut Desk| {
        desk.present("A", 9000);
        desk.withdraw("a", json!({"id_token": {"value": "A", "type": "ISO14443"}}));
        desk.withdraw("b", json!({"evse_id": 99}));
        desk.check("true");
    };
    let cleared = "cleared Initial communication check";
    differs(Deviation::ChecksBesideWithdraws, &with_check(5), act, &["A Processing", cleared], &["A Processing"]);
}

#[test]
fn withdraw_blocks_auth() {
    let act = |desk: &mut Desk| {
        desk.present("A", 3000);
        desk.withdraw("a", json!({"evse_id": 1}));
        desk.command(Command::InjectFault(AtConnector { evse: 1, connector: None }));
        desk.present("B", 0);
        desk.pass(secs(2));
        desk.seen_publications()
    };
    let outcomes = pair(&quiet(), Deviation::WithdrawBlocksAuth).map(|mut desk| {
        let before = act(&mut desk);
        desk.pass(secs(4));
        [before, desk.seen_publications()]
    });
    // The fault reaches Auth when the request was answered, and the other token after it.
    let of_a = ["A Accepted", "A UsedToStart [1]", "A Withdrawn [1]", "a: \"Accepted\""];
    let of_b = ["B Processing", "B Accepted", "B UsedToStart [2]"];
    assert_eq!(outcomes[0][0], ["A Processing"]);
    assert_eq!(outcomes[0][1], [&of_a[..], &of_b].concat());
    assert_eq!(outcomes[1][0], [&["A Processing"][..], &of_b].concat());
    assert_eq!(outcomes[1][1], ["A Rejected", "a: \"Accepted\""]);
}
