"""Khumbu's fixtures and scenario files in pytest.

The fixture `station` is a station of EVerest on a broker of its own, one for each test. Scenario files in the directories of the
ini option `khumbu_scenarios` are tests themselves.
"""

import json
import subprocess
import warnings
from pathlib import Path

import pytest

from . import Server, find_binary


class KhumbuWarning(UserWarning):
    """A test passed, and nothing could have gone wrong for the module under test."""


class ScenarioFailed(Exception):
    """A scenario file did not pass; the text is khumbu's own."""


def pytest_addoption(parser):
    parser.addini("khumbu_binary", "the program khumbu, if it is neither in KHUMBU nor beside Python nor on PATH")
    parser.addini("khumbu_scenarios", "directories whose scenario files are tests", type="paths", default=[])
    parser.addini("khumbu_module", "the command line of the module under test, for scenario files; else khumbu.yaml has it")


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "khumbu(**head): what the station of a test is like: the keys of a scenario file besides its steps, those of its "
        "station, and `release`, `module_id`, `ready_within` and others of `open`",
    )


def binary_of(config):
    return find_binary(config.getini("khumbu_binary") or None)


@pytest.fixture(scope="session")
def khumbu_server(pytestconfig):
    """Khumbu itself, once for all tests."""
    with Server(binary_of(pytestconfig)) as server:
        yield server


@pytest.fixture
def station(request, khumbu_server):
    """A station of EVerest on a broker of its own. `@pytest.mark.khumbu(...)` says what it is like.

    Whatever the module under test gets wrong until the fixture ends fails the test, whether or not a step has asked for it.
    """
    head = {"name": request.node.nodeid}
    # The nearest mark is the first.
    for mark in reversed(list(request.node.iter_markers("khumbu"))):
        if mark.args:
            raise pytest.UsageError("the mark `khumbu` has named values only, such as `evses=2`")
        head.update(mark.kwargs)
    opened = khumbu_server.open(**head)
    yield opened
    verdict = opened.close()
    told = {(finding["id"], finding["line"]) for failed in opened.failed for finding in failed.findings}
    news = [found for found in verdict.failures if (found["id"], found["line"]) not in told]
    if verdict.is_broken and news:
        pytest.fail(f"{verdict.text}\n", pytrace=False)
    elif verdict.verdict == "inconclusive" and not opened.failed:
        warnings.warn(KhumbuWarning(f"\n{verdict.text}"), stacklevel=1)


def pytest_collect_file(file_path, parent):
    if file_path.suffix in (".yaml", ".yml"):
        for directory in parent.config.getini("khumbu_scenarios"):
            if Path(directory) in file_path.parents:
                return ScenarioFile.from_parent(parent, path=file_path)
    return None


class ScenarioFile(pytest.File):
    """A scenario file."""

    def collect(self):
        yield Scenario.from_parent(self, name=self.path.stem)


class Scenario(pytest.Item):
    """A scenario, played by khumbu against the module under test."""

    def runtest(self):
        root = self.config.rootpath
        command = [binary_of(self.config), "run", str(self.path), "--json", "-"]
        module = self.config.getini("khumbu_module")
        if module:
            command += ["--module", module]
        elif not (root / "khumbu.yaml").exists():
            raise pytest.UsageError(
                "scenario files need a module under test: say `khumbu_module` in pytest's configuration, or write khumbu.yaml"
            )
        ran = subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8")
        try:
            results = json.loads(ran.stdout)["scenarios"]
        except ValueError:
            results = []
        if ran.returncode != 0 or not results:
            failures = [f"{it['severity']}[{it['id']}]: {it['message']}" for result in results for it in result["failures"]]
            raise ScenarioFailed("\n".join([*failures[:1], ran.stderr.strip() or f"khumbu ended with {ran.returncode}"]))
        if all(result["verdict"] == "not_applicable" for result in results):
            pytest.skip("; ".join(note["message"] for result in results for note in result["notes"]))

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, (ScenarioFailed, pytest.UsageError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, 0, f"scenario: {self.name}"
