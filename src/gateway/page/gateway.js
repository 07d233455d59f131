// The gateway: requests with the token, and what passes.

const KEY = "khumbu-token";
const PATIENCE = 40_000; // the gateway sends something every 15 s
const AGAIN = 1000;

let token = sessionStorage.getItem(KEY) ?? "";
let stop = new AbortController();

export const hasToken = () => token !== "";

export function setToken(text) {
  token = text;
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}

// What the gateway says is wrong; of a body, where.
export class Refusal extends Error {
  constructor(status, detail) {
    const faults = Array.isArray(detail) ? detail : [];
    super(faults.length ? faults.map((it) => `${it.loc.join(".")}: ${it.msg}`).join("; ") : String(detail));
    Object.assign(this, { status, faults });
  }
}

export class Lost extends Error {}

export async function ask(path, body, signal = stop.signal) {
  const headers = { authorization: `Bearer ${token}` };
  if (body) headers["content-type"] = "application/json";
  const request = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal, cache: "no-store" };
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Lost("the gateway does not answer");
  }
  if (response.ok) return response;
  const { detail } = await response.json().catch(() => ({ detail: response.statusText }));
  throw new Refusal(response.status, detail);
}

// Ends what was begun before.
export function begin() {
  stop.abort();
  stop = new AbortController();
  return stop.signal;
}

// Hands over what passes until the signal; `is` hears how the connection is.
export async function watch(signal, query, { take, is }) {
  while (!signal.aborted) {
    const silence = new AbortController();
    let timer;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), PATIENCE);
    };
    try {
      heard();
      const response = await ask(`events?${query}`, undefined, AbortSignal.any([signal, silence.signal]));
      is("connected");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        heard();
        const events = (rest + part.value).split("\n\n");
        rest = events.pop();
        for (const text of events) if (text.startsWith("data: ")) take(JSON.parse(text.slice(6)));
      }
      is("lost", new Lost("the gateway has ended the connection"));
    } catch (error) {
      if (signal.aborted) return;
      is("lost", error instanceof Refusal || error instanceof Lost ? error : new Lost("the connection broke"));
    } finally {
      clearTimeout(timer);
    }
    await new Promise((done) => setTimeout(done, AGAIN));
  }
}
