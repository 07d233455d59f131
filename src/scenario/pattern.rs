//! Patterns: what a JSON value must look like.
//!
//! An object matches if it has at least the keys of the pattern; an array matches element by element, with the same
//! length; numbers compare by value, so that `1` and `1.0` are equal. A text that begins with `$` is a marker, see
//! [`MARKERS`]; `$$` stands for one `$` at the beginning of a text. `{$unspecified: PATTERN}` is the pattern itself; it says
//! that no specification has what it describes, see `scenario::check`.

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
use serde_json::{Number, Value};

use crate::yaml::escaped;

/// Every marker, as it is written, and what it stands for.
pub const MARKERS: [(&str, &str); 12] = [
    ("$any", "any value"),
    ("$string", "any text"),
    ("$integer", "any whole number"),
    ("$number", "any number"),
    ("$boolean", "`true` or `false`"),
    ("$array", "any array"),
    ("$object", "any object"),
    ("$null", "`null`"),
    ("$absent", "the key must not be there"),
    ("$/REGEX/", "a text that matches as a whole"),
    ("$capture:NAME", "any value, remembered under a name"),
    ("$captured:NAME", "the value that was remembered"),
];

/// The key that marks a pattern for what no specification has.
pub const UNSPECIFIED: &str = "$unspecified";

/// Values remembered by `$capture:NAME`.
pub type Captures = BTreeMap<String, Value>;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    root: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    Kind(Kind),
    Text(String),
    Number(Number),
    Bool(bool),
    Regex(Regex, String),
    Capture(String),
    Captured(String),
    Array(Vec<Shape>),
    Object(Vec<(String, Shape)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    String,
    Integer,
    Number,
    Boolean,
    Array,
    Object,
    Null,
    Absent,
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// JSON pointer within the pattern.
    pub pointer: String,
    /// Which rule it breaks.
    pub kind: PatternErrorKind,
    /// What is wrong, one line.
    pub message: String,
}

/// The rules of patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternErrorKind {
    /// `$foo` is no marker.
    UnknownMarker,
    /// The regular expression does not compile.
    BadRegex,
    /// `$capture:` without a name, or with one that is no word.
    BadName,
    /// `$absent` where nothing can be absent.
    MisplacedAbsent,
}

