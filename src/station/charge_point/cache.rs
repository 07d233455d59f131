//! The authorization cache: what the CSMS answered before (OCPP 1.6, 3.5.1; 2.0.1, use cases C10 to C12).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::tag::{IdTag, TagInfo};

/// The authorization cache. It outlives a restart of the charger: it is data, to be written and read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    capacity: usize,
    entries: BTreeMap<IdTag, CachedTag>,
    /// Counts uses, to tell which was last.
    clock: u64,
}

/// An answer that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedTag {
    /// The answer.
    pub info: TagInfo,
    /// When it came, counted from the Unix epoch.
    pub since: Duration,
    used: u64,
}

impl Cache {
    /// An empty cache for so many tags.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, entries: BTreeMap::new(), clock: 0 }
    }

    /// How many tags are in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no tag is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every tag in it, in order.
    pub fn entries(&self) -> impl Iterator<Item = (&IdTag, &CachedTag)> {
        self.entries.iter()
    }

    /// What was answered about a tag, as it stands now: accepted tags expire with their expiry date, and any answer is
    /// forgotten after `life_time` (2.0.1, AuthCacheLifeTime).
    pub fn get(&mut self, tag: &IdTag, now: Duration, life_time: Option<Duration>) -> Option<TagInfo> {
        let entry = self.entries.get_mut(tag)?;
        if life_time.is_some_and(|life_time| entry.since.saturating_add(life_time) <= now) {
            self.entries.remove(tag);
            return None;
        }
        self.clock += 1;
        entry.used = self.clock;
        Some(entry.info.at(now))
    }

    /// Keeps an answer in the place of an earlier one. A full cache loses a tag for it: one that is worth nothing any
    /// more, else the one that was not used for the longest time.
    pub fn put(&mut self, tag: IdTag, info: TagInfo, now: Duration) {
        self.clock += 1;
        self.entries.remove(&tag);
        if self.entries.len() >= self.capacity {
            let loser = self.entries.iter().min_by_key(|(_, entry)| (entry.info.at(now).is_accepted(), entry.used));
            match loser.map(|(tag, _)| tag.clone()) {
                Some(tag) => drop(self.entries.remove(&tag)),
                // A cache for nothing.
                None => return,
            }
        }
        self.entries.insert(tag, CachedTag { info, since: now, used: self.clock });
    }

    /// Forgets all; how many tags there were.
    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.entries).len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::protocol::types::AuthorizationStatus::{Accepted, Blocked, Expired};

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn tag(text: &str) -> IdTag {
        IdTag::new(text).unwrap()
    }

    fn names(cache: &Cache) -> Vec<&str> {
        cache.entries().map(|(tag, _)| tag.as_str()).collect()
    }

    #[test]
    fn the_last_answer_counts() {
        let mut cache = Cache::new(4);
        cache.put(tag("A"), TagInfo::of(Accepted), at(1));
        cache.put(tag("a"), TagInfo::of(Blocked), at(2));
        assert_eq!(cache.get(&tag("A"), at(3), None), Some(TagInfo::of(Blocked)));
        assert_eq!(cache.clear(), 1);
        assert_eq!((cache.get(&tag("A"), at(3), None), cache.clear()), (None, 0));
    }

    #[test]
    fn answers_age() {
        let mut cache = Cache::new(4);
        cache.put(tag("A"), TagInfo { expiry: Some(at(10)), ..TagInfo::of(Accepted) }, at(1));
        assert_eq!(cache.get(&tag("A"), at(9), Some(at(60))).unwrap().status, Accepted);
        assert_eq!(cache.get(&tag("A"), at(10), Some(at(60))).unwrap().status, Expired);
        assert_eq!(cache.get(&tag("A"), at(61), Some(at(60))), None);
        assert!(cache.is_empty());
    }

    #[test]
    fn a_full_cache_loses_the_worthless_first_then_the_unused() {
        let mut cache = Cache::new(3);
        cache.put(tag("A"), TagInfo::of(Accepted), at(1));
        cache.put(tag("B"), TagInfo::of(Blocked), at(2));
        cache.put(tag("C"), TagInfo::of(Accepted), at(3));
        cache.get(&tag("A"), at(4), None);
        cache.put(tag("D"), TagInfo::of(Accepted), at(5));
        assert_eq!(names(&cache), ["A", "C", "D"]);
        cache.put(tag("E"), TagInfo::of(Accepted), at(6));
        assert_eq!(names(&cache), ["A", "D", "E"]);
        cache.put(tag("D"), TagInfo::of(Blocked), at(7));
        assert_eq!(cache.len(), 3);
    }

    #[test]
    fn a_cache_for_nothing_keeps_nothing() {
        let mut cache = Cache::new(0);
        cache.put(tag("A"), TagInfo::of(Accepted), at(1));
        assert!(cache.is_empty());
    }

    #[test]
    fn it_outlives_a_restart() {
        let mut cache = Cache::new(2);
        cache.put(tag("A"), TagInfo { parent: Some(tag("G")), ..TagInfo::of(Accepted) }, at(1));
        let text = serde_json::to_string(&cache).unwrap();
        assert_eq!(serde_json::from_str::<Cache>(&text).unwrap(), cache);
    }
}
