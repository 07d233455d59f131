//! Who decides about a tag: local list, cache, or CSMS.
//!
//! | | known locally and accepted | known locally, but not accepted | unknown |
//! | --- | --- | --- | --- |
//! | online | accepted if `LocalPreAuthorize`, else the CSMS is asked | the CSMS is asked | the CSMS is asked |
//! | offline | accepted if `LocalAuthorizeOffline` or `AllowOfflineTxForUnknownId` | refused | accepted if `AllowOfflineTxForUnknownId` |
//!
//! The local list stands above the cache for the tags that are in it (OCPP 1.6, 3.5.3; 2.0.1, C13); what it
//! covers is not kept in the cache. Source of the table: OCPP 1.6, 3.5; 2.0.1, C10 to C15.

use std::time::Duration;

use super::cache::Cache;
use super::keys::{Keys, find};
use super::local_list::{LocalList, UpdateStatus, UpdateType};
use super::tag::{IdTag, TagInfo};
use crate::protocol::types::AuthorizationStatus;

/// The authorization of one charge point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The configuration.
    pub keys: Keys,
    list: LocalList,
    cache: Cache,
}

/// What becomes of a tag that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is decided.
    Decided {
        /// What.
        info: TagInfo,
        /// By whom.
        by: DecidedBy,
    },
    /// The CSMS must be asked; [`Authorization::answered`] takes what it says.
    AskCsms,
}

/// Who decided about a tag without the CSMS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecidedBy {
    /// The local authorization list.
    LocalList,
    /// The authorization cache.
    Cache,
    /// Nobody knows the tag, and nobody can be asked.
    Nobody,
}

impl Authorization {
    /// With nothing known; `cache` is what outlived the last run.
    pub fn new(keys: Keys, cache: Cache) -> Self {
        let longest = usize::try_from(keys.number("LocalAuthListMaxLength")).unwrap_or(usize::MAX);
        Self { keys, list: LocalList::new(longest), cache }
    }

    /// The local authorization list.
    pub fn list(&self) -> &LocalList {
        &self.list
    }

    /// The authorization cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Decides about a tag, or says that the CSMS must be.
    pub fn decide(&mut self, tag: &IdTag, now: Duration, is_online: bool) -> Decision {
        let known = self.known(tag, now);
        if is_online {
            return match known {
                Some((info, by)) if info.is_accepted() && self.keys.is_on("LocalPreAuthorize") => {
                    Decision::Decided { info, by }
                }
                _ => Decision::AskCsms,
            };
        }
        let accepts_all = self.keys.is_on("AllowOfflineTxForUnknownId");
        let (info, by) = match known {
            Some((info, by)) if !info.is_accepted() || accepts_all || self.keys.is_on("LocalAuthorizeOffline") => {
                (info, by)
            }
            None if accepts_all => (TagInfo::of(AuthorizationStatus::Accepted), DecidedBy::Nobody),
            _ => (TagInfo::of(AuthorizationStatus::Invalid), DecidedBy::Nobody),
        };
        Decision::Decided { info, by }
    }

    /// Takes what the CSMS said of a tag: in its answer to Authorize, StartTransaction or StopTransaction, or to a
    /// TransactionEvent. It is kept if there is a cache and the local list does not have the tag.
    pub fn answered(&mut self, tag: &IdTag, info: &TagInfo, now: Duration) {
        let is_listed = self.uses_list() && self.list.get(tag).is_some();
        if self.uses_cache() && !is_listed {
            self.cache.put(tag.clone(), info.clone(), now);
        }
    }

    /// Forgets all answers; how many there were. `None` if there is no cache to be cleared (2.0.1, C11).
    pub fn reset_cache(&mut self) -> Option<usize> {
        self.uses_cache().then(|| self.cache.clear())
    }

    /// Takes an update of the local list; `None` if there is no list (1.6: NotSupported).
    pub fn update_list(
        &mut self,
        kind: UpdateType,
        version: i32,
        entries: Vec<(IdTag, Option<TagInfo>)>,
    ) -> Option<UpdateStatus> {
        let most = usize::try_from(self.keys.number("SendLocalListMaxLength")).unwrap_or(usize::MAX);
        if !self.uses_list() {
            return None;
        }
        Some(if entries.len() > most { UpdateStatus::Failed } else { self.list.update(kind, version, entries) })
    }

    /// Forgets the local list; how many tags were in it.
    pub fn clear_list(&mut self) -> usize {
        self.list.clear()
    }

    /// What is known of a tag without the CSMS, and by whom.
    fn known(&mut self, tag: &IdTag, now: Duration) -> Option<(TagInfo, DecidedBy)> {
        if self.uses_list()
            && let Some(info) = self.list.get(tag)
        {
            return Some((info.at(now), DecidedBy::LocalList));
        }
        if !self.uses_cache() {
            return None;
        }
        let life_time = self.keys.seconds("AuthorizationCacheLifeTime");
        self.cache.get(tag, now, life_time).map(|info| (info, DecidedBy::Cache))
    }

    /// The group that a tag is known to belong to.
    pub fn parent(&self, tag: &IdTag) -> Option<IdTag> {
        let listed = self.list.get(tag).filter(|_| self.uses_list());
        let cached = || self.cache.entries().find(|(known, _)| *known == tag).map(|(_, entry)| &entry.info);
        listed.or_else(|| cached().filter(|_| self.uses_cache()))?.parent.clone()
    }

    fn uses_list(&self) -> bool {
        self.keys.is_on("LocalAuthListEnabled")
    }

