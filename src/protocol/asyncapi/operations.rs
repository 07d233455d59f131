//! Channels and operations to [`Channel`]s.

use super::files::{At, Files};
use super::shapes::Shapes;
use super::{Document, Example, Keys, NO_ADDRESS};
use crate::diagnostic::Diagnostic;
use crate::protocol::api::{Api, Channel, Pattern, Reply, Shape, When};

/// Where EVerest expects the address of a reply.
const REPLY_TO: &str = "$message.header#/replyTo";
/// How the address of a request for the latest value of a variable ends.
const LATCHED: &str = "/get";

type Found<T> = Result<T, Box<Diagnostic>>;

/// An operation on a channel.
struct Operation<'a> {
    name: &'a str,
    at: At<'a>,
    channel: String,
    /// Whether the client sends.
    sends: bool,
    /// The channel of replies.
    reply: Option<String>,
}

/// A channel that has an address.
struct Place<'a> {
    key: &'a str,
    at: At<'a>,
    address: String,
    is_from_everest: bool,
    reply: Option<String>,
}

/// Reads one document.
pub(super) fn read(files: &Files, name: &str) -> Result<Document, Vec<Diagnostic>> {
    let mut shapes = Shapes::new(files);
    let Some(root) = files.root(name) else { return Err(Vec::new()) };
    let document = read_root(&mut shapes, files, name, &root);
    match shapes.taken(document) {
        Some(document) if shapes.faults.is_empty() => {
            let keys = Keys { schemas: shapes.schemas(name), ..document.keys };
            let api = Api { types: shapes.types, ..document.api };
            Ok(Document { remarks: shapes.remarks, api, keys, ..document })
        }
        _ => Err(shapes.faults),
    }
}

fn read_root<'a>(shapes: &mut Shapes<'a>, files: &'a Files, name: &str, root: &At<'a>) -> Found<Document> {
    let version = root.need("asyncapi")?;
    if !version.text()?.starts_with("3.") {
        let headline = format!("AsyncAPI {} is not understood", version.text()?);
        return Err(Box::new(
            version.fault("asyncapi/unknown-version", headline).with_help("give a document of AsyncAPI 3"),
        ));
    }
    let title = root.need("info")?.need("title")?.text()?;
    let pathname = pathname(root)?;
    let api_name = api_name(name, &pathname);
    let operations = operations(shapes, files, root)?;
    let all = root.need("channels")?.children()?;
    let (mut places, mut examples) = (Vec::new(), Vec::new());
    for (key, at) in &all {
        let address = match at.child("address") {
            Some(address) if !matches!(address.value()?, serde_json::Value::Null) => address.text()?,
            _ => {
                if !operations.iter().any(|operation| operation.reply.as_deref() == Some(*key)) {
                    shapes.remark(at, key, "channel", NO_ADDRESS);
                }
                continue;
            }
        };
        places.push(place(shapes, &operations, key, at.clone(), address));
    }
    let names = names(&places);
    for (place, name) in places.iter().zip(&names) {
        for remark in shapes.remarks.iter_mut().filter(|remark| remark.subject == place.key) {
            remark.subject.clone_from(name);
        }
    }
    let keys = Keys {
        channels: names.iter().zip(&places).map(|(name, place)| (name.clone(), place.key.to_owned())).collect(),
        replies: operations.iter().filter_map(|operation| operation.reply.clone()).collect(),
        ..Keys::default()
    };
    let mut channels = Vec::new();
    for (place, name) in places.iter().zip(names) {
        let payload = message(shapes, files, &place.at, &name, false, &mut examples)?;
        let reply = match &place.reply {
            None => None,
            Some(key) => match all.iter().find(|(known, _)| known == key) {
                Some((_, at)) => Some(message(shapes, files, at, &name, true, &mut examples)?),
                None => None,
            },
        };
        let kind = if reply.is_some() { "request" } else { "message" };
        channels.push(Channel {
            reply: reply.map(|payload| Reply { called: format!("reply to `{name}`"), payload }),
            called: format!("`{name}` {kind}"),
            whose: None,
            about: None,
            address: place.address.clone(),
            is_from_everest: place.is_from_everest,
            pattern: pattern(place, &api_name),
            payload,
            when: When::ALWAYS,
            name,
        });
    }
    let source = root.source().path.clone();
    let api = Api { name: api_name, title, pathname: None, source, channels, types: Vec::new() };
    Ok(Document { api, pathname, source: root.source().clone(), remarks: Vec::new(), examples, keys })
}

