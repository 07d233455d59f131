// The chargers as they are now. Nodes are kept and changed, so that the keyboard stays where it is.

import { $, conceal, element, from, hides, options, shown } from "./elements.js";
import { aim, send } from "./commands.js";
import { plot } from "./plot.js";

const FEW = 4; // chargers that are all unfolded

// How the connectors are, in the words of their filter.
const statesOf = ({ charge_point: point }) => (point ? point.connectors.map((it) => it.status) : ["ended"]);

export function showChargers(states, done) {
  const ids = states.map((it) => it.charger.id);
  for (const old of [...$("chargers").children]) if (!ids.includes(old.dataset.id)) old.remove();
  states.forEach((it, at) => {
    const article = $("chargers").querySelector(`:scope > [data-id="${CSS.escape(it.charger.id)}"]`) ?? made(it, states.length <= FEW, done);
    if ($("chargers").children[at] !== article) $("chargers").insertBefore(article, $("chargers").children[at] ?? null);
    showCharger(article, it);
  });
  const found = [...new Set(states.flatMap(statesOf))].sort();
  options($("state"), [["", "all"], ...found.map((it) => [it])]);
  filterStates();
}

// Shows the chargers with a connector in the state that is chosen.
export function filterStates() {
  const wanted = $("state").value;
  for (const it of $("chargers").children) it.hidden = Boolean(wanted) && !it.dataset.states.split(" ").includes(wanted);
}

function made({ charger, tokens }, isOpen, done) {
  const it = from("charger-template");
  it.dataset.id = charger.id;
  it.setAttribute("aria-label", `Charger ${charger.id}`);
  it.querySelector("details").open = isOpen;
  it.querySelector(".tag").value = tokens[0]?.id_tag ?? "";
  it.addEventListener("click", (event) => press(event, done));
  return it;
}

function showCharger(it, state) {
  const { charger, tokens, charge_point: point, ended } = state;
  it.dataset.states = statesOf(state).join(" ");
  const find = (selector) => it.querySelector(selector);
  const names = [charger.id, charger.identity, charger.name].filter((name, at, all) => name && all.indexOf(name) === at);
  find("h3").replaceChildren(names[0], element("span", {}, names.slice(1).map((name) => ` · ${name}`).join("")));
  find("h3").title = names.join(" · ");
  find(".tag").type = hides() ? "password" : "text";
  const facts = [charger.ocpp_version, charger.location_id && `at ${charger.location_id}`];
  if (point) {
    facts.push(`CSMS ${point.csms_online ? "online" : "away"}`, `cache ${point.cached_tags}`);
    facts.push(`local list ${point.listed_tags} (version ${point.list_version})`);
  }
  find(".facts").textContent = facts.filter(Boolean).join(" · ");
  it.classList.toggle("ended", !point);
  find(".why").textContent = point ? "" : conceal(ended ?? "does not run any more");
  for (const one of it.querySelectorAll("[data-command]")) one.disabled = !point;
  const glance = point?.connectors.map((one) => element("span", {}, `${one.evse_id} `, badge(one), one.power_w ? ` ${one.power_w}\u00a0W` : ""));
  find(".glance").replaceChildren(...(glance ?? [element("strong", { class: "badge bad" }, "ended")]));
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
  find(".tokens").replaceChildren(...tokens.map((one) => element("li", {}, `${one.name}: ${shown(one.id_tag)}, ${one.verdict}`)));
}

const badge = (it) => element("strong", { class: `badge ${it.faulted ? "bad" : it.power_w ? "good" : "plain"}` }, it.status);

function showConnector(row, it) {
  const run = it.transaction;
  const parts = [`EVSE ${it.evse_id}: `, badge(it)];
  parts.push(it.plugged_in ? ", plugged in" : ", not plugged in");
  if (it.faulted) parts.push(`, fault ${it.fault ?? "unknown"}`);
  if (it.granted_to !== null && !run) parts.push(`, granted to ${shown(it.granted_to)}`);
  if (run) parts.push(`, transaction ${run.id} of ${shown(run.id_tag)}, ${run.energy_wh}\u00a0Wh in ${run.seconds} s`);
  parts.push(`, ${it.power_w}\u00a0W, meter ${it.meter_wh}\u00a0Wh`);
  row.querySelector(".state").replaceChildren(...parts);
  row.dataset.transaction = run?.id ?? "";
  const [plug, start, energy, fault] = row.querySelectorAll("button");
  const set = (button, name, text) => Object.assign(button, { textContent: text }).dataset.command = name;
  set(plug, it.plugged_in ? "unplug-connector" : "plug-connector", it.plugged_in ? "Unplug" : "Plug in");
  set(start, run ? "stop-transaction" : "start-transaction", run ? "Stop" : "Start");
  const full = it.status === "SuspendedEV";
  set(energy, full ? "ev-requests-energy" : "ev-stops-energy", full ? "Resume EV" : "Suspend EV");
  start.disabled = !run && (!it.plugged_in || it.faulted);
  energy.disabled = !run;
  set(fault, it.faulted ? "clear-fault" : "inject-fault", it.faulted ? "Clear fault" : "Inject fault");
  const figure = plot(it.course);
  row.querySelector(".plot-place").replaceChildren(...(figure ? [figure] : []));
}

async function press({ target: button }, done) {
  const article = button.closest("article");
  if (button.classList.contains("more")) return aim(article.dataset.id);
  const path = button.dataset?.command;
  if (!path) return;
  const row = button.closest("[data-evse]");
  const event = {};
  if (path === "stop-transaction") event.transaction_id = row.dataset.transaction;
  else if (row) event.evse_id = Number(row.dataset.evse);
  if (path === "start-transaction" || path === "authorize-id-tag") event.id_tag = article.querySelector(".tag").value;
  if (path === "inject-fault") event.fault_type = "GroundFault";
  await send(article.querySelector(".result"), path, { charger_id: article.dataset.id }, event);
  done();
}
