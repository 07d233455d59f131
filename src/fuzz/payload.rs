//! Payloads from descriptions: what an API may say, with the edges of every kind, and what it may not. An API whose
//! description is new has this for nothing.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::SBoxedStrategy;
use serde_json::{Map, Value, json};

use super::input::{Payload, members, with, without};
use crate::protocol::api::{Api, Field, Shape};
use crate::protocol::deviations::Deviations;

/// Nesting that a description may bring; what is deeper is left out where it may be.
const DEPTH: usize = 6;

/// Messages of this shape, in force under these deviations.
pub(super) fn valid(api: &'static Api, shape: &'static Shape, in_force: Deviations) -> SBoxedStrategy<Value> {
    of(api, shape, in_force, DEPTH)
}

/// Where such a message has words of an enumeration, as JSON pointers; within lists none.
pub(super) fn words(api: &'static Api, shape: &'static Shape) -> Vec<String> {
    match shape {
        Shape::Words(_) => vec![String::new()],
        Shape::Named(name) => api.resolve(name).map_or_else(Vec::new, |(api, _, shape)| words(api, shape)),
        Shape::Object { fields, .. } => {
            let below = |field: &'static Field| {
                words(api, &field.shape).into_iter().map(|pointer| format!("/{}{pointer}", field.name))
            };
            fields.iter().flat_map(below).collect()
        }
        _ => Vec::new(),
    }
}

/// Messages that are none: broken on their way, no JSON at all, or of another shape.
pub(super) fn broken(valid: SBoxedStrategy<Value>) -> SBoxedStrategy<Payload> {
    let cut = |(value, at): (Value, prop::sample::Index)| {
        let text = value.to_string();
        let ends: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
        let end = ends.get(at.index(ends.len().max(1))).copied().unwrap_or_default();
        Payload::Text(text[..end].to_owned())
    };
    let other = select(vec![json!([1]), json!([]), json!({}), json!(null), json!("1"), json!(-1), json!(1.5)]);
    let text = select(vec!["", "{", "nul", "{}{}", "\u{feff}{}", "{'a': 1}", "[1,]", "NaN", "truefalse"])
        .prop_map(str::to_owned);
    // More than 64 KiB, and deeper than most readers go.
    let text = prop_oneof![8 => text, 1 => Just(format!("\"{}\"", "x".repeat(70_000))), 1 => Just(nested(2_000))];
    let bytes = select(vec![&b"\xff\xfe"[..], b"{\"a\": \"\xc3\"}", b"\x00", b"\x80true", b"\xf0\x9f\x92"]);
    prop_oneof![
        3 => (valid.clone(), any::<prop::sample::Index>()).prop_map(cut),
        2 => (valid.clone(), any::<prop::sample::Index>(), other.clone()).prop_map(bent),
        1 => (valid.clone(), any::<prop::sample::Index>()).prop_map(quoted),
        1 => valid.prop_map(twice),
        2 => other.prop_map(Payload::Json),
        2 => text.prop_map(Payload::Text),
        1 => bytes.prop_map(|bytes| Payload::Bytes(bytes.to_vec())),
    ]
    .sboxed()
}

/// Lists in lists, this many.
fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

/// A message with something else in the place of one of its members, or without it.
fn bent((mut value, which, other): (Value, prop::sample::Index, Value)) -> Payload {
    let mut pointers = Vec::new();
    members(&value, "", &mut pointers);
    if !pointers.is_empty() {
        let pointer = which.get(&pointers);
        let bent = if other.is_null() { without(&value, pointer) } else { with(&value, pointer, other) };
        value = bent.unwrap_or(value);
    }
    Payload::Json(value)
}

/// A message with a number or a boolean as text, as some languages read it all the same; `null` in place of one without any.
fn quoted((value, which): (Value, prop::sample::Index)) -> Payload {
    let mut pointers = Vec::new();
    members(&value, "", &mut pointers);
    pointers.retain(|pointer| value.pointer(pointer).is_some_and(|it| it.is_number() || it.is_boolean()));
    let pointer = if pointers.is_empty() { "" } else { which.get(&pointers) };
    let text = |it: &Value| if it.is_number() || it.is_boolean() { json!(it.to_string()) } else { Value::Null };
    Payload::Json(value.pointer(pointer).and_then(|it| with(&value, pointer, text(it))).unwrap_or_default())
}

