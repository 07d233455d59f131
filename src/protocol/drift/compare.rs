//! Two descriptions of one API, side by side.

use std::collections::BTreeMap;

use serde_json::Value;

use super::remarks;
use super::words::{field_in_words, in_words, is_required, sender, summary, word_of_pattern};
use super::{Aspect, Described, Difference, Subject};
use crate::protocol::api::{Api, Channel, Field, Shape, Word};
use crate::protocol::asyncapi::Remark;

/// Two descriptions of one API.
pub(super) struct Comparison<'a> {
    left: &'a Described,
    right: &'a Described,
    found: Vec<Difference>,
    /// The pairs of types where one took the other's place.
    exchanged: Vec<(String, String)>,
    /// What is called otherwise on the right side: channels and types.
    renamed: BTreeMap<String, String>,
}

/// Where two shapes are compared.
struct At<'a> {
    subject: Subject,
    path: String,
    /// The message.
    message: &'a str,
    /// The pairs of types that were compared for this message.
    seen: &'a mut Vec<(String, String)>,
}

impl<'a> Comparison<'a> {
    pub fn new(left: &'a Described, right: &'a Described) -> Self {
        Self { left, right, found: Vec::new(), exchanged: Vec::new(), renamed: BTreeMap::new() }
    }

    /// Everything that differs.
    pub fn all(mut self) -> Vec<Difference> {
        let (left, right) = (self.left, self.right);
        self.unequal(Subject::Api, Aspect::Pathname, &left.pathname, &right.pathname);
        let pairs = pairs(left, right);
        for (one, other) in pairs {
            match (one, other) {
                (Some(one), Some(other)) => self.channel(one, other),
                (one, other) => {
                    let name = one.or(other).map(|channel| channel.name.clone()).unwrap_or_default();
                    self.note(Subject::Message(name), Aspect::Channel, one.map(summary), other.map(summary));
                }
            }
        }
        self.remarks();
        // What a type differs in stays together, wherever it is met.
        let mut subjects: Vec<Subject> = Vec::new();
        for difference in &self.found {
            if !subjects.contains(&difference.subject) {
                subjects.push(difference.subject.clone());
            }
        }
        self.found.sort_by_key(|difference| subjects.iter().position(|subject| *subject == difference.subject));
        self.found
    }

    fn channel(&mut self, one: &Channel, other: &Channel) {
        let subject = || Subject::Message(other.name.clone());
        self.renamed.insert(one.name.clone(), other.name.clone());
        // Names follow addresses: what has another address differs in that alone.
        if one.name != other.name && one.address == other.address {
            self.unequal(subject(), Aspect::Channel, &one.name, &other.name);
        }
        self.unequal(subject(), Aspect::Address, &one.address, &other.address);
        self.unequal(subject(), Aspect::Direction, sender(one), sender(other));
        self.unequal(subject(), Aspect::Pattern, word_of_pattern(one.pattern), word_of_pattern(other.pattern));
        let mut seen = Vec::new();
        let mut at = At { subject: subject(), path: String::new(), message: &other.name, seen: &mut seen };
        self.shape(&one.payload, &other.payload, &mut at);
        if let (Some(one), Some(reply)) = (&one.reply, &other.reply) {
            let message = format!("reply to {}", other.name);
            let mut seen = Vec::new();
            let subject = Subject::Reply(other.name.clone());
            self.shape(
                &one.payload,
                &reply.payload,
                &mut At { subject, path: String::new(), message: &message, seen: &mut seen },
            );
        }
    }

