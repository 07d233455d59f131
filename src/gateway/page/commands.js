// Commands: their forms are made from the gateway's own description (/openapi.json), so that there is no second list.

import { $, button, conceal, element, hides, isTag, options, redacted } from "./elements.js";
import { Refusal, ask } from "./gateway.js";

const PATH = "/ocpp/commands/";

let description = null;
let numbered = 0;
let current = null; // the fields of the command that is chosen

const schemaOf = (schema) => (schema.$ref ? description.components.schemas[schema.$ref.split("/").at(-1)] : schema);
const kindOf = (schema) => [schema.type].flat().find((it) => it !== "null");
const words = (name) => name.replaceAll("_", " ");

// Optional members have a schema that also takes null.
function plain(schema) {
  const own = schema.anyOf?.filter((it) => it.type !== "null");
  const whole = schemaOf(own?.length === 1 ? own[0] : schema);
  return { ...whole, description: schema.description ?? whole.description };
}

// Each field can be read, and takes the faults of what stands at or below its place.

function objectField(schema, loc) {
  const members = Object.entries(schema.properties ?? {}).filter(([, it]) => kindOf(it) !== "null");
  const required = schema.required ?? [];
  const fixed = members.filter(([, it]) => "const" in it).map(([name, it]) => [name, it.const]);
  const free = members.filter(([, it]) => !("const" in it)).sort(([one], [other]) => required.includes(other) - required.includes(one));
  const fields = free.map(([name, it]) => [name, field(name, plain(it), [...loc, name], required.includes(name))]);
  const read = () => {
    const entries = fields.map(([name, it]) => [name, it.read()]).filter(([, value]) => value !== undefined);
    return Object.fromEntries([...fixed, ...entries]);
  };
  return { nodes: fields.map(([, it]) => it.node), read, faults: (fault) => fields.some(([, it]) => it.faults(fault)) };
}

// One form of several, which a constant tells apart.
function choiceField(schema, loc) {
  const constant = (it) => Object.entries(it.properties ?? {}).find(([, member]) => "const" in member);
  const [name] = constant(schema.oneOf[0]);
  const box = element("div", { class: "fields" });
  const select = element("select", {}, ...schema.oneOf.map((it, at) => new Option(constant(it)[1].const, at)));
  let chosen;
  const choose = () => {
    chosen = objectField(schema.oneOf[select.value], loc);
    box.replaceChildren(...chosen.nodes);
  };
  select.addEventListener("change", choose);
  choose();
  const { node } = labelled(name, {}, select, true);
  return { nodes: [node, box], read: () => chosen.read(), faults: (fault) => chosen.faults(fault) };
}

function labelled(name, schema, control, required) {
  const id = `field-${(numbered += 1)}`;
  const error = element("p", { class: "error", id: `${id}-error`, hidden: true });
  control.id = id;
  control.setAttribute("aria-describedby", `${id}-error ${id}-hint`);
  if (required) control.setAttribute("aria-required", "true");
  const hint = element("span", { class: "facts", id: `${id}-hint` }, schema.description ?? "");
  const title = element("label", { for: id }, words(name), required ? element("span", { class: "required", title: "required" }, " *") : "");
  const node = element("div", { class: "field", "data-name": name }, title, control, error, hint);
  const say = (text) => {
    error.textContent = text;
    error.hidden = !text;
    if (text) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  };
  control.addEventListener("input", () => say(""));
  return { node, say };
}

const isBelow = (loc, fault) => loc.every((step, at) => String(fault.loc[at]) === String(step));
const inWords = (fault) => (hides() && isTag(String(fault.loc.at(-1))) ? "not valid" : conceal(fault.msg));

