//! The chargers that a gateway serves, as a file describes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::diagnostic::{Diagnostic, Source};
pub use crate::ocpp::OcppVersion;
use crate::protocol::channel::Topics;
use crate::scenario::{self, Pointer};
use crate::sim::csms::{Endpoint, Password};
use crate::station::charge_point::config::CsmsLink;
use crate::station::config::StationConfig;

/// The chargers that a gateway serves.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chargers {
    /// By id.
    pub chargers: BTreeMap<String, ChargerConfig>,
}

/// A charger.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChargerConfig {
    /// Its name in OCPP; its id if absent.
    pub identity: Option<String>,
    /// A name for people.
    pub name: Option<String>,
    /// Who made it.
    pub vendor_name: Option<String>,
    /// What they call it.
    pub model: Option<String>,
    /// What it speaks to its CSMS.
    pub ocpp_version: OcppVersion,
    /// Where its CSMS is, such as `ws://127.0.0.1:9000/ocpp`; its identity is added. One inside answers if absent.
    pub csms: Option<String>,
    /// What it says to its CSMS as its password.
    pub csms_password: Option<Password>,
    /// The kind of its connectors, such as `Type2`.
    pub connector_type: Option<String>,
    /// Where it stands; commands may go to all chargers of a location.
    pub location: Option<String>,
    /// The tenant it belongs to.
    pub organization: Option<String>,
    /// The id of its `auth_consumer_API` module, as topics have it; the charger's id if absent.
    pub module_id: Option<String>,
    /// The station; it always has a charge point.
    pub station: StationConfig,
}

/// What is served if nobody says otherwise.
const DEFAULT: &str = include_str!("chargers.yaml");
/// The most chargers.
const MOST: usize = 10_000;
/// The most characters of an id: it becomes part of topics and paths.
const LONGEST_ID: usize = 64;

impl ChargerConfig {
    /// Its name in OCPP.
    pub fn identity<'a>(&'a self, id: &'a str) -> &'a str {
        self.identity.as_deref().unwrap_or(id)
    }

    /// The id of its API module.
    pub fn module_id<'a>(&'a self, id: &'a str) -> &'a str {
        self.module_id.as_deref().unwrap_or(id)
    }

    /// The topics of that module; `pattern` has what all chargers have in common.
    pub fn topics(&self, id: &str, pattern: &Topics) -> Topics {
        let module_id = self.module_id(id).to_owned();
        Topics { module_id, ..pattern.clone() }.under(self.station.release)
    }
}

impl Chargers {
    /// Two chargers in one location; the first one's API module has this id, the second one's the same with `_2`.
    ///
    /// # Errors
    /// None in fact; a test reads the file.
    pub fn two(module_id: &str) -> Result<Self, Vec<Diagnostic>> {
        let mut two = Self::parse("chargers.yaml", DEFAULT)?;
        for (charger, suffix) in two.chargers.values_mut().zip(["", "_2"]) {
            charger.module_id = Some(format!("{module_id}{suffix}"));
        }
        Ok(two)
    }

    /// One charger that is this station, behind this API module.
    pub fn one(station: StationConfig, module_id: &str) -> Self {
        let charger = ChargerConfig {
            identity: Some("CP-1".to_owned()),
            location: Some("loc-1".to_owned()),
            module_id: Some(module_id.to_owned()),
            station,
            ..ChargerConfig::default()
        };
        Self { chargers: BTreeMap::from([("dep-1".to_owned(), charger)]) }.with_charge_points()
    }

    /// Reads a file of chargers.
    ///
    /// # Errors
    /// All that is wrong with it, with the lines where it stands, but never a password.
    pub fn parse(path: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let read = scenario::parse_checked(path, text, faults).map(Self::with_charge_points);
        read.map_err(|errors| {
            let masked = masked(text);
            errors.into_iter().map(|error| without_passwords(error, text, &masked)).collect()
        })
    }

    fn with_charge_points(mut self) -> Self {
        for charger in self.chargers.values_mut() {
            let charge_point = charger.station.charge_point.get_or_insert_default();
            if charger.csms.is_some() {
                charge_point.csms = CsmsLink::Outside;
            }
        }
        self
    }
}

