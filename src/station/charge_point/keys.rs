//! The configuration of a charge point: OCPP 1.6 keys (section 9), each with its OCPP 2.0.1 variable where there is one.
//!
//! Only keys that the charge point obeys are here.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name in OCPP 1.6.
    pub name: &'static str,
    /// Component and variable in OCPP 2.0.1.
    pub variable: Option<(&'static str, &'static str)>,
    /// What it holds.
    pub kind: Kind,
    /// Its value at first.
    pub default: &'static str,
    /// Whether it can only be read.
    pub is_read_only: bool,
    /// Whether a new value counts from the next start on.
    pub needs_reboot: bool,
}

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number, not negative.
    Number,
    /// A text.
    Text,
}

/// What became of a new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetResult {
    /// It counts.
    Accepted,
    /// It will count from the next start on.
    RebootRequired,
    /// It is no value for this key, or the key is read-only.
    Rejected,
    /// There is no such key.
    NotSupported,
}

const fn key(
    name: &'static str,
    variable: Option<(&'static str, &'static str)>,
    kind: Kind,
    default: &'static str,
) -> Key {
    Key { name, variable, kind, default, is_read_only: false, needs_reboot: false }
}

const fn read_only(key: Key) -> Key {
    Key { is_read_only: true, ..key }
}

/// Every key, by name.
#[rustfmt::skip]
pub static TABLE: [Key; 19] = [
    key("AllowOfflineTxForUnknownId", Some(("AuthCtrlr", "OfflineTxForUnknownIdEnabled")), Kind::Boolean, "false"),
    key("AuthorizationCacheEnabled", Some(("AuthCacheCtrlr", "Enabled")), Kind::Boolean, "true"),
    // 2.0.1 alone has it; the name is that of the variable. Seconds, 0 for ever.
    key("AuthorizationCacheLifeTime", Some(("AuthCacheCtrlr", "LifeTime")), Kind::Number, "0"),
    key("AuthorizeRemoteTxRequests", Some(("AuthCtrlr", "AuthorizeRemoteStart")), Kind::Boolean, "false"),
    key("ConnectionTimeOut", Some(("TxCtrlr", "EVConnectionTimeOut")), Kind::Number, "60"),
    key("HeartbeatInterval", Some(("OCPPCommCtrlr", "HeartbeatInterval")), Kind::Number, "300"),
    key("LocalAuthListEnabled", Some(("LocalAuthListCtrlr", "Enabled")), Kind::Boolean, "true"),
    read_only(key("LocalAuthListMaxLength", Some(("LocalAuthListCtrlr", "Entries")), Kind::Number, "10000")),
    key("LocalAuthorizeOffline", Some(("AuthCtrlr", "LocalAuthorizeOffline")), Kind::Boolean, "true"),
    key("LocalPreAuthorize", Some(("AuthCtrlr", "LocalPreAuthorize")), Kind::Boolean, "true"),
    key("MeterValueSampleInterval", Some(("SampledDataCtrlr", "TxUpdatedInterval")), Kind::Number, "60"),
    read_only(key("NumberOfConnectors", None, Kind::Number, "1")),
    read_only(key("ReserveConnectorZeroSupported", Some(("ReservationCtrlr", "NonEvseSpecific")), Kind::Boolean, "true")),
    read_only(key("SendLocalListMaxLength", Some(("LocalAuthListCtrlr", "ItemsPerMessage")), Kind::Number, "1000")),
    key("StopTransactionOnInvalidId", Some(("TxCtrlr", "StopTxOnInvalidId")), Kind::Boolean, "true"),
    read_only(key("SupportedFeatureProfiles", None, Kind::Text, "Core,LocalAuthListManagement,RemoteTrigger,Reservation")),
    key("TransactionMessageAttempts", Some(("OCPPCommCtrlr", "MessageAttempts")), Kind::Number, "3"),
    key("TransactionMessageRetryInterval", Some(("OCPPCommCtrlr", "MessageAttemptInterval")), Kind::Number, "60"),
    key("WebSocketPingInterval", Some(("OCPPCommCtrlr", "WebSocketPingInterval")), Kind::Number, "60"),
];

