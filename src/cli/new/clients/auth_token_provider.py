#!/usr/bin/env python3
"""A token reader: a client of EVerest's auth_token_provider API.

Each line on standard input is a token that somebody presents: the number of an RFID card, or
`present_token {"token": …}` with EVerest's ProvidedIdToken.

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


class TokenReader:
    def __init__(self, host, port, module_id, api_version, prefix):
        self.address = host, port
        self.base = f"{prefix}everest_api/{api_version}/auth_token_provider/{module_id}"
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_connect = self.on_connect
        self.client.on_message = lambda *_: None  # Heartbeats: EVerest is there.
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
        client.subscribe(f"{self.base}/e2m/heartbeat", qos=1)
        self.check(True)

    def read_lines(self):
        for line in sys.stdin:
            command, _, argument = line.strip().partition(" ")
            try:
                token = json.loads(argument)["token"] if command == "present_token" else card(command)
            except (ValueError, LookupError, TypeError) as error:
                print("not a token:", error, flush=True)
                continue
            if not command:
                continue
            if self.client.is_connected():
                # The token alone, without `headers`; never retained, or EVerest would take it anew at each start.
                self.client.publish(f"{self.base}/m2e/provided_token", json.dumps(token), qos=1)
            else:
                # Handed in later, it could start a transaction for somebody who has gone.
                print("not connected: the token is lost", flush=True)


def card(number):
    return {"authorization_type": "RFID", "id_token": {"type": "ISO14443", "value": number}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default=os.environ.get("MQTT_SERVER_ADDRESS", "localhost"))
    parser.add_argument("--port", type=int, default=os.environ.get("MQTT_SERVER_PORT", 1883))
    parser.add_argument("--module-id", default=os.environ.get("KHUMBU_MODULE_ID", "auth_api"))
    parser.add_argument("--api-version", default=os.environ.get("KHUMBU_API_VERSION", "1"))
    parser.add_argument("--external-prefix", default=os.environ.get("EV_MQTT_EXTERNAL_PREFIX", ""))
    given = parser.parse_args()
    TokenReader(given.host, given.port, given.module_id, given.api_version, given.external_prefix).run()


if __name__ == "__main__":
    main()
