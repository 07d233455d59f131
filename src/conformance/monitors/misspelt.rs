//! A client under test: members of its messages that nobody knows, each in place of one that it nearly names.
//!
//! EVerest ignores what it does not know (RR-9), so that `{"evseId": 1}` withdraws everything. Such a message has the right
//! shape, and means something else than its client.

use serde_json::Value;

use crate::diagnostic::words::a;
use crate::diagnostic::{Diagnostic, printable};
use crate::protocol::api::{Api, Shape};
use crate::protocol::channel::Channel;
use crate::scenario::suggestion;

use super::wording::Worded;

/// A member that nobody knows.
struct Misspelt<'a> {
    /// The JSON pointer of the object that has it.
    within: String,
    written: &'a str,
    /// The member that the object may have, and lacks.
    meant: &'a str,
}

/// Judges a message of the right shape on a channel whose messages say what is to be done.
pub(super) fn misspelt(channel: Channel, seen: &Worded<'_>) -> Option<Diagnostic> {
    let requirement = channel.api().behaviour().meant(channel)?;
    let api = channel.api().description();
    let found = find(api, &channel.description().payload, seen.as_sent().ok()?, "")?;
    let called = &channel.description().called;
    let headline = format!("module sent {} with `{}`, which EVerest ignores", a(called), printable(found.written));
    let place = if found.within.is_empty() { "it".to_owned() } else { format!("`{}`", found.within) };
    let finding = seen.fail("monitor/misspelt", headline).with_evidence(format!("{place} lacks `{}`", found.meant));
    Some(finding.with_help(format!("is `{}` meant?", found.meant)).breaking(requirement))
}

fn find<'a>(api: &'a Api, shape: &'a Shape, json: &'a Value, within: &str) -> Option<Misspelt<'a>> {
    match (shape, json) {
        (Shape::Named(name), _) => {
            let (api, _, shape) = api.resolve(name)?;
            find(api, shape, json, within)
        }
        (Shape::Object { fields, .. }, Value::Object(members)) => {
            let lacking = || fields.iter().map(|field| field.name.as_str()).filter(|name| !members.contains_key(*name));
            let unknown = members.keys().filter(|key| fields.iter().all(|field| field.name != **key));
            let mut here = unknown.filter_map(|written| {
                let meant = suggestion(written, lacking())?;
                Some(Misspelt { within: within.to_owned(), written, meant })
            });
            here.next().or_else(|| {
                fields.iter().find_map(|field| {
                    find(api, &field.shape, members.get(&field.name)?, &format!("{within}/{}", field.name))
                })
            })
        }
        _ => None,
    }
}
