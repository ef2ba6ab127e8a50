"""What the unchanged package answers: asked once, as soon as a change is first held against it.

It fills the cache of compiled programs, says how long each test file takes, and leaves out what does not
pass without any change.
"""

import hashlib
import json
import pathlib
import threading
import xml.etree.ElementTree as ET

from validation.mutants.process import Ended, Tree

PYTEST = ("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header")
ASK = ("-m", "validation.mutants.ask")
_LIMIT = 1_800.0
"""Seconds of processor time for all that is asked at once, from an empty cache."""


class Baseline:
    """Answers of the unchanged package, kept in a file beside the compiled programs.

    Args:
        tree: A copy of the checkout that stays unchanged.
        path: The file.
        fingerprint: Of all but the tests themselves; answers under another one are forgotten.
    """

    def __init__(self, tree: Tree, path: pathlib.Path, fingerprint: str) -> None:
        self._tree, self._path, self._lock = tree, path, threading.Lock()
        self._fingerprint = fingerprint
        self._known: dict[str, dict] = {"tests": {}, "questions": {}}
        if path.exists():
            stored = json.loads(path.read_text())
            if stored["fingerprint"] == fingerprint:
                self._known = stored["known"]

    def catalogue(self) -> dict:
        """What can be asked about (see `ask.catalogue`)."""
        with self._lock:
            if "catalogue" not in self._known:
                ended = self._tree.run(*ASK, limit=_LIMIT)
                if ended.status != 0:
                    raise RuntimeError(f"The unchanged report cannot be asked:\n{ended.output}")
                self._known["catalogue"] = json.loads(ended.output.splitlines()[-1])
                self._save()
            return self._known["catalogue"]

    def questions(self, asked: list[str]) -> tuple[list[str], float]:
        """Those questions that pass, and how many seconds of processor time they take together."""
        with self._lock:
            known = self._known["questions"]
            new = [question for question in asked if question not in known]
            if new:
                known |= self._ask_report(new)
                self._save()
            good = [question for question in asked if known[question]["passes"]]
            return good, sum(known[question]["seconds"] for question in good)

    def tests(self, files: list[str], mark: str) -> tuple[list[str], list[str], float]:
        """Test files, the quickest first; tests of theirs that fail unchanged; their seconds together.

        Args:
            files: The files.
            mark: Which of their tests, as `pytest -m` takes it.
        """
        with self._lock:
            known = self._known["tests"].setdefault(mark, {})
            new = [file for file in files if known.get(file, {}).get("text") != self._text(file)]
            if new:
                known |= self._ask_tests(new, mark)
                self._save()
            ordered = sorted(files, key=lambda file: known[file]["seconds"])
            failing = [test for file in files for test in known[file]["failing"]]
            return ordered, failing, sum(known[file]["seconds"] for file in files)

    def not_passing(self) -> list[str]:
        """Questions and tests that are left out, since they do not pass without any change."""
        questions = [name for name, one in self._known["questions"].items() if not one["passes"]]
        asked = [one for known in self._known["tests"].values() for one in known.values()]
        tests = [test for one in asked for test in one["failing"]]
        return questions + tests

    def _ask_report(self, questions: list[str]) -> dict[str, dict]:
        ended = self._tree.run(*ASK, "--to-the-end", *questions, limit=_LIMIT)
        rows = rows_of(ended)
        if ended.status != 0:
            raise RuntimeError(f"The unchanged report cannot be asked:\n{ended.output[-2000:]}")
        failing = {row["question"] for row in rows if row["verdict"] != "pass"}
        seconds = ended.cpu_seconds / len(questions)
        return {name: {"seconds": seconds, "passes": name not in failing} for name in questions}

    def _ask_tests(self, files: list[str], mark: str) -> dict[str, dict]:
        record = self._tree.root / "tests.xml"
        record.unlink(missing_ok=True)
        flags = (f"--junitxml={record}", "-o", "junit_family=xunit1")
        ended = self._tree.run(*PYTEST, "-m", mark, *flags, *files, limit=_LIMIT)
        if ended.status not in (0, 1, 5) or not record.exists():  # passed, failed, or left out
            raise RuntimeError(f"The unchanged tests cannot be run:\n{ended.output[-2000:]}")
        found: dict[str, dict] = {
            file: {"seconds": 0.0, "failing": [], "text": self._text(file)} for file in files
        }
        for case in ET.parse(record).iter("testcase"):
            file = case.get("file") or ""
            if file not in found:
                continue
            found[file]["seconds"] += float(case.get("time") or 0.0)
            if case.find("failure") is not None or case.find("error") is not None:
                found[file]["failing"].append(_node(file, case))
        return found

    def _text(self, file: str) -> str:
        """A short name of what a test file holds: another one is another question."""
        return hashlib.sha256((self._tree.root / file).read_bytes()).hexdigest()[:16]

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        stored = {"fingerprint": self._fingerprint, "known": self._known}
        self._path.write_text(json.dumps(stored))


def _node(file: str, case: ET.Element) -> str:
    module = file.removesuffix(".py").replace("/", ".")
    classes = (case.get("classname") or "").removeprefix(module).strip(".").split(".")
    return "::".join([file, *(name for name in classes if name), case.get("name") or ""])


def rows_of(ended: Ended) -> list[dict]:
    """The rows that a process of `ask` has printed before it ended."""
    lines = ended.output.splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"question"')]
