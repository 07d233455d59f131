//! What the model cannot hold, side by side: by its whole content, and not by the words that stand for it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Subject;
use crate::protocol::asyncapi::{Keys, NO_ADDRESS, Remark};

/// What stands before the name of a channel where it is about a reply.
const REPLY: &str = "reply to ";
/// The most characters of a value that is quoted.
const QUOTED: usize = 60;

/// Pairs of what differs, what is on the left side only, and what is on the right side only.
pub(super) type Sorted<'a> = (Vec<(&'a Remark, &'a Remark)>, Vec<&'a Remark>, Vec<&'a Remark>);

/// The same remarks about things as the other side calls them.
pub(super) fn renamed(remarks: &[Remark], names: &BTreeMap<String, String>) -> Vec<Remark> {
    let renamed = |remark: &Remark| {
        let (name, path) = split(&remark.subject);
        let (of, bare) = name.strip_prefix(REPLY).map_or(("", name), |bare| (REPLY, bare));
        let name = names.get(bare).map_or(bare, String::as_str);
        Remark { subject: format!("{of}{name}{path}"), ..remark.clone() }
    };
    remarks.iter().map(renamed).collect()
}

/// What is said of one thing on both sides belongs together; what both say alike is left out.
pub(super) fn pairs<'a>(left: &'a [Remark], right: &'a [Remark]) -> Sorted<'a> {
    let is_about = |one: &Remark, other: &Remark| one.subject == other.subject && one.what == other.what;
    let (mut gone, mut new): (Vec<&Remark>, Vec<&Remark>) = (left.iter().collect(), right.iter().collect());
    gone.retain(|one| !new.iter().any(|other| is_about(one, other) && one.content == other.content));
    new.retain(|other| !left.iter().any(|one| is_about(one, other) && one.content == other.content));
    let mut pairs = Vec::new();
    gone.retain(|one| match new.iter().position(|other| is_about(one, other)) {
        Some(position) => {
            pairs.push((*one, new.remove(position)));
            false
        }
        None => true,
    });
    (pairs, gone, new)
}

/// Where two values differ, each as far inside as both go.
pub(super) fn differing<'a>(left: &'a Value, right: &'a Value) -> Vec<(String, Option<&'a Value>, Option<&'a Value>)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), Some(left), Some(right))];
    while let Some((place, left, right)) = open.pop() {
        match (left, right) {
            (left, right) if left == right => {}
            (Some(Value::Object(one)), Some(Value::Object(other))) => {
                let keys: Vec<&String> = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))).collect();
                open.extend(keys.iter().rev().map(|key| (format!("{place}.{key}"), one.get(*key), other.get(*key))));
            }
            (Some(Value::Array(one)), Some(Value::Array(other))) if one.len() == other.len() => {
                let each = one.iter().zip(other).enumerate().rev();
                open.extend(each.map(|(index, (one, other))| (format!("{place}[{index}]"), Some(one), Some(other))));
            }
            (left, right) => found.push((place, left, right)),
        }
    }
    found
}

/// What one side says at a place of a keyword.
pub(super) fn said(what: &str, place: &str, value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let short = match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    format!("{what}{place}: {short}")
}

/// Whether it is of a channel whose replies the other side uses: it lost the operation, which differs itself.
pub(super) fn is_orphan(remark: &Remark, other: &Keys) -> bool {
    remark.says == NO_ADDRESS && other.replies.contains(&remark.subject)
}

/// What a remark is about, and where in that.
pub(super) fn place(subject: &str, is_type: &dyn Fn(&str) -> bool) -> (Subject, String) {
    let (name, path) = split(subject);
    let subject = match name.strip_prefix(REPLY) {
        _ if is_type(name) => Subject::Type(name.to_owned()),
        Some(channel) => Subject::Reply(channel.to_owned()),
        None => Subject::Message(name.to_owned()),
    };
    (subject, path.to_owned())
}

/// What has a name, and the way from there.
fn split(subject: &str) -> (&str, &str) {
    subject.split_at(subject.find(['.', '[', ',']).unwrap_or(subject.len()))
}
