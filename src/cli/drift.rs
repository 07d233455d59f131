//! `khumbu drift`: descriptions of APIs beside EVerest's own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::output::{Output, beside};
use super::{Exit, files, print};
use crate::diagnostic::{Diagnostic, Severity, Source, printable};
use crate::protocol::asyncapi::{self, LARGEST, Reading, Unread, Unreadable, api_of, name_of};
use crate::protocol::drift::{self, Aspect, Described, Difference, Subject};
use crate::protocol::release::Release;

/// Compares Khumbu's descriptions of APIs with EVerest's own documents; of two directories, the documents of the first
/// with those of the second: what a new release of EVerest changes on the wire.
#[derive(Debug, clap::Args)]
#[command(after_help = super::examples::DRIFT)]
pub struct Arguments {
    /// A directory with EVerest's AsyncAPI documents of one release; a second one is compared with the first
    #[arg(long, value_name = "DIR", required = true)]
    asyncapi: Vec<PathBuf>,
    /// The release that the documents are of, for what differs between releases [default: main]
    #[arg(long, value_name = "RELEASE")]
    release: Option<Release>,
    /// Write the result as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What Khumbu's own side is called.
const OURS: &str = "khumbu";
/// Why an API of the documents is not compared with ours.
const UNDESCRIBED: &str = "khumbu has no description";

/// Two sides, and what cannot be compared.
struct Compared {
    /// What the sides are called.
    names: [String; 2],
    differences: Vec<Difference>,
    /// The APIs that were compared.
    apis: Vec<String>,
    /// The APIs that were not.
    not_compared: Vec<Unread>,
    faults: Vec<Diagnostic>,
}

/// Compares.
pub fn run(arguments: &Arguments) -> Exit {
    let prepared = compared(arguments).and_then(|compared| {
        let report = arguments.json.as_deref().map(Output::open).transpose().map_err(|diagnostic| vec![*diagnostic])?;
        Ok((compared, report))
    });
    let (compared, report) = match prepared {
        Ok(prepared) => prepared,
        Err(diagnostics) => return print::refused(diagnostics),
    };
    print::diagnostics(&compared.faults);
    beside(&report)(&to_text(&compared));
    if let Some(output) = report {
        output.write(&format!("{:#}\n", to_json(&compared)));
    }
    match compared.differences.iter().any(Difference::counts) {
        _ if !compared.faults.is_empty() => Exit::Usage,
        true => Exit::Fail,
        false => Exit::Pass,
    }
}

fn compared(arguments: &Arguments) -> Result<Compared, Vec<Diagnostic>> {
    let usage = |id, headline: &str, help: &str| {
        vec![Diagnostic::new(Severity::Error, id, headline.to_owned()).with_help(help)]
    };
    match &arguments.asyncapi[..] {
        [directory] => beside_ours(directory, arguments.release.unwrap_or_default()),
        [_, _] if arguments.release.is_some() => Err(usage(
            "usage/release-of-directories",
            "two directories say themselves what they describe",
            "leave out `--release`, or one directory",
        )),
        [one, other] => beside_each_other(one, other),
        _ => Err(usage("usage/many-directories", "more than two directories cannot be compared", "name one or two")),
    }
}

fn beside_ours(directory: &Path, release: Release) -> Result<Compared, Vec<Diagnostic>> {
    let Sources { sources, unreadable } = sources(directory)?;
    let mut ours = drift::ours(release);
    let is_ours = |name: &str| ours.iter().any(|described| described.api.name == api_of(name));
    let reading = asyncapi::read_beside(&sources, &unreadable, &is_ours);
    let paths = sources.iter().map(|source| &source.path).chain(unreadable.iter().map(|file| &file.path));
    let others = paths.map(|path| name_of(path)).filter(|name| !is_ours(name));
    let undescribed = |name| Unread { api: api_of(name).to_owned(), why: UNDESCRIBED.to_owned() };
    let mut not_compared: Vec<Unread> = others.map(undescribed).collect();
    ours.retain(|described| !reading.unread.iter().any(|unread| unread.api == described.api.name));
    not_compared.extend(reading.unread);
    let theirs: Vec<Described> = reading.documents.into_iter().map(Described::from).collect();
    Ok(Compared {
        names: [OURS.to_owned(), short(directory)],
        differences: drift::beside_ours(&ours, &theirs, release),
        apis: names(&ours, &[]),
        not_compared,
        faults: reading.faults,
    })
}

fn beside_each_other(one: &Path, other: &Path) -> Result<Compared, Vec<Diagnostic>> {
    let read = |directory| {
        let Sources { sources, unreadable } = sources(directory)?;
        Ok::<_, Vec<Diagnostic>>(asyncapi::read_beside(&sources, &unreadable, &|_| true))
    };
    let (before, after) = (read(one)?, read(other)?);
    // What cannot be read on one side has not gone.
    let unread: Vec<Unread> = before.unread.iter().chain(&after.unread).cloned().collect();
    let described = |reading: Reading| -> (Vec<Described>, Vec<Diagnostic>) {
        let mut described: Vec<_> = reading.documents.into_iter().map(Described::from).collect();
        described.retain(|described| !unread.iter().any(|unread| unread.api == described.api.name));
        (described, reading.faults)
    };
    let ((before, mut faults), (after, more)) = (described(before), described(after));
    faults.extend(more.into_iter().filter(|fault| !faults.contains(fault)).collect::<Vec<_>>());
    Ok(Compared {
        names: sides(one, other),
        differences: drift::compare(&before, &after),
        apis: names(&before, &after),
        not_compared: unread,
        faults,
    })
}

/// What two directories are called: their own names, if these differ.
fn sides(one: &Path, other: &Path) -> [String; 2] {
    let names = [one, other].map(short);
    if names[0] == names[1] { [one, other].map(|directory| directory.display().to_string()) } else { names }
}

fn short(directory: &Path) -> String {
    directory.file_name().map_or_else(|| directory.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The APIs of both sides, each once.
fn names(left: &[Described], right: &[Described]) -> Vec<String> {
    let mut names: Vec<String> = left.iter().chain(right).map(|described| described.api.name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The documents of a directory, and those that are no texts.
struct Sources {
    sources: Vec<Arc<Source>>,
    unreadable: Vec<Unreadable>,
}

fn sources(directory: &Path) -> Result<Sources, Vec<Diagnostic>> {
    let fail = |headline: String| Diagnostic::new(Severity::Error, "file/no-documents", headline);
    let named = "EVerest's documents are called `…_API.yaml`, or `asyncapi.yaml` in a directory `…_API`";
    if !directory.is_dir() {
        return Err(vec![fail(format!("`{}` is no directory", directory.display())).with_help(named)]);
    }
    let is_document = |path: &PathBuf| name_of(&path.display().to_string()).ends_with("_API");
    let paths: Vec<_> = files::find_in(directory, &["yaml", "yml"]).into_iter().filter(is_document).collect();
    if paths.is_empty() {
        return Err(vec![fail(format!("no documents in `{}`", directory.display())).with_help(named)]);
    }
    let mut found = Sources { sources: Vec::new(), unreadable: Vec::new() };
    for file in paths {
        let path = file.display().to_string();
        match files::read_text(&file, LARGEST) {
            Ok(text) => found.sources.push(Arc::new(Source { path, text })),
            Err(faults) => found.unreadable.push(Unreadable { path, faults }),
        }
    }
    Ok(found)
}

fn to_text(compared: &Compared) -> String {
    let Compared { names, differences, .. } = compared;
    let mut text = String::new();
    let (mut api, mut heading) = ("", String::new());
    for difference in differences {
        if difference.api != api {
            text.push_str(if api.is_empty() { "" } else { "\n" });
            text.push_str(&format!("{}\n", printable(&difference.api)));
            (api, heading) = (&difference.api, String::new());
        }
        let next = heading_of(difference, differences);
        if next != heading && !next.is_empty() {
            text.push_str(&format!("  {}\n", printable(&next)));
        }
        heading = next;
        text.push_str(&format!("    {}\n", printable(&in_words(difference, names))));
        if let Some(reason) = difference.reason {
            text.push_str(&format!("      does not count: {reason}\n"));
        }
    }
    text.push_str(if differences.is_empty() { "" } else { "\n" });
    text.push_str(&summary(compared));
    text
}

/// What a group of differences is about; of a type, the messages that it is part of.
fn heading_of(difference: &Difference, all: &[Difference]) -> String {
    match &difference.subject {
        Subject::Api => String::new(),
        Subject::Message(channel) => channel.clone(),
        Subject::Reply(channel) => format!("reply to {channel}"),
        Subject::Type(name) => {
            let mut users: Vec<&str> = Vec::new();
            let same = |other: &&Difference| other.api == difference.api && other.subject == difference.subject;
            for user in all.iter().filter(same).flat_map(|other| &other.used_by) {
                if !users.contains(&user.as_str()) {
                    users.push(user);
                }
            }
            if users.is_empty() { name.clone() } else { format!("{name}, in {}", users.join(", ")) }
        }
    }
}

/// One difference, after the name of its place.
fn in_words(difference: &Difference, [left, right]: &[String; 2]) -> String {
    let aspect = difference.aspect.name();
    let place = match difference.path.trim_start_matches(", ") {
        "" => aspect.to_owned(),
        path if difference.aspect == Aspect::Remark => format!("{path} {aspect}"),
        path if difference.aspect == Aspect::Example => format!("{aspect}{path}"),
        path => path.to_owned(),
    };
    match (&difference.left, &difference.right) {
        (Some(one), Some(other)) => format!("{place}: {one} in {left}, {other} in {right}"),
        (Some(one), None) => format!("{place} only in {left}: {one}"),
        (None, Some(other)) if difference.aspect == Aspect::Example => format!("{place} in {right}, {other}"),
        (None, Some(other)) => format!("{place} only in {right}: {other}"),
        (None, None) => place,
    }
}

fn summary(compared: &Compared) -> String {
    let Compared { differences, apis, not_compared, .. } = compared;
    let counting = differences.iter().filter(|difference| difference.counts()).count();
    let compared = print::count(apis.len(), "API");
    let mut text = match counting {
        0 => format!("no differences in {compared}"),
        _ => format!("{} in {compared}", print::count(counting, "difference")),
    };
    match differences.len() - counting {
        0 => {}
        excused => text.push_str(&format!("; {excused} with a listed reason")),
    }
    text.push('\n');
    let mut by_reason: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for unread in not_compared {
        by_reason.entry(&unread.why).or_default().insert(&unread.api);
    }
    for (why, apis) in by_reason {
        let apis: Vec<&str> = apis.into_iter().collect();
        text.push_str(&format!("not compared, since {}: {}\n", printable(why), printable(&apis.join(", "))));
    }
    text
}

fn to_json(compared: &Compared) -> Value {
    let difference = |difference: &Difference| {
        let (kind, name) = match &difference.subject {
            Subject::Api => ("api", difference.api.as_str()),
            Subject::Message(name) => ("message", name.as_str()),
            Subject::Reply(name) => ("reply", name.as_str()),
            Subject::Type(name) => ("type", name.as_str()),
        };
        json!({
            "api": difference.api,
            "subject": {kind: name},
            "path": difference.path,
            "aspect": difference.aspect.name(),
            "left": difference.left,
            "right": difference.right,
            "used_by": difference.used_by,
            "reason": difference.reason,
        })
    };
    let [left, right] = &compared.names;
    let fault = |fault: &Diagnostic| {
        let place = fault.place.as_ref();
        let (file, line) = (place.map(|place| &place.source.path), place.map(|place| place.line()));
        json!({"id": fault.id, "message": fault.headline, "file": file, "line": line})
    };
    let not_compared = |unread: &Unread| json!({"api": unread.api, "why": unread.why});
    json!({
        "left": left,
        "right": right,
        "apis": compared.apis,
        "not_compared": compared.not_compared.iter().map(not_compared).collect::<Vec<_>>(),
        "differences": compared.differences.iter().map(difference).collect::<Vec<_>>(),
        "errors": compared.faults.iter().map(fault).collect::<Vec<_>>(),
    })
}