    fn uses_cache(&self) -> bool {
        self.keys.is_on("AuthorizationCacheEnabled")
    }

    /// States how many connectors there are, which no CSMS can change.
    pub fn state_connectors(&mut self, count: usize) {
        if let Some(key) = find("NumberOfConnectors") {
            self.keys.put(key, &count.to_string());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::types::AuthorizationStatus::{Accepted, Blocked, Expired, Invalid};

    const NOW: Duration = Duration::from_secs(1000);

    fn tag(text: &str) -> IdTag {
        IdTag::new(text).unwrap()
    }

    fn with(settings: &[(&str, &str)]) -> Authorization {
        let mut authorization = Authorization::new(Keys::default(), Cache::new(10));
        for (name, value) in settings {
            assert_eq!(authorization.keys.set(name, value), super::super::SetResult::Accepted);
        }
        authorization
    }

    fn status(decision: Decision) -> (AuthorizationStatus, DecidedBy) {
        match decision {
            Decision::Decided { info, by } => (info.status, by),
            Decision::AskCsms => panic!("the CSMS is asked"),
        }
    }

    fn list(authorization: &mut Authorization, version: i32, name: &str, info: TagInfo) {
        let update = vec![(tag(name), Some(info))];
        let status = authorization.update_list(UpdateType::Differential, version, update);
        assert_eq!(status, Some(UpdateStatus::Accepted));
    }

    #[test]
    fn a_cached_tag_is_asked_for_again_after_a_reset_only() {
        let mut it = with(&[]);
        assert_eq!(it.decide(&tag("A"), NOW, true), Decision::AskCsms);
        it.answered(&tag("A"), &TagInfo::of(Accepted), NOW);
        assert_eq!(status(it.decide(&tag("a"), NOW, true)), (Accepted, DecidedBy::Cache));
        assert_eq!(status(it.decide(&tag("A"), NOW, false)), (Accepted, DecidedBy::Cache));
        assert_eq!((it.reset_cache(), it.reset_cache()), (Some(1), Some(0)));
        assert_eq!(it.decide(&tag("A"), NOW, true), Decision::AskCsms);
        assert_eq!(status(it.decide(&tag("A"), NOW, false)), (Invalid, DecidedBy::Nobody));
    }

    #[test]
    fn the_list_stands_above_the_cache() {
        let mut it = with(&[]);
        it.answered(&tag("A"), &TagInfo::of(Accepted), NOW);
        list(&mut it, 1, "A", TagInfo::of(Blocked));
        assert_eq!(status(it.decide(&tag("A"), NOW, false)), (Blocked, DecidedBy::LocalList));
        assert_eq!(it.decide(&tag("A"), NOW, true), Decision::AskCsms);
        it.answered(&tag("A"), &TagInfo::of(Invalid), NOW);
        it.clear_list();
        assert_eq!(status(it.decide(&tag("A"), NOW, true)), (Accepted, DecidedBy::Cache), "not kept while listed");
    }

    #[test]
    fn what_has_expired_is_asked_for_online_and_refused_offline() {
        let mut it = with(&[]);
        let info = TagInfo { expiry: Some(NOW), ..TagInfo::of(Accepted) };
        list(&mut it, 1, "L", info.clone());
        it.answered(&tag("C"), &info, NOW);
        for (name, by) in [("L", DecidedBy::LocalList), ("C", DecidedBy::Cache)] {
            assert_eq!(it.decide(&tag(name), NOW, true), Decision::AskCsms);
            assert_eq!(status(it.decide(&tag(name), NOW, false)), (Expired, by));
        }
    }

    #[test]
    fn switched_off_parts_know_nothing() {
        let mut it = with(&[("AuthorizationCacheEnabled", "false"), ("LocalAuthListEnabled", "false")]);
        it.answered(&tag("A"), &TagInfo::of(Accepted), NOW);
        assert_eq!(it.update_list(UpdateType::Full, 1, Vec::new()), None);
        assert_eq!(it.reset_cache(), None);
        assert_eq!(it.decide(&tag("A"), NOW, true), Decision::AskCsms);
        assert_eq!(status(it.decide(&tag("A"), NOW, false)), (Invalid, DecidedBy::Nobody));
    }

    proptest! {
        /// The table of this module's head, for every combination of keys.
        #[test]
        fn the_table_holds(
            online: bool, pre: bool, offline: bool, unknown: bool, listed: bool,
            known in prop::option::of(prop::sample::select(vec![Accepted, Blocked])),
        ) {
            let text = |on: bool| if on { "true" } else { "false" };
            let mut it = with(&[
                ("LocalPreAuthorize", text(pre)),
                ("LocalAuthorizeOffline", text(offline)),
                ("AllowOfflineTxForUnknownId", text(unknown)),
            ]);
            match known {
                Some(status) if listed => list(&mut it, 1, "A", TagInfo::of(status)),
                Some(status) => it.answered(&tag("A"), &TagInfo::of(status), NOW),
                None => {}
            }
            let expected = match (online, known) {
                (true, Some(Accepted)) if pre => Some(Accepted),
                (true, _) => None,
                (false, Some(Accepted)) if offline || unknown => Some(Accepted),
                (false, Some(Blocked)) => Some(Blocked),
                (false, None) if unknown => Some(Accepted),
                (false, _) => Some(Invalid),
            };
            let decided = match it.decide(&tag("A"), NOW, online) {
                Decision::Decided { info, .. } => Some(info.status),
                Decision::AskCsms => None,
            };
            prop_assert_eq!(decided, expected);
        }
    }
}
