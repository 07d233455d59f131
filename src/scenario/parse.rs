//! Text to [`Scenario`], or everything that is wrong with it.

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::deserialize::from_node;
use super::fault::Fault;
use super::model::Model;
use super::step::Step;
use super::{Pointer, repair, rules};
use crate::diagnostic::{Diagnostic, Place, Source};
use crate::station::config::StationConfig;
use crate::yaml::{self, Content, Node, Problem};

/// The largest scenario file, in bytes.
pub const LARGEST: usize = 1024 * 1024;

/// The most faults reported of one file: the first few cause most of the others.
const MOST_FAULTS: usize = 20;

/// A scenario and the text it came from.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The file.
    pub source: Arc<Source>,
    /// What it says.
    pub model: Model,
    root: Node,
    grown: Grown,
}

/// A text and its tree: what places point into.
#[derive(Debug)]
struct Written(Arc<Source>, Node);

/// A longer text of the same scenario, where steps came later.
#[derive(Debug, Default)]
struct Grown(RwLock<Option<Arc<Written>>>);

impl Grown {
    fn latest(&self) -> Option<Arc<Written>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Clone for Grown {
    fn clone(&self) -> Self {
        Self(RwLock::new(self.latest()))
    }
}

/// What a scenario may speak of and this module does not know by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// The ids of requirements; empty means any.
    pub requirements: &'a [&'a str],
    /// What the gateway answers to a request.
    pub answers: Option<AnswerSchema>,
}

/// The JSON Schema of what the gateway answers to a method, at a path, with a status; `None` where nobody can know.
pub type AnswerSchema = fn(&str, &str, u16) -> Option<Value>;

/// Reads a scenario file and checks its sense, too.
///
/// `path` is for messages only.
///
/// # Errors
///
/// All that is wrong, in the order of the file, except that a text that is no YAML has one error only, and that a
/// file whose structure is wrong is not looked at for its sense.
pub fn parse(path: &str, text: &str, known: Known<'_>) -> Result<Scenario, Vec<Diagnostic>> {
    parse_whole(path, text, known, false)
}

/// Reads a scenario whose steps are still to come, some or all.
///
/// # Errors
///
/// As [`parse`].
pub(super) fn parse_begun(path: &str, text: &str, known: Known<'_>) -> Result<Scenario, Vec<Diagnostic>> {
    parse_whole(path, text, known, true)
}

fn parse_whole(path: &str, text: &str, known: Known<'_>, is_begun: bool) -> Result<Scenario, Vec<Diagnostic>> {
    let source = to_source(path, text);
    let root = read_tree(&source)?;
    let model = read_whole(&root).map_err(|faults| into_diagnostics(faults, &source))?;
    let scenario = Scenario { source, model, root, grown: Grown::default() };
    let found = super::check::check(&scenario, known, is_begun);
    if found.is_empty() { Ok(scenario) } else { Err(first_few(found.into_iter())) }
}

/// Reads any other YAML file, such as khumbu's own configuration, with the same care. An empty file is an empty
/// mapping.
///
/// # Errors
///
/// `config/invalid`: what is wrong with the text, or the first wrong value.
pub fn parse_as<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, Vec<Diagnostic>> {
    let source = to_source(path, text);
    read_as(&source).map(|(value, _)| value)
}

/// Reads a file that holds a station alone.
///
/// # Errors
///
/// `config/invalid`, for everything that is wrong.
pub fn parse_station(path: &str, text: &str) -> Result<StationConfig, Vec<Diagnostic>> {
    parse_around_station(path, text)
}

/// Reads a file that holds a station at its top, and more.
///
/// # Errors
///
/// As [`parse_station`].
pub fn parse_around_station<T: DeserializeOwned + AsRef<StationConfig>>(
    path: &str,
    text: &str,
) -> Result<T, Vec<Diagnostic>> {
    parse_checked(path, text, |whole: &T| rules::faults_of_station(whole.as_ref()))
}

