//! What the page of the gateway shows and lets people do, each in a browser.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::page::Gateway;

const CHARGERS: &str = r#"
chargers:
  dep-1:
    location: depot
    station:
      evses: 2
      auth_token_provider: {}
      tokens:
        BOB: {value: "0412345678ABCD", type: ISO14443}
  dep-2: {location: depot}
"#;
/// Shows each row of the diagram as a line: what it is called, and in brackets what else its summary says.
const ROWS: &str =
    "[...document.querySelectorAll('#messages > li:not([hidden])')].map(it => it.querySelector('.name').textContent)";
const WITHDRAW: &str = "everest_api/1/auth_consumer/dep-1/m2e/withdraw_authorization";

/// A browser that has connected to a gateway with these two chargers.
fn opened(chargers: &str) -> Option<(Browser, Gateway)> {
    opened_with(chargers, 2)
}

/// The same with so many.
fn opened_with(chargers: &str, count: usize) -> Option<(Browser, Gateway)> {
    let mut browser = Browser::start()?;
    let gateway = Gateway::with(chargers);
    browser.widen(1400);
    browser.open(&gateway.url);
    browser.value("sessionStorage.setItem('khumbu-token', 'everything-0123456789')");
    browser.open(&format!("{}/?connected", gateway.url));
    browser.until("document.getElementById('connection').textContent === 'Connected'");
    browser.until(&format!("document.querySelectorAll('#chargers article').length === {count}"));
    browser.until("document.querySelectorAll('#fields .field').length > 0");
    Some((browser, gateway))
}

fn request(reply_to: &str, payload: &Value) -> String {
    json!({"headers": {"replyTo": reply_to}, "payload": payload}).to_string()
}

/// Whether a row with this text is there.
fn row(text: &str) -> String {
    format!("{ROWS}.some(it => it.includes({}))", json!(text))
}

/// Unfolds the last row with this text.
fn unfold(browser: &mut Browser, text: &str) {
    let last = format!("{ROWS}.findLastIndex(it => it.includes({}))", json!(text));
    let rows = "[...document.querySelectorAll('#messages > li:not([hidden])')]";
    browser.value(&format!("(window.row = {rows}[{last}]).querySelector('summary').click()"));
    browser.until("window.row.querySelector('.unfolded pre')");
}

#[test]
fn messages_become_arrows_that_unfold_and_answers_name_what_they_answer() {
    let Some((mut browser, gateway)) = opened(CHARGERS) else { return };
    gateway
        .publish(WITHDRAW, &request("reply/1", &json!({"id_token": {"value": "<script>1</script>", "type": "Local"}})));
    browser.until(&row("withdraw_authorization reply\"AuthorizationNotFound\"answers "));
    let ways = "[...document.querySelectorAll('#messages > li')].map(it => it.querySelector('.arrow').getAttribute('aria-label'))";
    assert_eq!(browser.value(ways), json!(["from client to everest", "from everest to client"]));
    unfold(&mut browser, "withdraw_authorization{");
    let text = browser.value("window.row.querySelector('pre').textContent");
    let indented = serde_json::to_string_pretty(&json!({"headers": {"replyTo": "reply/1"},
        "payload": {"id_token": {"type": "Local", "value": "<script>1</script>"}}}));
    assert_eq!(text, indented.unwrap());
    assert_eq!(browser.value("document.querySelectorAll('main script').length"), 0);
    browser.until("window.row.textContent.includes(\"EVerest's auth_consumer has this as withdraw request; the payload keeps to its schema.\")");
    browser.until(
        "[...window.row.querySelectorAll('button')].some(it => /^Answered by \\d+, \\d+ ms$/.test(it.textContent))",
    );
    // The schema is that of the gateway.
    browser.value("[...window.row.querySelectorAll('button')].find(it => it.textContent === 'Schema').click()");
    browser.until("JSON.parse(window.row.querySelector('.schema').textContent).properties.headers");

    // What violates its schema says so, and where.
    gateway.publish(WITHDRAW, &request("reply/2", &json!({"evse_id": "0412345678ABCD"})));
    browser.until(&row("violates its schema"));
    unfold(&mut browser, "violates its schema");
    browser.until("window.row.textContent.includes('/payload/evse_id: \"0412345678ABCD\" is not of type \"integer\"')");
    // Hidden tags are in no quotation.
    browser.value("document.getElementById('hide').click()");
    browser.until("document.querySelector('#messages > li.is-bad .bad li').textContent === '/payload/evse_id'");
    browser.value("document.getElementById('hide').click()");

    // A command of the gateway, the call of OCPP that comes of it, and its answer.
    gateway.command("start-session", json!({"id_tag": "0412345678ABCD", "connector_id": 1}));
    browser.until(&row("Authorize answer"));
    browser.until(&row("start_session{"));
    let ways = "Object.fromEntries([...document.querySelectorAll('#messages > li')].map(it => [it.querySelector('strong').textContent, it.querySelector('.arrow').getAttribute('aria-label')]))";
    let ways = browser.value(ways);
    assert_eq!(ways["start_session"], "from gateway to everest");
    assert_eq!(ways["Authorize"], "from everest to csms");
    assert_eq!(ways["Authorize answer"], "from csms to everest");
    unfold(&mut browser, "Authorize answer");
    browser
        .until("[...window.row.querySelectorAll('button')].some(it => /^Answers \\d+, \\d+ ms$/.test(it.textContent))");
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}