/// The key of this name; OCPP compares names ignoring case.
pub fn find(name: &str) -> Option<&'static Key> {
    TABLE.iter().find(|key| key.name.eq_ignore_ascii_case(name))
}

/// The key behind a variable of OCPP 2.0.1.
pub fn find_variable(component: &str, variable: &str) -> Option<&'static Key> {
    TABLE.iter().find(|key| {
        key.variable.is_some_and(|(c, v)| c.eq_ignore_ascii_case(component) && v.eq_ignore_ascii_case(variable))
    })
}

/// The values of all keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Keys {
    /// Values that are not the defaults, by the name in [`TABLE`].
    values: BTreeMap<String, String>,
}

impl Keys {
    /// The value of a key as text.
    pub fn get(&self, key: &Key) -> &str {
        self.values.get(key.name).map_or(key.default, String::as_str)
    }

    /// Gives a key a value.
    pub fn set(&mut self, name: &str, value: &str) -> SetResult {
        let Some(key) = find(name) else { return SetResult::NotSupported };
        if key.is_read_only {
            return SetResult::Rejected;
        }
        match self.put(key, value) {
            false => SetResult::Rejected,
            true if key.needs_reboot => SetResult::RebootRequired,
            true => SetResult::Accepted,
        }
    }

    /// Gives a key a value that the charge point itself decides, read-only ones too; `false` if it is none for it.
    pub(super) fn put(&mut self, key: &Key, value: &str) -> bool {
        let value = match key.kind {
            Kind::Boolean => match value.to_ascii_lowercase().as_str() {
                "true" => "true".to_owned(),
                "false" => "false".to_owned(),
                _ => return false,
            },
            Kind::Number => match value.parse::<u32>() {
                Ok(number) => number.to_string(),
                Err(_) => return false,
            },
            Kind::Text => value.to_owned(),
        };
        self.values.insert(key.name.to_owned(), value);
        true
    }

    /// Whether a switch is on; `false` for names that are no switch.
    pub fn is_on(&self, name: &str) -> bool {
        find(name).is_some_and(|key| self.get(key) == "true")
    }

    /// A number; 0 for names that are no number.
    pub fn number(&self, name: &str) -> u32 {
        find(name).and_then(|key| self.get(key).parse().ok()).unwrap_or(0)
    }

    /// A time in seconds; `None` where it is 0, which switches off.
    pub fn seconds(&self, name: &str) -> Option<Duration> {
        Some(self.number(name)).filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds.into()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_values_of_their_kind() {
        for key in &TABLE {
            assert!(Keys::default().put(key, key.default), "{}", key.name);
            assert_eq!(find(&key.name.to_lowercase()), Some(key));
            if let Some((component, variable)) = key.variable {
                assert_eq!(find_variable(component, variable), Some(key));
            }
        }
        assert!(TABLE.is_sorted_by_key(|key| key.name));
    }

    #[test]
    fn values_are_checked() {
        let mut keys = Keys::default();
        assert_eq!(keys.set("localpreauthorize", "FALSE"), SetResult::Accepted);
        assert!(!keys.is_on("LocalPreAuthorize"));
        for (name, value, result) in [
            ("LocalPreAuthorize", "yes", SetResult::Rejected),
            ("HeartbeatInterval", "-1", SetResult::Rejected),
            ("HeartbeatInterval", "1.5", SetResult::Rejected),
            ("NumberOfConnectors", "9", SetResult::Rejected),
            ("Unheard", "9", SetResult::NotSupported),
        ] {
            assert_eq!(keys.set(name, value), result, "{name}");
        }
        assert_eq!(keys.set("HeartbeatInterval", "007"), SetResult::Accepted);
        assert_eq!((keys.number("HeartbeatInterval"), keys.seconds("AuthorizationCacheLifeTime")), (7, None));
    }
}
