#!/usr/bin/env node
// A backend that says who may charge: a client of EVerest's auth_token_validator API.
//
// It knows the tokens of a JSON file: an object with a ValidationResult for each value of a token. Lines on standard
// input are `set_verdict {"token": …, "validation": …}`, EVerest's ProvidedIdToken and ValidationResult, and
// `update_verdict …`, a ValidationResultUpdate, for when a verdict changes while somebody charges.
//
// Needs MQTT.js: npm install mqtt

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import mqtt from "mqtt";

const CHECK_EVERY_MS = 2000; // EVerest gives a client up that says nothing for 5 s, if it is not configured otherwise.

const { env } = process;
const { values: given } = parseArgs({
  options: {
    host: { type: "string", default: env.MQTT_SERVER_ADDRESS ?? "localhost" },
    port: { type: "string", default: env.MQTT_SERVER_PORT ?? "1883" },
    "module-id": { type: "string", default: env.KHUMBU_MODULE_ID ?? "auth_api" },
    "api-version": { type: "string", default: env.KHUMBU_API_VERSION ?? "1" },
    "external-prefix": { type: "string", default: env.EV_MQTT_EXTERNAL_PREFIX ?? "" },
    tokens: { type: "string" },
  },
});
const prefix = given["external-prefix"]; // Stands before every topic, but not in `replyTo`.
const base = `${prefix}everest_api/${given["api-version"]}/auth_token_validator/${given["module-id"]}`;
const known = new Map(given.tokens ? Object.entries(JSON.parse(readFileSync(given.tokens, "utf8"))) : []);

const client = mqtt.connect({
  host: given.host,
  port: Number(given.port),
  keepalive: 20,
  reconnectPeriod: 1000,
  reconnectOnConnackError: true, // A broker that refuses now may take us later.
  resubscribe: false, // Done below.
});
client.on("connect", () => {
  // Again after each lost connection: this client has no session that the broker would keep.
  client.subscribe([`${base}/e2m/heartbeat`, `${base}/e2m/validate_token`], { qos: 1 });
  check(true);
});
client.on("error", (error) => console.log("not connected:", error.message));
client.on("message", (topic, payload) => {
  if (topic !== `${base}/e2m/validate_token`) return;
  let replyTo, token;
  try {
    const question = JSON.parse(payload);
    replyTo = question.headers.replyTo;
    token = question.payload.id_token.value;
  } catch {
    console.log("not a question:", topic);
    return;
  }
  if (typeof replyTo !== "string" || !replyTo || /[+#]/.test(replyTo)) {
    console.log("a question without a topic for its answer");
    return;
  }
  const { after_ms: delay, ...verdict } = known.get(token) ?? { authorization_status: "Unknown" };
  // The bare result, on the topic that the question names. EVerest reads none without `tariff_messages`.
  const answer = JSON.stringify({ tariff_messages: [], ...verdict });
  // A backend far away takes its time.
  setTimeout(() => client.publish(prefix + replyTo, answer, { qos: 1 }), delay ?? 0);
});

setInterval(() => check(true), CHECK_EVERY_MS);
process.on("SIGTERM", stop);
process.on("SIGINT", stop);

createInterface({ input: process.stdin }).on("line", (line) => {
  const [, command, argument] = line.trim().match(/^(\S*)\s*(.*)$/);
  try {
    if (command === "set_verdict") {
      const { token, validation } = JSON.parse(argument);
      known.set(token.id_token.value, validation);
    } else if (command === "update_verdict") {
      const update = JSON.stringify(JSON.parse(argument));
      client.publish(`${base}/m2e/validate_result_update`, update, { qos: 1 });
    } else if (command) {
      console.log("unknown command:", command);
    }
  } catch (error) {
    console.log("not JSON:", error.message);
  }
});

function check(isThere) {
  if (client.connected) client.publish(`${base}/m2e/communication_check`, `${isThere}`, { qos: 1 });
}

function stop() {
  // Not heard of for a while is an alarm; gone on purpose is none.
  check(false);
  client.end(false, () => process.exit(0));
}
