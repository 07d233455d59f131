//! Reports as pages: what is in them, and a browser that reads them.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use khumbu::diagnostic::{Diagnostic, Place, Severity, Source};
use khumbu::protocol::channel::ApiType;
use khumbu::protocol::side::Side;
use khumbu::report::html::Made;
use khumbu::report::{self, Part};
use khumbu::suite::{self, Scope};
use khumbu::verdict::{Passed, ScenarioResult, Verdict};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::project::{FAIL, PASS, Project};

/// A text that is a script for whoever takes it as HTML.
const EVIL: &str = "<script>document.title = 'owned'</script><img src=//evil.example/x onerror=alert(1)>";

fn made() -> Made {
    let at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    Made { command: format!("khumbu conform --module '{EVIL}'"), at, took: Duration::from_millis(12_345), host: None }
}

fn scope() -> Scope {
    Scope {
        side: Side::Client,
        apis: vec![ApiType::AUTH_CONSUMER, ApiType::AUTH_TOKEN_PROVIDER],
        only: Vec::new(),
        is_partial: false,
        part: Part::new(std::iter::empty(), None, &[]),
        elsewhere: Default::default(),
        command: format!("khumbu conform --module '{EVIL}'"),
    }
}

fn passed(seq: u64, payload: &str) -> Passed {
    Passed {
        seq,
        at: Duration::from_millis(seq * 100),
        is_by_module: seq.is_multiple_of(2),
        name: "token_validation_status",
        topic: format!("…/e2m/{EVIL}"),
        payload: payload.to_owned(),
        qos: 2,
        retain: false,
    }
}

/// A result that fails, with something evil wherever something foreign may stand, and one that passes.
fn results() -> Vec<Arc<ScenarioResult>> {
    let text = format!("description: x\nsteps:\n  - expect_reply: Accepted # {EVIL}\n  - note: the end\n");
    let start = text.find("Accepted").unwrap();
    let source = Arc::new(Source { path: format!("scenarios/{EVIL}.yaml"), text });
    let finding = Diagnostic::new(Severity::Fail, "expect/payload-mismatch", format!("module replied `{EVIL}`"))
        .at(Place { source, range: start..start + "Accepted".len(), label: format!("actual {EVIL}") })
        .with_evidence(EVIL)
        .with_evidence(format!("- {EVIL}\n+ {EVIL}"))
        .with_help(EVIL)
        .breaking("TV-15");
    let failed = ScenarioResult {
        path: format!("scenarios/{EVIL}.yaml"),
        description: EVIL.to_owned(),
        verdict: Verdict::Fail,
        findings: vec![Diagnostic { at_record: Some(20), ..finding.clone() }, finding],
        output: vec!["Traceback".to_owned(), EVIL.to_owned()],
        messages: (1..=24).map(|seq| passed(seq, &format!("{{\"number\":{seq},\"text\":\"{EVIL}\"}}"))).collect(),
        ..ScenarioResult::default()
    };
    let met = ScenarioResult {
        path: "scenarios/client/a.yaml".to_owned(),
        requirements: vec!["TV-17".to_owned()],
        occasions: [("TV-17", 3), ("CC-9", 1)].into_iter().collect(),
        ..ScenarioResult::default()
    };
    [failed, met].into_iter().map(Arc::new).collect()
}

fn conformance() -> String {
    let (results, scope) = (results(), scope());
    suite::html(&suite::matrix(&results, &scope, false), &results, &made())
}

fn of_run() -> String {
    report::html::html(&results(), &made(), false, "khumbu run -j 2")
}

#[test]
fn a_page_has_what_a_failure_needs() {
    let words = [
        "TV-15",
        "A client tolerates status values and fields of the future",
        "Source: release history",
        "expect/payload-mismatch",
        "Accepted #",
        "^^^^^^^^ actual",
        "found here",
        "What the module wrote",
        "Traceback",
        "To see it again",
    ];
    for (page, more) in [
        (
            conformance(),
            [
                "1 requirement is broken",
                "--only TV-15",
                "2 are met, on 4 occasions in all.",
                "data-unit=\"occasion\">1<",
                "data-unit=\"occasions\">3<",
            ]
            .as_slice(),
        ),
        (of_run(), &["1 of 2 scenarios failed", "khumbu run", "2 in 12.3s"]),
    ] {
        for words in words.iter().chain(more) {
            assert!(page.contains(words), "no {words} in {page}");
        }
    }
}

