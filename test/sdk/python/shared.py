"""One client, and one sandbox for all tests that need no other."""

from contextlib import ExitStack

from deno_sandbox import DenoDeploy

client = DenoDeploy()
_stack = ExitStack()
_made = []


def sandbox():
    if not _made:
        _made.append(_stack.enter_context(client.sandbox.create()))
    return _made[0]


def close():
    _stack.close()