/// Reads a file, and looks at its sense with `check`, which says what is wrong: an id, the JSON pointer to the place,
/// and the headline.
///
/// # Errors
///
/// As [`parse_as`], or all that `check` found.
pub fn parse_checked<T: DeserializeOwned>(
    path: &str,
    text: &str,
    check: impl FnOnce(&T) -> Vec<(&'static str, Pointer, String)>,
) -> Result<T, Vec<Diagnostic>> {
    let source = to_source(path, text);
    let (whole, root) = read_as::<T>(&source)?;
    let faults: Vec<Fault> = check(&whole)
        .into_iter()
        .map(|(id, pointer, headline)| Fault::new(id, headline, walk(&root, &pointer).0.range.clone()))
        .collect();
    if faults.is_empty() { Ok(whole) } else { Err(as_config(into_diagnostics(faults, &source))) }
}

fn read_as<T: DeserializeOwned>(source: &Arc<Source>) -> Result<(T, Node), Vec<Diagnostic>> {
    let root = match read_tree(source) {
        Err(errors) if errors.iter().all(|error| error.id == "scenario/empty") => {
            Node { range: 0..0, content: Content::Mapping(Vec::new()) }
        }
        read => read.map_err(as_config)?,
    };
    match from_node(&root, None) {
        Ok(value) => Ok((value, root)),
        Err(fault) => Err(as_config(into_diagnostics(vec![fault], source))),
    }
}

/// Errors of a file that is no scenario.
fn as_config(mut errors: Vec<Diagnostic>) -> Vec<Diagnostic> {
    for error in &mut errors {
        error.id = "config/invalid";
        if let Some(rest) = error.headline.strip_prefix("scenario ") {
            error.headline = format!("file {rest}");
        }
    }
    errors
}

impl Scenario {
    /// The place of a value by its JSON pointer, for example `/steps/3/withdraw/evse_id`; the nearest enclosing one
    /// if there is none.
    pub fn place(&self, pointer: &str) -> Place {
        self.looked_up(pointer, |(node, key, _)| match key {
            Some(key) if node.range.is_empty() => key.clone(),
            _ => node.range.clone(),
        })
    }

    /// Takes the places of a longer text of the same scenario for its own; it says no more than before.
    pub fn grow(&self, longer: &Scenario) {
        let latest = Arc::new(Written(Arc::clone(&longer.source), longer.root.clone()));
        *self.grown.0.write().unwrap_or_else(PoisonError::into_inner) = Some(latest);
    }

    /// The place of a value, with something to say of it.
    pub fn labelled(&self, pointer: &str, label: &str) -> Place {
        Place { label: label.to_owned(), ..self.place(pointer) }
    }

    /// The place of the key that holds a value; that of the value where there is no key, as in a list.
    pub fn place_of_key(&self, pointer: &str) -> Place {
        self.looked_up(pointer, |(node, key, is_found)| match key {
            Some(key) if is_found => key.clone(),
            _ => node.range.clone(),
        })
    }

    /// Whether a value is written in the file.
    pub fn has(&self, pointer: &str) -> bool {
        walk(&self.root, pointer).2
    }

    /// The line of a value, counted from 1.
    pub fn line(&self, pointer: &str) -> usize {
        self.place_of_key(pointer).line()
    }

    fn looked_up(&self, pointer: &str, range: impl Fn(Found<'_>) -> Range<usize>) -> Place {
        let latest = self.grown.latest();
        let (source, root) =
            latest.as_deref().map_or((&self.source, &self.root), |Written(source, root)| (source, root));
        Place { source: Arc::clone(source), range: range(walk(root, pointer)), label: String::new() }
    }
}

/// The node that a JSON pointer leads to, its key, and whether it is the very one.
type Found<'a> = (&'a Node, Option<&'a Range<usize>>, bool);

fn walk<'a>(root: &'a Node, pointer: &str) -> Found<'a> {
    let mut node = root;
    let mut key = None;
    for token in pointer.split('/').skip(1) {
        match node.child(&token.replace("~1", "/").replace("~0", "~")) {
            Some((child, child_key)) => (node, key) = (child, child_key),
            None => return (node, key, false),
        }
    }
    (node, key, true)
}

pub(super) fn to_source(path: &str, text: &str) -> Arc<Source> {
    Arc::new(Source { path: path.to_owned(), text: text.to_owned() })
}

/// The tree of a text, or what is wrong with it as YAML.
pub(super) fn read_tree(source: &Arc<Source>) -> Result<Node, Vec<Diagnostic>> {
    let fault = if source.text.len() > LARGEST {
        Fault::new(
            "scenario/too-large",
            format!("scenario has {} bytes, the most is {LARGEST}", source.text.len()),
            0..0,
        )
    } else if let Some(at) = source.text.bytes().position(is_binary) {
        let range = at..at + 1;
        Fault::new("scenario/binary", format!("scenario is no text: byte 0x{:02x}", source.text.as_bytes()[at]), range)
    } else {
        let advised = |problem: Problem| repair::advised(problem.into(), &source.text);
        return yaml::read(&source.text)
            .map_err(|problems| into_diagnostics(problems.into_iter().map(advised).collect(), source));
    };
    Err(into_diagnostics(vec![fault], source))
}

fn is_binary(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r') || byte == 0x7f
}

fn into_diagnostics(mut faults: Vec<Fault>, source: &Arc<Source>) -> Vec<Diagnostic> {
    faults.sort_by_key(|fault| fault.range().map(|range| range.start));
    first_few(faults.into_iter().map(|fault| fault.into_diagnostic(source)))
}

/// The first errors of a file, the last of which says how many there are besides.
fn first_few(errors: impl ExactSizeIterator<Item = Diagnostic>) -> Vec<Diagnostic> {
    let hidden = errors.len().saturating_sub(MOST_FAULTS);
    let mut errors: Vec<Diagnostic> = errors.take(MOST_FAULTS).collect();
    if let Some(last) = errors.last_mut().filter(|_| hidden > 0) {
        last.evidence.push(format!("{hidden} more errors in this file"));
    }
    errors
}

