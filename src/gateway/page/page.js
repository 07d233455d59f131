// The page of khumbu's gateway: who is connected, and what is shown when.

import { showChargers } from "./chargers.js";
import * as commands from "./commands.js";
import * as diagram from "./diagram.js";
import { $, element } from "./elements.js";
import { Lost, Refusal, ask, begin, hasToken, setToken, watch } from "./gateway.js";
import * as plots from "./plot.js";

const PAGE = 20; // chargers on the page
const [OFTEN, SELDOM] = [1000, 5000]; // ms from one look at the chargers to the next

let page = 1;
let turn = 0;
let refreshing = null;
let runs = false; // a transaction does
let lost = null; // why, and since when
let ended = []; // chargers whose EVerest has ended

function say(text, bad = false) {
  $("connection").textContent = text;
  $("connection").className = bad ? "bad" : "good";
}

// What is wrong as a whole stands at the top. It is not told again while it stays the same.
function alarm() {
  const lines = [];
  if (lost) lines.push(["Connection lost", `${lost.why}. What is shown is of ${lost.since}, and commands reach no charger. Trying again every second; if khumbu sim has ended, start it again.`]);
  for (const { id, why } of ended) lines.push([`Charger ${id}: ${why}`, "It answers nothing any more. Start it again with restart_everest where khumbu sim runs, if it is the first charger; otherwise start khumbu sim again."]);
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
    const state = await (await ask(`state?page=${page}&limit=${PAGE}`)).json();
    // An answer that was overtaken is old.
    if (mine === turn) show(state);
  } catch (error) {
    // The stream tells of a lost connection.
    if (error.name !== "AbortError" && !(error instanceof Lost)) say(error.message, true);
  }
}

function show({ data, total }) {
  const first = (page - 1) * PAGE;
  $("range").textContent = `${Math.min(first + 1, total)}–${first + data.length} of ${total}`;
  $("previous").disabled = page === 1;
  $("next").disabled = first + data.length >= total;
  $("pages").hidden = total <= PAGE && page === 1;
  runs = data.some((it) => it.charge_point?.connectors.some((connector) => connector.transaction));
  ended = data.filter((it) => it.ended).map((it) => ({ id: it.charger.id, why: it.ended }));
  alarm();
  showChargers(data, soon);
  const ids = data.map((it) => it.charger.id);
  commands.targets(ids, [...new Set(data.map((it) => it.charger.location_id).filter(Boolean))]);
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
  $("main").hidden = $("sign-out").hidden = !known;
  $("sign-in").hidden = known;
  if (!known) return begin();
  listen();
  commands.describe(soon).catch((error) => { if (error.name !== "AbortError") isConnected("lost", error); });
}

function signOut(why) {
  setToken("");
  diagram.clear();
  plots.forget();
  $("chargers").replaceChildren();
  $("answer").replaceChildren();
  [lost, ended] = [null, []];
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
$("previous").addEventListener("click", () => { page -= 1; soon(); });
$("next").addEventListener("click", () => { page += 1; soon(); });
$("heartbeats").addEventListener("change", () => { listen(); diagram.filterAll(); });
$("hide").addEventListener("change", () => {
  diagram.redraw();
  commands.hideTags();
  for (const it of document.querySelectorAll("article .result")) it.replaceChildren();
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
