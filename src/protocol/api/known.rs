//! The descriptions that there are: those that are part of the program, read on first use, and those that were added.
//!
//! Each has a place, and so has each channel within one: what handles are made of.

use std::sync::{OnceLock, PoisonError, RwLock};

use super::{Api, Channel, read};
use crate::protocol::release::Release;

/// The descriptions that are part of the program, with their names: the APIs in the order in which they are told of, then
/// what is described in the same way and is no API.
pub(in crate::protocol) const TEXTS: [(&str, &str); 6] = [
    ("auth_consumer", include_str!("../apis/auth_consumer.yaml")),
    ("auth_token_provider", include_str!("../apis/auth_token_provider.yaml")),
    ("auth_token_validator", include_str!("../apis/auth_token_validator.yaml")),
    ("entrypoint", include_str!("../apis/entrypoint.yaml")),
    ("every_api", include_str!("../apis/every_api.yaml")),
    ("evse_manager", include_str!("../apis/evse_manager.yaml")),
];
/// How many of them are APIs.
const APIS: u32 = 4;

/// The same, read.
static READ: [OnceLock<Api>; TEXTS.len()] = [const { OnceLock::new() }; TEXTS.len()];

/// What was added in this run of the program; never freed, since handles are copied freely.
static ADDED: RwLock<Vec<&'static Api>> = RwLock::new(Vec::new());

/// The description at a place that [`places`] or `place_of` tells.
pub fn at(place: u32) -> &'static Api {
    let place = place as usize;
    match (READ.get(place), TEXTS.get(place)) {
        (Some(known), Some((name, text))) => {
            known.get_or_init(|| read(name, text).expect("a test reads what is part of the program"))
        }
        _ => ADDED.read().unwrap_or_else(PoisonError::into_inner)[place - TEXTS.len()],
    }
}

/// The name of the description at a place, which is not read for it.
pub fn name_at(place: u32) -> &'static str {
    TEXTS.get(place as usize).map_or_else(|| at(place).name.as_str(), |(name, _)| name)
}

/// The places of all APIs: those of the program, then those that were added.
pub fn places() -> impl Iterator<Item = u32> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner).len();
    (0..APIS).chain((TEXTS.len() as u32..).take(added))
}

// Constants are handles, and are found by macros: where a constant that calls a function of this crate stands in an async
// function, an optimizing rustc (1.95) runs into a cycle (E0391).

/// Whether a part stands at a place of a text; both are bytes.
macro_rules! stands_at {
    ($text:expr, $at:expr, $part:expr) => {{
        let (text, at, part): (&[u8], usize, &[u8]) = ($text, $at, $part);
        let mut index = 0;
        while index < part.len() && at + index < text.len() && text[at + index] == part[index] {
            index += 1;
        }
        index == part.len()
    }};
}

/// The place of a description that is part of the program. A constant that names none does not compile.
macro_rules! place_of {
    ($api:expr) => {{
        let (texts, api) = (&$crate::protocol::api::TEXTS, $api.as_bytes());
        let mut place = 0_u32;
        loop {
            assert!((place as usize) < texts.len(), "no description has this name");
            let name = texts[place as usize].0.as_bytes();
            if name.len() == api.len() && $crate::protocol::api::stands_at!(name, 0, api) {
                break place;
            }
            place += 1;
        }
    }};
}

/// The place of a channel within the description at a place that is part of the program: which of the keys that stand two
/// spaces deep it is, the channels before the types. A constant that names none does not compile.
macro_rules! place_of_channel {
    ($api:expr, $channel:expr) => {{
        let (text, channel) = ($crate::protocol::api::TEXTS[$api as usize].1.as_bytes(), $channel.as_bytes());
        let (mut at, mut place) = (0, 0_u32);
        loop {
            let is_over = at >= text.len() || $crate::protocol::api::stands_at!(text, at, b"\ntypes:");
            assert!(!is_over, "the description has no channel of this name");
            let is_key =
                $crate::protocol::api::stands_at!(text, at, b"\n  ") && text[at + 3] != b' ' && text[at + 3] != b'#';
            if is_key
                && $crate::protocol::api::stands_at!(text, at + 3, channel)
                && $crate::protocol::api::stands_at!(text, at + 3 + channel.len(), b":")
            {
                break place;
            }
            at += 1;
            place += is_key as u32;
        }
    }};
}

pub(in crate::protocol) use {place_of, place_of_channel, stands_at};

/// The APIs that are part of the program.
pub fn all_built_in() -> impl Iterator<Item = &'static Api> {
    (0..APIS).map(at)
}

