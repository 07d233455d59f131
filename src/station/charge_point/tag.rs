//! Id tags and what is known of them.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::protocol::types::AuthorizationStatus;

/// The name on a token, as OCPP's `idTag` (1.6: CiString20) and `idToken.idToken` (2.0.1: CiString36). Upper and lower
/// case are the same tag.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct IdTag(String);

/// The most characters of an id tag (2.0.1; 1.6 has 20, which the link checks).
pub const LONGEST_TAG: usize = 36;

/// A text that is no id tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id tag has 1 to {LONGEST_TAG} characters of printable ASCII")]
pub struct TagTooLong;

impl IdTag {
    /// Takes a text as an id tag.
    ///
    /// # Errors
    /// When it is empty, too long, or not printable ASCII.
    pub fn new(text: impl Into<String>) -> Result<Self, TagTooLong> {
        let text = text.into();
        let is_printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if text.is_empty() || text.len() > LONGEST_TAG || !is_printable { Err(TagTooLong) } else { Ok(Self(text)) }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> impl Iterator<Item = u8> {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl PartialEq for IdTag {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for IdTag {}

impl Ord for IdTag {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded().cmp(other.folded())
    }
}

impl PartialOrd for IdTag {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for IdTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for IdTag {
    type Error = TagTooLong;

    fn try_from(text: String) -> Result<Self, TagTooLong> {
        Self::new(text)
    }
}

impl From<IdTag> for String {
    fn from(tag: IdTag) -> Self {
        tag.0
    }
}

/// What somebody knows of a tag (1.6: IdTagInfo; 2.0.1: IdTokenInfoType).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagInfo {
    /// What it is worth.
    pub status: AuthorizationStatus,
    /// Until when, counted from the Unix epoch; absent means for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Duration>,
    /// The group it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<IdTag>,
}

impl TagInfo {
    /// Nothing but a status.
    pub fn of(status: AuthorizationStatus) -> Self {
        Self { status, expiry: None, parent: None }
    }

    /// The same at a moment: what is accepted is `Expired` from its expiry on.
    pub fn at(&self, now: Duration) -> Self {
        let is_over = self.expiry.is_some_and(|expiry| expiry <= now);
        let status = match self.status {
            AuthorizationStatus::Accepted if is_over => AuthorizationStatus::Expired,
            status => status,
        };
        Self { status, ..self.clone() }
    }

    /// Whether it may charge.
    pub fn is_accepted(&self) -> bool {
        self.status == AuthorizationStatus::Accepted
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_either_case_are_one_tag() {
        let (one, other) = (IdTag::new("04aB").unwrap(), IdTag::new("04Ab").unwrap());
        assert_eq!(one, other);
        assert_eq!(one.cmp(&other), std::cmp::Ordering::Equal);
        assert_eq!(one.as_str(), "04aB");
        assert!(IdTag::new("a").unwrap() < IdTag::new("B").unwrap());
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for text in ["", "ü", "a\n", &"x".repeat(LONGEST_TAG + 1)] {
            assert_eq!(IdTag::new(text), Err(TagTooLong), "{text:?}");
        }
        assert!(IdTag::new("x".repeat(LONGEST_TAG)).is_ok());
    }

    #[test]
    fn only_what_is_accepted_expires() {
        let second = Duration::from_secs;
        let info = TagInfo { expiry: Some(second(10)), ..TagInfo::of(AuthorizationStatus::Accepted) };
        assert_eq!(info.at(second(9)).status, AuthorizationStatus::Accepted);
        assert_eq!(info.at(second(10)).status, AuthorizationStatus::Expired);
        let blocked = TagInfo { status: AuthorizationStatus::Blocked, ..info };
        assert_eq!(blocked.at(second(99)).status, AuthorizationStatus::Blocked);
    }
}