/// A message that says its first member twice, with `null` before.
fn twice(value: Value) -> Payload {
    let text = value.to_string();
    match value.as_object().and_then(|members| members.keys().next()) {
        Some(key) => Payload::Text(format!("{{{}: null, {}", json!(key), &text[1..])),
        None => Payload::Text(text),
    }
}

fn of(api: &'static Api, shape: &'static Shape, in_force: Deviations, depth: usize) -> SBoxedStrategy<Value> {
    match shape {
        Shape::Any => select(vec![json!(null), json!(0), json!(""), json!([]), json!({})]).sboxed(),
        Shape::Null => Just(Value::Null).sboxed(),
        Shape::Boolean => any::<bool>().prop_map(Value::from).sboxed(),
        Shape::Integer { min, max } => integer(*min, *max),
        Shape::Number { min, max } => number(*min, *max),
        Shape::Text { shortest, longest, format, .. } => text(*shortest, *longest, format.as_deref()),
        Shape::Words(words) => {
            let words: Vec<_> =
                words.iter().filter(|word| word.when.runs(in_force)).map(|word| json!(word.text)).collect();
            if words.is_empty() { Just(Value::Null).sboxed() } else { select(words).sboxed() }
        }
        Shape::List { of: element, shortest, longest } => {
            let least = shortest.map_or(0, |least| usize::try_from(least).unwrap_or(usize::MAX)).min(8);
            let most = longest.map_or(3, |most| usize::try_from(most).unwrap_or(usize::MAX)).clamp(least, 8);
            vec(of(api, element, in_force, depth.saturating_sub(1)), least..=most.min(least + 3))
                .prop_map(Value::from)
                .sboxed()
        }
        Shape::Object { fields, .. } => object(api, fields, in_force, depth),
        Shape::Named(name) => match api.resolve(name) {
            Some((api, _, shape)) => of(api, shape, in_force, depth),
            None => Just(Value::Null).sboxed(),
        },
        Shape::OrNull(shape) => prop_oneof![3 => of(api, shape, in_force, depth), 1 => Just(Value::Null)].sboxed(),
        Shape::Alternatives { shapes, .. } => {
            proptest::strategy::Union::new(shapes.iter().map(|shape| of(api, shape, in_force, depth))).sboxed()
        }
        Shape::Varying(variants) => {
            let holds = variants.iter().find(|variant| variant.when.runs(in_force));
            holds.map_or_else(|| Just(Value::Null).sboxed(), |variant| of(api, &variant.shape, in_force, depth))
        }
    }
}

fn object(api: &'static Api, fields: &'static [Field], in_force: Deviations, depth: usize) -> SBoxedStrategy<Value> {
    let fields = fields.iter().filter(|field| field.when.runs(in_force));
    let mut members = Just(Map::new()).sboxed();
    for field in fields {
        let is_required = field.required.is_some_and(|when| when.runs(in_force));
        if !is_required && depth == 0 {
            continue;
        }
        let value = of(api, &field.shape, in_force, depth.saturating_sub(1));
        let value = if is_required { value.prop_map(Some).sboxed() } else { proptest::option::of(value).sboxed() };
        let insert = move |(mut members, value): (Map<String, Value>, Option<Value>)| {
            members.extend(value.map(|value| (field.name.clone(), value)));
            members
        };
        members = (members, value).prop_map(insert).sboxed();
    }
    members.prop_map(Value::Object).sboxed()
}

/// EVerest's integers have 32 bits with a sign, unless more is said.
fn integer(min: Option<i64>, max: Option<i64>) -> SBoxedStrategy<Value> {
    let (min, max) = (min.unwrap_or(i32::MIN.into()), max.unwrap_or(i32::MAX.into()));
    let edges = [min, max, 0, 1, -1, 2, 10].into_iter().filter(|edge| (min..=max).contains(edge));
    prop_oneof![2 => select(edges.collect::<Vec<_>>()), 1 => min..=max].prop_map(Value::from).sboxed()
}

