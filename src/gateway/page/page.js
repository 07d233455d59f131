// The page of khumbu's gateway. Whatever comes in is shown as text, never as HTML.

const KEPT = 300; // messages on the page
const PAGE = 20; // chargers on the page
const KEY = "khumbu-token";
const HIDDEN = "•••••";
const PLACE = { evse_id: 1 };
// Every command by its path, with an event to begin with.
const COMMANDS = {
  "plug-connector": PLACE, "unplug-connector": PLACE, "unlock-connector": PLACE,
  "start-session": { id_tag: "", connector_id: 1, duration_seconds: 60 }, "stop-session": { connector_id: 1 },
  "authorize-id-tag": { id_tag: "" },
  "start-transaction": { id_tag: "", evse_id: 1 }, "stop-transaction": { transaction_id: "1" },
  "ev-requests-energy": PLACE, "ev-stops-energy": PLACE, "power-update": { power_w: 7000, evse_id: 1 },
  "inject-fault": { fault_type: "GroundFault", evse_id: 1 }, "clear-fault": PLACE,
  "cache/reset": {}, "clear-local-auth-list": {},
  "local-auth-list": { list_version: 1, entries: [{ id_tag: "" }] },
  "configuration": { configuration: { AuthorizationCacheEnabled: "true" } },
  "proxy-message": { action: "heartbeat", ocpp_version: "ocpp1.6", payload: {} },
};

const $ = (id) => document.getElementById(id);
const from = (template) => $(template).content.firstElementChild.cloneNode(true);
let token = sessionStorage.getItem(KEY) ?? "";
let page = 1;
let stop = new AbortController();
let messages = []; // the latest last
let waiting = []; // not shown yet
let missed = 0;
let refreshing = null;
let turn = 0;
let runs = false; // a transaction does

function element(name, text, className = "") {
  const it = document.createElement(name);
  it.textContent = text;
  it.className = className;
  return it;
}

function say(text, bad = false) {
  $("connection").textContent = text;
  $("connection").className = bad ? "bad" : "";
}

// The gateway

async function ask(path, body) {
  const headers = { authorization: `Bearer ${token}` };
  if (body) headers["content-type"] = "application/json";
  const request = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal: stop.signal };
  const response = await fetch(path, { ...request, cache: "no-store" });
  if (response.ok) return response;
  if (response.status === 401) signOut("The gateway does not know this token");
  const { detail } = await response.json();
  throw new Error(typeof detail === "string" ? detail : detail.map((it) => `${it.loc.join(".")}: ${it.msg}`).join("; "));
}

async function command(path, target, event) {
  try {
    const answer = await (await ask(`ocpp/commands/${path}`, { target, event })).json();
    $("answer").textContent = `${path}\n${redacted(JSON.stringify(answer), 2)}`;
    $("answer").className = answer.failed?.length ? "bad" : "good";
    if (answer.failed?.length) say(answer.failed.map((it) => `${it.identity}: ${it.error}`).join("; "), true);
    else say(`${path}: done`);
  } catch (error) {
    say(`${path}: ${error.message}`, true);
  }
  soon();
}

// Tags are hidden wherever their place in a message tells them.
function redacted(text, indent) {
  if (!$("hide").checked && !indent) return text;
  const tag = /^((parent_?)?id_?(tag|token)|granted_to|value)$/i;
  const hide = (key, value) => ($("hide").checked && typeof value === "string" && tag.test(key) ? HIDDEN : value);
  try {
    return JSON.stringify(JSON.parse(text, hide), null, indent);
  } catch {
    return $("hide").checked ? HIDDEN : text;
  }
}

const shown = (tag) => ($("hide").checked ? HIDDEN : tag);

// The chargers

function soon() {
  refreshing ??= setTimeout(refresh, 150);
}

async function refresh() {
  refreshing = null;
  const mine = ++turn;
  try {
    const state = await (await ask(`state?page=${page}&limit=${PAGE}`)).json();
    // An answer that was overtaken is old.
    if (mine === turn) showChargers(state);
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  }
}

