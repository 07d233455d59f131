"""The command `cache/reset` as a service written with FastAPI, for `ci/bench` to measure beside the gateway.

It does what the gateway does for it: compares the token in constant time, reads the body with a model, looks up the
charger and whether the token may act on it, empties a cache, keeps the last 200 commands of each charger, and says how
many entries there were. It has no MQTT and no station behind it.

usage: uvicorn --app-dir ci fastapi_gateway:app   (CHARGERS and TOKEN in the environment)
"""

import os
import secrets
from collections import deque
from datetime import datetime, timezone
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel

TOKEN = os.environ["TOKEN"].encode()


class Target(BaseModel):
    charger_id: str


class Event(BaseModel):
    pass


class Command(BaseModel):
    target: Target
    event: Event = Event()


class Answer(BaseModel):
    msg: str
    cleared_entries: int


class Charger:
    def __init__(self) -> None:
        self.organization = None
        self.cache: dict[str, str] = {}
        self.log: deque = deque(maxlen=200)


app = FastAPI()
chargers = {f"dep-{number}": Charger() for number in range(int(os.environ["CHARGERS"]))}


@app.post("/ocpp/commands/cache/reset")
async def reset(
    command: Command,
    authorization: Annotated[str | None, Header()] = None,
    x_organization_id: Annotated[str | None, Header()] = None,
) -> Answer:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not secrets.compare_digest(token.encode(), TOKEN):
        raise HTTPException(401, "missing or wrong bearer token")
    charger = chargers.get(command.target.charger_id)
    if charger is None:
        raise HTTPException(404, "unknown charger")
    if x_organization_id is not None and x_organization_id != charger.organization:
        raise HTTPException(403, "the token may not act on this charger")
    charger.log.append(("cache_reset", command.event.model_dump_json(), datetime.now(timezone.utc)))
    count = len(charger.cache)
    charger.cache.clear()
    return Answer(msg="Authorization cache cleared", cleared_entries=count)