#[test]
fn messages_can_be_filtered_and_heartbeats_are_hidden_by_default() {
    let Some((mut browser, gateway)) = opened(CHARGERS) else { return };
    gateway.publish("everest_api/1/auth_consumer/dep-1/m2e/communication_check", "true");
    gateway.publish("everest_api/1/auth_token_provider/token_provider_api/m2e/provided_token", "{}");
    gateway.publish(WITHDRAW, &request("reply/1", &json!({})));
    gateway.publish("some/topic", "of a stranger");
    gateway.command("plug-connector", json!({"evse_id": 1}));
    for name in ["provided_token", "withdraw_authorization reply", "some/topic", "StatusNotification", "plug_connector"]
    {
        browser.until(&row(name));
    }
    let names = format!("{ROWS}.map(it => it.match(/^\\w+/)[0])");
    let is_hidden =
        |browser: &mut Browser, name: &str| !browser.value(&names).as_array().unwrap().contains(&json!(name));
    assert!(is_hidden(&mut browser, "heartbeat") && is_hidden(&mut browser, "communication_check"));
    for (lane, name) in [
        ("client", "withdraw_authorization"),
        ("token_provider", "provided_token"),
        ("csms", "StatusNotification"),
        ("gateway", "plug_connector"),
        ("other", "some"),
    ] {
        let lane = format!("document.querySelector('#lanes [value={lane}]').click()");
        browser.value(&lane);
        assert!(is_hidden(&mut browser, name), "{name}");
        browser.value(&lane);
        assert!(!is_hidden(&mut browser, name), "{name}");
    }
    browser.choose("kind", "request");
    assert_eq!(browser.value(&names), json!(["withdraw_authorization"]));
    browser.choose("kind", "");
    browser.choose("whose", "dep-2");
    assert_eq!(browser.value(&names), json!([]));
    browser.choose("whose", "");
    browser.value("document.getElementById('filter').value = 'of a STRANGER'");
    browser.value("document.getElementById('filter').dispatchEvent(new Event('input'))");
    assert_eq!(browser.value(&names), json!(["some"]));
    browser.until(
        "/^1 of \\d+ messages; the page keeps the last 500$/.test(document.getElementById('tally').textContent)",
    );
    browser.value("document.getElementById('filter').value = ''");
    browser.value("document.getElementById('heartbeats').click()");
    browser.until(&row("heartbeat"));
    gateway.publish("everest_api/1/auth_consumer/dep-1/m2e/communication_check", "true");
    browser.until(&row("communication_check"));
}

