#!/usr/bin/env python3
"""A backend that says who may charge: a client of EVerest's auth_token_validator API.

It knows the tokens of a JSON file: an object with a ValidationResult for each value of a token. Lines on standard input
are `set_verdict {"token": …, "validation": …}`, EVerest's ProvidedIdToken and ValidationResult, and `update_verdict …`, a
ValidationResultUpdate, for when a verdict changes while somebody charges.

Needs paho-mqtt 2: pip install 'paho-mqtt>=2'
"""

import argparse
import json
import os
import signal
import sys
import threading
import time

import paho.mqtt.client as mqtt

CHECK_EVERY_S = 2  # EVerest gives a client up that says nothing for 5 s, if it is not configured otherwise.
UNKNOWN = {"authorization_status": "Unknown"}


class Backend:
    def __init__(self, host, port, module_id, api_version, prefix, known):
        self.address = host, port
        self.prefix = prefix  # Stands before every topic, but not in `replyTo`.
        self.base = f"{prefix}everest_api/{api_version}/auth_token_validator/{module_id}"
        self.known = known
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_connect = self.on_connect
        self.client.on_message = self.on_message
        self.client.reconnect_delay_set(1, 5)

    def run(self):
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        self.client.connect_async(*self.address, keepalive=20)
        threading.Thread(target=self.client.loop_forever, args=(1, True), daemon=True).start()
        threading.Thread(target=self.read_lines, daemon=True).start()
        while True:
            time.sleep(CHECK_EVERY_S)
            self.check(True)

    def stop(self, *_):
        # Not heard of for a while is an alarm; gone on purpose is none.
        self.check(False)
        self.client.disconnect()
        sys.exit(0)

    def check(self, is_there):
        if self.client.is_connected():
            self.client.publish(f"{self.base}/m2e/communication_check", json.dumps(is_there), qos=1)

    def on_connect(self, client, _userdata, _flags, reason, _properties):
        if reason.is_failure:
            print("not connected:", reason, flush=True)
            return
        # Again after each lost connection: this client has no session that the broker would keep.
        for name in "heartbeat", "validate_token":
            client.subscribe(f"{self.base}/e2m/{name}", qos=1)
        self.check(True)

    def on_message(self, client, _userdata, message):
        if not message.topic.endswith("/validate_token"):
            return
        try:
            question = json.loads(message.payload)
            reply_to = question["headers"]["replyTo"]
            token = question["payload"]["id_token"]["value"]
            verdict = self.known.get(token, UNKNOWN)
        except (ValueError, LookupError, TypeError, RecursionError):
            print("not a question:", message.topic, flush=True)
            return
        if not isinstance(reply_to, str) or not reply_to or any(mark in reply_to for mark in "+#"):
            print("a question without a topic for its answer", flush=True)
            return
        # The bare result, on the topic that the question names. EVerest reads none without `tariff_messages`.
        answer = json.dumps({"tariff_messages": []} | {key: verdict[key] for key in verdict if key != "after_ms"})
        # A backend far away takes its time.
        threading.Timer(verdict.get("after_ms", 0) / 1000, client.publish, (self.prefix + reply_to, answer, 1)).start()

    def read_lines(self):
        for line in sys.stdin:
            command, _, argument = line.strip().partition(" ")
            try:
                if command == "set_verdict":
                    verdict = json.loads(argument)
                    self.known[verdict["token"]["id_token"]["value"]] = dict(verdict["validation"])
                elif command == "update_verdict":
                    update = json.dumps(json.loads(argument))
                    self.client.publish(f"{self.base}/m2e/validate_result_update", update, qos=1)
                elif command:
                    print("unknown command:", command, flush=True)
            except (ValueError, LookupError, TypeError) as error:
                print("not JSON:", error, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default=os.environ.get("MQTT_SERVER_ADDRESS", "localhost"))
    parser.add_argument("--port", type=int, default=os.environ.get("MQTT_SERVER_PORT", 1883))
    parser.add_argument("--module-id", default=os.environ.get("KHUMBU_MODULE_ID", "auth_api"))
    parser.add_argument("--api-version", default=os.environ.get("KHUMBU_API_VERSION", "1"))
    parser.add_argument("--external-prefix", default=os.environ.get("EV_MQTT_EXTERNAL_PREFIX", ""))
    parser.add_argument("--tokens", type=argparse.FileType(encoding="utf-8"), help="the JSON file")
    given = parser.parse_args()
    known = json.load(given.tokens) if given.tokens else {}
    Backend(given.host, given.port, given.module_id, given.api_version, given.external_prefix, known).run()


if __name__ == "__main__":
    main()
