//! How monitors speak: topics without their long base, payloads on one line, times as people write them.

use std::time::Duration;

use serde_json::Value;

use crate::diagnostic::printable;
use crate::protocol::channel::Topics;
use crate::timespan::Timespan;
use crate::transcript::record::{Publish, Record};

/// Longer payloads are cut.
const LONGEST_PAYLOAD: usize = 240;

/// Knows what to leave out.
#[derive(Debug)]
pub(super) struct Wording {
    /// The pathname, with and without the external prefix; the longer one first.
    bases: [String; 2],
}

impl Wording {
    pub(super) fn new(topics: &Topics) -> Self {
        let base = topics.base();
        let bare = Topics { external_prefix: String::new(), ..topics.clone() }.base();
        Self { bases: [base, bare] }
    }

    /// A text in which the pathname of the API module is `…`.
    pub(super) fn elide(&self, text: &str) -> String {
        self.bases.iter().fold(text.to_owned(), |text, base| text.replace(base.as_str(), "…"))
    }

    /// A topic in backticks.
    pub(super) fn topic(&self, topic: &str) -> String {
        format!("`{}`", printable(&self.elide(topic)))
    }

    /// Where and when a message was published, and how.
    pub(super) fn place(&self, record: &Record, publish: &Publish) -> String {
        let topic = self.topic(&publish.topic);
        let retain = if publish.retain { ", retained" } else { "" };
        format!(
            "{topic}, QoS {}{retain}, by client `{}` at {}",
            publish.qos,
            printable(&record.client),
            time(record.at)
        )
    }

    /// A payload on one line, cut to a readable length.
    pub(super) fn payload(&self, payload: &[u8]) -> String {
        let Ok(text) = std::str::from_utf8(payload) else {
            let hex: String = payload.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
            let more = if payload.len() > 32 { "…" } else { "" };
            return format!("payload: {} bytes that are no UTF-8: {hex}{more}", payload.len());
        };
        if text.is_empty() {
            return "payload: empty".to_owned();
        }
        // EVerest prints JSON over many lines; one line says the same.
        let line = serde_json::from_str::<Value>(text).map_or_else(|_| text.to_owned(), |value| value.to_string());
        let line = printable(&self.elide(&line));
        match line.char_indices().nth(LONGEST_PAYLOAD) {
            Some((end, _)) => format!("payload: `{}…` ({} bytes)", &line[..end], payload.len()),
            None => format!("payload: `{line}`"),
        }
    }
}

/// A time since the start, or a length of time, to the millisecond.
pub(super) fn time(span: Duration) -> String {
    Timespan(Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::channel::ApiType;

    fn wording(prefix: &str) -> Wording {
        Wording::new(&Topics {
            api: ApiType::AUTH_CONSUMER,
            external_prefix: prefix.into(),
            api_version: "1".into(),
            module_id: "api".into(),
        })
    }

    #[test]
    fn leaves_out_the_base_with_and_without_prefix() {
        let wording = wording("site/");
        assert_eq!(wording.topic("site/everest_api/1/auth_consumer/api/e2m/heartbeat"), "`…/e2m/heartbeat`");
        assert_eq!(wording.elide("everest_api/1/auth_consumer/api/e2m/x"), "…/e2m/x");
        assert_eq!(wording.topic("elsewhere"), "`elsewhere`");
    }

    #[test]
    fn payloads_stay_on_one_readable_line() {
        let wording = wording("");
        assert_eq!(wording.payload(b"{\n  \"b\": 1,\n  \"a\": []\n}"), r#"payload: `{"a":[],"b":1}`"#);
        assert_eq!(wording.payload(b"a\x1b[31m\nb"), r"payload: `a\u{1b}[31m\nb`");
        assert_eq!(wording.payload(&[0xff, 0x00]), "payload: 2 bytes that are no UTF-8: ff00");
        assert_eq!(wording.payload(b""), "payload: empty");
        let long = wording.payload("ü".repeat(1000).as_bytes());
        assert!(long.ends_with("…` (2000 bytes)") && long.chars().count() < 280, "{long}");
    }
}
