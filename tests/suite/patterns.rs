//! Patterns against values: every marker, the place of a difference, captures.

#![allow(clippy::unwrap_used)]

use khumbu::scenario::pattern::{Captures, Pattern, fill};
use proptest::prelude::*;
use serde_json::{Value, json};

fn difference(pattern: &Value, value: &Value) -> Option<String> {
    Pattern::compile(pattern).unwrap().matches(value, &mut Captures::new()).err().map(|mismatch| mismatch.to_string())
}

#[test]
fn every_marker_matches_its_kind_and_nothing_else() {
    let values = [
        ("text", json!("x")),
        ("integer", json!(1)),
        ("whole", json!(1.0)),
        ("fraction", json!(1.5)),
        ("boolean", json!(true)),
        ("array", json!([1])),
        ("object", json!({"a": 1})),
        ("null", json!(null)),
    ];
    for (marker, kinds) in [
        ("$any", "text integer whole fraction boolean array object null"),
        ("$string", "text"),
        ("$integer", "integer whole"),
        ("$number", "integer whole fraction"),
        ("$boolean", "boolean"),
        ("$array", "array"),
        ("$object", "object"),
        ("$null", "null"),
        ("$capture:x", "text integer whole fraction boolean array object null"),
        ("$/x|y/", "text"),
    ] {
        for (kind, value) in &values {
            let is_match = difference(&json!(marker), value).is_none();
            assert_eq!(is_match, kinds.split(' ').any(|known| known == *kind), "{marker} against {value}");
            let inside = difference(&json!({"k": [marker]}), &json!({"k": [value]})).is_none();
            assert_eq!(inside, is_match, "{marker} against {value}, nested");
        }
        assert!(difference(&json!({"k": marker}), &json!({})).is_some(), "{marker} against nothing");
    }
}

#[test]
fn differences_say_where_and_what() {
    for (pattern, value, message) in [
        (json!(1), json!(1.0), None),
        (json!(u64::MAX), json!(u64::MAX), None),
        (
            json!(u64::MAX),
            json!(18446744073709551615.0),
            Some("expected `18446744073709551615`, found `1.8446744073709552e+19`"),
        ),
        (
            json!(9007199254740993u64),
            json!(9007199254740992u64),
            Some("expected `9007199254740993`, found `9007199254740992`"),
        ),
        (json!(i64::MIN), json!(i64::MIN), None),
        (json!(0.1), json!(0.1), None),
        (json!(0), json!(-0.0), None),
        (json!({"a": 1}), json!({"a": 1, "b": 2}), None),
        (json!({}), json!({"a": 1}), None),
        (json!({}), json!([]), Some("expected an object, found `[]`")),
        (json!([1]), json!([1, 2]), Some("expected `[1]`, found `[1,2]`")),
        (json!([]), json!([1]), Some("expected an empty array, found `[1]`")),
        (json!([1, 2]), json!("x"), Some("expected `[1,2]`, found `\"x\"`")),
        (
            json!({"a": {"b": [1, "x"]}}),
            json!({"a": {"b": [1, "y"]}}),
            Some("at `/a/b/1`: expected `\"x\"`, found `\"y\"`"),
        ),
        (json!({"a/b": {"~": 1}}), json!({"a/b": {"~": 2}}), Some("at `/a~1b/~0`: expected `1`, found `2`")),
        (json!({"a": 1}), json!({"b": 1}), Some("at `/a`: expected `1`, found nothing")),
        (json!({"a": "$absent"}), json!({"b": 1}), None),
        (json!({"a": "$absent"}), json!({"a": null}), Some("at `/a`: expected nothing, found `null`")),
        (json!({"a": null}), json!({}), Some("at `/a`: expected `null`, found nothing")),
        (json!(true), json!("true"), Some("expected `true`, found `\"true\"`")),
        (json!("$$any"), json!("$any"), None),
        (json!("$$any"), json!("x"), Some("expected `\"$any\"`, found `\"x\"`")),
        (json!("$/a+/"), json!("aaa"), None),
        (json!("$/a+/"), json!("xaaa"), Some("expected a text that matches `a+`, found `\"xaaa\"`")),
        (json!("$/a|b/"), json!("ax"), Some("expected a text that matches `a|b`, found `\"ax\"`")),
        (json!("$/a/"), json!("a\n"), Some("expected a text that matches `a`, found `\"a\\n\"`")),
        (json!("$/a/b/"), json!("a/b"), None),
        (json!("$//"), json!(""), None),
        (json!("$captured:x"), json!(1), Some("expected what was captured as `x` (nothing was), found `1`")),
    ] {
        assert_eq!(difference(&pattern, &value).as_deref(), message, "{pattern} against {value}");
    }
}

