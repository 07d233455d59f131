//! The local authorization list: tags that the CSMS sent ahead (OCPP 1.6, 3.5.2 and 5.15; 2.0.1, use cases D01, D02).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::tag::{IdTag, TagInfo};

/// The local authorization list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalList {
    version: i32,
    entries: BTreeMap<IdTag, TagInfo>,
    longest: usize,
}

/// How much of the list an update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateType {
    /// All of it: what was there is forgotten.
    Full,
    /// Some entries: set, or removed where nothing is said of them.
    Differential,
}

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateStatus {
    /// It is in force.
    Accepted,
    /// The list would be too long, or an entry of a full list says nothing; nothing has changed.
    Failed,
    /// The version is no later one; nothing has changed.
    VersionMismatch,
}

impl LocalList {
    /// An empty list of version 0 that takes this many entries.
    pub fn new(longest: usize) -> Self {
        Self { version: 0, entries: BTreeMap::new(), longest }
    }

    /// The version; 0 says that there is no list.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// How many tags are in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no tag is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What it says of a tag.
    pub fn get(&self, tag: &IdTag) -> Option<&TagInfo> {
        self.entries.get(tag)
    }

    /// Every tag in it, in order.
    pub fn entries(&self) -> impl Iterator<Item = (&IdTag, &TagInfo)> {
        self.entries.iter()
    }

    /// Takes an update as a whole or not at all. Its version must be positive and later than that of the list, full
    /// updates included, so that a stale one is found out.
    pub fn update(&mut self, kind: UpdateType, version: i32, update: Vec<(IdTag, Option<TagInfo>)>) -> UpdateStatus {
        if version <= self.version.max(0) {
            return UpdateStatus::VersionMismatch;
        }
        let mut entries = match kind {
            UpdateType::Full => BTreeMap::new(),
            UpdateType::Differential => self.entries.clone(),
        };
        for (tag, info) in update {
            match (info, kind) {
                (Some(info), _) => drop(entries.insert(tag, info)),
                (None, UpdateType::Differential) => drop(entries.remove(&tag)),
                (None, UpdateType::Full) => return UpdateStatus::Failed,
            }
        }
        if entries.len() > self.longest {
            return UpdateStatus::Failed;
        }
        (self.version, self.entries) = (version, entries);
        UpdateStatus::Accepted
    }

    /// Forgets all, the version too; how many tags there were.
    pub fn clear(&mut self) -> usize {
        self.version = 0;
        std::mem::take(&mut self.entries).len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::protocol::types::AuthorizationStatus::{Accepted, Blocked};

    fn tag(text: &str) -> IdTag {
        IdTag::new(text).unwrap()
    }

    fn set(text: &str) -> (IdTag, Option<TagInfo>) {
        (tag(text), Some(TagInfo::of(Accepted)))
    }

    #[test]
    fn versions_rise() {
        let mut list = LocalList::new(10);
        assert_eq!(list.update(UpdateType::Full, 0, vec![set("A")]), UpdateStatus::VersionMismatch);
        assert_eq!(list.update(UpdateType::Full, 5, vec![set("A")]), UpdateStatus::Accepted);
        for (kind, version) in [(UpdateType::Full, 5), (UpdateType::Differential, 4), (UpdateType::Full, -1)] {
            assert_eq!(list.update(kind, version, vec![set("B")]), UpdateStatus::VersionMismatch);
            assert_eq!((list.version(), list.len()), (5, 1));
        }
        assert_eq!(list.update(UpdateType::Differential, 6, vec![set("B")]), UpdateStatus::Accepted);
        assert_eq!((list.version(), list.len()), (6, 2));
    }

    #[test]
    fn a_differential_update_sets_and_removes() {
        let mut list = LocalList::new(10);
        list.update(UpdateType::Full, 1, vec![set("A"), set("B")]);
        let update = vec![(tag("a"), None), (tag("b"), Some(TagInfo::of(Blocked))), (tag("unknown"), None)];
        assert_eq!(list.update(UpdateType::Differential, 2, update), UpdateStatus::Accepted);
        assert_eq!(list.get(&tag("A")), None);
        assert_eq!(list.get(&tag("B")).unwrap().status, Blocked);
    }

    #[test]
    fn an_update_that_fails_changes_nothing() {
        let mut list = LocalList::new(2);
        list.update(UpdateType::Full, 1, vec![set("A")]);
        let before = list.clone();
        assert_eq!(list.update(UpdateType::Differential, 2, vec![set("B"), set("C")]), UpdateStatus::Failed);
        assert_eq!(list.update(UpdateType::Full, 2, vec![(tag("A"), None)]), UpdateStatus::Failed);
        assert_eq!(list, before);
    }

    #[test]
    fn clearing_starts_anew() {
        let mut list = LocalList::new(10);
        list.update(UpdateType::Full, 7, vec![set("A"), set("B")]);
        assert_eq!(list.clear(), 2);
        assert_eq!((list.version(), list.len(), list.clear()), (0, 0, 0));
        assert_eq!(list.update(UpdateType::Full, 1, vec![set("A")]), UpdateStatus::Accepted);
    }
}
