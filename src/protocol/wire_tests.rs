#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Any value, with texts of all kinds in it.
fn any_value() -> impl Strategy<Value = Value> {
    let text = || prop_oneof!["[ -~]{0,8}", "\\PC{0,4}", "[\u{0}-\u{20}/\"\\\\\u{7f}é€🏔]{0,6}"];
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Whether everything in `part` is in `whole`, where objects of `whole` may have more.
fn is_within(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|other| is_within(value, other)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(part, whole)| is_within(part, whole))
        }
        (part, whole) => part == whole,
    }
}

/// How many objects with fields there are.
fn objects(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(objects).sum(),
        Value::Object(fields) => usize::from(!fields.is_empty()) + fields.values().map(objects).sum::<usize>(),
        _ => 0,
    }
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_form_means_the_same(value in any_value()) {
        for form in Form::ALL.into_iter().filter(|form| *form != Form::ExtraFields) {
            prop_assert_eq!(read(&form.encode(&value)), value.clone(), "{:?}", form);
        }
    }

    #[test]
    fn extra_fields_are_added_to_every_object_and_nothing_is_changed(value in any_value()) {
        let mut written = read(&Form::ExtraFields.encode(&value));
        prop_assert!(is_within(&value, &written));
        prop_assert_eq!(written.to_string().matches("\"_khumbu\":").count(), objects(&value));
        remove_extra_fields(&mut written);
        prop_assert_eq!(written, value);
    }

    #[test]
    fn no_form_looks_as_another(value in any_value()) {
        let value = json!({"a": value, "b/c": "text"});
        for form in Form::ALL {
            let bytes = form.encode(&value);
            prop_assert_eq!(Form::recognised(&bytes), Some(form));
            for other in Form::ALL.into_iter().filter(|other| *other != form) {
                prop_assert_ne!(&other.encode(&value), &bytes, "{:?} as {:?}", other, form);
            }
        }
    }
}

/// What a status of EVerest says.
fn status() -> Value {
    json!({"status": "Accepted", "token": {"connectors": [1], "id_token": {"type": "Local", "value": "Ü/1"}}})
}

#[test]
fn forms_look_like_this() {
    let text = |form: Form| String::from_utf8(form.encode(&json!({"b": [1, {}], "a": {"c": "Ü/𝄞"}})).to_vec()).unwrap();
    assert_eq!(text(Form::Compact), "{\"a\":{\"c\":\"Ü/𝄞\"},\"b\":[1,{}]}");
    assert_eq!(
        text(Form::Reordered),
        "{\n    \"b\": [\n        1,\n        {}\n    ],\n    \"a\": {\n        \"c\": \"Ü/𝄞\"\n    }\n}"
    );
    assert_eq!(text(Form::Escaped), r#"{"\u0061":{"\u0063":"\u00dc\/\ud834\udd1e"},"\u0062":[1,{}]}"#);
    assert_eq!(text(Form::Spaced), " {\n\"a\"\t:\r\n{   \"c\" :\n\"Ü/𝄞\"\t}\r\n,   \"b\" :\n[\t1\r\n,   { }\n]\t}\r\n");
    assert!(text(Form::ExtraFields).starts_with("{\n    \"_khumbu\": {\n        \"evse_id\": 4711,"));
}

#[test]
fn scalars_keep_their_kind_and_numbers_their_digits() {
    let text = |form: Form, value: Value| String::from_utf8(form.encode(&value).to_vec()).unwrap();
    for form in Form::ALL {
        assert_eq!(text(form, json!(18_446_744_073_709_551_615_u64)).trim(), "18446744073709551615");
        assert_eq!(text(form, json!(true)).trim(), "true");
        assert_eq!(text(form, Value::Null).trim(), "null");
        assert_eq!(text(form, json!({})).split_ascii_whitespace().collect::<String>(), "{}");
    }
    assert_eq!(text(Form::Escaped, json!("EVSE/1")), r#""\u0045\u0056\u0053\u0045\/\u0031""#);
    assert_eq!(text(Form::Spaced, json!("Accepted")), " \"Accepted\"\n");
    assert_eq!(text(Form::Spaced, json!(5)), " 5\n");
}

#[test]
fn the_default_is_what_the_codec_writes() {
    let encoder = Encoder::default();
    assert_eq!(encoder.encode(&status()), codec::encode(&status()));
    assert_eq!(encoder.encode_compact(&status()), codec::encode_compact(&status()));
}

#[test]
fn messages_take_turns() {
    let form = |bytes: &[u8]| Form::recognised(bytes).unwrap();
    let encoder = Encoder::new(Wire::SameMeaning);
    let written: Vec<_> = (0..6).map(|_| form(&encoder.encode(&status()))).collect();
    let expected = [Form::Escaped, Form::Reordered, Form::ExtraFields, Form::Compact, Form::Spaced, Form::Escaped];
    assert_eq!(written, expected);
    // Clones go on together, and a text meets what can change a text.
    let clone = encoder.clone();
    assert_eq!(form(&clone.encode(&json!("Accepted"))), Form::Escaped);
    assert_eq!(form(&encoder.encode(&json!("Accepted"))), Form::Spaced);
    for wire in Wire::ALL.into_iter().filter(|wire| ![Wire::SameMeaning, Wire::SameFields].contains(wire)) {
        let encoder = Encoder::new(wire);
        let written: Vec<_> = (0..3).map(|_| form(&encoder.encode(&status())).name()).collect();
        assert_eq!(written, [wire.name(); 3]);
    }
}

#[test]
fn what_everest_writes_compactly_differs_in_blanks_first() {
    let form = |bytes: &[u8]| Form::recognised(bytes).unwrap();
    let written = |wire| {
        let encoder = Encoder::new(wire);
        let mut written = Vec::new();
        for _ in 0..6 {
            written.push(form(&encoder.encode_compact(&status())));
            // What else is said does not decide how the next is written.
            encoder.encode(&status());
        }
        written
    };
    let [first, then] = [[Form::Everest, Form::Escaped, Form::Reordered], [Form::Spaced, Form::Everest, Form::Escaped]];
    assert_eq!(written(Wire::SameFields), [first, then].concat());
    let then = [Form::ExtraFields, Form::Spaced, Form::Everest];
    assert_eq!(written(Wire::SameMeaning), [first, then].concat());
}

#[test]
fn every_name_leads_back() {
    for wire in Wire::ALL {
        assert_eq!(wire.name().parse(), Ok(wire));
        assert_eq!(serde_json::from_value::<Wire>(wire.to_string().into()).unwrap(), wire);
    }
    assert_eq!("Compact".parse::<Wire>().unwrap_err().to_string(), "`Compact` is no wire form");
}
