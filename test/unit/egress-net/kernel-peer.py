"""
Linux as the guest: opens a tap device in a network namespace of its own, relays its frames to a Unix socket in QEMU's
framing, and runs clients with the kernel's sockets. Needs no privilege but user namespaces:

    unshare -Urn python3 kernel-peer.py SOCKET

Standard input has one JSON object a line, a client each or `{"faults": {...}}`; standard output one result for each
client. Both ends know what bytes to expect: the pattern of a seed, over and over.
"""
import errno
import fcntl
import heapq
import ipaddress
import json
import os
import random
import socket
import struct
import sys
import threading
import time

GUEST_MAC = bytes.fromhex("525400736202")
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
SIOCADDRT = 0x890B
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFMTU, SIOCSIFHWADDR = 0x8914, 0x8916, 0x891C, 0x8922, 0x8924
SIOCGIFINDEX = 0x8933
IFF_UP_RUNNING = 0x41
RTF_UP_GATEWAY = 0x3
NAME = b"tap0"
PATTERN_BYTES = 65_521
SEND_BYTES = 256 * 1024


def pattern(seed):
    """As kernel-guest.ts makes it."""
    state = (seed * 2_654_435_761 + 1) % (1 << 32)
    data = bytearray(PATTERN_BYTES)
    for at in range(PATTERN_BYTES):
        state = (state * 1_103_515_245 + 12_345) % (1 << 32)
        data[at] = state >> 16 & 0xFF
    return bytes(data)


def sockaddr(address):
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


def request(control, code, payload):
    fcntl.ioctl(control, code, struct.pack("16s", NAME) + payload)


def write_setting(path, value):
    with open("/proc/sys/net/" + path, "w", encoding="ascii") as file:
        file.write(value)


def open_tap():
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", NAME, IFF_TAP | IFF_NO_PI))
    write_setting("ipv6/conf/tap0/accept_dad", "0")
    write_setting("ipv6/conf/tap0/accept_ra", "0")
    write_setting("ipv4/tcp_retries2", "15")
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    request(control, SIOCSIFHWADDR, struct.pack("=H14s", 1, GUEST_MAC))
    request(control, SIOCSIFMTU, struct.pack("=i12x", 65_520))
    request(control, SIOCSIFADDR, sockaddr("198.19.0.2"))
    request(control, SIOCSIFNETMASK, sockaddr("255.255.255.0"))
    request(control, SIOCSIFFLAGS, struct.pack("=H14x", IFF_UP_RUNNING))
    any_address = sockaddr("0.0.0.0")
    # struct rtentry: padding, destination, gateway, mask, flags, and nothing else.
    route = struct.pack("=Q16s16s16sH62x", 0, any_address, sockaddr("198.19.0.1"), any_address, RTF_UP_GATEWAY)
    fcntl.ioctl(control, SIOCADDRT, route)
    configure_ipv6(control)
    return tap


def configure_ipv6(control):
    found = bytearray(struct.pack("16s16x", NAME))
    fcntl.ioctl(control, SIOCGIFINDEX, found)
    index = struct.unpack_from("=i", found, 16)[0]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control6:
        guest = ipaddress.ip_address("fd73:6278::2").packed
        fcntl.ioctl(control6, SIOCSIFADDR, struct.pack("=16sIi", guest, 64, index))
        gateway = ipaddress.ip_address("fd73:6278::1").packed
        fcntl.ioctl(control6, SIOCADDRT, struct.pack("=16s16s16sIHHIQIi", bytes(16), bytes(16), gateway, 0, 0, 0, 1, 0,
                                                     RTF_UP_GATEWAY, index))


class Direction:
    """Relays frames one way; with faults it loses, repeats and delays them."""

    def __init__(self, send):
        self.send = send
        self.faults = None
        self.random = random.Random(0)
        self.lock = threading.Condition()
        self.held = []
        self.count = 0

    def set_faults(self, faults, seed):
        self.random = random.Random(seed)
        self.faults = faults
        if faults is not None and not hasattr(self, "thread"):
            self.thread = threading.Thread(target=self.release, daemon=True)
            self.thread.start()

    def relay(self, frame):
        faults = self.faults
        if faults is None:
            with self.lock:
                self.send(frame)
            return
        if self.random.random() < faults.get("drop", 0):
            return
        for _ in range(2 if self.random.random() < faults.get("repeat", 0) else 1):
            if self.random.random() < faults.get("delay", 0):
                with self.lock:
                    self.count += 1
                    at = time.monotonic() + self.random.random() * faults.get("delayMs", 5) / 1000
                    heapq.heappush(self.held, (at, self.count, frame))
                    self.lock.notify()
            else:
                with self.lock:
                    self.send(frame)

    def release(self):
        while True:
            with self.lock:
                while not self.held:
                    self.lock.wait()
                at, _, frame = self.held[0]
                now = time.monotonic()
                if at <= now:
                    heapq.heappop(self.held)
                    self.send(frame)
                    continue
            time.sleep(at - now)


