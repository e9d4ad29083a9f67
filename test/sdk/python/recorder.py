"""Records which of an SDK's documented methods and options a run has used, without touching the SDK: a profile function
(sys.setprofile) sees every call, with its arguments. Option values that are None count as not given."""

import importlib
import inspect
import pkgutil
import sys
import threading
from typing import is_typeddict

PACKAGE = "deno_sandbox"

# What applications do not use themselves.
INTERNAL = {
    *["AsyncBridge", "AsyncConsoleClient", "AsyncRpcClient", "AsyncStreamWriter"],
    *["WebSocketTransport", "WebSocketStatus"],
}


class Recorder:
    def __init__(self):
        self.used = set()
        self._directory = importlib.import_module(PACKAGE).__path__[0]

    def start(self):
        # Also for the thread that the synchronous half of the SDK works in.
        threading.setprofile(self._see)
        sys.setprofile(self._see)

    def stop(self):
        sys.setprofile(None)
        threading.setprofile(None)

    def _see(self, frame, event, _argument):
        if event != "call":
            return
        code = frame.f_code
        if not code.co_filename.startswith(self._directory):
            return
        name = code.co_qualname
        self.used.add(name)
        for option in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
            if option != "self" and frame.f_locals.get(option) is not None:
                self.used.add(f"{name}({option})")


def surface():
    """Public methods, properties and options of the package's public classes."""
    members = set()
    package = importlib.import_module(PACKAGE)
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{PACKAGE}.{info.name}")
        for name, cls in inspect.getmembers(module, inspect.isclass):
            own = cls.__module__ == module.__name__ and not name.startswith("_") and name not in INTERNAL
            if own and not is_typeddict(cls) and not issubclass(cls, Exception):
                members.update(_members(cls))
    return members


def _members(cls):
    for name, value in vars(cls).items():
        if name.startswith("_"):
            continue
        if isinstance(value, property):
            yield f"{cls.__qualname__}.{name}"
            continue
        function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if not inspect.isfunction(function) or isinstance(value, classmethod):
            continue
        method = f"{cls.__qualname__}.{name}"
        yield method
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name != "self" and parameter.kind is not parameter.VAR_POSITIONAL:
                yield f"{method}({parameter.name})"