#[test]
fn captures_are_kept_only_if_everything_matches() {
    let mut captures = Captures::new();
    let pattern = Pattern::compile(&json!({"a": "$capture:x", "b": 1})).unwrap();
    assert!(pattern.matches(&json!({"a": 5, "b": 2}), &mut captures).is_err());
    assert!(captures.is_empty());
    pattern.matches(&json!({"a": {"k": 1}, "b": 1}), &mut captures).unwrap();
    assert_eq!(captures.get("x"), Some(&json!({"k": 1})));
    let again = Pattern::compile(&json!(["$captured:x"])).unwrap();
    again.matches(&json!([{"k": 1.0}]), &mut captures).unwrap();
    // Equal, not a subset: what was captured is a value, no pattern.
    let mismatch = again.matches(&json!([{"k": 1, "l": 2}]), &mut captures).unwrap_err();
    assert_eq!(mismatch.pointer, "/0");
    assert_eq!(mismatch.expected, "`{\"k\":1}` (captured as `x`)");
    assert_eq!(again.needs(), ["x"]);
    assert_eq!(pattern.captures(), ["x"]);
}

#[test]
fn a_pattern_may_use_what_it_captures_itself() {
    // `a` is looked at before `z`; that must not matter.
    let pattern = Pattern::compile(&json!({"a": "$captured:x", "z": "$capture:x"})).unwrap();
    assert!(pattern.needs().is_empty());
    let mut captures = Captures::from([("x".to_owned(), json!("old"))]);
    assert!(pattern.matches(&json!({"a": "old", "z": "new"}), &mut captures).is_err());
    assert_eq!(captures["x"], json!("old"));
    pattern.matches(&json!({"a": "new", "z": "new"}), &mut captures).unwrap();
    assert_eq!(captures["x"], json!("new"));
}

#[test]
fn captured_values_are_filled_into_payloads() {
    let captures = Captures::from([("id".to_owned(), json!({"value": "1"}))]);
    let payload = json!({"id": "$captured:id", "list": ["$captured:id", "$$any", "plain", 1], "n": null});
    let filled = json!({"id": {"value": "1"}, "list": [{"value": "1"}, "$any", "plain", 1], "n": null});
    assert_eq!(fill(&payload, &captures), Ok(filled));
    assert_eq!(fill(&json!(["$captured:other"]), &captures), Err("other".to_owned()));
}

/// Any JSON, with texts that look like markers among it.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        "[$a-z/:]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z~/]{0,3}", inner, 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// The pattern that matches a value literally.
fn literal(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with('$') => Value::from(format!("${text}")),
        Value::Array(items) => items.iter().map(literal).collect(),
        Value::Object(entries) => Value::Object(entries.iter().map(|(k, v)| (k.clone(), literal(v))).collect()),
        other => other.clone(),
    }
}

/// Whether `part` is contained in `whole` by the rule of the manual.
fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(part, whole)| is_part(part, whole))
        }
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| is_part(part, whole)))
        }
        (Value::Number(part), Value::Number(whole)) => {
            part == whole || part.as_f64() == whole.as_f64() && (part.is_f64() || whole.is_f64())
        }
        (part, whole) => part == whole,
    }
}

proptest! {
    #[test]
    fn literals_match_exactly_what_they_are_part_of(value in json_value(), other in json_value()) {
        let pattern = Pattern::compile(&literal(&value)).unwrap();
        prop_assert!(pattern.matches(&value, &mut Captures::new()).is_ok());
        let result = pattern.matches(&other, &mut Captures::new());
        prop_assert_eq!(result.is_ok(), is_part(&value, &other));
        if let Err(mismatch) = result {
            // The pointer leads to the difference on both sides.
            prop_assert_eq!(other.pointer(&mismatch.pointer).cloned(), mismatch.actual);
            prop_assert!(value.pointer(&mismatch.pointer).is_some());
        }
    }

    #[test]
    fn no_text_makes_the_compiler_panic(text in "\\PC{0,40}", marker in "\\$[/a-z:(\\[{*+?\\\\]{0,12}/?") {
        let _ = Pattern::compile(&Value::from(text));
        let _ = Pattern::compile(&Value::from(marker));
    }
}