#[test]
fn the_diagram_pauses_says_what_it_dropped_and_gives_messages_away() {
    let Some((mut browser, gateway)) = opened(CHARGERS) else { return };
    gateway.publish("some/topic", r#"{"id_token": "0412345678ABCD", "n": 1}"#);
    browser.until(&row("some/topic"));
    browser.value("document.getElementById('paused').click()");
    gateway.publish("some/later", "2");
    browser.until("document.getElementById('tally').textContent.includes('paused, 1 wait')");
    browser.value("import('./diagram.js').then(diagram => diagram.flush())");
    assert_eq!(browser.value("document.getElementById('tally').textContent.includes('paused, 1 wait')"), true);
    assert_eq!(browser.value(&row("some/later")), false);
    browser.value("document.getElementById('paused').click()");
    browser.until(&row("some/later"));

    // One, and all that are shown, as they are shown.
    browser.value("navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve() }");
    browser.value(
        "const make = URL.createObjectURL; URL.createObjectURL = blob => { window.saved = blob; return make(blob) }",
    );
    unfold(&mut browser, "some/topic");
    browser.value("[...window.row.querySelectorAll('button')].find(it => it.textContent === 'Copy').click()");
    browser.until("JSON.parse(JSON.parse(window.copied).payload).id_token === '0412345678ABCD'");
    browser.until("window.row.textContent.includes('Copied')");
    browser.value("document.getElementById('hide').click()");
    browser.choose("kind", "other");
    browser.value("document.getElementById('export').click()");
    let lines = browser.value("window.saved.text()").as_str().unwrap().to_owned();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line["topic"]).collect::<Vec<_>>(), ["some/topic", "some/later"]);
    assert_eq!(lines[0]["payload"], r#"{"id_token":"•••••","n":1}"#);

    // More than the page keeps.
    for number in 0..30 {
        let many = (0..20)
            .map(|more| json!({"target": {"charger_id": "dep-1"}, "event": {"id_tag": format!("{number}-{more}")}}));
        let sent: String = many.map(|body| format!("fetch('ocpp/commands/start-transaction', {{method: 'POST', headers: {{authorization: 'Bearer everything-0123456789'}}, body: JSON.stringify({body})}}),")).collect();
        browser.value(&format!("Promise.all([{sent}])"));
    }
    browser.until("Number(document.getElementById('tally').textContent.match(/(\\d+) older ones dropped/)[1]) > 0");
    assert_eq!(browser.value("document.querySelectorAll('#messages > li').length"), 500);
    browser.value("document.getElementById('clear').click()");
    browser.until("document.querySelectorAll('#messages > li').length === 0");
}

#[test]
fn every_command_has_a_form_from_the_description() {
    let Some((mut browser, gateway)) = opened(CHARGERS) else { return };
    let described: Value = serde_json::from_slice(gateway.get("/openapi.json", &[]).as_bytes()).unwrap();
    let paths = described["paths"].as_object().unwrap().keys().filter_map(|path| path.strip_prefix("/ocpp/commands/"));
    let paths: Vec<_> = paths.collect();
    assert_eq!(browser.value("[...document.getElementById('name').options].map(it => it.value)"), json!(paths));
    let fields = "[...document.querySelectorAll('#fields [data-name]')].map(it => it.dataset.name).sort().join()";
    for (path, expected) in [
        ("cache/reset", ""),
        ("inject-fault", "connector_id,evse_id,fault_type"),
        ("start-session", "connector_id,duration_seconds,id_tag,target_energy_kwh"),
        ("local-auth-list", "entries,expiry_date,id_tag,list_version,parent_id_tag"),
        ("configuration", "configuration,key,value"),
        ("proxy-message", "action,ocpp_version,payload"),
    ] {
        browser.choose("name", path);
        assert_eq!(browser.value(fields), expected, "{path}");
    }
    // Words, limits and kinds are those of the description.
    browser.choose("name", "inject-fault");
    let words = "[...document.querySelector('[data-name=fault_type] select').options].map(it => it.value)";
    let schemas = &described["components"]["schemas"];
    assert_eq!(browser.value(words), schemas["FaultType"]["enum"]);
    browser.choose("name", "power-update");
    let most = browser.value("document.querySelector('[data-name=power_w] input').max");
    assert_eq!(most, schemas["PowerEvent"]["properties"]["power_w"]["maximum"].to_string());

    // The list of tags, with one more row.
    let send = "document.querySelector('#command button.main').click()";
    let fill = |browser: &mut Browser, name: &str, value: &str| {
        browser.value(&format!(
            "[...document.querySelectorAll('[data-name={name}] :is(input, textarea)')].at(-1).value = {}",
            json!(value)
        ));
    };
    browser.choose("name", "local-auth-list");
    fill(&mut browser, "list_version", "3");
    fill(&mut browser, "id_tag", "0412345678ABCD");
    fill(&mut browser, "expiry_date", "2031-01-02T03:04:05");
    browser.value("[...document.querySelectorAll('[data-name=entries] button')].at(-1).click()");
    assert_eq!(browser.value("document.querySelectorAll('[data-name=entries] .row').length"), 2);
    browser.value(send);
    browser.until("document.querySelectorAll('[data-name=entries] .row')[1].querySelector('[data-name=id_tag] .error').textContent === 'Field required'");
    browser.value("document.querySelectorAll('[data-name=entries] .row')[1].querySelector('button').click()");
    browser.value(send);
    browser.until("document.querySelector('#answer.good')");
    browser.until("document.querySelector('article .facts').textContent.includes('local list 1 (version 3)')");

    // A message of OCPP, which has forms for its versions.
    browser.choose("name", "proxy-message");
    fill(&mut browser, "payload", "{");
    browser.value(send);
    browser.until("document.querySelector('[data-name=payload] .error').textContent.startsWith('no JSON: ')");
    fill(&mut browser, "payload", "{}");
    browser.value("document.querySelector('[data-name=action] select').value = 'heartbeat'");
    browser.value(send);
    browser.until("document.querySelector('#answer.good pre').textContent.includes('\"action\": \"heartbeat\"')");
}

