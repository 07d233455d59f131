// What passes, as a sequence diagram that grows downwards.

import { $, button, conceal, concealed, copy, counted, element, hides, learn, learntTags, options, picture, redacted } from "./elements.js";
import { ask } from "./gateway.js";

export const KEPT = 500; // messages on the page

const LANES = ["client", "everest", "token_provider", "token_validator", "csms"];
const EVEREST = LANES.indexOf("everest");
const CUT = 8192; // bytes of a payload that the gateway shows
const GIST = 160;
const LONG = 9; // characters of a charger's id that have room beside a message
const LIFE = ["heartbeat", "communication_check"];

let messages = []; // the latest last, each { event, row, text, number, … }
let waiting = []; // not shown yet
let dropped = 0;
let leftOut = 0;

// What a message is called here.
function named({ kind, topic, specified, place, entry }) {
  if (kind === "mqtt" && specified) return `${specified.channel}${place.manner === "reply" ? " reply" : ""}`;
  if (kind === "mqtt") return conceal(topic);
  return `${entry.action}${place.manner === "ocpp_answer" ? " answer" : ""}`;
}

const payloadOf = (event) => (event.kind === "mqtt" ? event.payload : event.entry.message);
const timeOf = (event) => (event.entry ?? event).timestamp;
const isLife = (event) => LIFE.includes(event.place.manner) || event.entry?.action === "Heartbeat";
// The lane that is not EVerest's.
const laneOf = ({ place: { from, to } }) => [from, to].find((party) => party && party !== "everest") ?? "other";
const kindOf = (event) => event.place.manner ?? "other";

export function take(event) {
  if (event.kind === "left_out") leftOut += event.count;
  else if (isLife(event) && !$("heartbeats").checked) return;
  else waiting.push({ event });
  if (waiting.length > KEPT) {
    waiting.shift();
    dropped += 1;
  }
  if ($("paused").checked) tally();
}

// Shows what has come, unless it is paused.
export function flush() {
  if ($("paused").checked || (!waiting.length && !leftOut)) return;
  const [list, log] = [$("messages"), $("log")];
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const fresh = waiting;
  waiting = [];
  const before = learntTags();
  for (const { event } of fresh) learn(payloadOf(event));
  // What is a tag may stand in messages that were there before it was known.
  if (hides() && learntTags() > before) messages.forEach(draw);
  for (const it of fresh) add(it);
  list.append(...fresh.map((it) => it.row));
  const surplus = messages.splice(0, Math.max(messages.length - KEPT, 0));
  for (const it of surplus) it.row.remove();
  dropped += surplus.length;
  tally();
  if (follows) log.scrollTop = log.scrollHeight;
}

function add(it) {
  it.request = messages.find((one) => one.event.place.number === it.event.place.answers);
  if (it.request) it.request.answer = it;
  messages.push(it);
  draw(it);
  if (it.request) draw(it.request);
}

function tally() {
  const visible = messages.filter((it) => !it.row.hidden).length;
  const parts = [`${visible === messages.length ? "" : `${visible} of `}${counted(messages.length, "message")}`];
  if ($("paused").checked) parts.push(`paused, ${waiting.length} wait`);
  parts.push(dropped ? `${dropped} older ones dropped: the page keeps the last ${KEPT}` : `the page keeps the last ${KEPT}`);
  if (leftOut) parts.push(`${leftOut} left out: too many for this page`);
  $("tally").textContent = parts.join("; ");
  $("nothing").hidden = visible > 0;
  $("nothing").textContent = messages.length ? "No message fits the filters." : `Nothing has passed since this page was opened or cleared.${$("heartbeats").checked ? "" : " Heartbeats are hidden."}`;
}

// The end of an id tells more than its beginning.
const shortened = (id) => (id.length > LONG ? `…${id.slice(1 - LONG)}` : id);

// One message