    fn shape(&mut self, left: &Shape, right: &Shape, at: &mut At<'_>) {
        if let (Shape::Named(one), Shape::Named(other)) = (left, right) {
            let pair = (one.clone(), other.clone());
            if at.seen.contains(&pair) {
                return;
            }
            if one != other && self.is_exchanged(one, other, at) {
                return self.at(at, Aspect::Type, Some(one.clone()), Some(other.clone()));
            }
            self.renamed.entry(one.clone()).or_insert_with(|| other.clone());
            at.seen.push(pair);
            let (one, other_shape) = (named(&self.left.api, one), named(&self.right.api, other));
            let subject = Subject::Type(other.clone());
            let mut at = At { subject, path: String::new(), message: at.message, seen: at.seen };
            return self.shape(one, other_shape, &mut at);
        }
        let (left, right) = (bare(&self.left.api, left), bare(&self.right.api, right));
        match (left, right) {
            (Shape::OrNull(one), Shape::OrNull(other)) => self.shape(one, other, at),
            (Shape::Integer { min, max }, Shape::Integer { min: other_min, max: other_max }) => {
                self.limit(at, "least", min, other_min);
                self.limit(at, "most", max, other_max);
            }
            (Shape::Number { min, max }, Shape::Number { min: other_min, max: other_max }) => {
                self.limit(at, "least", min, other_min);
                self.limit(at, "most", max, other_max);
            }
            (
                Shape::Text { shortest, longest, format, pattern },
                Shape::Text { shortest: other_shortest, longest: other_longest, format: other_format, pattern: other },
            ) => {
                self.limit(at, "least length", shortest, other_shortest);
                self.limit(at, "greatest length", longest, other_longest);
                self.limit(at, "format", format, other_format);
                self.limit(at, "pattern", pattern, other);
            }
            (Shape::Words(words), Shape::Words(others)) => {
                let lacks = |words: &[Word], word: &Word| !words.iter().any(|known| known.text == word.text);
                for word in words.iter().filter(|word| lacks(others, word)) {
                    self.at(at, Aspect::Word, Some(format!("`{}`", word.text)), None);
                }
                for word in others.iter().filter(|word| lacks(words, word)) {
                    self.at(at, Aspect::Word, None, Some(format!("`{}`", word.text)));
                }
            }
            (
                Shape::List { of, shortest, longest },
                Shape::List { of: other, shortest: other_shortest, longest: other_longest },
            ) => {
                self.limit(at, "least count", shortest, other_shortest);
                self.limit(at, "greatest count", longest, other_longest);
                self.below(at, "[]", of, other);
            }
            (Shape::Object { fields, is_closed }, Shape::Object { fields: others, is_closed: other_closes }) => {
                if is_closed != other_closes {
                    let said = |closed| Some(if closed { "no other fields" } else { "any other fields" }.to_owned());
                    self.at(at, Aspect::OtherFields, said(*is_closed), said(*other_closes));
                }
                self.fields(fields, others, at);
            }
            (
                Shape::Alternatives { shapes, is_exclusive },
                Shape::Alternatives { shapes: others, is_exclusive: other },
            ) => {
                if is_exclusive != other {
                    let said = |is_exclusive| Some(if is_exclusive { "exactly one" } else { "one or more" }.to_owned());
                    self.at(at, Aspect::Limit, said(*is_exclusive), said(*other));
                }
                self.alternatives(shapes, others, at);
            }
            (left, right) if left == right => {}
            (left, right) => self.at(at, Aspect::Type, Some(in_words(left)), Some(in_words(right))),
        }
    }

    /// Whether a type took the place of another one, which is still there. What is only called otherwise did not.
    fn is_exchanged(&mut self, one: &str, other: &str, at: &mut At<'_>) -> bool {
        let pair = (one.to_owned(), other.to_owned());
        if self.exchanged.contains(&pair) {
            return true;
        }
        let has = |side: &Described, name: &str| side.keys.schemas.contains(name) || side.api.named(name).is_some();
        if !has(self.left, other) && !has(self.right, one) {
            return false;
        }
        let (one, other) = (named(&self.left.api, one), named(&self.right.api, other));
        let seen = at.seen.len();
        at.seen.push(pair.clone());
        let is_same = self.is_same(one, other, at);
        at.seen.truncate(seen);
        if !is_same {
            self.exchanged.push(pair);
        }
        !is_same
    }

    /// Whether two shapes do not differ.
    fn is_same(&mut self, left: &Shape, right: &Shape, at: &mut At<'_>) -> bool {
        let (found, seen) = (std::mem::take(&mut self.found), at.seen.len());
        self.shape(left, right, at);
        at.seen.truncate(seen);
        std::mem::replace(&mut self.found, found).is_empty()
    }