#[test]
fn an_error_stands_at_its_form_and_takes_the_place_of_the_old_result() {
    let Some((mut browser, _gateway)) = opened(CHARGERS) else { return };
    let send = "document.querySelector('#command button.main').click()";
    browser.choose("name", "plug-connector");
    let evse = "document.querySelector('[data-name=evse_id] input')";
    browser.value(&format!("{evse}.value = '1'"));
    browser.value(send);
    browser.until("document.getElementById('answer').textContent.startsWith('Plug an EV in: done')");
    browser.value(&format!("{evse}.value = '0'"));
    browser.value(send);
    browser
        .until("document.querySelector('[data-name=evse_id] .error').textContent.includes('no whole number from 1')");
    assert_eq!(browser.value("document.getElementById('answer').textContent.includes('done')"), false);
    assert_eq!(
        browser.value(&format!("document.activeElement === {evse} && {evse}.getAttribute('aria-invalid')")),
        "true"
    );
    // A charger's refusal has no field.
    browser.value(&format!("{evse}.value = '9'"));
    browser.value(send);
    browser.until("document.querySelector('#answer.bad').textContent.includes('there is no EVSE 9')");
    assert_eq!(browser.value(&format!("{evse}.hasAttribute('aria-invalid')")), false);
    assert_eq!(browser.value("document.querySelector('[data-name=evse_id] .error').hidden"), true);
    // Those of a charger's own buttons stand at the charger.
    browser.value("document.querySelectorAll('article')[1].querySelector('.tag').value = ''");
    browser.value("document.querySelectorAll('article')[1].querySelector('[data-command=authorize-id-tag]').click()");
    browser.until("document.querySelectorAll('article')[1].querySelector('.result.bad').textContent.includes('body.event.id_tag')");
    assert_eq!(browser.value("document.querySelectorAll('article')[0].querySelector('.result').textContent"), "");
}

#[test]
fn a_lost_connection_stands_at_the_top_until_it_is_back() {
    let Some((mut browser, gateway)) = opened(CHARGERS) else { return };
    assert_eq!(browser.value("document.getElementById('alarm').hidden"), true);
    let again = gateway.end();
    browser.until("!document.getElementById('alarm').hidden");
    browser.until("document.getElementById('alarm').textContent.startsWith('Connection lost')");
    assert_eq!(browser.value("document.getElementById('alarm').getBoundingClientRect().top < 100"), true);
    browser.until("document.getElementById('connection').textContent === 'Not connected'");
    // A command that reaches nobody says so at its form.
    browser.value("document.querySelector('article [data-command=plug-connector]').click()");
    browser.until("document.querySelector('article .result.bad').textContent.includes('the gateway does not answer')");
    let _gateway = again();
    browser.until("document.getElementById('alarm').hidden");
    browser.until("document.getElementById('connection').textContent === 'Connected'");
}

#[test]
fn an_everest_that_has_ended_stands_at_the_top_with_the_reason() {
    let released = CHARGERS.replace("evses: 2", "evses: 2\n      release: \"2025.12\"");
    let Some((mut browser, mut gateway)) = opened(&released) else { return };
    gateway.publish(WITHDRAW, &request("a/#", &json!({})));
    browser.until("!document.getElementById('alarm').hidden");
    let text = browser.value("document.getElementById('alarm').textContent");
    let reason = "Charger dep-1: EVerest has ended: the broker cut the API module off: it replied on an invalid topic";
    assert!(text.as_str().unwrap().starts_with(reason), "{text}");
    browser.until("document.querySelector('article .why').textContent.includes('EVerest has ended')");
    browser.until("[...document.querySelector('article').querySelectorAll('[data-command]')].every(it => it.disabled)");
    gateway.sim.type_line("restart_everest");
    browser.until("document.getElementById('alarm').hidden");
    browser.until("!document.querySelector('article [data-command=plug-connector]').disabled");
}

