// Elements of the page. Whatever comes in is shown as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";
const HIDDEN = "•••••";
const TAG = /^((parent_?)?id_?(tag|token)|granted_to)$/i;
const MOST = 2000; // tags that are remembered
const SHORT = 4; // characters; a tag of fewer is hidden only where it stands alone

export const $ = (id) => document.getElementById(id);

export const from = (template) => $(template).content.firstElementChild.cloneNode(true);

// An element with attributes; texts and elements go into it.
export function element(name, attributes = {}, ...inside) {
  const it = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined && value !== false) it.setAttribute(key, value === true ? "" : value);
  it.append(...inside);
  return it;
}

export function picture(name, attributes = {}, ...inside) {
  const it = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) it.setAttribute(key, value);
  it.append(...inside);
  return it;
}

export const counted = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

export function button(text, press, attributes = {}) {
  const it = element("button", { type: "button", ...attributes }, text);
  it.addEventListener("click", press);
  return it;
}

export function options(select, values) {
  if ([...select.options].map((it) => it.value).join("\n") === values.map(([value]) => value).join("\n")) return;
  const before = select.value;
  select.replaceChildren(...values.map(([value, text]) => new Option(text ?? value, value)));
  if (values.some(([value]) => value === before)) select.value = before;
}

// Id tags are hidden where their place tells them, and those that were seen there or that a station has, in every other
// text, too: in topics, reply topics and errors.

const known = new Set();
let pattern = null; // of all that are known
let learnt = 0; // how many there were

export const hides = () => $("hide").checked;
export const isTag = (name) => TAG.test(name);
export const shown = (tag) => (hides() ? HIDDEN : tag);
export const learntTags = () => learnt;

export function know(tag) {
  if (typeof tag !== "string" || !tag.trim() || known.has(tag.toLowerCase())) return;
  known.add(tag.toLowerCase());
  if (known.size > MOST) known.delete(known.values().next().value);
  pattern = null;
  learnt += 1;
}

// A text without the tags that are known.
export function conceal(text) {
  if (!hides() || !known.size) return text;
  const escaped = (tag) => tag.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const alone = (tag) => (tag.length < SHORT ? `(?<![\\p{L}\\p{N}])${escaped(tag)}(?![\\p{L}\\p{N}])` : escaped(tag));
  pattern ??= new RegExp([...known].sort((a, b) => b.length - a.length).map(alone).join("|"), "giu");
  return text.replace(pattern, HIDDEN);
}

// Calls `tag` with each text of a value that is one, and `other` with the rest; a value like it of what they return. What
// is on a token is its `value`, as much else is called that is none.
function walk(value, tag, other, isHere = false, isInToken = false) {
  if (typeof value === "string") return isHere ? tag(value) : other(value);
  if (Array.isArray(value)) return value.map((it) => walk(it, tag, other, isHere, isInToken));
  if (value === null || typeof value !== "object") return value;
  const isOfToken = isInToken || isHere;
  const isValue = (key) => key === "value" && (isOfToken || typeof value.type === "string");
  return Object.fromEntries(Object.entries(value).map(([key, it]) => [other(key), walk(it, tag, other, isTag(key) || isValue(key), isOfToken)]));
}

// Whatever is a tag in a JSON text is known from now on.
export function learn(text) {
  try {
    walk(JSON.parse(text), know, (it) => it);
  } catch {
    // What is no JSON names nothing.
  }
}

// A JSON text in one line or indented; what is none stays as it is.
export function redacted(text, indent) {
  try {
    const value = JSON.parse(text);
    return JSON.stringify(hides() ? concealed(value) : value, null, indent);
  } catch {
    return shown(text);
  }
}

// The same of a value that is no text.
export const concealed = (value) => (hides() ? walk(value, () => HIDDEN, conceal) : value);

export async function copy(text, said, source) {
  try {
    await navigator.clipboard.writeText(text);
    said.textContent = "Copied";
  } catch {
    // Browsers give the clipboard to pages of this machine and of HTTPS only.
    getSelection().selectAllChildren(source);
    said.textContent = "Selected; the browser does not let this page copy";
  }
}