    /// The alternatives that differ, whatever their order is.
    fn alternatives(&mut self, left: &[Shape], right: &[Shape], at: &mut At<'_>) {
        let mut gone: Vec<&Shape> = left.iter().collect();
        let mut new: Vec<(usize, &Shape)> = (1..).zip(right).collect();
        new.retain(|(_, other)| match gone.iter().position(|one| self.is_same(one, other, at)) {
            Some(position) => {
                gone.remove(position);
                false
            }
            None => true,
        });
        // What has one name has changed; the rest in the order in which it stands there.
        gone.sort_by_key(|one| new.iter().position(|(_, other)| one == other).unwrap_or(new.len()));
        new.sort_by_key(|(number, other)| (!gone.contains(other), *number));
        for index in 0..gone.len().max(new.len()) {
            match (gone.get(index), new.get(index)) {
                (Some(one), Some((number, other))) => self.below(at, &format!(", shape {number}"), one, other),
                (one, other) => {
                    let said = |shape: &Shape| Some(in_words(shape));
                    self.at(at, Aspect::Type, one.and_then(|one| said(one)), other.and_then(|(_, other)| said(other)));
                }
            }
        }
    }

    fn fields(&mut self, fields: &[Field], others: &[Field], at: &mut At<'_>) {
        for field in fields.iter().filter(|field| !others.iter().any(|other| other.name == field.name)) {
            self.field(at, &field.name, Aspect::Field, Some(field_in_words(field)), None);
        }
        for other in others {
            match fields.iter().find(|field| field.name == other.name) {
                None => self.field(at, &other.name, Aspect::Field, None, Some(field_in_words(other))),
                Some(field) => {
                    if field.required.is_some() != other.required.is_some() {
                        let said = |field: &Field| Some(is_required(field).to_owned());
                        self.field(at, &other.name, Aspect::Required, said(field), said(other));
                    }
                    self.below(at, &format!(".{}", other.name), &field.shape, &other.shape);
                }
            }
        }
    }

    fn below(&mut self, at: &mut At<'_>, step: &str, left: &Shape, right: &Shape) {
        let length = at.path.len();
        at.path.push_str(step);
        self.shape(left, right, at);
        at.path.truncate(length);
    }

    fn field(&mut self, at: &mut At<'_>, name: &str, aspect: Aspect, left: Option<String>, right: Option<String>) {
        let length = at.path.len();
        at.path.push('.');
        at.path.push_str(name);
        self.at(at, aspect, left, right);
        at.path.truncate(length);
    }

    fn limit<T: PartialEq + ToString>(&mut self, at: &At<'_>, what: &str, left: &Option<T>, right: &Option<T>) {
        if left != right {
            let said = |limit: &Option<T>| limit.as_ref().map(|limit| format!("{what} {}", limit.to_string()));
            self.at(at, Aspect::Limit, said(left), said(right));
        }
    }

    fn at(&mut self, at: &At<'_>, aspect: Aspect, left: Option<String>, right: Option<String>) {
        let known = self.found.iter_mut().find(|known| {
            known.subject == at.subject
                && known.path == at.path
                && known.aspect == aspect
                && known.left == left
                && known.right == right
        });
        // A type differs once, however many messages have it.
        if let Some(known) = known {
            known.used_by.push(at.message.to_owned());
            return;
        }
        let used_by = match at.subject {
            Subject::Type(_) => vec![at.message.to_owned()],
            _ => Vec::new(),
        };
        let (api, subject, path) = (self.right.api.name.clone(), at.subject.clone(), at.path.clone());
        self.found.push(Difference { api, subject, path, aspect, left, right, used_by, reason: None });
    }

    fn note(&mut self, subject: Subject, aspect: Aspect, left: Option<String>, right: Option<String>) {
        let api = self.right.api.name.clone();
        self.found.push(Difference {
            api,
            subject,
            path: String::new(),
            aspect,
            left,
            right,
            used_by: Vec::new(),
            reason: None,
        });
    }

    fn unequal(&mut self, subject: Subject, aspect: Aspect, left: &str, right: &str) {
        if left != right {
            self.note(subject, aspect, Some(left.to_owned()), Some(right.to_owned()));
        }
    }