#[test]
fn everything_is_reached_by_keyboard_in_light_and_dark() {
    let Some((mut browser, gateway)) = opened(CHARGERS) else { return };
    gateway.publish("some/topic", "{}");
    browser.until(&row("some/topic"));
    let wanted = "[...document.querySelectorAll('a, button, input, select, textarea, summary')].filter(it => it.checkVisibility() && !it.disabled && it.closest('main, header'))";
    let count = browser.value(&format!("{wanted}.length")).as_u64().unwrap();
    browser.value(&format!("window.missing = new Set({wanted}); document.body.focus()"));
    for _ in 0..count + 10 {
        browser.press("Tab");
        browser.value("window.missing.delete(document.activeElement)");
        let outline = "getComputedStyle(document.activeElement).outlineStyle";
        let is_body = browser.value("document.activeElement === document.body");
        assert!(is_body == true || browser.value(outline) == "solid", "the focus is not seen");
    }
    assert_eq!(browser.value("[...window.missing].map(it => it.outerHTML)"), json!([]));
    browser.value("document.querySelector('#messages summary').focus()");
    browser.press("Space");
    browser.until("document.querySelector('#messages details').open");

    // Text and ground are apart in both.
    let light = "(colour => colour.match(/\\d+/g).slice(0, 3).reduce((sum, it) => sum + Number(it), 0))";
    let ground = format!("{light}(getComputedStyle(document.body).backgroundColor)");
    let text = format!("{light}(getComputedStyle(document.body).color)");
    for (scheme, is_dark) in [("light", false), ("dark", true)] {
        browser.prefer(scheme);
        let (ground, text) = (browser.value(&ground).as_u64().unwrap(), browser.value(&text).as_u64().unwrap());
        assert_eq!(ground < text, is_dark, "{scheme}: {ground} {text}");
        assert!(ground.abs_diff(text) > 450, "{scheme}: {ground} {text}");
    }
    browser.widen(480);
    for path in ["?narrow", "docs"] {
        browser.open(&format!("{}/{path}", gateway.url));
        browser.until("document.body.innerText.length > 200");
        browser.until("document.documentElement.scrollWidth <= document.documentElement.clientWidth");
        assert_eq!(browser.value("document.documentElement.scrollWidth > innerWidth"), false, "{path}");
    }
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}

#[test]
fn power_and_energy_of_a_transaction_are_plotted() {
    let Some((mut browser, gateway)) = opened(CHARGERS) else { return };
    assert_eq!(browser.value("document.querySelectorAll('.plot').length"), 0);
    gateway.command("power-update", json!({"power_w": 5000, "evse_id": 1}));
    gateway.command("start-session", json!({"id_tag": "0412345678ABCD", "connector_id": 1}));
    let plot = "document.querySelector('[data-evse=\"1\"] .plot')";
    let points = |of: &str| {
        format!(
            "{plot}.querySelector('polyline.{of}').getAttribute('points').split(' ').map(it => it.split(',').map(Number))"
        )
    };
    browser.until(&format!("{plot}.querySelector('figcaption').textContent.includes('runs: power 5 kW, energy ')"));
    browser.until(&format!("/energy [1-9]/.test({plot}.textContent)"));
    gateway.command("power-update", json!({"power_w": 1000, "evse_id": 1}));
    browser.until(&format!("{plot}.querySelector('svg').getAttribute('aria-label').includes('power 1 kW')"));
    // Whoever opens the page now sees what was before; and so does whoever opens it when all is over.
    for (query, caption) in
        [("?later", "Transaction 1 runs: power 1 kW, "), ("?over", "Transaction 1 has ended: energy ")]
    {
        browser.open(&format!("{}/{query}", gateway.url));
        browser.until(&format!("{plot}.querySelector('figcaption').textContent.startsWith('{caption}')"));
        assert_eq!(
            browser.value(&format!("[...{plot}.querySelectorAll('text')].some(it => it.textContent === '0 s')")),
            true
        );
        let read = |browser: &mut Browser, of: &str| -> Vec<(f64, f64)> {
            serde_json::from_value(browser.value(&points(of))).unwrap()
        };
        // Time goes on to the right, energy grows upwards from nothing, and power falls once.
        let (energy, power) = (read(&mut browser, "energy"), read(&mut browser, "power"));
        let zero = browser.value(&format!(
            "Number({plot}.querySelector('polygon').getAttribute('points').split(' ')[0].split(',')[1])"
        ));
        assert_eq!(Some(energy[0].1), zero.as_f64(), "{energy:?}");
        assert!(energy.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 >= pair[1].1), "{energy:?}");
        assert!(energy[0].1 > energy.last().unwrap().1, "{energy:?}");
        // It goes on growing when power falls, also by less than a watt-hour.
        assert!(energy[1].1 > energy.last().unwrap().1, "{energy:?}");
        assert!(power[0].1 < power.last().unwrap().1, "{power:?}");
        assert_eq!(power[0].0, energy[0].0);
        if query == "?later" {
            gateway.command("stop-session", json!({"connector_id": 1}));
        }
    }
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}

