/**
 * Khumbu from Node: stations of EVerest to test a client of its API against, step by step, with `node:test` or any other runner.
 *
 *     test("a driver can take it back", withStation({ evses: 2 }, async (t, station) => {
 *       const display = await Display.connect(station.host, station.port);
 *       await station.plug_in(1);
 *       display.withdraw(1);
 *       await station.expect({ message: "withdraw_authorization", payload: { payload: { evse_id: 1 } } });
 *       await station.expect_reply("AuthorizationNotFound");
 *     }));
 *
 * Every step of the scenario language is a method of a station; which there are, and what they take, khumbu itself says.
 */

import { AssertionError } from "node:assert";
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROTOCOL = 1;
const NOT_MET = 1;

/**
 * @typedef {object} Finding what khumbu has found, as in the JSON report of a run
 * @property {string} id such as `expect/missing`
 * @property {"note" | "warning" | "inconclusive" | "fail" | "error"} severity
 * @property {string} message one line
 * @property {string | null} requirement the requirement that was broken
 * @property {string[]} evidence
 * @property {string | null} help
 *
 * @typedef {object} Message a message that met a step
 * @property {"module" | "khumbu"} from
 * @property {string} name what it is
 * @property {string} topic
 * @property {any} payload a text if it is no JSON
 * @property {0 | 1 | 2} qos
 * @property {boolean} retain
 *
 * @typedef {object} Met what has met a step
 * @property {Message[]} messages in their order
 * @property {Record<string, any>} captured what its patterns have captured
 *
 * @typedef {object} Verdict what came of a station
 * @property {"pass" | "fail" | "inconclusive" | "error" | "not_applicable"} verdict
 * @property {string} text what khumbu prints of all findings
 * @property {{failures: Finding[], notes: Finding[]} & Record<string, any>} result as in the JSON report of a run
 * @property {string} scenario all steps as a scenario file, which `khumbu run` plays again
 * @property {string} [recording] what passed the broker, where `record` was wanted
 */

/** A request came to nothing: it makes no sense, or there is no such session any more. */
export class KhumbuError extends Error {
  /** @param {{code?: number, message: string, data?: {id: string, text: string, findings: Finding[]}}} error */
  constructor(error) {
    super((error.data?.text ?? error.message).trimEnd());
    this.name = "KhumbuError";
    this.code = error.code;
    this.id = error.data?.id;
    this.findings = error.data?.findings ?? [];
  }
}

/** A step was not met, or the module under test was not ready. The message is khumbu's own text. */
export class StepFailed extends AssertionError {
  /** @param {{message: string, data: {id: string, text: string, findings: Finding[]}}} error */
  constructor(error) {
    super({ message: error.data.text.trimEnd() });
    this.name = "StepFailed";
    this.id = error.data.id;
    // What the message says already is not printed twice.
    Object.defineProperty(this, "findings", { value: error.data.findings });
    this.requirement = error.data.findings[0]?.requirement ?? null;
  }
}

/** The path of khumbu: what is named, else `KHUMBU` of the environment, else in this package, else on `PATH`. */
export function findBinary(named = process.env.KHUMBU) {
  if (named) return named;
  const own = fileURLToPath(new URL("bin/khumbu", import.meta.url));
  return existsSync(own) ? own : "khumbu";
}

/** A khumbu that serves. Several stations may be open at once. It keeps no process alive that has nothing else to do. */
export class Server {
  #child;
  #waiting = new Map();
  #last = 0;
  #ended = null;