/// What makes no sense: the id, the JSON pointer, and the headline.
fn faults(file: &Chargers) -> Vec<(&'static str, Pointer, String)> {
    let mut faults = Vec::new();
    let mut fault = |pointer: Pointer, headline: String| faults.push(("config/invalid", pointer, headline));
    let count = file.chargers.len();
    if !(1..=MOST).contains(&count) {
        fault(Pointer::from("/chargers"), format!("a gateway serves 1 to {MOST} chargers, not {count}"));
    }
    let (mut identities, mut modules) = (BTreeSet::new(), BTreeSet::new());
    let mut of_stations = Vec::new();
    for (id, charger) in &file.chargers {
        let pointer = Pointer::from("/chargers").key(id);
        let identity = charger.identity(id);
        let module_id = charger.module_id(id);
        for (what, key, text) in [("charger id", "", id.as_str()), ("module id", "/module_id", module_id)] {
            if !is_id(text) {
                let headline = format!(
                    "`{}` is no {what}: 1 to {LONGEST_ID} letters, digits, `-`, `_` and `.`",
                    text.escape_debug()
                );
                fault(pointer.below(key), headline);
            }
        }
        if !identities.insert(identity) {
            let headline = format!("two chargers have the identity `{}`", identity.escape_debug());
            fault(pointer.key("identity"), headline);
        }
        if !modules.insert(module_id) {
            fault(pointer.key("module_id"), format!("two chargers have the module id `{module_id}`"));
        }
        if let Some(Err(why)) = charger.csms.as_deref().map(|url| Endpoint::new(url, identity)) {
            fault(pointer.key("csms"), why);
        }
        let of_station = scenario::faults_of_station(&charger.station).into_iter();
        let pointer = pointer.key("station");
        of_stations.extend(of_station.map(|(id, within, headline)| (id, pointer.below(&within), headline)));
    }
    faults.extend(of_stations);
    faults
}

/// The same text, as long as before, with `*` for whatever stands behind a key that looks like one of a password, up to
/// the end of the line and in the lines that belong to it.
fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut key_indent = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let key = line.to_ascii_lowercase().find("passw");
        let shown = match key.and_then(|key| Some(key + line[key..].find(':')? + 1)) {
            Some(shown) => {
                key_indent = Some(indent);
                shown
            }
            None if key_indent.is_some_and(|key| indent > key || line.trim().is_empty()) => indent,
            None => {
                key_indent = None;
                line.len()
            }
        };
        let stars = |c: char| if c.is_whitespace() { c.to_string() } else { "*".repeat(c.len_utf8()) };
        masked.push_str(&line[..shown]);
        masked.extend(line[shown..].chars().map(stars));
    }
    masked
}

/// The error with nothing of the text that was masked; where its words would tell some, it is said in other words.
fn without_passwords(mut error: Diagnostic, text: &str, masked: &str) -> Diagnostic {
    let Some(place) = &mut error.place else { return error };
    let (line, hidden) = (place.line(), masked[place.range.clone()] != text[place.range.clone()]);
    if hidden {
        error.headline = format!("file `{}` is wrong in line {line}", place.source.path);
        place.label.clear();
        error.evidence.clear();
        error.help = None;
    }
    // Help may show more of the file than the place.
    error.help.take_if(|help| hidden_words(text, masked).any(|word| help.contains(word)));
    place.source = Arc::new(Source { path: place.source.path.clone(), text: masked.to_owned() });
    error
}

/// What was masked, word by word.
fn hidden_words<'a>(text: &'a str, masked: &'a str) -> impl Iterator<Item = &'a str> {
    let words = text.split_whitespace().zip(masked.split_whitespace());
    words.filter(|(word, masked)| word != masked).map(|(word, masked)| {
        let shown = word.bytes().zip(masked.bytes()).take_while(|(one, other)| one == other).count();
        let hidden = word.get(shown..).unwrap_or(word);
        let bare = hidden.trim_matches(|c: char| !c.is_alphanumeric());
        if bare.is_empty() { hidden } else { bare }
    })
}