function arrow(event) {
  const { from, to } = event.place;
  const [begin, end] = [from, to].map((party) => LANES.indexOf(party));
  const parties = [from, to].map((party) => (party ? party.replace("_", " ") : "unknown"));
  const drawing = picture("svg", { class: "arrow", role: "img", "aria-label": `from ${parties[0]} to ${parties[1]}`, height: 10 });
  if (!from || !to) {
    drawing.append(picture("line", { x1: 0, y1: 5, x2: "100%", y2: 5, class: "dashed" }));
    drawing.style.gridColumn = "1 / -1";
    return drawing;
  }
  const isToRight = begin < end;
  drawing.append(picture("line", { x1: 0, y1: 5, x2: "100%", y2: 5 }));
  // A picture within the picture has its origin at the other end.
  if (isToRight) drawing.append(picture("svg", { x: "100%", overflow: "visible" }, picture("path", { d: "M-9 0 0 5l-9 5z" })));
  else drawing.append(picture("path", { d: "M9 0 0 5l9 5z" }));
  if (begin < 0) drawing.append(picture("circle", { cx: 4, cy: 5, r: 4 }));
  // Two columns a lane; a command of the gateway comes from beside EVerest.
  const line = (lane) => (lane < 0 ? 2 * EVEREST + 1 : 2 * lane + 2);
  drawing.style.gridColumn = `${line(Math.min(begin < 0 ? -1 : begin, end))} / ${line(Math.max(begin, end))}`;
  return drawing;
}

