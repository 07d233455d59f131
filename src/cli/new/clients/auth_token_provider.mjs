#!/usr/bin/env node
// A token reader: a client of EVerest's auth_token_provider API.
//
// Each line on standard input is a token that somebody presents: the number of an RFID card, or
// `present_token {"token": …}` with EVerest's ProvidedIdToken.
//
// Needs MQTT.js: npm install mqtt

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
  },
});
const base =
  `${given["external-prefix"]}everest_api/${given["api-version"]}/auth_token_provider/${given["module-id"]}`;

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
  client.subscribe(`${base}/e2m/heartbeat`, { qos: 1 });
  check(true);
});
client.on("error", (error) => console.log("not connected:", error.message));

setInterval(() => check(true), CHECK_EVERY_MS);
process.on("SIGTERM", stop);
process.on("SIGINT", stop);

createInterface({ input: process.stdin }).on("line", (line) => {
  const [, command, argument] = line.trim().match(/^(\S*)\s*(.*)$/);
  if (!command) return;
  let token = { authorization_type: "RFID", id_token: { type: "ISO14443", value: command } };
  try {
    if (command === "present_token") token = JSON.parse(argument).token;
  } catch (error) {
    console.log("not a token:", error.message);
    return;
  }
  if (client.connected) {
    // The token alone, without `headers`; never retained, or EVerest would take it anew at each start.
    client.publish(`${base}/m2e/provided_token`, JSON.stringify(token), { qos: 1 });
  } else {
    // Handed in later, it could start a transaction for somebody who has gone.
    console.log("not connected: the token is lost");
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
