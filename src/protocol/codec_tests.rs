//! Every row of the table of requests, as EVerest was seen to take them.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::{Decoded, Deviations, Value, WithdrawAuthorizationRequest, encode, unusable_topic};
use crate::protocol::types::{
    AuthorizationStatus, AuthorizationType, CustomIdToken, IdToken, IdTokenType, MessageContent, ProvidedIdToken,
    TokenValidationStatus, TokenValidationStatusMessage, ValidationResult, WithdrawAuthorizationResult,
};

/// The decoders as EVerest's head runs them.
fn decode_withdraw(bytes: &[u8]) -> Decoded<WithdrawAuthorizationRequest> {
    super::decode_withdraw(bytes, Deviations::default())
}

fn decode_get(bytes: &[u8]) -> Decoded<()> {
    super::decode_get(bytes, Deviations::default())
}

fn decode_communication_check(bytes: &[u8]) -> Result<bool, String> {
    super::decode_communication_check(bytes, Deviations::default())
}

fn withdrawn(text: impl AsRef<[u8]>) -> Option<(WithdrawAuthorizationRequest, Option<String>)> {
    match decode_withdraw(text.as_ref()) {
        Decoded::Execute { request, reply_to } => Some((request, reply_to)),
        Decoded::NotExecuted { why } => {
            assert!(!why.is_empty());
            None
        }
    }
}

