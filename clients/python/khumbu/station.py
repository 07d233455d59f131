"""A station that is open, and the steps that are played on it."""

import difflib


class Message:
    """A message that met a step."""

    def __init__(self, data):
        self.sender = data["from"]
        self.name = data["name"]
        self.topic = data["topic"]
        self.payload = data["payload"]
        self.qos = data["qos"]
        self.retain = data["retain"]

    def __repr__(self):
        return f"<{self.name} from {self.sender} on {self.topic}: {self.payload!r}>"


class Met:
    """What has met a step: messages in their order, and what its patterns have captured."""

    def __init__(self, data):
        self.messages = [Message(message) for message in data["messages"]]
        self.captured = data["captured"]

    @property
    def payload(self):
        """The payload of the last message; `None` where the step waits for none."""
        return self.messages[-1].payload if self.messages else None

    def __repr__(self):
        return f"<met by {self.messages!r}>"


class Verdict:
    """What came of a session.

    `verdict` is the word, `text` what khumbu prints of all findings, `result` the same as in the JSON report of a run, and
    `scenario` the whole session as a scenario file, which `khumbu run` plays again.
    """

    def __init__(self, data):
        self.verdict = data["verdict"]
        self.text = data["text"].rstrip("\n")
        self.result = data["result"]
        self.scenario = data["scenario"]
        self.recording = data.get("recording")

    @property
    def failures(self):
        """The findings that make the verdict."""
        return self.result["failures"]

    @property
    def is_broken(self):
        """Whether the module under test did wrong, or the steps or khumbu are at fault."""
        return self.verdict in ("fail", "error")

    def __repr__(self):
        return f"<{self.verdict}>"


class Station:
    """A station of EVerest on a broker of its own.

    Every step of the scenario language is a method. `station.plug_in(evse=1)` is the step `plug_in: {evse: 1}`, and so is
    `station.plug_in(1)`: what stands without a name are the keys that the step must have. A name that Python has for itself gets
    an underscore: `for_`, `as_`.
    """

    def __init__(self, server, opened):
        self._server = server
        self._session = opened["session"]
        self._verdict = None
        #: The exceptions of the steps that were not met; at most one.
        self.failed = []
        self.host = opened["host"]
        self.port = opened["port"]
        self.api = opened["api"]
        self.module_id = opened["module_id"]
        self.api_version = opened["api_version"]
        self.external_prefix = opened["external_prefix"]
        self.release = opened["release"]
        #: The topics that EVerest publishes below (`e2m`), those that it reads (`m2e`), and that of orders (`control`).
        self.topics = opened["topics"]
        #: What a module that is started as a process should find in its environment.
        self.environment = opened["environment"]

    def ready(self):
        """Waits until the module under test is ready. The first step does so as well."""
        __tracebackhide__ = True
        self._play("ready")

    def step(self, step):
        """Plays a step, as it would stand in a file: a mapping with one key, or a name."""
        __tracebackhide__ = True
        return Met(self._play("step", step=step))

    def close(self):
        """Ends the session; the verdict with all that monitors have found. Another time it is the same."""
        if self._verdict is None:
            self._verdict = Verdict(self._server.call("close", session=self._session))
        return self._verdict

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        verdict = self.close()
        # What is on its way already is not hidden.
        if kind is None and verdict.is_broken:
            raise AssertionError(verdict.text)

    def __getattr__(self, name):
        steps = self.__dict__.get("_server").steps if "_server" in self.__dict__ else {}
        if name not in steps:
            near = difflib.get_close_matches(name, steps, 1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise AttributeError(f"the scenario language has no step `{name}`{hint}")

        def play(*args, **kwargs):
            __tracebackhide__ = True
            return self.step(_written(name, steps[name], args, kwargs))

        play.__name__ = name
        return play

    def __dir__(self):
        return [*super().__dir__(), *self._server.steps]

    def _play(self, method, **params):
        __tracebackhide__ = True
        try:
            return self._server.call(method, session=self._session, **params)
        except AssertionError as failed:
            self.failed.append(failed)
            raise


def _written(name, takes, args, kwargs):
    """A step as it would stand in a file. What it takes khumbu has said: nothing, a mapping with these keys, or any value."""
    kwargs = {key.rstrip("_"): value for key, value in kwargs.items()}
    if takes is None:
        if args or kwargs:
            raise TypeError(f"the step `{name}` takes nothing")
        return name
    if takes == "value" or (len(args) == 1 and not kwargs and isinstance(args[0], dict)):
        if len(args) + bool(kwargs) != 1:
            raise TypeError(f"the step `{name}` takes one value, or named ones")
        return {name: args[0] if args else kwargs}
    if len(args) > len(takes):
        named = f"`{'`, `'.join(takes)}`" if takes else "nothing"
        raise TypeError(f"the step `{name}` takes {named} without a name, and all else by name")
    given = dict(zip(takes, args))
    twice = next((key for key in given if key in kwargs), None)
    if twice is not None:
        raise TypeError(f"the step `{name}` got `{twice}` twice")
    return {name: {**given, **kwargs}}