/// Reads the model; after an error, takes the wrong part out of the tree and reads again to find the next one.
fn read_whole(root: &Node) -> Result<Model, Vec<Fault>> {
    match from_node::<Model>(root, None) {
        Ok(model) => Ok(model),
        Err(fault) if fault.is_fatal() => Err(vec![fault]),
        Err(_) => {
            let mut faults = faults_of::<Model>(root, None);
            // Where the frame of a scenario is wrong, its steps and its station are still worth a look.
            let parts = [
                root.child("steps").map(|(steps, key)| faults_of::<Vec<Step>>(steps, key)),
                root.child("station").map(|(station, key)| faults_of::<StationConfig>(station, key)),
            ];
            for fault in parts.into_iter().flatten().flatten() {
                if !faults.iter().any(|known| known.range() == fault.range()) {
                    faults.push(fault);
                }
            }
            faults.truncate(MOST_FAULTS);
            Err(faults)
        }
    }
}

fn faults_of<T: DeserializeOwned>(node: &Node, key: Option<&Range<usize>>) -> Vec<Fault> {
    let mut rest = node.clone();
    let mut faults: Vec<Fault> = Vec::new();
    while let Some(fault) = from_node::<T>(&rest, key).err() {
        if faults.len() >= MOST_FAULTS || faults.contains(&fault) {
            break;
        }
        let goes_on = fault.range().is_some_and(|range| take_out(&mut rest, range, fault.is_about_key()));
        faults.push(fault);
        if !goes_on {
            break;
        }
    }
    faults
}

/// Takes a key that does not exist out of its mapping; else the innermost element of a list around the place. The
/// frame of the file is no element: there nothing but an unknown key can go.
fn take_out(node: &mut Node, range: &Range<usize>, is_key: bool) -> bool {
    match &mut node.content {
        Content::Shared(shared) => take_out(Arc::make_mut(shared), range, is_key),
        Content::Scalar { .. } => false,
        Content::List(items) => {
            let Some(index) = items.iter().position(|item| covers(&item.range, range)) else { return false };
            if !take_out(&mut items[index], range, is_key) {
                items.remove(index);
            }
            true
        }
        Content::Mapping(entries) => {
            if let Some(index) = entries.iter().position(|entry| is_key && entry.key_range == *range) {
                entries.remove(index);
                return true;
            }
            entries
                .iter_mut()
                .find(|entry| covers(&entry.value.range, range))
                .is_some_and(|entry| take_out(&mut entry.value, range, is_key))
        }
    }
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GOOD: &str = "\
description: Withdrawing by EVSE alone.
under_test: everest
station:
  evses: 2
  auth: {selection_algorithm: FindFirst, connection_timeout: 8s}
  tokens:
    ALICE: {value: \"04A2F3B1\", type: ISO14443}
steps:
  - plug_in: {evse: 1}
  - present_token: ALICE
  - restart_everest
  - withdraw: {evse_id: 1}
  - expect_reply: Accepted
  - expect_reply:
      payload: {$unspecified: {a: [1, null], b: x}}
      within: 1s
";

    #[test]
    fn every_pointer_leads_to_its_place() {
        let scenario = parse("a.yaml", GOOD, Known::default()).unwrap();
        for (pointer, value, key) in [
            ("/description", "Withdrawing by EVSE alone.", "description"),
            ("/station/auth/connection_timeout", "8s", "connection_timeout"),
            ("/steps/0/plug_in/evse", "1", "evse"),
            ("/steps/0/plug_in", "{evse: 1}", "plug_in"),
            ("/steps/1", "present_token: ALICE", "present_token: ALICE"),
            ("/steps/2/restart_everest/x", "restart_everest", "restart_everest"),
            ("/steps/3/withdraw/evse_id/deeper", "1", "1"),
            ("/steps/5/expect_reply/payload/$unspecified/a/1", "null", "null"),
            ("/steps/5/expect_reply/payload/$unspecified/b", "x", "b"),
        ] {
            assert_eq!(&GOOD[scenario.place(pointer).range], value, "{pointer}");
            assert_eq!(&GOOD[scenario.place_of_key(pointer).range], key, "{pointer}");
        }
        assert_eq!(scenario.line("/steps/5/expect_reply/within"), 16);
    }

    #[test]
    fn finds_several_errors_in_one_go() {
        let bad = GOOD
            .replace("plug_in: {evse: 1}", "plugin: {evse: 1}")
            .replace("evse_id: 1", "evseid: 1")
            .replace("evses: 2", "evces: 2")
            .replace("under_test: everest", "under_test: evrest");
        let ids: Vec<_> =
            parse("a.yaml", &bad, Known::default()).unwrap_err().into_iter().map(|d| (d.id, d.headline)).collect();
        assert_eq!(
            ids,
            [
                ("scenario/unknown-value", "unknown side `evrest`".to_owned()),
                ("scenario/unknown-field", "unknown field `evces`".to_owned()),
                ("scenario/unknown-step", "unknown step `plugin`".to_owned()),
                ("scenario/unknown-field", "unknown field `evseid`".to_owned()),
            ]
        );
    }
}