def relay_from_tap(tap, direction):
    while True:
        direction.relay(os.read(tap, 70_000))


def relay_from_link(link, direction):
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    end = 0
    while True:
        try:
            count = link.recv_into(view[end:])
        except ConnectionError:
            count = 0
        if count == 0:
            os._exit(0)
        end += count
        begin = 0
        while end - begin >= 4:
            length = int.from_bytes(view[begin:begin + 4], "big")
            if end - begin < 4 + length:
                break
            direction.relay(bytes(view[begin + 4:begin + 4 + length]) if direction.faults else
                            view[begin + 4:begin + 4 + length])
            begin += 4 + length
        buffer[0:end - begin] = buffer[begin:end]
        end -= begin


def send_all(link):
    def send(frame):
        header = len(frame).to_bytes(4, "big")
        sent = link.sendmsg([header, frame])
        if sent < 4 + len(frame):
            link.sendall((header + bytes(frame))[sent:])
    return send


def write_to_tap(tap):
    def send(frame):
        try:
            os.write(tap, frame)
        except OSError as error:
            # What is too short or too long for Ethernet; the peer must live with it.
            if error.errno not in (errno.EINVAL, errno.EIO):
                raise
    return send


class Client:
    """One connection: a thread writes what the script says, another one reads."""

    def __init__(self, script):
        self.script = script
        self.result = {"id": script["id"], "sent": 0, "received": 0, "wrong": False, "writeEnd": None, "readEnd": None}
        self.data = memoryview(pattern(script["seed"]) * 5)
        self.expected = memoryview(pattern(script["peerSeed"]) * 5)

    def run(self):
        family = socket.AF_INET6 if ":" in self.script["host"] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            for option, value in self.script.get("options", []):
                self.socket.setsockopt(socket.SOL_SOCKET, getattr(socket, option), value)
            if self.script.get("noDelay"):
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.settimeout(60)
            self.socket.connect((self.script["host"], self.script["port"]))
        except OSError as error:
            self.result["writeEnd"] = self.result["readEnd"] = name_of(error)
            return self.result
        writer = threading.Thread(target=self.write)
        writer.start()
        self.read()
        writer.join()
        self.socket.close()
        return self.result

    def write(self):
        try:
            for operation in self.script["write"]:
                self.step(operation)
        except OSError as error:
            self.result["writeEnd"] = name_of(error)

    def step(self, operation):
        kind, value = operation
        if kind == "send":
            end = self.result["sent"] + value
            while self.result["sent"] < end:
                at = self.result["sent"] % PATTERN_BYTES
                count = min(end - self.result["sent"], SEND_BYTES)
                self.result["sent"] += self.socket.send(self.data[at:at + count])
        elif kind == "pause":
            time.sleep(value / 1000)
        elif kind == "end":
            self.socket.shutdown(socket.SHUT_WR)
            self.result["writeEnd"] = "end"
        elif kind == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.result["writeEnd"] = "reset"
            # Another thread may be blocked in recv, and keeps the socket open until it returns.
            disconnect(self.socket)

    def read(self):
        pauses = random.Random(self.script["seed"])
        slow = self.script.get("readPause", 0)
        size = self.script.get("readSize", 262_144)
        buffer = bytearray(size)
        try:
            while True:
                count = self.socket.recv_into(buffer)
                if count == 0:
                    self.result["readEnd"] = "end"
                    return
                self.check(buffer, count)
                if slow and pauses.random() < slow:
                    time.sleep(pauses.random() * 0.005)
        except OSError as error:
            self.result["readEnd"] = name_of(error)

    def check(self, buffer, count):
        at = self.result["received"] % PATTERN_BYTES
        if self.expected[at:at + count] != memoryview(buffer)[:count]:
            self.result["wrong"] = True
        self.result["received"] += count


def disconnect(connection):
    """connect() to AF_UNSPEC: what close() with linger 0 does, for a socket that others still use."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    libc.connect(connection.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16)


def name_of(error):
    if isinstance(error, TimeoutError):
        return "ETIMEDOUT"
    return errno.errorcode.get(error.errno, str(error))


def main():
    tap = open_tap()
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.connect(sys.argv[1])
    to_link = Direction(send_all(link))
    to_tap = Direction(write_to_tap(tap))
    threading.Thread(target=relay_from_tap, args=(tap, to_link), daemon=True).start()
    threading.Thread(target=relay_from_link, args=(link, to_tap), daemon=True).start()
    output = threading.Lock()

    def report(result):
        with output:
            sys.stdout.write(json.dumps(result) + "\n")
            sys.stdout.flush()

    def run(script):
        report(Client(script).run())

    report({"ready": True})
    for line in sys.stdin:
        script = json.loads(line)
        if "faults" in script:
            to_link.set_faults(script["faults"], script["seed"])
            to_tap.set_faults(script["faults"], script["seed"] + 1)
            continue
        threading.Thread(target=run, args=(script,), daemon=True).start()
    os._exit(0)


main()