/// All APIs: those of the program, then those that were added.
pub fn known() -> impl Iterator<Item = &'static Api> {
    places().map(at)
}

/// A description by its name.
pub fn of(name: &str) -> Option<&'static Api> {
    // One that is being read may ask for another.
    let built_in = (0..).zip(TEXTS).find(|(_, (known, _))| *known == name).map(|(place, _)| at(place));
    built_in.or_else(|| known().find(|api| api.name == name))
}

/// Adds an API; `None` if another one has its name.
pub fn add(api: Api) -> Option<&'static Api> {
    if let Some(known) = of(&api.name) {
        return (*known == api).then_some(known);
    }
    let api: &'static Api = Box::leak(Box::new(api));
    ADDED.write().unwrap_or_else(PoisonError::into_inner).push(api);
    Some(api)
}

/// The names of the APIs that have modules.
pub fn module_names() -> &'static [&'static str] {
    listed(of_modules().map(|api| api.name.as_str()).collect())
}

/// The channels that these APIs have today, one of each name.
pub fn channels() -> Vec<&'static Channel> {
    let mut found: Vec<&Channel> = Vec::new();
    for channel in of_modules().flat_map(|api| &api.channels) {
        if channel.when.is_specified(Release::Main) && found.iter().all(|known| known.name != channel.name) {
            found.push(channel);
        }
    }
    found
}

/// The APIs that have modules.
pub fn of_modules() -> impl Iterator<Item = &'static Api> {
    known().filter(|api| api.pathname.is_none())
}

/// The list for as long as the program runs: of equal lists there is one.
pub fn listed(names: Vec<&'static str>) -> &'static [&'static str] {
    static LISTS: RwLock<Vec<&'static [&'static str]>> = RwLock::new(Vec::new());
    let mut lists = LISTS.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lists.iter().find(|list| ***list == *names) {
        return known;
    }
    let list: &'static [&'static str] = names.leak();
    lists.push(list);
    list
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::protocol::api::{Pattern, Shape};

    /// Every name in a shape.
    fn names<'a>(shape: &'a Shape, found: &mut Vec<&'a str>) {
        match shape {
            Shape::Named(name) => found.push(name),
            Shape::List { of, .. } | Shape::OrNull(of) => names(of, found),
            Shape::Object { fields, .. } => fields.iter().for_each(|field| names(&field.shape, found)),
            Shape::Alternatives { shapes, .. } => shapes.iter().for_each(|shape| names(shape, found)),
            Shape::Varying(variants) => variants.iter().for_each(|variant| names(&variant.shape, found)),
            _ => {}
        }
    }

    #[test]
    fn the_descriptions_are_read_and_complete() {
        for (name, text) in TEXTS {
            let api = read(name, text).unwrap();
            let mut found = Vec::new();
            for channel in &api.channels {
                names(&channel.payload, &mut found);
                channel.reply.iter().for_each(|reply| names(&reply.payload, &mut found));
                let is_request = matches!(channel.pattern, Pattern::Request | Pattern::LatchedGet);
                assert_eq!(channel.reply.is_some(), is_request, "{}", channel.name);
            }
            api.types.iter().for_each(|(_, shape)| names(shape, &mut found));
            for name in found {
                assert!(api.resolve(name).is_some(), "{name} of {}", api.name);
            }
        }
    }

    #[test]
    fn a_channel_is_found_in_the_text_where_it_is_once_that_is_read() {
        for (place, (name, _)) in (0..).zip(TEXTS) {
            for (index, channel) in (0..).zip(&at(place).channels) {
                let found = (place_of!(name), place_of_channel!(place, channel.name));
                assert_eq!(found, (place, index), "{name} {}", channel.name);
            }
        }
    }

    #[test]
    fn a_fault_is_told_with_its_line() {
        let text = "title: x\nsource: x\nchannels:\n  a:\n    called: x\n    address: e2m/a\n    pattern: variable\n";
        for (text, why) in [
            ("- x", "x, line 1: must be a mapping"),
            ("title: x\nsorce: x\n", "x, line 2: `sorce` is none of: title, source, pathname, channels, types"),
            (text, "x, line 5: `payload` is missing"),
            (&format!("{text}    payload: txt\n"), "x, line 8: `txt` is no shape"),
            (&format!("{text}    payload: any\n    from: me\n"), "x, line 5: `me` sends nothing"),
            (&text.replace("variable", "wave"), "x, line 7: `wave` is no pattern"),
            ("title: x\nsource: [\n", "x, line 2: description is no valid YAML: unclosed bracket '['"),
        ] {
            assert_eq!(read("x", text).unwrap_err(), why);
        }
    }
}