function simpleField(name, schema, loc, required) {
  const kind = kindOf(schema);
  const choices = schema.enum ?? (kind === "boolean" ? [true, false] : null);
  const isNumber = kind === "integer" || kind === "number";
  const isMoment = schema.format === "date-time";
  const isJson = !choices && (kind === "object" || kind === undefined);
  let control;
  if (choices) control = element("select", {}, ...(required ? [] : [new Option("–", "")]), ...choices.map((it) => new Option(it)));
  else if (isJson) control = element("textarea", { rows: 3, spellcheck: "false" }, "{}");
  else if (isNumber) control = element("input", { type: "number", min: schema.minimum, max: schema.maximum, step: kind === "integer" ? 1 : "any" });
  else if (isMoment) control = element("input", { type: "datetime-local", step: 1 });
  else control = element("input", { type: isTag(name) && hides() ? "password" : "text", autocomplete: "off", spellcheck: "false", placeholder: schema.examples?.[0], list: isTag(name) ? "tags" : undefined });
  if (isTag(name)) control.classList.add("is-tag");
  const { node, say } = labelled(name, schema, control, required);
  const read = () => {
    const text = control.value;
    // What the browser takes for no number reads as nothing.
    if (isNumber && control.validity.badInput) throw Object.assign(new Error("not a number"), { say });
    if (text === "") return undefined;
    if (isNumber) return Number(text);
    if (isMoment) return new Date(text).toISOString();
    if (kind === "boolean") return text === "true";
    if (!isJson) return text;
    try {
      return JSON.parse(text);
    } catch (error) {
      throw Object.assign(new Error(`no JSON: ${error.message}`), { say });
    }
  };
  const faults = (fault) => {
    if (!isBelow(loc, fault)) return false;
    say(inWords(fault));
    control.focus();
    return true;
  };
  return { node, read, faults, say };
}

function nameOf(key) {
  const name = key.read();
  if (name === undefined) throw Object.assign(new Error("Field required"), { say: key.say });
  return name;
}

// Rows that can be added and removed: elements of a list, or members of an object with any names.
function rowsField(name, schema, loc, required) {
  const isList = kindOf(schema) === "array";
  const inner = schemaOf(isList ? schema.items : schema.additionalProperties);
  const list = element("div", { class: "rows" });
  const error = element("p", { class: "error", hidden: true, role: "alert" });
  let rows = [];
  const add = () => {
    const at = () => rows.indexOf(row);
    const key = isList ? null : simpleField("key", { type: "string" }, [...loc, " key"], true);
    const value = inner.properties ? objectField(inner, []) : simpleField("value", inner, [], true);
    const remove = button("Remove", () => {
      rows = rows.filter((it) => it !== row);
      row.node.remove();
      more.focus();
    });
    const node = element("div", { class: "row", role: "group", "aria-label": words(name) }, ...(key ? [key.node] : []), ...(value.nodes ?? [value.node]), remove);
    const faults = (fault) => {
      const step = isList ? at() : key.read();
      return isBelow([...loc, step], fault) && value.faults({ ...fault, loc: fault.loc.slice(loc.length + 1) });
    };
    const row = { node, faults, read: () => (isList ? value.read() : [nameOf(key), value.read() ?? ""]) };
    rows.push(row);
    list.append(node);
    return node;
  };
  const more = button("Add", () => add().querySelector("input, select")?.focus());
  if (required) add();
  const legend = element("legend", {}, words(name), required ? element("span", { class: "required", title: "required" }, " *") : "");
  const node = element("fieldset", { "data-name": name }, legend, element("span", { class: "facts" }, schema.description ?? ""), list, more, error);
  const read = () => {
    error.hidden = true;
    const values = rows.map((row) => row.read());
    return isList ? values : Object.fromEntries(values);
  };
  const faults = (fault) => {
    if (!isBelow(loc, fault)) return false;
    if (!rows.some((row) => row.faults(fault))) {
      error.textContent = fault.msg;
      error.hidden = false;
    }
    return true;
  };
  return { node, read, faults };
}

function field(name, schema, loc, required) {
  const isMap = kindOf(schema) === "object" && typeof schema.additionalProperties === "object";
  return kindOf(schema) === "array" || isMap ? rowsField(name, schema, loc, required) : simpleField(name, schema, loc, required);
}

// What came of a command, in the place of what came of the one before.

