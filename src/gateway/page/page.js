// The page of khumbu's gateway: who is connected, and what is shown when.

import { filterStates, showChargers } from "./chargers.js";
import * as commands from "./commands.js";
import * as diagram from "./diagram.js";
import { $, conceal, counted, element, know, learntTags } from "./elements.js";
import { Lost, Refusal, ask, begin, hasToken, setToken, watch } from "./gateway.js";

const PAGE = 100; // chargers on the page
const FEW = 4; // chargers that nobody has to search
const MOST_ENDED = 3; // that are told of one by one
const [OFTEN, SELDOM] = [1000, 2000]; // ms from one look at the chargers to the next

let page = 1;
let turn = 0;
let refreshing = null;
let runs = false; // a transaction does
let lost = null; // why, and since when
const seen = new Set(); // ids of chargers
const locations = new Set();
const ended = new Map(); // why the EVerest of a charger has

function say(text, bad = false) {
  $("connection").textContent = text;
  $("connection").className = bad ? "bad" : "good";
}

// What is wrong as a whole stands at the top. It is not told again while it stays the same.
function alarm() {
  const lines = [];
  if (lost) lines.push(["Connection lost.", `${lost.why}. What is shown is of ${lost.since}, and commands reach no charger. Trying again every second; if khumbu sim has ended, start it again.`]);
  for (const [id, why] of [...ended].slice(0, MOST_ENDED)) lines.push([conceal(`Charger ${id}: ${why}.`), "It answers nothing any more. If it is the first charger, type restart_everest where khumbu sim runs; otherwise start khumbu sim again."]);
  if (ended.size > MOST_ENDED) lines.push([`${ended.size - MOST_ENDED} more chargers have ended.`, "Choose the state “ended” to see them."]);
  const text = lines.flat().join("\n");
  if ($("alarm").dataset.text === text) return;
  $("alarm").dataset.text = text;
  $("alarm").replaceChildren(...lines.map(([head, rest]) => element("p", {}, element("strong", {}, head), ` ${rest}`)));
  $("alarm").hidden = !lines.length;
  $("main").classList.toggle("stale", Boolean(lost));
}

function isConnected(state, error) {
  if (state === "connected") {
    lost = null;
    say("Connected");
    soon();
  } else if (error instanceof Refusal && error.status === 401) {
    return signOut("The gateway does not know this token");
  } else {
    lost ??= { since: new Date().toLocaleTimeString() };
    lost.why = error.message[0].toUpperCase() + error.message.slice(1);
    say("Not connected", true);
  }
  alarm();
}

// The chargers

function soon() {
  refreshing ??= setTimeout(refresh, 150);
}

async function refresh() {
  refreshing = null;
  const mine = ++turn;
  try {
    const state = await (await ask(`state?page=${page}&limit=${PAGE}&search=${encodeURIComponent($("find").value)}`)).json();
    // An answer that was overtaken is old.
    if (mine === turn) show(state);
  } catch (error) {
    // The stream tells of a lost connection.
    if (error.name !== "AbortError" && !(error instanceof Lost)) say(error.message, true);
  }
}

function turnTo(number) {
  page = number;
  soon();
}

function show({ data, total }) {
  const first = (page - 1) * PAGE;
  // Fewer fit than before.
  if (!data.length && page > 1) return turnTo(1);
  const isAll = total <= PAGE;
  $("range").textContent = isAll ? counted(total, "charger") : `${first + 1}–${first + data.length} of ${total}`;
  $("previous").hidden = $("next").hidden = isAll;
  $("previous").disabled = page === 1;
  $("next").disabled = first + data.length >= total;
  $("finding").hidden = total <= FEW && !$("find").value;
  $("none").hidden = total > 0;
  $("none").textContent = $("find").value ? "No charger has this in its id, identity, name or location." : "This token is good for no charger.";
  const before = learntTags();
  for (const it of data) {
    const { id, location_id: location } = it.charger;
    seen.add(id);
    if (location) locations.add(location);
    if (it.ended) ended.set(id, it.ended);
    else ended.delete(id);
    for (const one of it.tokens) know(one.id_tag);
    for (const one of it.charge_point?.connectors ?? []) [one.granted_to, one.transaction?.id_tag].forEach(know);
  }
  if ($("hide").checked && learntTags() > before) diagram.redraw();
  runs = data.some((it) => it.charge_point?.connectors.some((connector) => connector.transaction));
  alarm();
  showChargers(data, soon);
  const ids = [...seen].sort();
  commands.targets(ids, [...locations].sort());
  diagram.ofChargers(ids);
  const tags = [...new Set(data.flatMap((it) => it.tokens.map((one) => one.id_tag)))];
  $("tags").replaceChildren(...($("hide").checked ? [] : tags.map((tag) => new Option(tag))));
}

// The connection

function listen() {
  const signal = begin();
  watch(signal, `heartbeats=${$("heartbeats").checked}`, { take, is: isConnected });
}

function take(event) {
  if (event.kind === "log") soon();
  diagram.take(event);
}

function signIn() {
  const known = hasToken();
  $("main").hidden = $("sign-out").hidden = $("jump").hidden = !known;
  $("sign-in").hidden = known;
  if (!known) return begin();
  listen();
  commands.describe(soon).catch((error) => { if (error.name !== "AbortError") isConnected("lost", error); });
}

function signOut(why) {
  setToken("");
  diagram.clear();
  $("chargers").replaceChildren();
  $("answer").replaceChildren();
  lost = null;
  for (const it of [seen, locations, ended]) it.clear();
  alarm();
  signIn();
  say(why, why !== "Not connected");
  $("token").focus();
}

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken($("token").value.trim());
  $("token").value = "";
  say("Connecting");
  signIn();
});
$("sign-out").addEventListener("click", () => signOut("Not connected"));
$("previous").addEventListener("click", () => turnTo(page - 1));
$("next").addEventListener("click", () => turnTo(page + 1));
$("find").addEventListener("input", () => turnTo(1));
$("state").addEventListener("input", filterStates);
$("heartbeats").addEventListener("change", () => { listen(); diagram.filterAll(); });
$("hide").addEventListener("change", () => {
  diagram.redraw();
  commands.hideTags();
  for (const it of document.querySelectorAll("article .result")) it.replaceChildren();
  alarm();
  soon();
});
commands.prepare(soon);
diagram.prepare();
let looked = 0;
setInterval(() => {
  looked += OFTEN;
  if (document.hidden || !hasToken() || lost || (!runs && looked < SELDOM)) return;
  looked = 0;
  soon();
}, OFTEN);
signIn();
