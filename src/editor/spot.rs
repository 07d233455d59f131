//! Where in the tree of a text a byte stands.

use std::ops::Range;

use crate::yaml::{Content, Node};

/// A step on the way from the top of a file to a place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The value of a key.
    Key(String),
    /// An element of a list.
    Index(usize),
}

/// What stands at a place.
#[derive(Debug, Clone)]
pub(super) struct Spot<'t> {
    /// The way to what holds it: the mapping of a key, or the value itself.
    pub(super) path: Vec<Step>,
    /// The key or the value.
    pub(super) range: Range<usize>,
    pub(super) what: What<'t>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum What<'t> {
    /// A key, and the mapping that it stands in.
    Key(&'t str, &'t Node),
    /// A value that is no list and no mapping.
    Value(&'t str),
}

/// The key or the scalar that has this byte in it, or ends before it.
pub(super) fn find(root: &Node, byte: usize) -> Option<Spot<'_>> {
    let is_in = |range: &Range<usize>| range.start <= byte && byte <= range.end;
    let (mut node, mut path) = (root, Vec::new());
    loop {
        match &node.content {
            // What an alias stands for stands elsewhere.
            Content::Shared(shared) if shared.range == node.range => node = shared,
            Content::Shared(_) => return None,
            Content::Scalar { text, .. } => {
                return is_in(&node.range).then(|| Spot { path, range: node.range.clone(), what: What::Value(text) });
            }
            Content::List(items) => {
                let (index, item) = items.iter().enumerate().find(|(_, item)| is_in(&item.range))?;
                path.push(Step::Index(index));
                node = item;
            }
            Content::Mapping(entries) => {
                if let Some(entry) = entries.iter().find(|entry| is_in(&entry.key_range)) {
                    let what = What::Key(&entry.key, node);
                    return Some(Spot { path, range: entry.key_range.clone(), what });
                }
                let entry = entries.iter().find(|entry| is_in(&entry.value.range))?;
                path.push(Step::Key(entry.key.clone()));
                node = &entry.value;
            }
        }
    }
}

/// The names of the tokens that a scenario or a station file has, and where each is written.
pub(super) fn tokens(root: &Node) -> Vec<(&str, Range<usize>)> {
    let station = root.child("station").map_or(root, |(station, _)| station);
    let Some((tokens, _)) = station.child("tokens") else { return Vec::new() };
    match tokens.content() {
        Content::Mapping(entries) => {
            entries.iter().map(|entry| (&*entry.key, entry.key_range.start..entry.value.range.end)).collect()
        }
        _ => Vec::new(),
    }
}
