#!/usr/bin/env python3
"""A display: a client of EVerest's auth_consumer API.

It prints each token validation status, and tells EVerest every two seconds that it is there. Lines on standard input
are requests: `withdraw {"evse_id": 1}`, `withdraw {}` for whatever is authorized, `get_status`, `discover`.

Needs paho-mqtt 2: pip install 'paho-mqtt>=2'
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
import uuid

import paho.mqtt.client as mqtt

CHECK_EVERY_S = 2  # EVerest gives a client up that says nothing for 5 s, if it is not configured otherwise.
REPLY_WITHIN_S = 5  # EVerest may never answer.


class Display:
    def __init__(self, host, port, module_id, api_version, prefix):
        self.address = host, port
        self.prefix = prefix  # Stands before every topic, but not in `replyTo`.
        self.root = f"everest_api/{api_version}"
        self.base = f"everest_api/{api_version}/auth_consumer/{module_id}"
        self.asked = {}  # Requests whose reply is awaited: (topic, message, until when), by their reply topic.
        self.granting = {}  # Reply topics, by the number of the SUBSCRIBE that is not acknowledged yet.
        self.lock = threading.RLock()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_connect = self.on_connect
        self.client.on_disconnect = self.on_disconnect
        self.client.on_subscribe = self.on_subscribe
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
            self.give_up_late_requests()

    def stop(self, *_):
        # Not heard of for a while is an alarm; gone on purpose is none.
        self.check(False)
        self.client.disconnect()
        sys.exit(0)

    def check(self, is_there):
        if self.client.is_connected():
            self.client.publish(f"{self.prefix}{self.base}/m2e/communication_check", json.dumps(is_there), qos=1)

    # What the broker says.

    def on_connect(self, client, _userdata, _flags, reason, _properties):
        if reason.is_failure:
            print("not connected:", reason, flush=True)
            return
        # Again after each lost connection: this client has no session that the broker would keep.
        for name in "heartbeat", "token_validation_status":
            client.subscribe(f"{self.prefix}{self.base}/e2m/{name}", qos=1)
        self.check(True)

    def on_disconnect(self, *_):
        # Replies to what was asked before the connection was lost cannot reach us.
        with self.lock:
            self.asked.clear()
            self.granting.clear()

    def on_subscribe(self, client, _userdata, mid, _reasons, _properties):
        with self.lock:
            reply_to = self.granting.pop(mid, None)
            topic, message, _ = self.asked.get(reply_to, (None, None, None))
        if topic:
            # Only now: a reply that comes before the subscription is lost.
            client.publish(self.prefix + topic, json.dumps(message), qos=1)

    def on_message(self, client, _userdata, message):
        try:
            content = json.loads(message.payload)
        except (ValueError, RecursionError):
            print("not JSON:", message.topic, flush=True)
            return
        topic = message.topic.removeprefix(self.prefix)
        with self.lock:
            is_reply = topic in self.asked
            # Several may answer a discovery.
            is_over = is_reply and "/discover/" not in topic
            if is_over:
                del self.asked[topic]
        if is_reply:
            print("reply:", json.dumps(content), flush=True)
            if is_over:
                client.unsubscribe(message.topic)
        elif topic == f"{self.base}/e2m/token_validation_status":
            self.show(content)

    def show(self, content):
        # Later releases may add fields and statuses: what is not known is no error.
        token = content.get("token") if isinstance(content, dict) else None
        id_token = token.get("id_token") if isinstance(token, dict) else None
        if isinstance(id_token, dict):
            print(f"token {id_token.get('value')}: {content.get('status')}", flush=True)

    # What the user wants.

    def read_lines(self):
        for line in sys.stdin:
            command, _, argument = line.strip().partition(" ")
            try:
                if command == "withdraw":
                    self.ask(f"{self.base}/m2e/withdraw_authorization", "withdraw", json.loads(argument or "{}"))
                elif command == "get_status":
                    self.ask(f"{self.base}/m2e/token_validation_status/get", "get_status")
                elif command == "discover":
                    self.ask(f"{self.root.split('/')[0]}/discover", "discover")
                elif command:
                    print("unknown command:", command, flush=True)
            except ValueError as error:
                print("not JSON:", error, flush=True)

    def ask(self, topic, name, payload=None):
        # A topic of its own for each request: that is how the reply is told from others.
        reply_to = f"{self.base}/e2m/{name}/{uuid.uuid4()}"
        message = {"headers": {"replyTo": reply_to}} | ({} if payload is None else {"payload": payload})
        with self.lock:
            result, mid = self.client.subscribe(self.prefix + reply_to, qos=1)
            if result != mqtt.MQTT_ERR_SUCCESS:
                print("not connected: nothing was asked", flush=True)
                return
            self.asked[reply_to] = topic, message, time.monotonic() + REPLY_WITHIN_S
            self.granting[mid] = reply_to

    def give_up_late_requests(self):
        with self.lock:
            late = [reply_to for reply_to, (*_, until) in self.asked.items() if until < time.monotonic()]
            for reply_to in late:
                del self.asked[reply_to]
        for reply_to in late:
            if "/discover/" not in reply_to:
                print("no reply", flush=True)
            self.client.unsubscribe(self.prefix + reply_to)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default=os.environ.get("MQTT_SERVER_ADDRESS", "localhost"))
    parser.add_argument("--port", type=int, default=os.environ.get("MQTT_SERVER_PORT", 1883))
    parser.add_argument("--module-id", default=os.environ.get("KHUMBU_MODULE_ID", "auth_api"))
    parser.add_argument("--api-version", default=os.environ.get("KHUMBU_API_VERSION", "1"))
    parser.add_argument("--external-prefix", default=os.environ.get("EV_MQTT_EXTERNAL_PREFIX", ""))
    given = parser.parse_args()
    Display(given.host, given.port, given.module_id, given.api_version, given.external_prefix).run()


if __name__ == "__main__":
    main()
