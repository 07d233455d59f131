"""Khumbu from Python: stations of EVerest to test a client of its API against, step by step.

    with Server() as server, server.open(evses=2) as station:
        display = MyDisplay(station.host, station.port)
        station.ready()
        station.plug_in(evse=1)
        display.withdraw(evse=1)
        station.expect(message="withdraw_authorization", payload={"payload": {"evse_id": 1}})
        station.expect_reply("AuthorizationNotFound")

Every step of the scenario language is a method of a station; which there are, and what they take, khumbu itself says. A step that
is not met raises `StepFailed`, which is an `AssertionError` with khumbu's own text. With pytest there is a fixture, `station`.
"""

from .errors import KhumbuError, ServerEnded, StepFailed
from .server import Server, find_binary
from .station import Message, Met, Station, Verdict

__all__ = [
    "KhumbuError",
    "Message",
    "Met",
    "Server",
    "ServerEnded",
    "Station",
    "StepFailed",
    "Verdict",
    "find_binary",
]