    /// What the model cannot hold is compared by its whole content.
    fn remarks(&mut self) {
        let (left, right) = (self.left, self.right);
        let told = remarks::renamed(&left.remarks, &self.renamed);
        let (pairs, gone, new) = remarks::pairs(&told, &right.remarks);
        for (one, other) in pairs {
            for (place, was, is) in remarks::differing(&one.content, &other.content) {
                let said = |value: Option<&Value>| value.map(|value| remarks::said(&other.what, &place, value));
                self.remark(other, said(was), said(is));
            }
        }
        // A channel for replies that nothing uses any more goes with whatever used it.
        let said = |remark: &Remark| Some(format!("{}: {}", remark.what, remark.says));
        for remark in gone.into_iter().filter(|remark| !remarks::is_orphan(remark, &right.keys)) {
            self.remark(remark, said(remark), None);
        }
        for remark in new.into_iter().filter(|remark| !remarks::is_orphan(remark, &left.keys)) {
            self.remark(remark, None, said(remark));
        }
    }

    fn remark(&mut self, remark: &Remark, left: Option<String>, right: Option<String>) {
        let is_type = |name: &str| [self.left, self.right].iter().any(|side| side.api.named(name).is_some());
        let (subject, path) = remarks::place(&remark.subject, &is_type);
        // What is new or gone as a whole takes all that is said of it along.
        let is_part = self.found.iter().any(|found| {
            let is_within = match (&found.subject, &subject) {
                (Subject::Message(whole), Subject::Reply(part)) => found.aspect == Aspect::Channel && whole == part,
                (whole, part) => whole == part,
            };
            let rest = path.strip_prefix(found.path.as_str());
            matches!(found.aspect, Aspect::Channel | Aspect::Field)
                && is_within
                && rest
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ',']) || found.path.is_empty())
                && (found.left.is_some(), found.right.is_some()) == (left.is_some(), right.is_some())
                && found.left.is_some() != found.right.is_some()
        });
        if !is_part {
            let api = self.right.api.name.clone();
            let (used_by, reason) = (Vec::new(), None);
            self.found.push(Difference { api, subject, path, aspect: Aspect::Remark, left, right, used_by, reason });
        }
    }
}

/// Whether two channels belong together.
type IsSame<'a> = &'a dyn Fn(&Channel, &Channel) -> bool;

/// Channels that belong together, in the order of the second side, and those that are on one side only.
fn pairs<'a>(left: &'a Described, right: &'a Described) -> Vec<(Option<&'a Channel>, Option<&'a Channel>)> {
    let has_one_key = |one: &Channel, other: &Channel| {
        let key = left.keys.channels.get(&one.name);
        key.is_some() && key == right.keys.channels.get(&other.name)
    };
    let ways: [IsSame<'_>; 4] = [
        &|one, other| one.name == other.name && one.address == other.address,
        &|one, other| one.address == other.address,
        &has_one_key,
        &|one, other| one.name == other.name,
    ];
    let (left, right) = (&left.api.channels, &right.api.channels);
    let mut partners: Vec<Option<usize>> = vec![None; right.len()];
    for is_same in ways {
        for (index, other) in right.iter().enumerate() {
            let free =
                |(position, one): &(usize, &Channel)| !partners.contains(&Some(*position)) && is_same(one, other);
            if partners[index].is_none() {
                partners[index] = left.iter().enumerate().find(free).map(|(position, _)| position);
            }
        }
    }
    let gone = (0..left.len()).filter(|position| !partners.contains(&Some(*position)));
    let mut pairs: Vec<_> = gone.map(|position| (Some(&left[position]), None)).collect();
    let both = right.iter().zip(&partners);
    pairs.extend(both.map(|(other, partner)| (partner.map(|position| &left[position]), Some(other))));
    pairs
}

fn named<'a>(api: &'a Api, name: &str) -> &'a Shape {
    api.named(name).unwrap_or(&Shape::Any)
}

fn bare<'a>(api: &'a Api, shape: &'a Shape) -> &'a Shape {
    match shape {
        Shape::Named(name) => named(api, name),
        other => other,
    }
}