  /** @param {string} [binary] */
  constructor(binary) {
    const path = findBinary(binary);
    this.#child = spawn(path, ["serve", "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
    this.#child.on("error", (error) => this.#end(`khumbu cannot be started: ${path}: ${error.message}`));
    this.#child.stdin.on("error", () => {}); // Its end is told by the other pipe.
    const lines = createInterface({ input: this.#child.stdout });
    lines.on("line", (line) => this.#answered(JSON.parse(line)));
    lines.on("close", () => this.#end("khumbu has ended"));
    this.#rest();
  }

  /** @param {string} [binary] */
  static async start(binary) {
    const server = new Server(binary);
    const { khumbu, steps, station, open } = await server.call("initialize", { protocol: PROTOCOL });
    return Object.assign(server, { version: khumbu, steps, keys: { station: new Set(station), open: new Set(open) } });
  }

  /** What khumbu answers. Rejects with `StepFailed` where a step is not met, and with `KhumbuError` where the request came to nothing. */
  call(method, params = {}) {
    if (this.#ended) return Promise.reject(new KhumbuError({ message: this.#ended }));
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.ref();
      this.#child.stdout.ref();
      this.#child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`);
    });
  }

  /**
   * A station. `head` is what a scenario file has besides its steps; keys of the station, such as `evses`, may stand there as well.
   * @param {Record<string, any>} [head]
   * @returns {Promise<Station & Record<string, (...values: any[]) => Promise<Met>>>}
   */
  async open({ station = {}, ...head } = {}) {
    const own = Object.keys(head).filter((key) => this.keys.station.has(key) && !this.keys.open.has(key));
    const full = { ...station, ...Object.fromEntries(own.map((key) => [key, head[key]])) };
    for (const key of own) delete head[key];
    const opened = await this.call("open", Object.keys(full).length ? { ...head, station: full } : head);
    return withSteps(new Station(this, opened), this.steps);
  }

  /** Ends khumbu, and every station with it. */
  close() {
    const closed = this.#ended ? Promise.resolve() : new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.ref();
    this.#child.stdin.end();
    return closed;
  }

  #answered({ id, result, error }) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (!error) waiting?.resolve(result);
    else waiting?.reject(error.code === NOT_MET ? new StepFailed(error) : new KhumbuError(error));
    this.#rest();
  }

  #rest() {
    if (this.#waiting.size > 0) return;
    this.#child.unref();
    this.#child.stdout.unref();
    this.#child.stdin.unref();
  }

  #end(why) {
    this.#ended ??= why;
    for (const { reject } of this.#waiting.values()) reject(new KhumbuError({ message: this.#ended }));
    this.#waiting.clear();
  }
}

/**
 * A station of EVerest on a broker of its own. Every step of the scenario language is a method: `station.plug_in({ evse: 1 })` is
 * the step `plug_in: {evse: 1}`, and so is `station.plug_in(1)`: what stands before the mapping are the keys that the step must have.
 */
export class Station {
  #server;
  #session;
  #verdict;

  constructor(server, { session, ...opened }) {
    this.#server = server;
    this.#session = session;
    /** @type {string} */ this.host = opened.host;
    /** @type {number} */ this.port = opened.port;
    /** @type {string} */ this.api = opened.api;
    /** @type {string} */ this.module_id = opened.module_id;
    /** @type {string} */ this.api_version = opened.api_version;
    /** @type {string} */ this.external_prefix = opened.external_prefix;
    /** @type {string} */ this.release = opened.release;
    /** What EVerest publishes below, what it reads, and orders. @type {{e2m: string, m2e: string, control: string}} */
    this.topics = opened.topics;
    /** What a module that is started as a process should find. @type {Record<string, string>} */
    this.environment = opened.environment;
  }

  /** Waits until the module under test is ready. The first step does so as well. */
  async ready() {
    await this.#server.call("ready", { session: this.#session });
  }

  /**
   * Plays a step, as it would stand in a file: a mapping with one key, or a name.
   * @param {Record<string, any> | string} step
   * @returns {Promise<Met>}
   */
  step(step) {
    return this.#server.call("step", { session: this.#session, step });
  }

  /** Ends the session; the verdict with all that monitors have found. Another time it is the same. @returns {Promise<Verdict>} */
  close() {
    this.#verdict ??= this.#server.call("close", { session: this.#session });
    return this.#verdict;
  }
}

function withSteps(station, steps) {
  return new Proxy(station, {
    get(target, name) {
      if (typeof name === "string" && Object.hasOwn(steps, name)) {
        return async function play(...values) {
          // Where the test stands, and not where the answer came.
          const here = {};
          Error.captureStackTrace(here, play);
          try {
            return await target.step(written(name, steps[name], values));
          } catch (error) {
            error.stack = `${error.name}: ${error.message}\n${here.stack.replace(/^.*\n/, "")}`;
            throw error;
          }
        };
      }
      const value = target[name];
      return typeof value === "function" ? value.bind(target) : value;
    },
    has: (target, name) => name in target || Object.hasOwn(steps, name),
  });
}

/** A step as it would stand in a file. What it takes khumbu has said: nothing, a mapping with these keys, or any value. */
function written(name, takes, values) {
  if (takes === null) {
    if (values.length > 0) throw new TypeError(`the step \`${name}\` takes nothing`);
    return name;
  }
  if (takes === "value") {
    if (values.length !== 1) throw new TypeError(`the step \`${name}\` takes one value`);
    return { [name]: values[0] };
  }
  const last = values.at(-1);
  const named = typeof last === "object" && last !== null && !Array.isArray(last) ? values.pop() : {};
  if (values.length > takes.length) {
    const before = takes.length ? `\`${takes.join("`, `")}\`` : "nothing";
    throw new TypeError(`the step \`${name}\` takes ${before} before a mapping with all else`);
  }
  return { [name]: { ...Object.fromEntries(values.map((value, index) => [takes[index], value])), ...named } };
}

let shared;

/**
 * A test with a station: `test(name, withStation(head, async (t, station) => { … }))`. Whatever the module under test gets wrong until
 * the body ends fails the test, whether or not a step has asked for it. One khumbu serves all tests of a process.
 * @param {Record<string, any>} head
 * @param {(t: any, station: any) => Promise<void> | void} body
 */
export function withStation(head, body) {
  return async (t) => {
    shared ??= Server.start();
    const station = await (await shared).open({ name: t.name, ...head });
    try {
      await body(t, station);
    } catch (error) {
      // What is on its way already is not hidden.
      const { failures } = (await station.close()).result;
      const told = (error.findings ?? []).map((found) => `${found.id}:${found.line}`);
      const news = failures.filter((found) => !told.includes(`${found.id}:${found.line}`));
      for (const { severity, id, message } of news) t.diagnostic?.(`khumbu has found as well: ${severity}[${id}]: ${message}`);
      throw error;
    }
    const { verdict, text } = await station.close();
    if (["fail", "error"].includes(verdict)) throw new AssertionError({ message: text.trimEnd() });
    if (verdict === "inconclusive") t.diagnostic?.(text.trimEnd());
  };
}

/**
 * Makes a test of each scenario file in a directory and below: `scenarios(test, "scenarios", { module: "node display.mjs" })`. Without
 * a module, `khumbu.yaml` of the working directory has to name one.
 * @param {(name: string, body: (t: any) => Promise<void>) => any} test
 * @param {string} directory
 * @param {{module?: string, binary?: string}} [options]
 */
export async function scenarios(test, directory, { module, binary } = {}) {
  if (!module && !existsSync("khumbu.yaml")) {
    throw new TypeError("scenario files need a module under test: name `module`, or write khumbu.yaml");
  }
  const files = (await readdir(directory, { recursive: true })).filter((file) => /\.ya?ml$/.test(file)).sort();
  for (const file of files.map((file) => join(directory, file))) {
    test(file, async (t) => {
      const command = ["run", file, "--json", "-", ...(module ? ["--module", module] : [])];
      const { error, stdout, stderr } = await new Promise((resolve) =>
        execFile(findBinary(binary), command, (error, stdout, stderr) => resolve({ error, stdout, stderr })),
      );
      if (error) throw new AssertionError({ message: stderr.trim() || error.message });
      const results = JSON.parse(stdout).scenarios;
      if (results.every(({ verdict }) => verdict === "not_applicable")) {
        t.skip(results.flatMap(({ notes }) => notes.map(({ message }) => message)).join("; "));
      }
    });
  }
}
