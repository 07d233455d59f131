//! Either side under test: what it did against MQTT itself, as the front door saw it.
//!
//! A client that breaks MQTT is cut off, and whatever it then fails to do has this as its reason.

use crate::diagnostic::{Diagnostic, Severity, printable};
use crate::transcript::record::{Record, Rule};

use super::wording::time;

/// A breach of the module under test.
pub(super) fn breach(record: &Record, rule: Rule, what: &str, bytes: &[u8]) -> Diagnostic {
    let headline = format!("module broke MQTT: {}", printable(what));
    let place = format!("client `{}` at {}", printable(&record.client), time(record.at));
    let mut finding = Diagnostic::new(Severity::Fail, "monitor/broke-mqtt", headline).with_evidence(place);
    if !bytes.is_empty() {
        let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        finding = finding.with_evidence(format!("the packet begins with {}", hex.join(" ")));
    }
    if rule == Rule::Limit {
        finding = finding.with_help("if packets are meant to be that large, allow them with `--max-packet`");
    }
    finding.breaking(requirement(rule))
}

fn requirement(rule: Rule) -> &'static str {
    match rule {
        Rule::Form => "MQ-1",
        Rule::Topic => "MQ-2",
        Rule::Connect => "MQ-3",
        Rule::Order => "MQ-4",
        Rule::Identifier => "MQ-5",
        Rule::Limit => "MQ-6",
        Rule::KeepAlive => "MQ-7",
    }
}