/// A difference between a value and a pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// JSON pointer of the value that differs; the same in the value and in the pattern.
    pub pointer: String,
    /// What the pattern asks for there, in words.
    pub expected: String,
    /// What stands there; `None` if nothing does.
    pub actual: Option<Value>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "at `{}`: ", self.pointer)?;
        }
        write!(f, "expected {}, found ", self.expected)?;
        match &self.actual {
            Some(value) => write!(f, "`{value}`"),
            None => f.write_str("nothing"),
        }
    }
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// The first marker that cannot be understood.
    pub fn compile(value: &Value) -> Result<Self, PatternError> {
        compile(value, &mut String::new(), false).map(|root| Self { root })
    }

    /// Compares a value; what the pattern captures is kept only if all of it matches.
    ///
    /// # Errors
    ///
    /// The first difference, in the order of the pattern.
    pub fn matches(&self, value: &Value, captures: &mut Captures) -> Result<(), Mismatch> {
        let mut new = Captures::new();
        match self.compare(value, captures, &mut new).into_iter().next() {
            Some(mismatch) => Err(mismatch),
            None => {
                captures.append(&mut new);
                Ok(())
            }
        }
    }

    /// Every difference, in the order of the pattern; none if the value matches. Nothing is captured.
    pub fn differences(&self, value: &Value, captures: &Captures) -> Vec<Mismatch> {
        self.compare(value, captures, &mut Captures::new())
    }

    fn compare(&self, value: &Value, captures: &Captures, new: &mut Captures) -> Vec<Mismatch> {
        let mut comparison = Comparison { pointer: String::new(), new, later: Vec::new(), found: Vec::new() };
        self.root.compare(Some(value), &mut comparison);
        let Comparison { later, mut found, .. } = comparison;
        // Only now is everything captured that this very pattern captures.
        for Later { pointer, name, value } in later {
            let captured = new.get(name).or_else(|| captures.get(name));
            if !captured.is_some_and(|captured| is_equal(captured, value)) {
                let expected = match captured {
                    Some(captured) => format!("`{captured}` (captured as `{name}`)"),
                    None => format!("what was captured as `{name}` (nothing was)"),
                };
                found.push(Mismatch { pointer, expected, actual: Some(value.clone()) });
            }
        }
        found
    }

    /// The number that it is, if it is one that counts something.
    pub fn number(&self) -> Option<u64> {
        match &self.root {
            Shape::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// What it asks for as a whole, in words.
    pub fn in_words(&self) -> String {
        self.root.words()
    }

    /// The names that the pattern captures.
    pub fn captures(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root.walk(&mut |shape| {
            if let Shape::Capture(name) = shape {
                names.push(name.as_str());
            }
        });
        names
    }

    /// The names whose captured values the pattern needs and does not capture itself.
    pub fn needs(&self) -> Vec<&str> {
        let own = self.captures();
        let mut names = Vec::new();
        self.root.walk(&mut |shape| {
            if let Shape::Captured(name) = shape
                && !own.contains(&name.as_str())
            {
                names.push(name.as_str());
            }
        });
        names
    }
}

/// Fills captured values into a payload: a text `$captured:NAME` becomes the value, `$$…` becomes `$…`.
///
/// # Errors
///
/// The name that nothing was captured under.
pub fn fill(payload: &Value, captures: &Captures) -> Result<Value, String> {
    Ok(match payload {
        Value::String(text) => match text.strip_prefix("$captured:") {
            Some(name) => captures.get(name).cloned().ok_or_else(|| name.to_owned())?,
            None => Value::String(text.strip_prefix('$').filter(|rest| rest.starts_with('$')).unwrap_or(text).into()),
        },
        Value::Array(items) => items.iter().map(|item| fill(item, captures)).collect::<Result<_, _>>()?,
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| Ok((key.clone(), fill(value, captures)?)))
            .collect::<Result<serde_json::Map<_, _>, String>>()
            .map(Value::Object)?,
        other => other.clone(),
    })
}

fn compile(value: &Value, pointer: &mut String, is_member: bool) -> Result<Shape, PatternError> {
    let fail = |pointer: &str, kind, message: String| PatternError { pointer: pointer.to_owned(), kind, message };
    Ok(match value {
        Value::Null => Shape::Kind(Kind::Null),
        Value::Bool(value) => Shape::Bool(*value),
        Value::Number(number) => Shape::Number(number.clone()),
        Value::String(text) => match marker(text) {
            Ok(Shape::Kind(Kind::Absent)) if !is_member => {
                let message = "`$absent` can only be the value of a key".to_owned();
                return Err(fail(pointer, PatternErrorKind::MisplacedAbsent, message));
            }
            Ok(shape) => shape,
            Err((kind, message)) => return Err(fail(pointer, kind, message)),
        },
        Value::Array(items) => {
            let mut shapes = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                shapes.push(under(pointer, &index.to_string(), |pointer| compile(item, pointer, false))?);
            }
            Shape::Array(shapes)
        }
        Value::Object(_) if let Some(inner) = unspecified(value) => compile(inner, pointer, is_member)?,
        Value::Object(entries) => {
            let mut shapes = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                shapes.push((key.clone(), under(pointer, key, |pointer| compile(value, pointer, true))?));
            }
            Shape::Object(shapes)
        }
    })
}

/// What a pattern that is marked as unspecified says itself.
pub fn unspecified(pattern: &Value) -> Option<&Value> {
    let entries = pattern.as_object().filter(|entries| entries.len() == 1)?;
    entries.get(UNSPECIFIED)
}

