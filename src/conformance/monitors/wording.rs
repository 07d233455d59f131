//! How monitors speak: topics without their long base, payloads on one line, times as people write them.

use std::ops::Deref;
use std::time::Duration;

use crate::conformance::sighting::Sighting;
use crate::diagnostic::{Diagnostic, Severity, printable};
use crate::protocol::channel::Topics;
use crate::timespan::Timespan;

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
    fn place(&self, seen: &Sighting) -> String {
        let topic = self.topic(&seen.publish.topic);
        let retain = if seen.publish.retain { ", retained" } else { "" };
        let (qos, client) = (seen.publish.qos, printable(&seen.client));
        format!("{topic}, QoS {qos}{retain}, by client `{client}` at {}", time(seen.at))
    }

    /// A payload on one line, cut to a readable length.
    fn payload(&self, seen: &Sighting) -> String {
        let payload = &*seen.publish.payload;
        let Ok(text) = std::str::from_utf8(payload) else {
            let hex: String = payload.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
            let more = if payload.len() > 32 { "…" } else { "" };
            return format!("payload: {} bytes that are no UTF-8: {hex}{more}", payload.len());
        };
        if text.is_empty() {
            return "payload: empty".to_owned();
        }
        // EVerest prints JSON over many lines; one line says the same.
        let line = seen.as_sent().map_or_else(|_| text.to_owned(), ToString::to_string);
        let line = printable(&self.elide(&line));
        match line.char_indices().nth(LONGEST_PAYLOAD) {
            Some((end, _)) => format!("payload: `{}…` ({} bytes)", &line[..end], payload.len()),
            None => format!("payload: `{line}`"),
        }
    }
}

/// A sighting, and how to speak of it.
#[derive(Debug)]
pub(super) struct Worded<'a> {
    sighting: &'a Sighting,
    pub(super) wording: &'a Wording,
}

impl Deref for Worded<'_> {
    type Target = Sighting;

    fn deref(&self) -> &Sighting {
        self.sighting
    }
}

impl<'a> Worded<'a> {
    pub(super) fn new(sighting: &'a Sighting, wording: &'a Wording) -> Self {
        Self { sighting, wording }
    }

    /// A finding against this message, with the message as evidence.
    pub(super) fn finding(&self, severity: Severity, id: &'static str, headline: String) -> Diagnostic {
        Diagnostic::new(severity, id, headline)
            .with_evidence(self.wording.place(self))
            .with_evidence(self.wording.payload(self))
    }

    /// A failure of the module under test.
    pub(super) fn fail(&self, id: &'static str, headline: String) -> Diagnostic {
        self.finding(Severity::Fail, id, headline)
    }
}

/// A time since the start, or a length of time, to the millisecond.
pub(super) fn time(span: Duration) -> String {
    Timespan(Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))).to_string()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::conformance::sighting::{Classifier, Party};
    use crate::protocol::channel::ApiType;
    use crate::transcript::record::{Direction, Event, Publish, Record};

    fn topics(prefix: &str) -> Topics {
        Topics {
            api: ApiType::AUTH_CONSUMER,
            external_prefix: prefix.into(),
            api_version: "1".into(),
            module_id: "api".into(),
        }
    }

    fn wording(prefix: &str) -> Wording {
        Wording::new(&topics(prefix))
    }

    /// How a payload is shown.
    fn shown(payload: &[u8]) -> String {
        let payload = Bytes::copy_from_slice(payload);
        let publish = Publish { topic: "t".into(), payload, qos: 0, retain: false, dup: false, pkid: 0 };
        let event = Event::Publish { direction: Direction::FromClient, publish };
        let record = Record { seq: 0, at: Duration::ZERO, client: "c".into(), event };
        let seen = Classifier::new(topics(""), &[]).sight(&record, Party::Module);
        wording("").payload(&seen.expect("a message"))
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
        assert_eq!(shown(b"{\n  \"b\": 1,\n  \"a\": []\n}"), r#"payload: `{"a":[],"b":1}`"#);
        assert_eq!(shown(b"a\x1b[31m\nb"), r"payload: `a\u{1b}[31m\nb`");
        assert_eq!(shown(&[0xff, 0x00]), "payload: 2 bytes that are no UTF-8: ff00");
        assert_eq!(shown(b""), "payload: empty");
        let long = shown("ü".repeat(1000).as_bytes());
        assert!(long.ends_with("…` (2000 bytes)") && long.chars().count() < 280, "{long}");
    }
}