/// The request of a payload, in an envelope with a good reply topic.
fn of_payload(payload: &str) -> Option<WithdrawAuthorizationRequest> {
    let (request, reply_to) = withdrawn(format!(r#"{{"headers":{{"replyTo":"r"}},"payload":{payload}}}"#))?;
    assert_eq!(reply_to.as_deref(), Some("r"));
    Some(request)
}

fn evse_id(value: &str) -> Option<i32> {
    of_payload(&format!(r#"{{"evse_id":{value}}}"#)).map(|request| request.evse_id.unwrap())
}

fn token(value: &str) -> Option<IdToken> {
    of_payload(&format!(r#"{{"id_token":{value}}}"#)).map(|request| request.id_token.unwrap())
}

const EVERYTHING: WithdrawAuthorizationRequest = WithdrawAuthorizationRequest { evse_id: None, id_token: None };

#[test]
fn without_headers_the_request_is_executed_and_names_no_topic() {
    for headers in ["", r#""headers":{},"#, r#""headers":null,"#, r#""headers":"x","#, r#""headers":["x"],"#] {
        let text = format!(r#"{{{headers}"payload":{{}}}}"#);
        assert_eq!(withdrawn(&text), Some((EVERYTHING, None)), "{text}");
        assert_eq!(decode_get(text.as_bytes()), Decoded::Execute { request: (), reply_to: None }, "{text}");
    }
}

#[test]
fn an_empty_or_unusable_reply_topic_is_no_reason_to_refuse() {
    for topic in ["", "a/+/b", "a/#", "a\u{0}b"] {
        let text = json!({"headers": {"replyTo": topic}, "payload": {}}).to_string();
        assert_eq!(withdrawn(text), Some((EVERYTHING, Some(topic.to_owned()))));
        assert!(unusable_topic(topic).is_some());
    }
    assert!(unusable_topic(&"x".repeat(65_536)).is_some());
    assert_eq!(unusable_topic(&"x".repeat(65_535)), None);
    assert_eq!(unusable_topic("my/reply"), None);
}

#[test]
fn a_reply_topic_of_another_type_is_refused() {
    for topic in ["null", "5", "true", "[]", "{}"] {
        let text = format!(r#"{{"headers":{{"replyTo":{topic}}},"payload":{{}}}}"#);
        assert_eq!(withdrawn(&text), None, "{text}");
        assert!(matches!(decode_get(text.as_bytes()), Decoded::NotExecuted { .. }), "{text}");
    }
}

#[test]
fn without_a_payload_a_withdraw_is_refused_and_a_get_is_not() {
    for text in [r#"{"headers":{"replyTo":"r"}}"#, r#"{"evse_id":1}"#, "{}"] {
        assert_eq!(withdrawn(text), None, "{text}");
        assert!(matches!(decode_get(text.as_bytes()), Decoded::Execute { .. }), "{text}");
    }
}

#[test]
fn a_payload_that_is_no_object_means_everything() {
    for payload in ["null", "5", "false", r#""text""#, "[]", "[1]", r#""{\"evse_id\":1}""#] {
        assert_eq!(of_payload(payload), Some(EVERYTHING), "{payload}");
    }
}

#[test]
fn an_empty_payload_or_unknown_fields_mean_everything() {
    for payload in ["{}", r#"{"evseId":2}"#, r#"{"x":{"evse_id":1}}"#] {
        assert_eq!(of_payload(payload), Some(EVERYTHING), "{payload}");
    }
}

#[test]
fn unknown_fields_are_ignored_at_every_level() {
    let text = r#"{"x":1,"headers":{"replyTo":"r","x":2},"payload":{"x":3,"id_token":{"value":"A","type":"Local","x":4,
        "additional_info":[{"value":"v","type":"t","x":5}]}}}"#;
    let (request, reply_to) = withdrawn(text).unwrap();
    assert_eq!(reply_to.as_deref(), Some("r"));
    let info = vec![CustomIdToken { r#type: "t".into(), value: "v".into() }];
    let expected = IdToken { additional_info: Some(info), r#type: IdTokenType::Local, value: "A".into() };
    assert_eq!(request, WithdrawAuthorizationRequest { evse_id: None, id_token: Some(expected) });
}

#[test]
fn an_evse_id_of_another_type_is_refused() {
    for value in [r#""1""#, "null", "[]", "[1]", "{}"] {
        assert_eq!(evse_id(value), None, "{value}");
    }
}

#[test]
fn an_evse_id_is_cast_like_a_c_integer() {
    for (value, expected) in [
        ("1", 1),
        ("1.0", 1),
        ("1.9", 1),
        ("-0.5", 0),
        ("-1.9", -1),
        ("-0", 0),
        ("true", 1),
        ("false", 0),
        ("0", 0),
        ("-1", -1),
        ("1e0", 1),
        ("4294967297", 1),
        ("-4294967295", 1),
        ("2147483647", i32::MAX),
        ("2147483648", i32::MIN),
        ("18446744073709551615", -1),
        ("18446744073709551617", i32::MIN),
        ("2147483648.5", i32::MIN),
        ("-2147483648.5", i32::MIN),
        ("1e300", i32::MIN),
        ("-1e300", i32::MIN),
        ("1e-400", 0),
    ] {
        assert_eq!(evse_id(value), Some(expected), "{value}");
    }
}

#[test]
fn a_number_beyond_a_double_is_no_json() {
    for value in ["1e400", "-1e400", "NaN", "Infinity", "01", "+1", "1.", ".5"] {
        assert_eq!(evse_id(value), None, "{value}");
    }
    assert_eq!(evse_id(&"9".repeat(400)), None);
}

#[test]
fn an_incomplete_token_is_refused() {
    for value in [
        r#"{"value":"A"}"#,
        r#"{"type":"Local"}"#,
        "{}",
        "null",
        r#""A""#,
        "5",
        r#"[{"value":"A","type":"Local"}]"#,
        r#"{"value":5,"type":"Local"}"#,
        r#"{"value":null,"type":"Local"}"#,
        r#"{"value":"A","type":5}"#,
    ] {
        assert_eq!(token(value), None, "{value}");
    }
}

#[test]
fn a_token_type_is_compared_exactly() {
    for name in ["local", "LOCAL", "emaid", "EMaid", "ISO14443 ", "", "RFID"] {
        assert_eq!(token(&json!({"value": "A", "type": name}).to_string()), None, "{name}");
    }
    for name in ["Central", "eMAID", "MacAddress", "ISO14443", "ISO15693", "KeyCode", "Local", "NoAuthorization"] {
        let token = token(&json!({"value": "A", "type": name}).to_string()).unwrap();
        assert_eq!(serde_json::to_value(token.r#type).unwrap(), json!(name));
    }
}

#[test]
fn neither_length_nor_characters_of_a_value_are_checked() {
    for value in ["", &"A".repeat(37), "Ü", "a\u{0}b"] {
        assert_eq!(token(&json!({"value": value, "type": "Local"}).to_string()).unwrap().value, value);
    }
}

#[test]
fn additional_info_is_iterated_whatever_it_is() {
    let with = |info: &str| token(&format!(r#"{{"value":"A","type":"Local","additional_info":{info}}}"#));
    for info in ["null", "{}", "[]"] {
        assert_eq!(with(info).unwrap().additional_info, Some(Vec::new()), "{info}");
    }
    let one = Some(vec![CustomIdToken { r#type: "t".into(), value: "v".into() }]);
    for info in [r#"{"k":{"value":"v","type":"t"}}"#, r#"[{"value":"v","type":"t"}]"#] {
        assert_eq!(with(info).unwrap().additional_info, one, "{info}");
    }
    for info in [r#""text""#, "5", "true", r#"[{"value":"v"}]"#, r#"[{"type":"t"}]"#, r#"{"value":"v","type":"t"}"#] {
        assert_eq!(with(info), None, "{info}");
    }
}

#[test]
fn what_is_no_json_is_refused_by_everyone() {
    let good = r#"{"payload":{}}"#;
    for text in [
        r#"{"payload":{}"#.as_bytes(),
        br#"{"payload":{}}x"#,
        br#"{"payload":{}}{"payload":{}}"#,
        br#"{"payload":{}}/* c */"#,
        b"// c\n{\"payload\":{}}",
        br#"{"payload":{},}"#,
        br#"{'payload':{}}"#,
        b"",
        b" \t\r\n",
        br#"{"payload":{},"x":"\ud800"}"#,
        br#"{"payload":{},"x":"\udc00"}"#,
        br#"{"payload":{},"\ud800":1}"#,
        b"{\"payload\":{},\"x\":\"\xFF\"}",
        b"{\"payload\":{},\"x\":\"\xED\xA0\x80\"}",
        b"{\"payload\":{},\"x\":\"\n\"}",
        b"{\"payload\":{},\"x\":\"\0\"}",
        b"\xEF\xBB{\"payload\":{}}",
        b"\xFE\xFF",
    ] {
        assert_eq!(withdrawn(text), None, "{}", text.escape_ascii());
        assert!(matches!(decode_get(text), Decoded::NotExecuted { .. }), "{}", text.escape_ascii());
        assert!(decode_communication_check(text).is_err());
    }
    assert!(withdrawn(good).is_some());
}

#[test]
fn a_document_that_is_no_object_names_neither_topic_nor_payload() {
    for text in ["[]", "null", "5", r#""text""#, "true", r#"[{"payload":{}}]"#] {
        assert_eq!(withdrawn(text), None, "{text}");
        assert_eq!(decode_get(text.as_bytes()), Decoded::Execute { request: (), reply_to: None }, "{text}");
    }
}

#[test]
fn a_byte_order_mark_is_skipped_and_a_nul_ends_the_text() {
    assert_eq!(withdrawn("\u{FEFF}{\"payload\":{}}"), Some((EVERYTHING, None)));
    assert_eq!(withdrawn(b"{\"payload\":{}}\0\xFF"), Some((EVERYTHING, None)));
    assert_eq!(decode_communication_check(b"\xEF\xBB\xBFtrue"), Ok(true));
}

#[test]
fn depth_does_not_matter() {
    for depth in [1, 99, 100, 101, 127, 128, 200_000] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        assert_eq!(of_payload(&format!(r#"{{"evse_id":2,"x":{open}{close}}}"#)).unwrap().evse_id, Some(2), "{depth}");
        assert_eq!(of_payload(&format!(r#"{{"evse_id":2,"x":{open}}}"#)), None, "{depth}");
    }
}

#[test]
fn of_equal_keys_the_last_wins() {
    let text = r#"{"headers":{"replyTo":"a"},"headers":{"replyTo":"b","replyTo":"c"},"payload":{"evse_id":1},
        "payload":{"evse_id":"x","evse_id":2}}"#;
    let expected = WithdrawAuthorizationRequest { evse_id: Some(2), id_token: None };
    assert_eq!(withdrawn(text), Some((expected, Some("c".into()))));
}

#[test]
fn escapes_in_keys_are_read() {
    assert_eq!(withdrawn(r#"{"pay\u006coad":{"evse_id":3}}"#).unwrap().0.evse_id, Some(3));
}

#[test]
fn only_a_bare_boolean_is_a_communication_check() {
    for text in ["true", " true", "true ", "\ttrue\r\n"] {
        assert_eq!(decode_communication_check(text.as_bytes()), Ok(true), "{text:?}");
    }
    assert_eq!(decode_communication_check(b"false"), Ok(false));
    for text in
        ["", "1", "0", "\"true\"", "null", "TRUE", "True", "yes", "[true]", "{\"value\":true}", "{}", "true true"]
    {
        assert!(decode_communication_check(text.as_bytes()).is_err(), "{text:?}");
    }
    assert!(decode_communication_check(br#"{"headers":{},"payload":true}"#).is_err());
}

#[test]
fn text_is_indented_by_four_blanks_with_sorted_keys() {
    let message = TokenValidationStatusMessage {
        messages: Some(Vec::new()),
        status: TokenValidationStatus::UsedToStart,
        token: ProvidedIdToken {
            authorization_type: AuthorizationType::RFID,
            certificate: None,
            certificate_hash_data: None,
            connectors: Some(vec![1]),
            id_token: IdToken { additional_info: None, r#type: IdTokenType::ISO14443, value: "Ü\"\n/\u{7f}".into() },
            parent_id_token: None,
            prevalidated: Some(true),
            request_id: None,
        },
        validation_results: None,
    };
    let expected = r#"{
    "messages": [],
    "status": "UsedToStart",
    "token": {
        "authorization_type": "RFID",
        "connectors": [
            1
        ],
        "id_token": {
            "type": "ISO14443",
            "value": "Ü\"\n/"#
        .to_owned()
        + "\u{7f}"
        + r#""
        },
        "prevalidated": true
    }
}"#;
    assert_eq!(encode(&message), expected.as_bytes());
}

#[test]
fn every_type_has_its_keys_sorted() {
    let everything = TokenValidationStatusMessage {
        messages: Some(vec![MessageContent { content: "c".into(), format: None, language: Some("en".into()) }]),
        status: TokenValidationStatus::Accepted,
        token: ProvidedIdToken {
            authorization_type: AuthorizationType::OCPP,
            certificate: Some("PEM".into()),
            certificate_hash_data: None,
            connectors: Some(Vec::new()),
            id_token: IdToken {
                additional_info: Some(vec![CustomIdToken { r#type: "t".into(), value: "v".into() }]),
                r#type: IdTokenType::EMaid,
                value: String::new(),
            },
            parent_id_token: Some(IdToken { additional_info: None, r#type: IdTokenType::Local, value: "p".into() }),
            prevalidated: Some(false),
            request_id: Some(-1),
        },
        validation_results: Some(vec![ValidationResult::new(AuthorizationStatus::Accepted)]),
    };
    // An object of `Value` is a sorted map.
    assert_eq!(encode(&everything), encode(&serde_json::to_value(&everything).unwrap()));
}

#[test]
fn scalars_are_bare() {
    assert_eq!(encode(&WithdrawAuthorizationResult::Accepted), "\"Accepted\"".as_bytes());
    assert_eq!(encode(&u64::MAX), "18446744073709551615".as_bytes());
    assert_eq!(encode(&true), "true".as_bytes());
    assert_eq!(encode(&Value::Null), "null".as_bytes());
}