fn is_id(text: &str) -> bool {
    let is_in_order = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=LONGEST_ID).contains(&text.len()) && text.chars().all(is_in_order)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_default_is_two_chargers_in_one_location() {
        let chargers = Chargers::two("auth_api").unwrap().chargers;
        let locations: BTreeSet<_> = chargers.values().map(|charger| charger.location.clone().unwrap()).collect();
        assert_eq!((chargers.len(), locations.len()), (2, 1));
        assert!(chargers.values().all(|charger| charger.station.charge_point.is_some()));
        assert_eq!(chargers["dep-1"].module_id("dep-1"), "auth_api");
    }

    #[test]
    fn no_error_shows_a_password() {
        for text in [
            "chargers:\n  a:\n    csms_password: [hunter2]\n",
            "chargers:\n  a:\n    csms_password: {hunter2: 1}\n",
            "chargers:\n  a:\n    csms_password:\n      hunter2: 1\n",
            "chargers:\n  a:\n    csms_pasword: x\n    csms_password: \"hunter2\n",
            "chargers:\n  a:\n    csms_passwort: hunter2\n",
            "chargers:\n  a: {csms_password: hunter2, colour: red}\n",
            "chargers:\n  a: {colour: red, csms_password: hunter2}\n",
            "chargers:\n  a: {ocpp_version: ocpp9, csms_password: hunter2\n",
            "chargers:\n  a:\n    csms_password: |\n      hunter2\n     hunter2\n",
            "chargers:\n  a: {csms_password: hunter2, module_id: \"#\"}\n",
            "chargers:\n  a:\n    csms_password: hunter2\n    csms_password: hunter2\n",
            "chargers:\n  a:\n    csms_password: hunter2 colour: red\n",
            "chargers:\n  a:\n    csms_password:hunter2\n    colour: red\n",
            "chargers:\n  a: {colour: @red, csms_password: hunter2}\n",
            "chargers:\n  a: {colour: red: x, csms_password: \"hunter2\"}\n",
            "chargers:\n  a:\n    csms_password: {x: hunter2}\n",
            "chargers:\n  a:\n    csms_password: hunter2: x\n",
        ] {
            let errors = Chargers::parse("c.yaml", text).unwrap_err();
            let shown: String = errors.iter().map(|error| error.render(crate::diagnostic::Style::Plain)).collect();
            assert!(shown.contains("c.yaml:") && !shown.contains("hunter2"), "{text}: {shown}");
        }
        let wrong = Chargers::parse("c.yaml", "chargers:\n  a:\n    csms_password: 1234567\n");
        let shown = wrong.map_or_else(|errors| format!("{errors:?}"), |_| String::new());
        assert!(!shown.contains("1234567"), "{shown}");
        let errors = Chargers::parse("c.yaml", "chargers:\n  a:\n    csms_password: x\n    colour: red\n").unwrap_err();
        assert!(errors[0].headline.contains("colour"), "{errors:?}");
    }

    #[test]
    fn bad_chargers_are_found_out_where_they_stand() {
        for (text, line, said) in [
            ("chargers: {}\n", 1, "1 to 10000 chargers"),
            ("chargers:\n  a/b: {}\n", 2, "no charger id"),
            ("chargers:\n  a: {module_id: \"#\"}\n", 2, "no module id"),
            ("chargers:\n  a: {identity: X}\n  b:\n    identity: X\n", 4, "identity `X`"),
            ("chargers:\n  a: {}\n  b:\n    module_id: a\n", 4, "module id `a`"),
            ("chargers:\n  a:\n    station:\n      evses: 0\n", 4, "1 to 64 EVSEs"),
            ("chargers:\n  a:\n    ocpp_version: ocpp9\n", 3, "ocpp9"),
            ("chargers:\n  a:\n    colour: red\n", 3, "colour"),
            (
                "chargers:\n  a:\n    station:\n      charge_point:\n        configuration:\n          Unheard: \"1\"\n",
                6,
                "no configuration key `Unheard`",
            ),
            (
                "chargers:\n  a:\n    station:\n      charge_point: {configuration: {HeartbeatInterval: often}}\n",
                4,
                "`often` is no value",
            ),
        ] {
            let errors = Chargers::parse("c.yaml", text).unwrap_err();
            assert!(errors[0].headline.contains(said), "{text}: {errors:?}");
            assert_eq!(errors[0].place.as_ref().unwrap().line(), line, "{text}");
        }
    }
}