/// Where the topics begin.
fn pathname(root: &At<'_>) -> Found<String> {
    let servers = root.need("servers")?;
    match &servers.children()?[..] {
        [(_, server)] => server.need("pathname")?.text(),
        _ => Err(Box::new(servers.fault("asyncapi/unsupported", "document has not exactly one server"))),
    }
}

/// The name of the API: EVerest's files have it in theirs, which is right where the pathname was copied.
fn api_name(document: &str, pathname: &str) -> String {
    let from_path = pathname.split('/').filter(|level| !level.is_empty()).nth(2);
    document.strip_suffix("_API").or(from_path).unwrap_or(document).to_owned()
}

fn operations<'a>(shapes: &mut Shapes<'a>, files: &'a Files, root: &At<'a>) -> Found<Vec<Operation<'a>>> {
    let mut found = Vec::new();
    for (name, at) in root.need("operations")?.children()? {
        let channel = channel_of(files, &at.need("channel")?)?;
        let action = at.need("action")?;
        let sends = match action.text()?.as_str() {
            "send" => true,
            "receive" => false,
            other => {
                let fault = action.fault("asyncapi/unknown-action", format!("unknown action `{other}`"));
                return Err(Box::new(fault.with_evidence("known: send, receive")));
            }
        };
        let mut reply = None;
        if let Some(at) = at.child("reply") {
            let location = at.child("address").and_then(|address| address.child("location"));
            match &location {
                Some(location) if location.text()? == REPLY_TO => {}
                Some(location) => shapes.remark(location, name, "reply address", location.text()?),
                None => shapes.remark(&at, name, "reply address", "none"),
            }
            reply = Some(channel_of(files, &at.need("channel")?)?);
        }
        let known = ["title", "summary", "description", "action", "channel", "reply", "tags"];
        for (key, at) in at.children()?.iter().filter(|(key, _)| !known.contains(key)) {
            shapes.remark_whole(at, name, key);
        }
        found.push(Operation { name, at, channel, sends, reply });
    }
    Ok(found)
}

/// The key of the channel that a reference names.
fn channel_of(files: &Files, at: &At<'_>) -> Found<String> {
    let reference = at.need("$ref")?;
    let target = files.follow(&reference)?;
    match target.pointer.strip_prefix("/channels/") {
        Some(key) if target.document() == at.document() && !key.contains('/') => Ok(key.to_owned()),
        _ => Err(Box::new(reference.fault("asyncapi/unsupported", "reference leads to no channel of this document"))),
    }
}

fn place<'a>(
    shapes: &mut Shapes<'a>,
    operations: &[Operation<'a>],
    key: &'a str,
    at: At<'a>,
    address: String,
) -> Place<'a> {
    let operation = operations.iter().find(|operation| operation.channel == key);
    let told = match address.split('/').next() {
        Some("e2m") => Some(true),
        Some("m2e") => Some(false),
        _ => None,
    };
    match operation {
        None => shapes.remark(&at, key, "channel", "no operation uses it"),
        Some(operation) if told.is_some_and(|from_everest| from_everest == operation.sends) => {
            let action = if operation.sends { "send" } else { "receive" };
            shapes.remark(&operation.at, operation.name, "action", format!("`{action}`, but the address is {address}"));
        }
        Some(_) => {}
    }
    let is_from_everest = told.unwrap_or_else(|| operation.is_some_and(|operation| !operation.sends));
    let reply = operation.and_then(|operation| operation.reply.clone());
    Place { key, at, address, is_from_everest, reply }
}

