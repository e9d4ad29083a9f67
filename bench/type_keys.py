"""Types keys into programs, each on a PTY of its own, in turns, and tells how long each key took to come to the screen.

Arguments: how many keys each, then a JSON list of command lines. Prints a JSON list of lists of milliseconds.
"""

import json
import os
import pty
import select
import signal
import sys
import time

count, commands = int(sys.argv[1]), json.loads(sys.argv[2])
SETTLED_S = 0.3
PAUSE_S = 0.01
KEYS_A_LINE = 60
KILL_LINE = b"\x15"


def read(fd, limit):
    if not select.select([fd], [], [], limit)[0]:
        return b""
    return os.read(fd, 65536)


class Typist:
    def __init__(self, argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(argv[0], argv)
        self.typed = 0
        self.samples = []

    def ready(self):
        # A program that echoes a line is there; before, the PTY itself would.
        deadline = time.monotonic() + 60
        while b"ready" not in read(self.fd, 1):
            if time.monotonic() > deadline:
                sys.exit("a program did not start")
        self.drain()

    def drain(self):
        while read(self.fd, SETTLED_S):
            pass

    def type(self):
        key = bytes([65 + self.typed % 26])
        start = time.perf_counter()
        os.write(self.fd, key)
        while True:
            seen = read(self.fd, 10)
            if not seen:
                sys.exit("a key was never echoed")
            if key in seen:
                break
        self.samples.append((time.perf_counter() - start) * 1000)
        self.typed += 1
        if self.typed % KEYS_A_LINE == 0:
            os.write(self.fd, KILL_LINE)
            self.drain()


typists = [Typist(argv) for argv in commands]
for typist in typists:
    typist.ready()
for _ in range(count):
    for typist in typists:
        typist.type()
        time.sleep(PAUSE_S)
for typist in typists:
    os.kill(typist.pid, signal.SIGHUP)
print(json.dumps([typist.samples for typist in typists]))
