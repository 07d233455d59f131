//! Where a topic lies: on a channel, below an API module, at the entry point, or elsewhere.

use std::collections::BTreeMap;

use crate::protocol::channel::{ApiType, Channel, EntryPoint, Topics};
use crate::protocol::side::Side;

/// Where a topic lies. API modules are numbered, the one under test is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On a channel of an API module.
    Channel {
        /// The module.
        module: usize,
        /// The channel.
        channel: Channel,
        /// Whether only earlier releases have it.
        is_former: bool,
    },
    /// Below an API module, on no channel.
    Below {
        /// The module.
        module: usize,
        /// Who sends there, if the address says so.
        side: Option<Side>,
        /// Whether token validators reply there.
        is_for_replies: bool,
    },
    /// It names an API module, but under another version or prefix.
    Misspelt {
        /// The module.
        module: usize,
    },
    /// A request to whatever API modules there are.
    EntryPoint(EntryPoint),
    /// The beacon of EVerest's entry point.
    Beacon,
    /// Khumbu and an API module talk about the conversation.
    Aside {
        /// The module.
        module: usize,
        /// About what.
        aside: Aside,
    },
    /// Anywhere else.
    Elsewhere,
}

/// What is talked about beside the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aside {
    /// What a module is to do.
    Told,
    /// What it did inside.
    Did,
    /// How far the harness has come.
    Mark,
}

impl Place {
    /// The channel that API modules have today, and the number of the module.
    pub fn channel(&self) -> Option<(usize, Channel)> {
        match self {
            Place::Channel { module, channel, is_former: false } => Some((*module, *channel)),
            _ => None,
        }
    }

    /// The same if it is a channel of this module.
    pub fn channel_of(&self, module: usize) -> Option<Channel> {
        self.channel().filter(|(of, _)| *of == module).map(|(_, channel)| channel)
    }
}

/// The topics of all API modules.
#[derive(Debug)]
pub(super) struct Map {
    external_prefix: String,
    /// Those that are known to the letter.
    known: BTreeMap<String, Place>,
    modules: Vec<Module>,
}

#[derive(Debug)]
struct Module {
    base: String,
    api: ApiType,
    id: String,
}

impl Map {
    /// The map of these modules.
    pub(super) fn new(modules: &[Topics]) -> Self {
        let external_prefix = modules.first().map_or_else(String::new, |topics| topics.external_prefix.clone());
        let mut known = BTreeMap::from([(EntryPoint::beacon_topic(&external_prefix), Place::Beacon)]);
        for (module, topics) in modules.iter().enumerate() {
            let (present, former) = (topics.api.channels(), topics.api.former_channels());
            let channels = present.map(|channel| (channel, false));
            let channels = channels.chain(former.map(|channel| (channel, true)));
            let channels = channels
                .map(|(channel, is_former)| (topics.topic(channel), Place::Channel { module, channel, is_former }));
            let asides = [
                (topics.control_topic(), Aside::Told),
                (topics.did_topic(), Aside::Did),
                (topics.mark_topic(), Aside::Mark),
            ];
            let asides = asides.map(|(topic, aside)| (topic, Place::Aside { module, aside }));
            for (topic, place) in channels.chain(asides) {
                known.entry(topic).or_insert(place);
            }
        }
        let modules = modules.iter().map(|topics| Module {
            base: format!("{}/", topics.base()),
            api: topics.api,
            id: topics.module_id.clone(),
        });
        Self { external_prefix, known, modules: modules.collect() }
    }

    /// Where a topic lies.
    pub(super) fn place(&self, topic: &str) -> Place {
        if let Some(place) = self.known.get(topic) {
            return place.clone();
        }
        let below = |(index, module): (usize, &Module)| Some((index, module.api, topic.strip_prefix(&*module.base)?));
        if let Some((module, api, address)) = self.modules.iter().enumerate().find_map(below) {
            let side = match address.split('/').next() {
                Some("e2m") => Some(Side::Everest),
                Some("m2e") => Some(Side::Client),
                _ => None,
            };
            let is_reply =
                address.strip_prefix("m2e/reply").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            let is_for_replies = is_reply && api.asks_clients();
            return Place::Below { module, side, is_for_replies };
        }
        if let Some(module) = self.modules.iter().position(|module| module.is_misspelt(topic)) {
            return Place::Misspelt { module };
        }
        self.entry_point(topic).map_or(Place::Elsewhere, Place::EntryPoint)
    }

    /// The request to the entry point that a topic stands for, whatever else it may be.
    pub(super) fn entry_point(&self, topic: &str) -> Option<EntryPoint> {
        EntryPoint::from_topic(&self.external_prefix, topic)
    }
}

impl Module {
    /// Whether a topic names this module, but not as it should.
    fn is_misspelt(&self, topic: &str) -> bool {
        let levels: Vec<&str> = topic.split('/').collect();
        levels
            .windows(4)
            .any(|four| four[0].ends_with("everest_api") && four[2] == self.api.name() && four[3] == self.id)
    }
}
