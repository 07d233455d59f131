//! The descriptions that there are: those that are part of the program, read on first use, and those that were added.

use std::sync::{OnceLock, PoisonError, RwLock};

use super::{Api, Channel, read};
use crate::protocol::release::Release;

/// A description that is part of the program.
struct BuiltIn {
    name: &'static str,
    text: &'static str,
    read: OnceLock<Api>,
}

impl BuiltIn {
    const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text, read: OnceLock::new() }
    }

    fn api(&'static self) -> &'static Api {
        self.read.get_or_init(|| read(self.name, self.text).expect("a test reads what is part of the program"))
    }
}

/// APIs in the order in which they are told of.
static BUILT_IN: [BuiltIn; 4] = [
    BuiltIn::new("auth_consumer", include_str!("../apis/auth_consumer.yaml")),
    BuiltIn::new("auth_token_provider", include_str!("../apis/auth_token_provider.yaml")),
    BuiltIn::new("auth_token_validator", include_str!("../apis/auth_token_validator.yaml")),
    BuiltIn::new("entrypoint", include_str!("../apis/entrypoint.yaml")),
];

/// What is described in the same way and is no API.
static BESIDES: [BuiltIn; 2] = [
    BuiltIn::new("every_api", include_str!("../apis/every_api.yaml")),
    BuiltIn::new("evse_manager", include_str!("../apis/evse_manager.yaml")),
];

/// What was added in this run of the program; never freed, since handles are copied freely.
static ADDED: RwLock<Vec<&'static Api>> = RwLock::new(Vec::new());

/// The APIs that are part of the program.
pub fn all_built_in() -> impl Iterator<Item = &'static Api> {
    BUILT_IN.iter().map(BuiltIn::api)
}

/// Whether a description is part of the program.
pub fn is_built_in(name: &str) -> bool {
    BUILT_IN.iter().chain(&BESIDES).any(|known| known.name == name)
}

/// All APIs: those of the program, then those that were added.
pub fn known() -> impl Iterator<Item = &'static Api> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner).clone();
    all_built_in().chain(added)
}

/// A description by its name.
pub fn of(name: &str) -> Option<&'static Api> {
    let built_in = BUILT_IN.iter().chain(&BESIDES).find(|known| known.name == name).map(BuiltIn::api);
    built_in.or_else(|| {
        let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
        added.iter().find(|api| api.name == name).copied()
    })
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
        for known in BUILT_IN.iter().chain(&BESIDES) {
            let api = read(known.name, known.text).unwrap();
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
