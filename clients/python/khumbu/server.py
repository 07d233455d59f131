"""`khumbu serve --stdio`: one process, JSON-RPC 2.0 over its standard input and output."""

import difflib
import itertools
import json
import os
import shutil
import subprocess
import sysconfig
import threading
from concurrent.futures import Future

from .errors import ServerEnded, error_of
from .station import Station

PROTOCOL = 1


def find_binary(named=None):
    """The path of khumbu: what is named, else `KHUMBU` of the environment, else beside this Python, else on `PATH`."""
    named = named or os.environ.get("KHUMBU")
    if named:
        found = shutil.which(named)
        if found is None:
            raise ServerEnded(f"khumbu is said to be `{named}`, and there is no such program")
        return found
    beside = os.path.join(sysconfig.get_path("scripts"), "khumbu")
    found = beside if os.access(beside, os.X_OK) else shutil.which("khumbu")
    if found is None:
        raise ServerEnded("khumbu is not installed here: name it in KHUMBU, or put it on PATH")
    return found


class Server:
    """A khumbu that serves. Several stations may be open at once, also in several threads."""

    def __init__(self, binary=None):
        path = find_binary(binary)
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting = {}
        self._ended = False
        try:
            self._process = subprocess.Popen(
                [path, "serve", "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
            )
        except OSError as error:
            raise ServerEnded(f"khumbu cannot be started: {path}: {error}") from error
        threading.Thread(target=self._read, name="khumbu", daemon=True).start()
        answer = self.call("initialize", protocol=PROTOCOL)
        self.version = answer["khumbu"]
        self.steps = answer["steps"]
        self._keys = {"open": set(answer["open"]), "station": set(answer["station"])}

    def call(self, method, **params):
        """What khumbu answers.

        Raises `StepFailed` where a step is not met, and `KhumbuError` where the request came to nothing.
        """
        __tracebackhide__ = True
        answer = Future()
        number = next(self._ids)
        line = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        with self._lock:
            if self._ended:
                raise ServerEnded("khumbu has ended")
            self._waiting[number] = answer
            try:
                self._process.stdin.write(f"{line}\n")
                self._process.stdin.flush()
            except OSError as error:
                del self._waiting[number]
                raise ServerEnded(f"khumbu does not listen any more: {error}") from error
        # Raised here, so that no test shows where futures keep it.
        error = answer.exception()
        if error is not None:
            raise error
        return answer.result()

    def open(self, **head):
        """A station: `head` is what a scenario file has besides its steps.

        Keys of the station, such as `evses` and `tokens`, may stand there as well.
        """
        __tracebackhide__ = True
        station = dict(head.pop("station", {}))
        for key in [key for key in head if key in self._keys["station"] - self._keys["open"]]:
            station[key] = head.pop(key)
        unknown = next((key for key in head if key not in self._keys["open"]), None)
        if unknown is not None:
            near = difflib.get_close_matches(unknown, self._keys["open"] | self._keys["station"], 1)
            raise TypeError(f"a station has no `{unknown}`" + (f"; did you mean `{near[0]}`?" if near else ""))
        if station:
            head["station"] = station
        return Station(self, self.call("open", **head))

    def close(self):
        """Ends khumbu, and every station with it."""
        with self._lock:
            self._ended = True
            if not self._process.stdin.closed:
                try:
                    self._process.stdin.close()
                except OSError:
                    pass  # It has ended already.
        self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read(self):
        for line in self._process.stdout:
            message = json.loads(line)
            with self._lock:
                answer = self._waiting.pop(message.get("id"), None)
            if answer is None:
                continue
            if "error" in message:
                answer.set_exception(error_of(message["error"]))
            else:
                answer.set_result(message["result"])
        with self._lock:
            self._ended = True
            left = list(self._waiting.values())
            self._waiting.clear()
        for answer in left:
            answer.set_exception(ServerEnded("khumbu has ended"))