/// The names of channels: what their addresses say, or where that is not enough, their keys.
fn names(places: &[Place<'_>]) -> Vec<String> {
    let ways: [fn(&Place<'_>) -> String; 2] = [name_by_address, name_by_key];
    let name = |place: &Place<'_>| {
        let is_alone = |way: &&fn(&Place<'_>) -> String| {
            let name = way(place);
            places.iter().filter(|other| way(other) == name).count() == 1
        };
        ways.iter().find(is_alone).map_or_else(|| place.key.to_owned(), |way| way(place))
    };
    places.iter().map(name).collect()
}

fn name_by_address(place: &Place<'_>) -> String {
    let levels: Vec<&str> = place.address.split('/').filter(|level| !level.starts_with('{')).collect();
    let joined = |levels: &[&str]| levels.join("_").replace('-', "_");
    match &levels[..] {
        ["e2m" | "m2e", of @ .., "get"] if !of.is_empty() => format!("get_{}", joined(of)),
        ["e2m" | "m2e", rest @ ..] => joined(rest),
        all => joined(all),
    }
}

fn name_by_key(place: &Place<'_>) -> String {
    let bare = place.key.trim_start_matches("send_").trim_start_matches("receive_");
    bare.strip_prefix("request_").filter(|_| place.reply.is_some()).unwrap_or(bare).to_owned()
}

fn pattern(place: &Place<'_>, api: &str) -> Pattern {
    let has_reply = place.reply.is_some();
    match place.address.as_str() {
        address if has_reply && address.ends_with(LATCHED) => Pattern::LatchedGet,
        _ if has_reply => Pattern::Request,
        "e2m/heartbeat" => Pattern::Heartbeat,
        "m2e/communication_check" => Pattern::CommunicationCheck,
        "m2e/raise_error" | "m2e/clear_error" => Pattern::Error,
        // Who consumes is told and commands; whoever else is commanded and tells.
        _ if place.is_from_everest == api.ends_with("_consumer") => Pattern::Variable,
        _ => Pattern::Command,
    }
}

/// The shape of the one message of a channel.
fn message<'a>(
    shapes: &mut Shapes<'a>,
    files: &'a Files,
    channel: &At<'a>,
    name: &str,
    is_reply: bool,
    examples: &mut Vec<Example>,
) -> Found<Shape> {
    let messages = channel.need("messages")?;
    let children = messages.children()?;
    let [(_, message)] = &children[..] else {
        let headline = format!("channel has {} messages, and one is understood", children.len());
        return Err(Box::new(messages.fault("asyncapi/unsupported", headline)));
    };
    let message = match message.child("$ref") {
        Some(reference) => files.follow(&reference)?,
        None => message.clone(),
    };
    let subject = if is_reply { format!("reply to {name}") } else { name.to_owned() };
    let known = ["name", "title", "summary", "description", "contentType", "payload", "examples", "tags"];
    for (key, at) in message.children()? {
        if !known.contains(&key) {
            shapes.remark_whole(&at, &subject, key);
        }
    }
    if let Some(content) = message.child("contentType")
        && content.text()? != "application/json"
    {
        shapes.remark(&content, &subject, "contentType", content.text()?);
    }
    if let Some(given) = message.child("examples") {
        for at in given.items()? {
            let Some(payload) = at.child("payload") else { continue };
            let title = at.child("summary").map(|summary| summary.text()).transpose()?.unwrap_or_default();
            let (channel, place) = (name.to_owned(), payload.place());
            examples.push(Example { channel, is_reply, title, payload: payload.value()?, place });
        }
    }
    Ok(match message.child("payload") {
        Some(payload) => shapes.read(&payload, &subject),
        None => Shape::Any,
    })
}