function showChargers({ data, total }) {
  const first = (page - 1) * PAGE;
  $("range").textContent = `${Math.min(first + 1, total)}–${first + data.length} of ${total}`;
  $("previous").disabled = page === 1;
  $("next").disabled = first + data.length >= total;
  runs = data.some((it) => it.charge_point?.connectors.some((connector) => connector.transaction));
  const ids = data.map((it) => it.charger.id);
  for (const old of [...$("chargers").children]) if (!ids.includes(old.dataset.id)) old.remove();
  for (const it of data) showCharger(it);
  const locations = new Set(data.map((it) => it.charger.location_id).filter(Boolean));
  options($("target"), [...ids.map((id) => `charger ${id}`), ...[...locations].map((id) => `location ${id}`)]);
}

// Nodes are kept and changed, so that the keyboard stays where it is.
function showCharger({ charger, tokens, charge_point: point }) {
  let it = [...$("chargers").children].find((old) => old.dataset.id === charger.id);
  if (!it) {
    it = from("charger-template");
    it.dataset.id = charger.id;
    it.setAttribute("aria-label", `Charger ${charger.id}`);
    $("chargers").append(it);
    it.querySelector(".tag").value = tokens[0]?.id_tag ?? "";
  }
  const find = (selector) => it.querySelector(selector);
  find("h3").textContent = [charger.id, charger.identity, charger.name].filter(Boolean).join(" · ");
  find(".tag").type = $("hide").checked ? "password" : "text";
  const facts = [charger.ocpp_version, charger.location_id && `at ${charger.location_id}`];
  if (point) {
    facts.push(`CSMS ${point.csms_online ? "online" : "away"}`, `cache ${point.cached_tags}`);
    facts.push(`local list ${point.listed_tags} (version ${point.list_version})`);
  } else {
    facts.push("does not run any more");
  }
  find(".facts").textContent = facts.filter(Boolean).join(" · ");
  const list = find(".connectors");
  for (const connector of point?.connectors ?? []) {
    let row = [...list.children].find((old) => old.dataset.evse === String(connector.evse_id));
    if (!row) {
      row = from("connector-template");
      row.dataset.evse = connector.evse_id;
      list.append(row);
    }
    showConnector(row, connector);
  }
  find(".tokens").replaceChildren(...tokens.map((one) => element("li", `${one.name}: ${shown(one.id_tag)}, ${one.verdict}`)));
}

function showConnector(row, it) {
  const run = it.transaction;
  const parts = [`EVSE ${it.evse_id}: `, element("strong", it.status, it.faulted ? "bad" : it.power_w ? "good" : "")];
  parts.push(it.plugged_in ? ", plugged in" : ", not plugged in");
  if (it.faulted) parts.push(`, fault ${it.fault ?? "unknown"}`);
  if (it.granted_to !== null && !run) parts.push(`, granted to ${shown(it.granted_to)}`);
  if (run) parts.push(`, transaction ${run.id} of ${shown(run.id_tag)}, ${run.energy_wh} Wh in ${run.seconds} s`);
  parts.push(`, ${it.power_w} W, meter ${it.meter_wh} Wh`);
  row.querySelector(".state").replaceChildren(...parts);
  row.dataset.transaction = run?.id ?? "";
  const [plug, start, energy, fault] = row.querySelectorAll("button");
  const set = (button, name, text) => Object.assign(button, { textContent: text }).dataset.command = name;
  set(plug, it.plugged_in ? "unplug-connector" : "plug-connector", it.plugged_in ? "Unplug" : "Plug in");
  set(start, run ? "stop-transaction" : "start-transaction", run ? "Stop" : "Start");
  const full = it.status === "SuspendedEV";
  set(energy, full ? "ev-requests-energy" : "ev-stops-energy", full ? "EV takes energy" : "EV stops energy");
  start.disabled = !run && (!it.plugged_in || it.faulted);
  energy.disabled = !run;
  set(fault, it.faulted ? "clear-fault" : "inject-fault", it.faulted ? "Clear fault" : "Inject fault");
}

function options(select, values) {
  if ([...select.options].map((it) => it.value).join() === values.join()) return;
  const before = select.value;
  select.replaceChildren(...values.map((value) => new Option(value, value)));
  if (values.includes(before)) select.value = before;
}

function press({ target: button }) {
  const path = button.dataset?.command;
  if (!path) return;
  const article = button.closest("article");
  const row = button.closest("[data-evse]");
  const event = {};
  if (path === "stop-transaction") event.transaction_id = row.dataset.transaction;
  else if (row) event.evse_id = Number(row.dataset.evse);
  if (path === "start-transaction" || path === "authorize-id-tag") event.id_tag = article.querySelector(".tag").value;
  if (path === "inject-fault") event.fault_type = COMMANDS[path].fault_type;
  command(path, { charger_id: article.dataset.id }, event);
}

