//! A description of an API from its file.
//!
//! A mapping is an object, `name?` a field that it may lack, a list the words of an enumeration, and a text what
//! [`super::notation`] says. A channel that is a text, `API.NAME`, is that of another description.

use super::notation::{self, Terms};
use super::{Api, Channel, Field, Pattern, Reply, Shape, When, Word};
use crate::yaml::{self, Content, Entry, Node};

/// Reads the description of the API of this name.
///
/// # Errors
///
/// Says what is wrong with it, and in which line.
pub fn read(name: &str, text: &str) -> Result<Api, String> {
    let fail = |at: usize, why: &str| format!("{name}, line {}: {why}", text[..at].matches('\n').count() + 1);
    let root = yaml::read(text).map_err(|problems| {
        problems.iter().map(|problem| fail(problem.range.start, &problem.headline("description"))).collect::<String>()
    })?;
    api(name, &root).map_err(|(at, why)| fail(at, &why))
}

/// A value, or what is wrong at which byte.
type Read<T> = Result<T, (usize, String)>;

fn api(name: &str, root: &Node) -> Read<Api> {
    let known = Fields::of(root, &["title", "source", "pathname", "channels", "types"])?;
    Ok(Api {
        name: name.to_owned(),
        title: known.text("title")?,
        source: known.text("source")?,
        pathname: known.optional("pathname").map(text).transpose()?,
        channels: known.entries("channels")?.iter().map(channel).collect::<Read<_>>()?,
        types: known
            .entries("types")?
            .iter()
            .map(|entry| Ok((entry.key.clone(), shape(&entry.value)?.0)))
            .collect::<Read<_>>()?,
    })
}

fn channel(entry: &Entry) -> Read<Channel> {
    if let Content::Scalar { text, .. } = entry.value.content() {
        let found = text.split_once('.').and_then(|(api, name)| super::of(api)?.channel(name));
        return found.cloned().ok_or_else(|| (entry.value.range.start, format!("`{text}` is no channel")));
    }
    let known =
        Fields::of(&entry.value, &["called", "whose", "about", "address", "from", "pattern", "payload", "reply"])?;
    let written = known.text("address")?;
    let (address, terms) = notation::terms(&written).map_err(|why| (entry.value.range.start, why))?;
    let is_from_everest = match known.optional("from").map(text).transpose()?.as_deref() {
        None => address.starts_with("e2m/"),
        Some("everest") => true,
        Some("client") => false,
        Some(other) => return Err((entry.value.range.start, format!("`{other}` sends nothing"))),
    };
    Ok(Channel {
        name: entry.key.clone(),
        called: known.text("called")?,
        whose: known.optional("whose").map(text).transpose()?,
        about: known.optional("about").map(text).transpose()?,
        address: address.to_owned(),
        is_from_everest,
        pattern: pattern(known.required("pattern")?)?,
        payload: shape(known.required("payload")?)?.0,
        reply: known.optional("reply").map(reply).transpose()?,
        when: terms.when,
    })
}

fn reply(node: &Node) -> Read<Reply> {
    let known = Fields::of(node, &["called", "payload"])?;
    Ok(Reply { called: known.text("called")?, payload: shape(known.required("payload")?)?.0 })
}

fn pattern(node: &Node) -> Read<Pattern> {
    Ok(match text(node)?.as_str() {
        "variable" => Pattern::Variable,
        "command" => Pattern::Command,
        "request" => Pattern::Request,
        "latched get" => Pattern::LatchedGet,
        "error" => Pattern::Error,
        "heartbeat" => Pattern::Heartbeat,
        "communication check" => Pattern::CommunicationCheck,
        other => return Err((node.range.start, format!("`{other}` is no pattern"))),
    })
}

fn shape(node: &Node) -> Read<(Shape, Terms)> {
    let always = Terms { when: When::ALWAYS, required: None };
    let fail = |why| (node.range.start, why);
    match node.content() {
        Content::Scalar { text, .. } => notation::shape(text).map_err(fail),
        Content::List(words) => {
            let word = |node: &Node| {
                let written = text(node)?;
                let (text, terms) = notation::terms(&written).map_err(|why| (node.range.start, why))?;
                Ok(Word { text: text.to_owned(), when: terms.when })
            };
            Ok((Shape::Words(words.iter().map(word).collect::<Read<_>>()?), always))
        }
        Content::Mapping(entries) => {
            let fields = entries.iter().map(field).collect::<Read<_>>()?;
            Ok((Shape::Object { fields, is_closed: false }, always))
        }
        Content::Shared(_) => Err(fail("an alias within an alias".to_owned())),
    }
}

fn field(entry: &Entry) -> Read<Field> {
    let (shape, terms) = shape(&entry.value)?;
    let (name, required) = match entry.key.strip_suffix('?') {
        Some(name) => (name, terms.required),
        None => (entry.key.as_str(), Some(terms.required.unwrap_or(When::ALWAYS))),
    };
    Ok(Field { name: name.to_owned(), required, shape, when: terms.when })
}

fn text(node: &Node) -> Read<String> {
    match node.content() {
        Content::Scalar { text, .. } => Ok(text.clone()),
        _ => Err((node.range.start, "must be a text".to_owned())),
    }
}

/// The entries of a mapping that has a fixed set of keys.
struct Fields<'a> {
    at: usize,
    entries: &'a [Entry],
}

impl<'a> Fields<'a> {
    fn of(node: &'a Node, keys: &[&str]) -> Read<Self> {
        let Content::Mapping(entries) = node.content() else {
            return Err((node.range.start, "must be a mapping".to_owned()));
        };
        match entries.iter().find(|entry| !keys.contains(&entry.key.as_str())) {
            Some(entry) => Err((entry.key_range.start, format!("`{}` is none of: {}", entry.key, keys.join(", ")))),
            None => Ok(Self { at: node.range.start, entries }),
        }
    }

    fn optional(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    fn required(&self, key: &str) -> Read<&'a Node> {
        self.optional(key).ok_or_else(|| (self.at, format!("`{key}` is missing")))
    }

    fn text(&self, key: &str) -> Read<String> {
        text(self.required(key)?)
    }

    fn entries(&self, key: &str) -> Read<&'a [Entry]> {
        match self.optional(key) {
            None => Ok(&[]),
            Some(node) => match node.content() {
                Content::Mapping(entries) => Ok(entries),
                _ => Err((node.range.start, format!("`{key}` must be a mapping"))),
            },
        }
    }
}
