"""Fuzzes a client of EVerest's auth_consumer API with Hypothesis, for `ci/bench` to measure beside `khumbu fuzz`.

What somebody would write who has no khumbu: a rule-based state machine that plays EVerest's side with paho-mqtt through
a broker that runs. A case has up to 20 steps: statuses, heartbeats and replies, right and broken ones, and orders to the
module, whose requests it answers. After each case the module has to say still that communication is good:

  reused  one module for all cases; the next of the checks that it sends once a second
  asked   one module for all cases; a check that it is ordered to send on its control topic, the quickest there is
  fresh   a module of its own for each case; the check that it begins with, and then one that it is ordered to send

usage: hypothesis_fuzz.py PORT SECONDS reused|asked|fresh COMMAND...   ({port} in it is the broker's)

Prints cases a second, and steps a case.
"""

import json
import os
import queue
import socket
import subprocess
import sys
import time

import paho.mqtt.client as mqtt
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from paho.mqtt.enums import CallbackAPIVersion

MODULE_ID = "under_test"
API = f"everest_api/1/auth_consumer/{MODULE_ID}"
PATIENCE_S = 10
STEPS = 20

STATUSES = ["Processing", "Accepted", "Rejected", "TimedOut", "UsedToStart", "UsedToStop", "Withdrawn"]
RESULTS = ["Accepted", "AuthorizationNotFound", "EvseNotFound", "Rejected", "OfTheFuture"]

texts = st.text(max_size=36)
tokens = st.fixed_dictionaries(
    {
        "authorization_type": st.sampled_from(["OCPP", "RFID", "Autocharge", "PlugAndCharge", "BankCard"]),
        "id_token": st.fixed_dictionaries(
            {"type": st.sampled_from(["Central", "eMAID", "ISO14443", "KeyCode", "Local"]), "value": texts}
        ),
    },
    optional={
        "connectors": st.lists(st.integers(1, 4), max_size=3),
        "prevalidated": st.booleans(),
        "request_id": st.integers(-(2**31), 2**31 - 1),
    },
)
messages = st.fixed_dictionaries({"content": texts}, optional={"format": st.sampled_from(["ASCII", "HTML", "UTF8"])})
statuses = st.fixed_dictionaries(
    {"status": st.sampled_from(STATUSES), "token": tokens},
    optional={"messages": st.lists(messages, max_size=2), "of_the_future": st.none() | texts},
)
heartbeats = st.sampled_from([0, 1, 255, 2**32 - 1, 2**32, 2**53 + 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
garbage = st.binary(max_size=40) | st.sampled_from([b"", b"{", b"null", b"[]", b"\xff\xfe", b'"' * 3])
requests = st.fixed_dictionaries({}, optional={"evse_id": st.integers(1, 3), "id_token": tokens.map(lambda it: it["id_token"])})


class Everest:
    """The side of EVerest, and the module under test."""

    def __init__(self, port, command):
        self.command = [word.replace("{port}", str(port)) for word in command]
        self.module = None
        self.checks = queue.SimpleQueue()
        self.requests = queue.SimpleQueue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_socket_open = lambda _c, _u, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client.on_message = self.on_message
        granted = queue.SimpleQueue()
        self.client.on_subscribe = lambda *_: granted.put(None)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe([(f"{API}/m2e/#", 1), ("everest_api/discover", 1)])
        granted.get(timeout=PATIENCE_S)

    def on_message(self, _client, _userdata, message):
        if message.topic.endswith("/communication_check"):
            self.checks.put(json.loads(message.payload))
        else:
            self.requests.put(json.loads(message.payload)["headers"]["replyTo"])

    def publish(self, topic, payload):
        self.client.publish(topic, payload if isinstance(payload, bytes) else json.dumps(payload), qos=1)

    def order(self, **order):
        self.publish(f"khumbu/{MODULE_ID}/do", order)

    def start_module(self):
        env = {**os.environ, "KHUMBU_MODULE_ID": MODULE_ID}
        self.module = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=env)
        self.await_check()

    def stop_module(self):
        self.module.terminate()
        self.module.wait()

    def await_check(self, ordered=False):
        """The next check, whatever came before."""
        while not self.checks.empty():
            self.checks.get()
        if ordered:
            self.order(communication_check=True)
        assert self.checks.get(timeout=PATIENCE_S) is True, "communication is not good"


def machine(everest, how, until, counts):
    class Module(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            if how == "fresh":
                everest.start_module()

        @rule(status=statuses)
        def status(self, status):
            counts["steps"] += 1
            everest.publish(f"{API}/e2m/token_validation_status", status)

        @rule(number=heartbeats)
        def heartbeat(self, number):
            counts["steps"] += 1
            everest.publish(f"{API}/e2m/heartbeat", number)

        @rule(channel=st.sampled_from(["heartbeat", "token_validation_status", "nothing"]), payload=garbage)
        def broken(self, channel, payload):
            counts["steps"] += 1
            everest.publish(f"{API}/e2m/{channel}", payload)

        @rule(request=requests, result=st.sampled_from(RESULTS))
        def withdraw(self, request, result):
            counts["steps"] += 1
            everest.order(withdraw=request)
            everest.publish(everest.requests.get(timeout=PATIENCE_S), result)

        @rule(reply=statuses | st.none() | garbage)
        def get_status(self, reply):
            counts["steps"] += 1
            everest.order(get_status=None)
            everest.publish(everest.requests.get(timeout=PATIENCE_S), reply)

        @rule()
        def discover(self):
            counts["steps"] += 1
            everest.order(discover=None)
            reply = {"apis": [{"type": "auth_consumer", "version": 1, "module_id": MODULE_ID}]}
            everest.publish(everest.requests.get(timeout=PATIENCE_S), reply)

        def teardown(self):
            assert everest.module.poll() is None, "the module has ended"
            everest.await_check(ordered=how != "reused")
            if how == "fresh":
                everest.stop_module()
            counts["cases"] += 1
            if time.monotonic() >= until:
                # Not an error of the module, which Hypothesis would make smaller.
                raise KeyboardInterrupt

    return Module


def main():
    port, seconds, how, *command = sys.argv[1:]
    everest = Everest(int(port), command)
    if how != "fresh":
        everest.start_module()
    counts = {"cases": 0, "steps": 0}
    began = time.monotonic()
    configured = settings(
        max_examples=10**9,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(machine(everest, how, began + float(seconds), counts), settings=configured)
    except KeyboardInterrupt:
        took = time.monotonic() - began
    finally:
        everest.stop_module()
        everest.client.disconnect()
    print(f"cases_per_s {counts['cases'] / took:.2f}")
    print(f"inputs_per_case {counts['steps'] / max(counts['cases'], 1):.1f}")


if __name__ == "__main__":
    main()