function result(place, title, answer) {
  const failed = answer.failed ?? [];
  const { targeted_count: all, queued_count: done } = answer;
  const outcome = all === undefined ? answer.message ?? answer.status ?? "done" : all === 1 ? (done ? "done" : "not done") : `done at ${done} of ${all} chargers`;
  const isBad = failed.length > 0 || /^(rejected|failed)$/i.test(answer.status ?? "");
  const raw = element("details", {}, element("summary", {}, "Answer"), element("pre", {}, redacted(JSON.stringify(answer), 2)));
  const whys = failed.map((it) => element("li", {}, conceal(`${it.identity}: ${it.error}`)));
  place.replaceChildren(element("p", {}, `${title}: ${outcome}`), ...(whys.length ? [element("ul", {}, ...whys)] : []), raw);
  place.className = `result ${isBad ? "bad" : "good"}`;
}

function failure(place, title, text) {
  place.replaceChildren(element("p", {}, conceal(`${title}: ${text}`)));
  place.className = "result bad";
}

export const summaryOf = (path) => description?.paths[PATH + path]?.post.summary ?? path;

// Sends a command; what comes of it stands at `place`. The faults that were not placed at fields stand there, too.
export async function send(place, path, target, event, faults = () => false) {
  const title = summaryOf(path);
  try {
    result(place, title, await (await ask(`ocpp/commands/${path}`, { target, event })).json());
  } catch (error) {
    if (error.name === "AbortError") return;
    const unplaced = error instanceof Refusal ? error.faults.filter((fault) => !faults(fault)) : [];
    const isPlaced = error instanceof Refusal && error.faults.length > unplaced.length;
    failure(place, title, isPlaced && !unplaced.length ? "not sent to a charger; see the field that is marked" : unplaced.map((it) => `${it.loc.join(".")}: ${inWords(it)}`).join("; ") || error.message);
  }
}

// The form of the command that is chosen.
function choose() {
  const path = $("name").value;
  const { post } = description.paths[PATH + path];
  const { properties } = post.requestBody.content["application/json"].schema;
  const event = schemaOf(properties.event);
  current = event.oneOf ? choiceField(event, ["body", "event"]) : objectField(event, ["body", "event"]);
  $("fields").replaceChildren(...current.nodes);
  $("answer").replaceChildren();
  // A location is a target for some commands only.
  const takesLocation = Boolean(schemaOf(properties.target).oneOf);
  for (const it of $("target").options) it.disabled = !takesLocation && it.value.startsWith("location ");
  if ($("target").selectedOptions[0]?.disabled) $("target").selectedIndex = 0;
}

export async function describe(done) {
  description = await (await ask("openapi.json")).json();
  const paths = Object.keys(description.paths).filter((it) => it.startsWith(PATH));
  options($("name"), paths.map((it) => [it.slice(PATH.length), description.paths[it].post.summary]));
  if ([...$("name").options].some((it) => it.value === "start-session")) $("name").value = "start-session";
  choose();
  done();
}

export function targets(chargers, locations) {
  const before = $("target").options.length;
  options($("target"), [...chargers.map((id) => [`charger ${id}`]), ...locations.map((id) => [`location ${id}`])]);
  if (description && !before) choose();
  else if (description) {
    const takesLocation = Boolean(schemaOf(description.paths[PATH + $("name").value].post.requestBody.content["application/json"].schema.properties.target).oneOf);
    for (const it of $("target").options) it.disabled = !takesLocation && it.value.startsWith("location ");
  }
}

// Makes this charger the target, for whoever wants more than its buttons.
export function aim(id) {
  $("target").value = `charger ${id}`;
  $("name").focus();
}

// Texts of tags are shown or hidden in fields, too.
export function hideTags() {
  for (const it of document.querySelectorAll("#fields .is-tag")) if (it.tagName === "INPUT") it.type = hides() ? "password" : "text";
  $("answer").replaceChildren();
}

export function prepare(done) {
  $("name").addEventListener("change", choose);
  $("command").addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const path = $("name").value;
    for (const it of $("fields").querySelectorAll(".error")) it.hidden = true;
    for (const it of $("fields").querySelectorAll("[aria-invalid]")) it.removeAttribute("aria-invalid");
    const [, kind, id] = $("target").value.match(/^(\w+) (.*)$/s) ?? [];
    let event;
    try {
      event = current.read();
    } catch (error) {
      error.say?.(error.message);
      return failure($("answer"), summaryOf(path), "not sent; see the field that is marked");
    }
    await send($("answer"), path, { [`${kind}_id`]: id }, event, (fault) => current.faults(fault));
    done();
  });
}
