// Elements of the page. Whatever comes in is shown as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";
const HIDDEN = "•••••";
const TAG = /^((parent_?)?id_?(tag|token)|granted_to|value)$/i;

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

// Id tags are hidden wherever their place tells them.

export const hides = () => $("hide").checked;
export const isTag = (name) => TAG.test(name);
export const shown = (tag) => (hides() ? HIDDEN : tag);

// A JSON text in one line or indented; what is none stays as it is.
export function redacted(text, indent) {
  try {
    const hide = (key, value) => (hides() && typeof value === "string" && isTag(key) ? HIDDEN : value);
    return JSON.stringify(JSON.parse(text, hide), null, indent);
  } catch {
    return shown(text);
  }
}

// The same of a value that is no text.
export const concealed = (value) => JSON.parse(redacted(JSON.stringify(value)));

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
