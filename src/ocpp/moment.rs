//! Moments counted from the Unix epoch, as RFC 3339 has them.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};

/// A moment counted from the Unix epoch, as RFC 3339 has it.
pub fn rfc3339(at: Duration) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    let moment = DateTime::from_timestamp(seconds, at.subsec_nanos()).unwrap_or(DateTime::UNIX_EPOCH);
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// What a text says, if it is a moment; what was before the epoch counts as then.
pub fn from_rfc3339(text: &str) -> Option<Duration> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?;
    Some(Duration::from_millis(u64::try_from(moment.timestamp_millis()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let at = Duration::from_millis(1_790_000_000_123);
        assert_eq!(rfc3339(at), "2026-09-21T14:13:20.123Z");
        assert_eq!(from_rfc3339(&rfc3339(at)), Some(at));
        assert_eq!(from_rfc3339("2026-09-21T16:13:20.123+02:00"), Some(at));
        assert_eq!(from_rfc3339("1960-01-01T00:00:00Z"), Some(Duration::ZERO));
        assert_eq!(from_rfc3339("tomorrow"), None);
    }
}
