# my_display.py: shows what becomes of tokens, and makes a withdraw request when its user types one.
import json
import sys
import threading
import uuid

import paho.mqtt.client as mqtt

PORT, MODULE_ID = int(sys.argv[1]), sys.argv[2]
API = f"everest_api/1/auth_consumer/{MODULE_ID}"


def on_connect(client, userdata, flags, reason_code, properties):
    client.subscribe([(f"{API}/e2m/heartbeat", 2), (f"{API}/e2m/token_validation_status", 2)])


def on_message(client, userdata, message):
    if message.topic.endswith("/token_validation_status"):
        status = json.loads(message.payload)
        print(status["token"]["id_token"]["value"], status["status"], flush=True)
    elif "/reply/" in message.topic:
        print("withdraw:", json.loads(message.payload), flush=True)


def say_that_i_am_here():
    client.publish(f"{API}/m2e/communication_check", "true", qos=2)
    threading.Timer(2, say_that_i_am_here).start()


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect, client.on_message = on_connect, on_message
client.connect("127.0.0.1", PORT)
client.loop_start()
say_that_i_am_here()
for line in sys.stdin:  # such as: withdraw {"evse_id": 1}
    what = json.loads(line.removeprefix("withdraw"))
    reply_to = f"{API}/m2e/reply/{uuid.uuid4()}"
    client.subscribe(reply_to, 2)
    request = {"headers": {"replyTo": reply_to}, "payload": what}
    client.publish(f"{API}/m2e/withdraw_authorization", json.dumps(request), qos=2)
