// The chargers as they are now. Nodes are kept and changed, so that the keyboard stays where it is.

import { $, element, from, hides, shown } from "./elements.js";
import { send } from "./commands.js";
import { plot } from "./plot.js";

export function showChargers(states, done) {
  const ids = states.map((it) => it.charger.id);
  for (const old of [...$("chargers").children]) if (!ids.includes(old.dataset.id)) old.remove();
  for (const it of states) showCharger(it, done);
}

function showCharger({ charger, tokens, charge_point: point, ended }, done) {
  let it = [...$("chargers").children].find((old) => old.dataset.id === charger.id);
  if (!it) {
    it = from("charger-template");
    it.dataset.id = charger.id;
    it.setAttribute("aria-label", `Charger ${charger.id}`);
    it.querySelector(".tag").value = tokens[0]?.id_tag ?? "";
    it.addEventListener("click", (event) => press(event, done));
    $("chargers").append(it);
  }
  const find = (selector) => it.querySelector(selector);
  find("h3").textContent = [charger.id, charger.identity, charger.name].filter((name, at, all) => name && all.indexOf(name) === at).join(" · ");
  find(".tag").type = hides() ? "password" : "text";
  const facts = [charger.ocpp_version, charger.location_id && `at ${charger.location_id}`];
  if (point) {
    facts.push(`CSMS ${point.csms_online ? "online" : "away"}`, `cache ${point.cached_tags}`);
    facts.push(`local list ${point.listed_tags} (version ${point.list_version})`);
  }
  find(".facts").textContent = facts.filter(Boolean).join(" · ");
  it.classList.toggle("ended", !point);
  find(".why").textContent = point ? "" : ended ?? "does not run any more";
  for (const one of it.querySelectorAll("[data-command]")) one.disabled = !point;
  const list = find(".connectors");
  for (const connector of point?.connectors ?? []) {
    let row = [...list.children].find((old) => old.dataset.evse === String(connector.evse_id));
    if (!row) {
      row = from("connector-template");
      row.dataset.evse = connector.evse_id;
      list.append(row);
    }
    showConnector(row, charger.id, connector);
  }
  find(".tokens").replaceChildren(...tokens.map((one) => element("li", {}, `${one.name}: ${shown(one.id_tag)}, ${one.verdict}`)));
}

function showConnector(row, charger, it) {
  const run = it.transaction;
  const tone = it.faulted ? "bad" : it.power_w ? "good" : "plain";
  const parts = [`EVSE ${it.evse_id}: `, element("strong", { class: `badge ${tone}` }, it.status)];
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
  const figure = plot(charger, it);
  row.querySelector(".plot-place").replaceChildren(...(figure ? [figure] : []));
}

async function press({ target: button }, done) {
  const path = button.dataset?.command;
  if (!path) return;
  const article = button.closest("article");
  const row = button.closest("[data-evse]");
  const event = {};
  if (path === "stop-transaction") event.transaction_id = row.dataset.transaction;
  else if (row) event.evse_id = Number(row.dataset.evse);
  if (path === "start-transaction" || path === "authorize-id-tag") event.id_tag = article.querySelector(".tag").value;
  if (path === "inject-fault") event.fault_type = "GroundFault";
  await send(article.querySelector(".result"), path, { charger_id: article.dataset.id }, event);
  done();
}