// The messages

function take(event) {
  if (event.kind === "log") soon();
  if ($("paused").checked) return;
  waiting.push(event);
  if (waiting.length > KEPT) {
    waiting.shift();
    missed += 1;
  }
}

function flush() {
  if (!waiting.length) return;
  const fresh = missed ? [{ kind: "left_out", count: missed }, ...waiting] : waiting;
  [waiting, missed] = [[], 0];
  messages = [...messages, ...fresh].slice(-KEPT);
  $("messages").prepend(...fresh.map(row).reverse());
  while ($("messages").children.length > KEPT) $("messages").lastElementChild.remove();
}

function row(event) {
  const it = document.createElement("li");
  if (event.kind === "left_out") {
    it.append(element("em", `${event.count} messages left out: too many for this page`, "bad"));
    return it;
  }
  const { timestamp } = event.entry ?? event;
  const time = element("time", timestamp.slice(11, -1));
  time.dateTime = timestamp;
  it.append(time, element("span", event.charger_id ?? "–"));
  if (event.kind === "mqtt") {
    const more = event.bytes > 2048 ? ` … (${event.bytes} bytes)` : "";
    it.append(element("span", event.client), element("strong", event.topic), element("code", redacted(event.payload) + more));
  } else {
    const { direction, action, message } = event.entry;
    const way = { outgoing: "to CSMS", incoming: "from CSMS", command: "command" }[direction];
    it.append(element("span", way), element("strong", action), element("code", redacted(message)));
  }
  filter(it);
  return it;
}

function filter(it) {
  it.hidden = !it.textContent.toLowerCase().includes($("filter").value.toLowerCase());
}

async function watch(signal) {
  while (!signal.aborted) {
    try {
      const response = await ask(`events?heartbeats=${$("heartbeats").checked}`);
      say("Connected");
      soon();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const events = (rest + part.value).split("\n\n");
        rest = events.pop();
        for (const text of events) if (text.startsWith("data: ")) take(JSON.parse(text.slice(6)));
      }
      say("Connection lost; trying again", true);
    } catch (error) {
      if (signal.aborted) return;
      say(`Not connected: ${error.message}`, true);
    }
    await new Promise((done) => setTimeout(done, 1000));
  }
}

function signIn() {
  stop.abort();
  stop = new AbortController();
  const known = Boolean(token);
  $("main").hidden = $("sign-out").hidden = !known;
  $("sign-in").hidden = known;
  if (known) watch(stop.signal);
}

function signOut(why) {
  token = "";
  sessionStorage.removeItem(KEY);
  $("messages").replaceChildren();
  $("chargers").replaceChildren();
  messages = [];
  signIn();
  say(why, why !== "Not connected");
}

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  sessionStorage.setItem(KEY, token);
  signIn();
});
$("sign-out").addEventListener("click", () => signOut("Not connected"));
$("chargers").addEventListener("click", press);
$("previous").addEventListener("click", () => { page -= 1; soon(); });
$("next").addEventListener("click", () => { page += 1; soon(); });
$("name").addEventListener("change", () => { $("event").value = JSON.stringify(COMMANDS[$("name").value]); });
$("command").addEventListener("submit", (event) => {
  event.preventDefault();
  const [, kind, id] = $("target").value.match(/^(\w+) (.*)$/s) ?? [];
  try {
    command($("name").value, { [`${kind}_id`]: id }, JSON.parse($("event").value));
  } catch (error) {
    say(`The event is no JSON: ${error.message}`, true);
  }
});
$("filter").addEventListener("input", () => [...$("messages").children].forEach(filter));
$("heartbeats").addEventListener("change", signIn);
$("hide").addEventListener("change", () => {
  $("messages").replaceChildren(...messages.map(row).reverse());
  $("answer").textContent = "";
  soon();
});
$("clear").addEventListener("click", () => {
  messages = [];
  $("messages").replaceChildren();
});
options($("name"), Object.keys(COMMANDS));
$("event").value = JSON.stringify(PLACE);
setInterval(flush, 100);
setInterval(() => { if (runs && !document.hidden) soon(); }, 2000);
signIn();
