//! How two descriptions of APIs differ on the wire: channel by channel, field by field.
//!
//! Pure. What has a name on both sides and the same shape is the same, whatever it is called. Documentation is not
//! compared.

mod compare;
mod reasons;
mod remarks;
mod specified;
mod words;

use super::api::{self, Api};
use super::asyncapi::{Document, Example, Keys, Remark};
use super::deviations::Deviations;
use super::release::Release;
use super::schema::violations;
use compare::Comparison;
use specified::specified;

/// A description of an API on one of the two sides.
#[derive(Debug, Clone)]
pub struct Described {
    /// The API, as one release specifies it.
    pub api: Api,
    /// Where its topics begin.
    pub pathname: String,
    /// What has no place in the model.
    pub remarks: Vec<Remark>,
    /// Messages given as examples.
    pub examples: Vec<Example>,
    /// What the document calls things itself.
    pub keys: Keys,
}

impl From<Document> for Described {
    fn from(document: Document) -> Self {
        let Document { api, pathname, remarks, examples, keys, .. } = document;
        Self { api, pathname: pathname.trim_end_matches('/').to_owned(), remarks, examples, keys }
    }
}

/// Khumbu's own descriptions, as a release specifies them.
pub fn ours(release: Release) -> Vec<Described> {
    let described = api::all_built_in().map(|api| {
        let usual = || format!("everest_api/1/{}/{{module_id}}", api.name);
        let pathname = api.pathname.clone().unwrap_or_else(usual);
        let (remarks, examples, keys) = (Vec::new(), Vec::new(), Keys::default());
        Described { api: specified(api, release), pathname, remarks, examples, keys }
    });
    // What has no channel, the release has not, or it is no API.
    described.filter(|described| !described.api.channels.is_empty()).collect()
}

/// What kind of thing differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// A whole API.
    Api,
    /// Where the topics of an API begin.
    Pathname,
    /// A whole channel.
    Channel,
    /// The address of a channel.
    Address,
    /// Who sends.
    Direction,
    /// Whether there is a reply, and other ways in which a channel is used.
    Pattern,
    /// What kind of value something is.
    Type,
    /// A field of an object.
    Field,
    /// Whether a field has to be there.
    Required,
    /// A word of an enumeration.
    Word,
    /// A limit of a number, a length or a count; a format or a pattern.
    Limit,
    /// Whether other fields are allowed.
    OtherFields,
    /// Something that the model has no place for.
    Remark,
    /// An example that its own schema forbids.
    Example,
}

impl Aspect {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Aspect::Api => "api",
            Aspect::Pathname => "pathname",
            Aspect::Channel => "channel",
            Aspect::Address => "address",
            Aspect::Direction => "direction",
            Aspect::Pattern => "pattern",
            Aspect::Type => "type",
            Aspect::Field => "field",
            Aspect::Required => "required",
            Aspect::Word => "word",
            Aspect::Limit => "limit",
            Aspect::OtherFields => "other-fields",
            Aspect::Remark => "remark",
            Aspect::Example => "example",
        }
    }
}

/// Where in an API something differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The API itself.
    Api,
    /// A message on a channel.
    Message(String),
    /// A reply to one.
    Reply(String),
    /// A type that several messages may use.
    Type(String),
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The API.
    pub api: String,
    /// Where.
    pub subject: Subject,
    /// Where in that, as `.field[].field`; may be empty.
    pub path: String,
    /// What kind of thing.
    pub aspect: Aspect,
    /// What the first side says; `None` where it says nothing of it.
    pub left: Option<String>,
    /// What the second side says.
    pub right: Option<String>,
    /// The messages in which a type is used.
    pub used_by: Vec<String>,
    /// Why it does not count.
    pub reason: Option<&'static str>,
}

impl Difference {
    /// Whether it is one that nobody can explain.
    pub fn counts(&self) -> bool {
        self.reason.is_none()
    }
}

/// Everything that differs between Khumbu's descriptions and the documents of a release, with the reasons that are listed,
/// and the examples that break their own schemas.
pub fn beside_ours(ours: &[Described], documents: &[Described], release: Release) -> Vec<Difference> {
    let mut found = compare(ours, documents);
    found.extend(documents.iter().flat_map(broken_examples));
    found.sort_by(|one, other| one.api.cmp(&other.api));
    for difference in &mut found {
        difference.reason = reasons::of(difference, release);
    }
    found
}

fn broken_examples(document: &Described) -> Vec<Difference> {
    let Described { api, examples, .. } = document;
    let in_force = Deviations::default();
    let mut found = Vec::new();
    for example in examples {
        let Some(channel) = api.channel(&example.channel) else { continue };
        let (subject, shape) = match &channel.reply {
            Some(reply) if example.is_reply => (Subject::Reply(channel.name.clone()), &reply.payload),
            _ => (Subject::Message(channel.name.clone()), &channel.payload),
        };
        found.extend(violations(api, shape, in_force, &example.payload).into_iter().map(|violation| Difference {
            api: api.name.clone(),
            subject: subject.clone(),
            path: violation.pointer.replace('/', "."),
            aspect: Aspect::Example,
            left: None,
            right: Some(format!("line {}: {}", example.place.line(), violation.message)),
            used_by: Vec::new(),
            reason: None,
        }));
    }
    found
}

/// Everything that differs: by API, and within one in the order of the second side.
pub fn compare(left: &[Described], right: &[Described]) -> Vec<Difference> {
    let mut names: Vec<&str> = left.iter().chain(right).map(|described| described.api.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let of = |side: &[Described], name: &str| side.iter().position(|described| described.api.name == name);
    let mut found = Vec::new();
    for name in names {
        match (of(left, name), of(right, name)) {
            (Some(one), Some(other)) => found.extend(Comparison::new(&left[one], &right[other]).all()),
            (one, other) => {
                let said = |there: bool| there.then(|| "the whole API".to_owned());
                found.push(Difference {
                    api: name.to_owned(),
                    subject: Subject::Api,
                    path: String::new(),
                    aspect: Aspect::Api,
                    left: said(one.is_some()),
                    right: said(other.is_some()),
                    used_by: Vec::new(),
                    reason: None,
                });
            }
        }
    }
    found
}