/// Runs something one token further down.
fn under<T>(pointer: &mut String, token: &str, f: impl FnOnce(&mut String) -> T) -> T {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(&escaped(token));
    let result = f(pointer);
    pointer.truncate(length);
    result
}

fn marker(text: &str) -> Result<Shape, (PatternErrorKind, String)> {
    let Some(name) = text.strip_prefix('$') else { return Ok(Shape::Text(text.to_owned())) };
    if name.starts_with('$') {
        return Ok(Shape::Text(name.to_owned()));
    }
    if let Some(rest) = name.strip_prefix('/') {
        let Some(expression) = rest.strip_suffix('/') else {
            let message = format!("`{text}` has no `/` at its end");
            return Err((PatternErrorKind::BadRegex, message));
        };
        return match Regex::new(&format!(r"\A(?:{expression})\z")) {
            Ok(regex) => Ok(Shape::Regex(regex, expression.to_owned())),
            Err(error) => {
                let error = error.to_string();
                let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                Err((PatternErrorKind::BadRegex, format!("`{expression}` is no regular expression: {why}")))
            }
        };
    }
    if let Some((word, name)) = name.split_once(':')
        && matches!(word, "capture" | "captured")
    {
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
            let message = format!("`{text}` needs a name of letters, digits, `_` and `-`");
            return Err((PatternErrorKind::BadName, message));
        }
        let name = name.to_owned();
        return Ok(if word == "capture" { Shape::Capture(name) } else { Shape::Captured(name) });
    }
    Ok(Shape::Kind(match name {
        "any" => Kind::Any,
        "string" => Kind::String,
        "integer" => Kind::Integer,
        "number" => Kind::Number,
        "boolean" => Kind::Boolean,
        "array" => Kind::Array,
        "object" => Kind::Object,
        "null" => Kind::Null,
        "absent" => Kind::Absent,
        _ => return Err((PatternErrorKind::UnknownMarker, format!("unknown marker `{text}`"))),
    }))
}

impl Kind {
    fn holds(self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Kind::Absent, value) => value.is_none(),
            (_, None) => false,
            (Kind::Any, Some(_)) => true,
            (Kind::String, Some(value)) => value.is_string(),
            (Kind::Integer, Some(Value::Number(number))) => is_whole(number),
            (Kind::Number, Some(value)) => value.is_number(),
            (Kind::Boolean, Some(value)) => value.is_boolean(),
            (Kind::Array, Some(value)) => value.is_array(),
            (Kind::Object, Some(value)) => value.is_object(),
            (Kind::Null, Some(value)) => value.is_null(),
            (Kind::Integer, Some(_)) => false,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Kind::Any => "any value",
            Kind::String => "a text",
            Kind::Integer => "a whole number",
            Kind::Number => "a number",
            Kind::Boolean => "`true` or `false`",
            Kind::Array => "an array",
            Kind::Object => "an object",
            Kind::Null => "`null`",
            Kind::Absent => "nothing",
        }
    }
}

/// A comparison as it goes on.
struct Comparison<'a, 'c> {
    pointer: String,
    new: &'c mut Captures,
    later: Vec<Later<'a>>,
    found: Vec<Mismatch>,
}

/// A value to be compared with what will have been captured.
struct Later<'a> {
    pointer: String,
    name: &'a str,
    value: &'a Value,
}

impl Shape {
    fn walk<'a>(&'a self, see: &mut impl FnMut(&'a Shape)) {
        see(self);
        match self {
            Shape::Array(items) => items.iter().for_each(|item| item.walk(see)),
            Shape::Object(entries) => entries.iter().for_each(|(_, shape)| shape.walk(see)),
            _ => {}
        }
    }