function draw(it) {
  const { event } = it;
  const isOpen = it.row?.querySelector("details").open ?? false;
  const { manner, number } = event.place;
  const violations = event.specified?.violations ?? [];
  const failed = event.kind === "log" && manner === "ocpp_answer" && /^\{"error(Code)?":/.test(event.entry.message);
  const time = element("time", { datetime: timeOf(event) }, timeOf(event).slice(11, -1));
  const payload = redacted(payloadOf(event), 0);
  const name = element("span", { class: "name" }, element("strong", {}, named(event)), element("span", { class: "gist" }, payload.slice(0, GIST)));
  if (it.request) name.append(element("span", { class: "pair" }, `answers ${it.request.event.place.number}`));
  if (violations.length) name.append(element("span", { class: "badge bad" }, "violates its schema"));
  if (failed) name.append(element("span", { class: "badge bad" }, "error"));
  const drawing = arrow(event);
  const summary = element("summary", {}, element("span", { class: "when" }, time, element("span", { title: event.charger_id ?? undefined }, [number, event.charger_id && shortened(event.charger_id)].filter(Boolean).join(" · "))), element("span", { class: "lifelines" }, name, drawing));
  const details = element("details", { open: isOpen }, summary);
  const row = element("li", { "data-number": number, "data-manner": kindOf(event), class: violations.length || failed ? "is-bad" : false }, details);
  const unfold = () => { if (details.open && details.children.length === 1) details.append(unfolded(it)); };
  details.addEventListener("toggle", unfold);
  unfold();
  for (const [on, off] of [["pointerenter", "pointerleave"], ["focusin", "focusout"]]) {
    row.addEventListener(on, () => mark(it, true));
    row.addEventListener(off, () => mark(it, false));
  }
  const hadFocus = it.row?.contains(document.activeElement);
  it.row?.replaceWith(row);
  it.row = row;
  it.text = [named(event), conceal([event.topic, event.client, event.charger_id].join("\n")), payload].join("\n").toLowerCase();
  filter(it);
  if (hadFocus) summary.focus();
}

function mark(it, is) {
  for (const one of [it, it.request, it.answer]) one?.row.classList.toggle("marked", is);
}

function unfolded(it) {
  const { event } = it;
  const pre = element("pre", { tabindex: 0, "aria-label": "Payload" }, redacted(payloadOf(event), 2));
  const said = element("span", { role: "status" });
  const bar = element("p", { class: "bar" }, button("Copy", () => copy(JSON.stringify(exported(event), null, 2), said, pre)));
  const inside = [];
  const facts = (...texts) => inside.push(element("p", { class: "facts" }, ...texts));
  if (event.kind === "mqtt") {
    facts("Topic ", element("code", {}, conceal(event.topic)), conceal(`, by the client ${event.client}, ${event.bytes} bytes`));
    if (event.bytes > CUT) facts(`Cut off after ${CUT} bytes.`);
  } else {
    facts(event.place.manner === "command" ? "A command that came to this gateway." : "In the words of the charger's version of OCPP.");
  }
  const { specified } = event;
  if (specified) {
    const judged = specified.schema && event.bytes <= CUT;
    facts(`EVerest's ${specified.api} has this as ${specified.called}`, specified.violations.length ? ", and its schema forbids:" : judged ? "; the payload keeps to its schema." : ".");
    // What is wrong quotes values, which may be tags.
    const wrong = specified.violations.map((text) => (hides() ? text.split(": ")[0] : text));
    if (wrong.length) inside.push(element("ul", { class: "bad" }, ...wrong.map((text) => element("li", {}, text))));
    if (specified.schema) bar.append(button("Schema", (pressed) => showSchema(specified.schema, bar, pressed.target)));
  } else if (event.kind === "mqtt") {
    facts("This is no topic of EVerest's API.");
  }
  for (const [words, one] of [["Answers", it.request], ["Answered by", it.answer]]) {
    if (!one) continue;
    const [early, late] = [it.request ? one : it, it.request ? it : one];
    const took = Date.parse(timeOf(late.event)) - Date.parse(timeOf(early.event));
    bar.append(button(`${words} ${one.event.place.number}, ${Math.max(took, 0)} ms`, () => reveal(one)));
  }
  bar.append(said);
  return element("div", { class: "unfolded" }, ...inside, pre, bar);
}

async function showSchema(path, bar, pressed) {
  const old = bar.parentElement.querySelector(".schema");
  if (old) return old.remove();
  const pre = element("pre", { class: "schema", tabindex: 0, "aria-label": "Schema" });
  bar.after(pre);
  pressed.disabled = true;
  try {
    pre.textContent = JSON.stringify(await (await ask(path)).json(), null, 2);
  } catch (error) {
    pre.textContent = error.message;
  }
  pressed.disabled = false;
}

function reveal({ row }) {
  row.hidden = false;
  row.querySelector("details").open = true;
  row.querySelector("summary").focus();
  row.scrollIntoView({ block: "nearest" });
}

// As it came, but for tags that are hidden.
function exported(event) {
  const { payload, entry, ...rest } = event;
  if (entry) return { ...rest, entry: { ...entry, message: redacted(entry.message) } };
  const violations = rest.specified && hides() ? { specified: { ...rest.specified, violations: rest.specified.violations.map((text) => text.split(": ")[0]) } } : {};
  return { ...concealed(rest), ...violations, payload: redacted(payload) };
}

// Filters

function isWanted({ event, text }) {
  const lane = document.querySelector(`#lanes [value="${laneOf(event)}"]`);
  if (lane && !lane.checked) return false;
  if ($("kind").value && $("kind").value !== kindOf(event)) return false;
  if ($("whose").value && $("whose").value !== (event.charger_id ?? "")) return false;
  if (isLife(event) && !$("heartbeats").checked) return false;
  return text.includes($("filter").value.toLowerCase());
}

function filter(it) {
  it.row.hidden = !isWanted(it);
}

export function filterAll() {
  messages.forEach(filter);
  tally();
}

export function redraw() {
  messages.forEach(draw);
  tally();
}

export function clear() {
  messages = [];
  waiting = [];
  [dropped, leftOut] = [0, 0];
  $("messages").replaceChildren();
  tally();
}

export const ofChargers = (ids) => options($("whose"), [["", "all"], ...ids.map((id) => [id])]);

function save() {
  const lines = messages.filter((it) => !it.row.hidden).map((it) => `${JSON.stringify(exported(it.event))}\n`);
  const link = element("a", { href: URL.createObjectURL(new Blob(lines, { type: "application/jsonl" })), download: "khumbu-messages.jsonl" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function prepare() {
  for (const id of ["filter", "kind", "whose"]) $(id).addEventListener("input", filterAll);
  $("lanes").addEventListener("change", filterAll);
  $("paused").addEventListener("change", () => { flush(); tally(); });
  $("clear").addEventListener("click", clear);
  $("export").addEventListener("click", save);
  setInterval(flush, 100);
  tally();
}
