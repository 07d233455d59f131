//! Two descriptions of one API, side by side.

use super::words::{field_in_words, in_words, is_required, sender, summary, word_of_pattern};
use super::{Aspect, Described, Difference, Subject};
use crate::protocol::api::{Api, Channel, Field, Shape, Word};
use crate::protocol::asyncapi::Remark;

/// Two descriptions of one API.
pub(super) struct Comparison<'a> {
    left: &'a Described,
    right: &'a Described,
    found: Vec<Difference>,
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
        Self { left, right, found: Vec::new() }
    }

    /// Everything that differs.
    pub fn all(mut self) -> Vec<Difference> {
        let (left, right) = (self.left, self.right);
        self.unequal(Subject::Api, Aspect::Pathname, &left.pathname, &right.pathname);
        let pairs = pairs(&left.api.channels, &right.api.channels);
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
        if one.name != other.name {
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
            (left, right) if left == right => {}
            (left, right) => self.at(at, Aspect::Type, Some(in_words(left)), Some(in_words(right))),
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

    /// What the model cannot hold is compared by its words.
    fn remarks(&mut self) {
        let (left, right) = (&self.left.remarks, &self.right.remarks);
        let has = |remarks: &[Remark], remark: &Remark| {
            remarks.iter().any(|r| (&r.subject, &r.what, &r.says) == (&remark.subject, &remark.what, &remark.says))
        };
        let said = |remark: &Remark| Some(format!("{}: {}", remark.what, remark.says));
        for remark in left.iter().filter(|remark| !has(right, remark)) {
            self.remark(remark, said(remark), None);
        }
        for remark in right.iter().filter(|remark| !has(left, remark)) {
            self.remark(remark, None, said(remark));
        }
    }

    fn remark(&mut self, remark: &Remark, left: Option<String>, right: Option<String>) {
        let (subject, path) = match remark.subject.split_once('.') {
            Some((name, path)) => (name, format!(".{path}")),
            None => (remark.subject.as_str(), String::new()),
        };
        let api = self.right.api.name.clone();
        let is_type = |api: &Api| api.named(subject).is_some();
        let subject = if is_type(&self.left.api) || is_type(&self.right.api) {
            Subject::Type(subject.to_owned())
        } else {
            Subject::Message(subject.to_owned())
        };
        self.found.push(Difference {
            api,
            subject,
            path,
            aspect: Aspect::Remark,
            left,
            right,
            used_by: Vec::new(),
            reason: None,
        });
    }
}

/// Channels that belong together, in the order of the second side, and those that are on one side only.
fn pairs<'a>(left: &'a [Channel], right: &'a [Channel]) -> Vec<(Option<&'a Channel>, Option<&'a Channel>)> {
    let ways: [fn(&Channel, &Channel) -> bool; 3] = [
        |one, other| one.name == other.name && one.address == other.address,
        |one, other| one.address == other.address,
        |one, other| one.name == other.name,
    ];
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
