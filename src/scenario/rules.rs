//! Rules about single values: stations, topics, hexadecimal text.

use super::Pointer;
use crate::station::charge_point::keys::find;
use crate::station::charge_point::{Keys, SetResult};
use crate::station::config::StationConfig;

/// The most EVSEs of a station.
const MOST_EVSES: u8 = 64;
/// The most connectors of an EVSE.
const MOST_CONNECTORS: usize = 8;
/// The longest token (AsyncAPI, `IdToken.value`).
const LONGEST_TOKEN: usize = 36;

/// What makes no sense in a station: the id, the JSON pointer within it, and the headline.
pub fn faults_of_station(station: &StationConfig) -> Vec<(&'static str, Pointer, String)> {
    let mut faults = Vec::new();
    if !(1..=MOST_EVSES).contains(&station.evses) {
        let headline = format!("a station has 1 to {MOST_EVSES} EVSEs, not `{}`", station.evses);
        faults.push(("scenario/bad-station", Pointer::from("/evses"), headline));
    }
    for (evse, types) in &station.connectors {
        let headline = if *evse == 0 || *evse > station.evses {
            format!("connectors of EVSE {evse}: the station has EVSEs 1 to {}", station.evses)
        } else if !(1..=MOST_CONNECTORS).contains(&types.len()) {
            format!("an EVSE has 1 to {MOST_CONNECTORS} connectors, not `{}`", types.len())
        } else {
            continue;
        };
        faults.push(("scenario/bad-station", Pointer::from("/connectors").key(&evse.to_string()), headline));
    }
    for (name, token) in &station.tokens {
        let at = Pointer::from("/tokens").key(name);
        if !token.other_validators.is_empty()
            && (station.auth_token_validator.is_some() || station.charge_point.is_some())
        {
            let headline =
                "the station asks one validator only, where it is `auth_token_validator` or the charge point";
            let pointer = at.key("other_validators");
            faults.push(("scenario/bad-station", pointer, headline.to_owned()));
        }
        let characters = token.value.chars().count();
        let headline = if characters > LONGEST_TOKEN {
            format!("token `{name}` has {characters} characters, the most is {LONGEST_TOKEN}")
        } else if !token.value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
            format!("token `{name}` has characters other than printable ASCII")
        } else {
            continue;
        };
        faults.push(("scenario/bad-token", at.key("value"), headline));
    }
    let configuration = station.charge_point.iter().flat_map(|charge_point| &charge_point.configuration);
    for (name, value) in configuration {
        let headline = match Keys::default().set(name, value) {
            SetResult::Accepted | SetResult::RebootRequired => continue,
            SetResult::Rejected if find(name).is_some_and(|key| key.is_read_only) => {
                format!("the configuration key `{name}` can only be read")
            }
            SetResult::Rejected => format!("`{}` is no value for the configuration key `{name}`", value.escape_debug()),
            SetResult::NotSupported => format!("the charge point has no configuration key `{name}`"),
        };
        let pointer = Pointer::from("/charge_point/configuration").key(name);
        faults.push(("scenario/bad-station", pointer, headline));
    }
    faults
}

/// The bytes of a hexadecimal text; blanks between bytes are allowed.
///
/// # Errors
///
/// Why it is none.
pub fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if let Some(wrong) = text.chars().find(|c| !c.is_ascii_hexdigit() && !c.is_ascii_whitespace()) {
        return Err(format!("`{wrong}` is no hexadecimal digit"));
    }
    if digits.len() % 2 == 1 {
        return Err(format!("{} hexadecimal digits make no whole bytes", digits.len()));
    }
    let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
    Ok(digits.chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect())
}

/// What is wrong with a topic or a filter (MQTT 3.1.1, 4.7).
pub(super) fn wrong_topic(topic: &str, is_filter: bool) -> Option<&'static str> {
    if topic.is_empty() {
        return Some("is empty");
    }
    if topic.len() > 65_535 {
        return Some("is longer than 65535 bytes");
    }
    if topic.contains('\0') {
        return Some("has a NUL in it");
    }
    if !is_filter {
        return topic.contains(['+', '#']).then_some("has a wildcard, which nobody can publish to");
    }
    let levels: Vec<&str> = topic.split('/').collect();
    if levels.iter().any(|level| level.contains('+') && *level != "+") {
        return Some("has a `+` that does not stand alone between slashes");
    }
    if levels.iter().enumerate().any(|(n, level)| level.contains('#') && (*level != "#" || n + 1 != levels.len())) {
        return Some("has a `#` that does not stand alone at the end");
    }
    None
}