fn number(min: Option<f64>, max: Option<f64>) -> SBoxedStrategy<Value> {
    let is_in = |it: &f64| min.is_none_or(|min| min <= *it) && max.is_none_or(|max| *it <= max);
    let edges = [0.0, 1.0, -1.0, 0.5, 1e-9, 1e15].into_iter().chain(min).chain(max);
    select(edges.filter(is_in).collect::<Vec<_>>()).prop_map(Value::from).sboxed()
}

fn text(shortest: Option<u64>, longest: Option<u64>, format: Option<&str>) -> SBoxedStrategy<Value> {
    if format == Some("date-time") {
        let times =
            ["2026-11-29T12:00:00Z", "1970-01-01T00:00:00Z", "2099-12-31T23:59:59.999Z", "2026-06-01T02:00:00+02:00"];
        return select(times.to_vec()).prop_map(Value::from).sboxed();
    }
    let size = |text: &&str| u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    let fits = move |text: &&str| {
        shortest.is_none_or(|least| least <= size(text)) && longest.is_none_or(|most| size(text) <= most)
    };
    // What other readers of text stumble over: quotes, escapes, and what looks like something else.
    let edges = ["", "a", "04A2F3B1", "0", "null", "\\", "\"}", "a b", "0123456789abcdefghijklmnopqrstuvwxyz", "{{}}"];
    let edges: Vec<_> = edges.into_iter().filter(fits).collect();
    let least = shortest.and_then(|least| usize::try_from(least).ok()).unwrap_or_default().min(64);
    let most = longest.and_then(|most| usize::try_from(most).ok()).unwrap_or(12).clamp(least, 64);
    let drawn = vec(select((' '..='~').collect::<Vec<char>>()), least..=most);
    let drawn = drawn.prop_map(|text| Value::from(text.into_iter().collect::<String>()));
    if edges.is_empty() {
        return drawn.sboxed();
    }
    prop_oneof![2 => select(edges).prop_map(Value::from), 1 => drawn].sboxed()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::protocol::channel::ApiType;
    use crate::protocol::schema::{Message, Schemas};

    #[test]
    fn what_is_valid_has_the_shape_that_is_described() {
        let (in_force, mut runner) = (Deviations::default(), TestRunner::deterministic());
        let schemas = Schemas::of(in_force);
        for channel in ApiType::AUTH_APIS.into_iter().flat_map(ApiType::channels) {
            let drawn = valid(channel.api().description(), &channel.description().payload, in_force);
            for _ in 0..200 {
                let value = drawn.new_tree(&mut runner).unwrap().current();
                let violations = schemas.check(Message::On(channel), &value);
                assert!(violations.is_empty(), "{} {value}: {violations:?}", channel.name());
            }
        }
    }

    #[test]
    fn numbers_and_booleans_may_be_broken_into_texts() {
        let mut runner = TestRunner::deterministic();
        let mut draws = |value: Value, expected: Value| {
            let drawn = broken(Just(value).sboxed());
            (0..500).any(|_| drawn.new_tree(&mut runner).unwrap().current() == Payload::Json(expected.clone()))
        };
        assert!(draws(json!({"a": ["b", {"c": 17}]}), json!({"a": ["b", {"c": "17"}]})));
        assert!(draws(json!({"a": {"b": true, "c": "d"}}), json!({"a": {"b": "true", "c": "d"}})));
        assert!(draws(json!(true), json!("true")));
    }

    #[test]
    fn what_is_broken_is_cut_within_characters_or_says_something_else() {
        let mut runner = TestRunner::deterministic();
        let drawn = broken(Just(json!({"a": "ü"})).sboxed());
        for _ in 0..500 {
            if let Payload::Text(text) = drawn.new_tree(&mut runner).unwrap().current() {
                let whole = json!({"a": "ü"}).to_string();
                let is_cut = text.len() < whole.len() && text != whole;
                let is_twice = text == r#"{"a": null, "a":"ü"}"#;
                assert!(is_cut || is_twice || text.len() > 2_000, "{text}");
            }
        }
    }
}
