#!/usr/bin/env node
// A display: a client of EVerest's auth_consumer API.
//
// It prints each token validation status, and tells EVerest every two seconds that it is there. Lines on standard input
// are requests: `withdraw {"evse_id": 1}`, `withdraw {}` for whatever is authorized, `get_status`, `discover`.
//
// Needs MQTT.js: npm install mqtt

import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import mqtt from "mqtt";

const CHECK_EVERY_MS = 2000; // EVerest gives a client up that says nothing for 5 s, if it is not configured otherwise.
const REPLY_WITHIN_MS = 5000; // EVerest may never answer.

const { env } = process;
const { values: given } = parseArgs({
  options: {
    host: { type: "string", default: env.MQTT_SERVER_ADDRESS ?? "localhost" },
    port: { type: "string", default: env.MQTT_SERVER_PORT ?? "1883" },
    "module-id": { type: "string", default: env.KHUMBU_MODULE_ID ?? "auth_api" },
    "api-version": { type: "string", default: env.KHUMBU_API_VERSION ?? "1" },
    "external-prefix": { type: "string", default: env.EV_MQTT_EXTERNAL_PREFIX ?? "" },
  },
});
const prefix = given["external-prefix"]; // Stands before every topic, but not in `replyTo`.
const base = `everest_api/${given["api-version"]}/auth_consumer/${given["module-id"]}`;

const asked = new Map(); // What is done with a reply, by its topic.
const client = mqtt.connect({
  host: given.host,
  port: Number(given.port),
  keepalive: 20,
  reconnectPeriod: 1000,
  reconnectOnConnackError: true, // A broker that refuses now may take us later.
  resubscribe: false, // Done below: topics of replies are not worth it.
});

client.on("connect", () => {
  // Again after each lost connection: this client has no session that the broker would keep.
  client.subscribe([`${prefix}${base}/e2m/heartbeat`, `${prefix}${base}/e2m/token_validation_status`], { qos: 1 });
  check(true);
});
client.on("error", (error) => console.log("not connected:", error.message));
// Replies to what was asked before the connection was lost cannot reach us.
client.on("close", () => asked.clear());
client.on("message", (topic, payload) => {
  let content;
  try {
    content = JSON.parse(payload);
  } catch {
    console.log("not JSON:", topic);
    return;
  }
  const reply = asked.get(topic);
  if (reply) {
    reply(content);
  } else if (topic === `${prefix}${base}/e2m/token_validation_status`) {
    // Later releases may add fields and statuses: what is not known is no error.
    const value = content?.token?.id_token?.value;
    if (value !== undefined) console.log(`token ${value}: ${content.status}`);
  }
});

setInterval(() => check(true), CHECK_EVERY_MS);
process.on("SIGTERM", stop);
process.on("SIGINT", stop);

createInterface({ input: process.stdin }).on("line", (line) => {
  const [, command, argument] = line.trim().match(/^(\S*)\s*(.*)$/);
  try {
    if (command === "withdraw") {
      ask(`${base}/m2e/withdraw_authorization`, "withdraw", { payload: JSON.parse(argument || "{}") });
    } else if (command === "get_status") {
      ask(`${base}/m2e/token_validation_status/get`, "get_status", {});
    } else if (command === "discover") {
      ask("everest_api/discover", "discover", {});
    } else if (command) {
      console.log("unknown command:", command);
    }
  } catch (error) {
    console.log("not JSON:", error.message);
  }
});

function check(isThere) {
  if (client.connected) client.publish(`${prefix}${base}/m2e/communication_check`, `${isThere}`, { qos: 1 });
}

function ask(topic, name, content) {
  if (!client.connected) {
    console.log("not connected: nothing was asked");
    return;
  }
  // A topic of its own for each request: that is how the reply is told from others.
  const replyTo = `${base}/e2m/${name}/${randomUUID()}`;
  const forget = () => {
    clearTimeout(timer);
    asked.delete(prefix + replyTo);
    if (client.connected) client.unsubscribe(prefix + replyTo);
  };
  const timer = setTimeout(() => {
    if (name !== "discover") console.log("no reply");
    forget();
  }, REPLY_WITHIN_MS);
  asked.set(prefix + replyTo, (reply) => {
    console.log("reply:", JSON.stringify(reply));
    if (name !== "discover") forget(); // Several may answer a discovery.
  });
  client.subscribe(prefix + replyTo, { qos: 1 }, (error) => {
    // Only now: a reply that comes before the subscription is lost.
    if (!error) client.publish(prefix + topic, JSON.stringify({ headers: { replyTo }, ...content }), { qos: 1 });
  });
}

function stop() {
  // Not heard of for a while is an alarm; gone on purpose is none.
  check(false);
  client.end(false, () => process.exit(0));
}
