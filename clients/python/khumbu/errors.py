"""What khumbu has to say against a request."""


class KhumbuError(Exception):
    """A request came to nothing: it makes no sense, or there is no such session any more.

    `text` is what khumbu prints, `id` that of its message, and `findings` all that was found, as in the JSON report of a run.
    """

    def __init__(self, error):
        data = error.get("data", {})
        self.code = error.get("code")
        self.id = data.get("id")
        self.text = data.get("text", error.get("message", "")).rstrip("\n")
        self.findings = data.get("findings", [])
        super().__init__(self.text)

    @property
    def requirement(self):
        """The requirement that was broken, if one was."""
        return self.findings[0].get("requirement") if self.findings else None


class StepFailed(KhumbuError, AssertionError):
    """A step was not met, or the module under test was not ready."""


class ServerEnded(KhumbuError):
    """Khumbu itself has ended, or cannot be started."""

    def __init__(self, why):
        super().__init__({"message": why})


NOT_MET = 1


def error_of(error):
    """The exception that an error of the protocol is."""
    return (StepFailed if error.get("code") == NOT_MET else KhumbuError)(error)