    fn compare<'a>(&'a self, value: Option<&'a Value>, comparison: &mut Comparison<'a, '_>) {
        let holds = match (self, value) {
            (Shape::Kind(kind), value) => kind.holds(value),
            (_, None) => false,
            (Shape::Text(text), Some(value)) => value.as_str() == Some(text),
            (Shape::Bool(expected), Some(value)) => value.as_bool() == Some(*expected),
            (Shape::Number(expected), Some(Value::Number(actual))) => is_same(expected, actual),
            (Shape::Number(_), Some(_)) => false,
            (Shape::Regex(regex, _), Some(value)) => value.as_str().is_some_and(|text| regex.is_match(text)),
            (Shape::Capture(name), Some(value)) => {
                comparison.new.insert(name.clone(), value.clone());
                true
            }
            (Shape::Captured(name), Some(value)) => {
                comparison.later.push(Later { pointer: comparison.pointer.clone(), name, value });
                true
            }
            (Shape::Array(shapes), Some(Value::Array(items))) if shapes.len() == items.len() => {
                for (index, (shape, item)) in shapes.iter().zip(items).enumerate() {
                    shape.compare_below(&index.to_string(), Some(item), comparison);
                }
                true
            }
            (Shape::Array(_), Some(_)) => false,
            (Shape::Object(shapes), Some(Value::Object(entries))) => {
                for (key, shape) in shapes {
                    shape.compare_below(key, entries.get(key), comparison);
                }
                true
            }
            (Shape::Object(_), Some(_)) => false,
        };
        if !holds {
            let pointer = comparison.pointer.clone();
            comparison.found.push(Mismatch { pointer, expected: self.words(), actual: value.cloned() });
        }
    }

    fn compare_below<'a>(&'a self, token: &str, value: Option<&'a Value>, comparison: &mut Comparison<'a, '_>) {
        let length = comparison.pointer.len();
        comparison.pointer.push('/');
        comparison.pointer.push_str(&escaped(token));
        self.compare(value, comparison);
        comparison.pointer.truncate(length);
    }

    fn words(&self) -> String {
        match self {
            Shape::Kind(kind) => kind.words().to_owned(),
            Shape::Text(text) => format!("`{}`", Value::String(text.clone())),
            Shape::Number(number) => format!("`{number}`"),
            Shape::Bool(value) => format!("`{value}`"),
            Shape::Regex(_, expression) => format!("a text that matches `{expression}`"),
            Shape::Capture(_) => "any value".to_owned(),
            Shape::Captured(name) => format!("what was captured as `{name}`"),
            Shape::Array(shapes) => match shapes.len() {
                1.. if let Some(numbers) = numbers(shapes) => format!("`[{numbers}]`"),
                0 => "an empty array".to_owned(),
                1 => "an array of 1 element".to_owned(),
                n => format!("an array of {n} elements"),
            },
            Shape::Object(_) => "an object".to_owned(),
        }
    }
}

/// Plain numbers, as such an array is written.
fn numbers(shapes: &[Shape]) -> Option<String> {
    let number = |shape: &Shape| match shape {
        Shape::Number(number) => Some(number.to_string()),
        _ => None,
    };
    Some(shapes.iter().map(number).collect::<Option<Vec<_>>>()?.join(","))
}

fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|value| value.fract() == 0.0)
}

/// Equal by value; whole numbers of up to 64 bits exactly.
fn is_same(left: &Number, right: &Number) -> bool {
    match (exact(left), exact(right)) {
        (Some(left), Some(right)) => left == right,
        _ => left.as_f64() == right.as_f64(),
    }
}

/// The whole number, if it is one that needs no rounding.
fn exact(number: &Number) -> Option<i128> {
    if let Some(value) = number.as_u64() {
        return Some(value.into());
    }
    if let Some(value) = number.as_i64() {
        return Some(value.into());
    }
    number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < 1e30).map(|value| value as i128)
}

/// Equal, with numbers by value.
fn is_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => is_same(left, right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| is_equal(value, other)))
        }
        (left, right) => left == right,
    }
}