#[test]
fn hidden_tags_are_in_no_text_at_all() {
    let Some((mut browser, gateway)) = opened(CHARGERS) else { return };
    // One that a station has, and one that nobody knows until a message says what it is.
    gateway.publish("doors/car-07-Z/open", r#"{"by": "car-07-Z"}"#);
    gateway.publish("cards/0412345678ABCD/seen", "{}");
    let payload = json!({"id_token": {"value": "0412345678abcd", "type": "ISO14443"}});
    gateway.publish(WITHDRAW, &request("reply/0412345678ABCD", &payload));
    browser.until(&row("withdraw_authorization reply"));
    browser.value("document.getElementById('hide').click()");
    browser.until("document.querySelector('#messages').textContent.includes('cards/•••••/seen')");
    assert_eq!(browser.value(&row("doors/car-07-Z/open")), true);
    gateway.publish("some/topic", r#"{"idTag": "CAR-07-z", "value": "shown", "n": 1}"#);
    browser.until(&row(r#"{"idTag":"•••••","value":"shown","n":1}"#));
    for text in ["withdraw_authorization reply", "withdraw_authorization{", "doors/", "some/topic"] {
        unfold(&mut browser, text);
    }
    assert_eq!(browser.value("document.body.innerText.match(/.*(0412345678abcd|car-07-z).*/gi)"), Value::Null);
    assert_eq!(browser.value(&row(r#"{"by":"•••••"}"#)), true);
    // Nor in what leaves the page.
    browser.value(
        "const make = URL.createObjectURL; URL.createObjectURL = blob => { window.saved = blob; return make(blob) }",
    );
    browser.value("document.getElementById('export').click()");
    let lines = browser.value("window.saved.text()").as_str().unwrap().to_lowercase();
    assert!(lines.contains("doors/•••••/open") && lines.contains("reply/•••••"), "{lines}");
    assert!(!lines.contains("0412345678abcd") && !lines.contains("car-07-z"), "{lines}");
    browser.value("document.getElementById('hide').click()");
    browser.until(&row("cards/0412345678ABCD/seen"));
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}

#[test]
fn many_chargers_are_folded_and_found() {
    let chargers = (1..=30).map(|number| {
        format!("  dep-{number}: {{name: \"Bay {number}\", location: {}}}\n", ["depot", "yard"][number % 2])
    });
    let Some((mut browser, gateway)) = opened_with(&format!("chargers:\n{}", chargers.collect::<String>()), 30) else {
        return;
    };
    let shown = "[...document.querySelectorAll('#chargers > article:not([hidden])')]";
    assert_eq!(browser.value(&format!("{shown}.some(it => it.querySelector('details').open)")), false);
    assert_eq!(browser.value("document.getElementById('range').textContent"), "30 chargers");
    assert_eq!(browser.value("document.getElementById('target').options.length"), 32, "locations, too");
    // A line says how a charger is.
    gateway.command("inject-fault", json!({"fault_type": "GroundFault", "evse_id": 1}));
    let glance = "document.querySelector('#chargers [data-id=dep-1] .glance')";
    browser.until(&format!("{glance}.checkVisibility() && {glance}.textContent.includes('1 Faulted')"));
    browser.choose("state", "Faulted");
    assert_eq!(browser.value(&format!("{shown}.map(it => it.dataset.id)")), json!(["dep-1"]));
    browser.choose("state", "");
    // By what it is called, whatever the case, and where it is.
    let find = |browser: &mut Browser, text: &str| {
        browser.value(&format!(
            "(it => {{ it.value = {}; it.dispatchEvent(new Event('input')) }})(document.getElementById('find'))",
            json!(text)
        ));
    };
    find(&mut browser, "bay 2");
    browser.until(&format!("{shown}.length === 11"));
    assert_eq!(browser.value("document.getElementById('target').options.length"), 32, "what was there can be told");
    find(&mut browser, "YARD");
    browser.until(&format!("{shown}.length === 15"));
    find(&mut browser, "nowhere");
    browser.until("document.getElementById('none').textContent.startsWith('No charger has this')");
    find(&mut browser, "");
    browser.until(&format!("{shown}.length === 30"));
    assert_eq!(browser.value("document.getElementById('none').hidden"), true);
    // From a charger to the form, with it as the target.
    browser.value("document.querySelector('#chargers [data-id=dep-17] summary').click()");
    browser.value("document.querySelector('#chargers [data-id=dep-17] .more').click()");
    assert_eq!(
        browser.value("[document.getElementById('target').value, document.activeElement.id]"),
        json!(["charger dep-17", "name"])
    );
    browser.widen(480);
    assert_eq!(browser.value("document.documentElement.scrollWidth > innerWidth"), false);
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}

#[test]
fn the_form_stands_beside_the_chargers_where_there_is_room() {
    let Some((mut browser, _gateway)) = opened(CHARGERS) else { return };
    let place = "(([one, other]) => other.left >= one.right ? 'beside' : other.top >= one.bottom ? 'below' : 'over')(['chargers', 'command'].map(id => document.getElementById(id).getBoundingClientRect()))";
    for (width, expected) in [(1920, "beside"), (1400, "beside"), (1200, "below"), (480, "below")] {
        browser.widen(width);
        assert_eq!(browser.value(place), expected, "{width}");
    }
}

/// Where there is nothing to see, the page says why.
#[test]
fn an_empty_diagram_says_why() {
    let Some((mut browser, gateway)) = opened(CHARGERS) else { return };
    let nothing = "(it => it.checkVisibility() ? it.textContent : '')(document.getElementById('nothing'))";
    assert_eq!(
        browser.value(nothing),
        "Nothing has passed since this page was opened or cleared. Heartbeats are hidden."
    );
    gateway.publish("some/topic", "{}");
    browser.until(&row("some/topic"));
    assert_eq!(browser.value(nothing), "");
    browser.choose("kind", "request");
    assert_eq!(browser.value(nothing), "No message fits the filters.");
}

#[test]
fn the_interface_has_a_page_and_wrong_paths_say_which_is_near() {
    let gateway = Gateway::with(CHARGERS);
    let page = gateway.get("/docs", &[]);
    assert_eq!((page.status_code, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let page = page.as_str().unwrap();
    let described: Value = serde_json::from_slice(gateway.get("/openapi.json", &[]).as_bytes()).unwrap();
    for path in described["paths"].as_object().unwrap().keys() {
        assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
    }
    for (asked, detail) in [
        ("/ocpp/commands/plug-conector", "Not Found: did you mean `/ocpp/commands/plug-connector`?"),
        ("/ocpp/charger/dep-1/logs", "Not Found: did you mean `/ocpp/chargers/{charger_id}/logs`?"),
        ("/doc", "Not Found: did you mean `/docs`?"),
        ("/something/else", "Not Found"),
    ] {
        let answer = gateway.get(asked, &[]);
        let body: Value = serde_json::from_slice(answer.as_bytes()).unwrap();
        assert_eq!((answer.status_code, &body["detail"]), (404, &json!(detail)), "{asked}");
    }
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&format!("{}/docs", gateway.url));
    browser.until("document.querySelectorAll('section.operation').length > 20");
    browser.value("document.querySelector('nav a').click()");
    browser.until("location.hash.length > 1 && document.querySelector(':target')");
    assert_eq!(browser.complaints(), Vec::<Value>::new());
    assert!(browser.requests().iter().all(|url| url.starts_with(&gateway.url) || url.starts_with("data:")));
}
