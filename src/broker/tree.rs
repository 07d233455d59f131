//! Who is subscribed to what: a tree of filter levels.
//!
//! Knows sessions by number only. Its depth is limited by [`topic::check_filter`].

use std::collections::HashMap;

use crate::protocol::topic;

/// What a client asked for with one filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) qos: u8,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) id: Option<usize>,
}

/// One subscription that matches a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) session: usize,
    /// Whether it came by way of a shared subscription, which never merges with others.
    pub(super) shared: bool,
    pub(super) subscription: Subscription,
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    /// By level; `+` and `#` are levels like others, for no topic has them.
    children: HashMap<Box<str>, Node>,
    own: Vec<(usize, Subscription)>,
    groups: Vec<Group>,
}

/// The members of one shared subscription, served in turn.
#[derive(Debug)]
struct Group {
    name: Box<str>,
    members: Vec<(usize, Subscription)>,
    next: usize,
}

impl Tree {
    /// Subscribes, or replaces the session's subscription with the same filter.
    pub(super) fn insert(&mut self, filter: &str, session: usize, subscription: Subscription) {
        let (group, levels) = split(filter);
        let node = levels.split('/').fold(&mut self.root, |node, level| node.children.entry(level.into()).or_default());
        let members = match group {
            None => &mut node.own,
            Some(name) => {
                let at = node.groups.iter().position(|group| *group.name == *name).unwrap_or_else(|| {
                    node.groups.push(Group { name: name.into(), members: Vec::new(), next: 0 });
                    node.groups.len() - 1
                });
                &mut node.groups[at].members
            }
        };
        match members.iter_mut().find(|(member, _)| *member == session) {
            Some((_, old)) => *old = subscription,
            None => members.push((session, subscription)),
        }
    }

    /// Unsubscribes; a filter that is not there is left alone.
    pub(super) fn remove(&mut self, filter: &str, session: usize) {
        let (group, levels) = split(filter);
        self.root.remove(&mut levels.split('/'), group, session);
    }

    /// Appends everything that matches a topic. `is_online` lets shared subscriptions prefer members that are there.
    pub(super) fn collect(&mut self, topic: &str, is_online: impl Fn(usize) -> bool, found: &mut Vec<Route>) {
        let hidden = topic.starts_with('$');
        self.root.collect(Some(topic), hidden, &is_online, found);
    }
}

fn split(filter: &str) -> (Option<&str>, &str) {
    match topic::shared(filter) {
        Some((group, levels)) => (Some(group), levels),
        None => (None, filter),
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.own.is_empty() && self.groups.is_empty()
    }

    fn remove<'a>(&mut self, levels: &mut impl Iterator<Item = &'a str>, group: Option<&str>, session: usize) {
        match (levels.next(), group) {
            (Some(level), _) => {
                if let Some(child) = self.children.get_mut(level) {
                    child.remove(levels, group, session);
                    if child.is_empty() {
                        self.children.remove(level);
                    }
                }
            }
            (None, None) => self.own.retain(|(member, _)| *member != session),
            (None, Some(name)) => {
                for group in self.groups.iter_mut().filter(|group| *group.name == *name) {
                    group.members.retain(|(member, _)| *member != session);
                }
                self.groups.retain(|group| !group.members.is_empty());
            }
        }
    }

    /// `rest` is what is left of the topic; `None` after its last level. `hidden` keeps wildcards from `$…` topics.
    fn collect(
        &mut self,
        rest: Option<&str>,
        hidden: bool,
        is_online: &impl Fn(usize) -> bool,
        found: &mut Vec<Route>,
    ) {
        if !hidden && let Some(all) = self.children.get_mut("#") {
            all.take(is_online, found);
        }
        let Some(rest) = rest else { return self.take(is_online, found) };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        if let Some(child) = self.children.get_mut(level) {
            child.collect(rest, false, is_online, found);
        }
        if !hidden && let Some(any) = self.children.get_mut("+") {
            any.collect(rest, false, is_online, found);
        }
    }

    fn take(&mut self, is_online: &impl Fn(usize) -> bool, found: &mut Vec<Route>) {
        found.extend(self.own.iter().map(|(session, subscription)| Route {
            session: *session,
            shared: false,
            subscription: *subscription,
        }));
        for group in &mut self.groups {
            let count = group.members.len();
            let turn = (0..count).map(|step| (group.next + step) % count);
            let chosen = turn.clone().find(|at| is_online(group.members[*at].0)).or_else(|| turn.clone().next());
            if let Some(at) = chosen {
                let (session, subscription) = group.members[at];
                found.push(Route { session, shared: true, subscription });
                group.next = (at + 1) % count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(qos: u8) -> Subscription {
        Subscription { qos, no_local: false, retain_as_published: false, id: None }
    }

    fn sessions(tree: &mut Tree, topic: &str) -> Vec<usize> {
        let mut found = Vec::new();
        tree.collect(topic, |_| true, &mut found);
        let mut sessions: Vec<_> = found.iter().map(|route| route.session).collect();
        sessions.sort_unstable();
        sessions
    }

    proptest! {
        #[test]
        fn finds_what_the_standard_matches(
            filters in prop::collection::vec("(\\$|[ab+]|)(/([ab+]|)){0,3}(/#)?", 1..12),
            topic in "(\\$|[ab]|)(/([ab]|)){0,4}",
        ) {
            let mut tree = Tree::default();
            let filters: Vec<_> = filters.into_iter().filter(|filter| topic::check_filter(filter).is_ok()).collect();
            for (session, filter) in filters.iter().enumerate() {
                tree.insert(filter, session, plain(0));
            }
            let expected: Vec<_> = (0..filters.len()).filter(|at| topic::matches(&filters[*at], &topic)).collect();
            if !topic.is_empty() {
                prop_assert_eq!(sessions(&mut tree, &topic), expected);
            }
            for (session, filter) in filters.iter().enumerate() {
                tree.remove(filter, session);
            }
            prop_assert!(tree.root.is_empty());
        }
    }

    #[test]
    fn replaces_a_subscription_with_the_same_filter() {
        let mut tree = Tree::default();
        tree.insert("a/+", 1, plain(0));
        tree.insert("a/+", 1, plain(2));
        let mut found = Vec::new();
        tree.collect("a/b", |_| true, &mut found);
        assert_eq!(found, [Route { session: 1, shared: false, subscription: plain(2) }]);
    }

    #[test]
    fn serves_the_members_of_a_share_in_turn_and_prefers_those_online() {
        let mut tree = Tree::default();
        for session in 0..3 {
            tree.insert("$share/g/a/#", session, plain(1));
        }
        let turns: Vec<_> = (0..6).flat_map(|_| sessions(&mut tree, "a/b")).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
        let mut found = Vec::new();
        tree.collect("a", |session| session == 2, &mut found);
        tree.collect("a", |_| false, &mut found);
        assert_eq!(found.iter().map(|route| route.session).collect::<Vec<_>>(), [2, 0]);
    }
}
