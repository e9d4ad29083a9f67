"""Runs the test modules that are named, and says what became of each test, one JSON object a line; the last line is what
the SDK has and what of it was used."""

import importlib
import importlib.metadata
import json
import sys
import time
import traceback
import unittest

from recorder import PACKAGE, Recorder, surface

# Where results go; what tests and SDK print themselves goes elsewhere.
report = sys.stdout
sys.stdout = sys.stderr


def tell(**facts):
    print(json.dumps(facts), file=report, flush=True)


class Result(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self._begun = time.monotonic()

    def addSuccess(self, test):
        self._tell(test, None)

    def addError(self, test, err):
        self._tell(test, err)

    addFailure = addError

    def addSkip(self, test, reason):
        self._tell(test, (None, AssertionError(f"skipped: {reason}"), None))

    def _tell(self, test, error):
        failure = None if error is None else "".join(traceback.format_exception(*error))
        elapsed = round((time.monotonic() - self._begun) * 1000) if hasattr(self, "_begun") else 0
        tell(title=test.shortDescription() or str(test), failure=failure, ms=elapsed)


recorder = Recorder()
recorder.start()
shared = importlib.import_module("shared")
suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:])
suite.run(Result())
shared.close()
recorder.stop()
tell(version=importlib.metadata.version(PACKAGE.replace("_", "-")), surface=sorted(surface()), used=sorted(recorder.used))