/// A payload that was sent in several lines is one in a list of messages.
#[test]
fn a_message_is_one_line() {
    let line = passed(3, "{\n    \"messages\": [],\n    \"status\": \"Accepted\"\n}").line();
    assert!(line.ends_with(r#" q2 { "messages": [], "status": "Accepted" }"#), "{line}");
}

/// Whatever the page says, it names no place to fetch from, and has one script: its own.
#[test]
fn what_is_foreign_stays_text() {
    for page in [conformance(), of_run()] {
        assert!(page.contains("&lt;script&gt;document.title"), "{page}");
        assert_eq!((page.matches("<script>").count(), page.matches("<img").count()), (1, 0));
        assert!(!page.contains(" src=\"") && !page.contains("<link") && !page.contains(" style=\""), "{page}");
        let hrefs = page.split(" href=\"").skip(1);
        assert!(hrefs.into_iter().all(|href| href.starts_with('#')), "{page}");
    }
}

#[test]
fn a_long_report_stays_small() {
    let long = "x".repeat(4096);
    let finding = |seq| Diagnostic { at_record: Some(seq), ..Diagnostic::new(Severity::Fail, "expect/late", "late") };
    let failed = Arc::new(ScenarioResult {
        verdict: Verdict::Fail,
        findings: (0..1000).map(|seq| finding(seq * 10)).collect(),
        messages: (0..10_000).map(|seq| passed(seq, &long)).collect(),
        ..ScenarioResult::default()
    });
    let page = report::html::html(&[failed], &made(), false, "khumbu run");
    assert!(page.len() < 400 * 1024, "{}", page.len());
    assert!(page.contains("995 more"), "what is left out is said");
    let results: Vec<_> = (0..500).flat_map(|_| results()).collect();
    let page = report::html::html(&results, &made(), false, "khumbu run");
    assert!(page.len() < 40 * 1024 * 1024, "{}", page.len());
    assert!(page.contains("500 of 1000 scenarios failed"));
}

/// Many that failed for the same reason are one to read.
#[test]
fn the_first_with_each_finding_is_unfolded_and_the_rest_are_counted() {
    let failed = |id: &'static str, number: usize| ScenarioResult {
        path: format!("scenarios/{number}.yaml"),
        verdict: Verdict::Fail,
        findings: vec![Diagnostic::new(Severity::Fail, id, format!("what {number} did"))],
        ..ScenarioResult::default()
    };
    let ids = ["expect/late", "expect/late", "expect/missing", "expect/late"];
    let results: Vec<_> = ids.into_iter().enumerate().map(|(number, id)| Arc::new(failed(id, number))).collect();
    let page = report::html::html(&results, &made(), false, "khumbu run");
    for (id, is_open) in [("result-1", true), ("result-2", false), ("result-3", true), ("result-4", false)] {
        assert_eq!(page.contains(&format!("id=\"{id}\" open>")), is_open, "{id} in {page}");
    }
    assert!(
        page.contains("<a href=\"#result-1\"><code>expect/late</code></a> <span class=\"dim\">3 scenarios</span>"),
        "{page}"
    );
    let Some(mut browser) = Browser::start() else { return };
    let project = Project::with(&[("run.html", &page)]);
    open(&mut browser, &project.path("run.html"));
    let second = "document.getElementById('result-2')";
    assert_eq!(browser.value(&format!("{second}.querySelector('.glance').checkVisibility()")), true);
    assert_eq!(browser.value(&format!("{second}.querySelector('.glance').textContent")), "What 1 did expect/late");
    // Whoever is led to it sees it.
    browser.value("document.querySelector('#scenarios a[href=\"#result-2\"]').click()");
    browser.until(&format!("{second}.open && !{second}.querySelector('.glance').checkVisibility()"));
    let headings = browser.value("[...document.querySelectorAll('h1, h2, h3, h4')].map(it => Number(it.tagName[1]))");
    let headings: Vec<u8> = serde_json::from_value(headings).unwrap();
    assert!(headings.windows(2).all(|pair| pair[1] <= pair[0] + 1), "no level is left out: {headings:?}");
}

fn open(browser: &mut Browser, path: &Path) {
    browser.open(&format!("file://{}", path.display()));
}

#[test]
fn a_browser_reads_a_report() {
    let Some(mut browser) = Browser::start() else { return };
    let project = Project::with(&[("report.html", &conformance()), ("run.html", &of_run())]);
    let shown = "[...document.querySelectorAll('#requirements tr[data-state]')].filter(row => row.offsetParent).map(row => row.querySelector('th').textContent.trim())";
    for width in [480, 1400] {
        browser.widen(width);
        for name in ["run.html", "report.html"] {
            open(&mut browser, &project.path(name));
            let inside = "document.documentElement.scrollWidth === document.documentElement.clientWidth";
            assert_eq!(browser.value(inside), true, "at {width} pixels something of {name} sticks out");
        }
    }
    let all = browser.value(shown);
    assert!(all.as_array().unwrap().len() > 30, "{all}");

    // By outcome, level, text, and all of it at once.
    let click = |value: &str| format!("document.querySelector('.filters input[value={value}]').click()");
    browser.value(&click("broken"));
    assert_eq!(browser.value(shown), json!(["TV-15"]));
    browser.value(&click("met"));
    assert_eq!(browser.value(shown), json!(["CC-9", "TV-15", "TV-17"]));
    let choose = |name: &str, value: &str| {
        format!(
            "(it => {{ it.value = '{value}'; it.dispatchEvent(new Event('input', {{bubbles: true}})) }})(document.querySelector('.filters select[data-name={name}]'))"
        )
    };
    browser.value(&choose("level", "should"));
    assert_eq!(browser.value(shown), json!(["CC-9", "TV-15"]));
    browser.value(&choose("api", "auth_token_provider"));
    assert_eq!(browser.value(shown), json!(["CC-9"]), "the statuses are the consumer's");
    browser.value("document.querySelector('.filters button').click()");
    assert_eq!(browser.value(shown), all);
    browser.value(&choose("side", "both"));
    assert_eq!(browser.value(&format!("{shown}.includes('SC-1') && !{shown}.includes('TV-15')")), true);
    browser.value("document.querySelector('.filters button').click()");
    browser.value("document.querySelector('.filters input[type=search]').focus()");
    browser.write_text("Future tolerates");
    assert_eq!(browser.value(shown), json!(["TV-15"]));
    assert_eq!(browser.value("document.querySelector('.filters output').textContent.startsWith('1 of ')"), true);
    browser.value("document.querySelector('.counts a[data-show=met]').click()");
    assert_eq!(browser.value(shown), json!(["CC-9", "TV-17"]));

    // A diagram, of which a message opens, and then what is folded.
    let arrows = "document.querySelector('.card .diagram').querySelectorAll('svg.arrow').length";
    assert_eq!(browser.value(arrows), 24);
    let message = "document.querySelector('.card .diagram > ol details')";
    assert_eq!(browser.value(&format!("{message}.querySelector('pre').checkVisibility()")), false);
    browser.value(&format!("{message}.querySelector('summary').click()"));
    browser.until(&format!("{message}.querySelector('pre').checkVisibility()"));
    let payload = browser.value(&format!("{message}.querySelector('pre').textContent"));
    assert_eq!(payload, format!("{{\n  \"number\": 13,\n  \"text\": \"{EVIL}\"\n}}"));
    browser.value("document.querySelector('.card .earlier summary').click()");
    browser.until("document.querySelector('.card .earlier li').checkVisibility()");

    // Nothing ran, nothing was fetched, and nobody complained.
    assert_eq!(browser.value("document.title"), "1 requirement is broken · conformance report");
    assert_eq!(
        browser.value("document.querySelectorAll('img, iframe, script:not(body > script:last-child)').length"),
        0
    );
    let files = ["run.html", "report.html"].map(|name| format!("file://{}", project.path(name).display()));
    let foreign: Vec<_> = browser.requests().into_iter().filter(|url| !files.contains(url)).collect();
    assert_eq!(foreign, Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<Value>::new());
    // The policy, not the escaping alone.
    browser.value(
        "(it => { it.textContent = 'document.title = 1'; document.body.append(it) })(document.createElement('p'))",
    );
    let run = "(() => { try { const it = document.createElement('script'); it.text = 'document.title = 1'; document.body.append(it) } catch {} return document.title })()";
    assert_eq!(browser.value(run), "1 requirement is broken · conformance report");
}

/// Everything can be read where no script runs.
#[test]
fn a_page_without_its_script_shows_everything_but_filters() {
    let Some(mut browser) = Browser::start() else { return };
    let page = conformance();
    let project = Project::with(&[("report.html", &page[..page.rfind("<script>").unwrap()])]);
    open(&mut browser, &project.path("report.html"));
    for (part, is_shown) in [(".filters", false), (".card .diagram", true), ("#requirements", true)] {
        let visible = format!("document.querySelector('{part}').checkVisibility()");
        assert_eq!(browser.value(&visible), is_shown, "{part}");
    }
}

#[test]
fn run_and_conform_write_pages() {
    let project = Project::with(&[("scenarios/pass.yaml", PASS), ("scenarios/fail.yaml", FAIL)]);
    project.run(&["run", "scenarios", "--html", "run.html", "-j", "2", "--wire", "everest"]).exits(1);
    let page = project.read("run.html");
    for words in [
        "1 of 2 scenarios failed",
        "A conforming client does not.",
        "khumbu run --wire everest scenarios/fail.yaml --release main</pre>",
    ] {
        assert!(page.contains(words), "no {words} in {page}");
    }
    let flags = ["conform", "--side", "client", "--only", "TV-17", "-k", "status_every_kind", "--report", "page.html"];
    project.run(&flags).exits(0);
    let page = project.read("page.html");
    assert!(page.contains("Nothing is broken") && page.contains("TV-17"), "{page}");
    let one = ["run", "scenarios/pass.yaml", "--html", "-"];
    assert!(project.run(&one).exits(0).stdout.starts_with("<!DOCTYPE html>"));
}
