"""
A guest that wants to hurt its supervisor, as root: one way after the other, each for a few seconds. Prints one JSON line
for each way, with how often it did it.
"""

import json
import os
import random
import resource
import socket
import struct
import sys
import time

SECONDS = float(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))


def lines(path):
    with open(path) as file:
        return file.read().split("\n")


def link():
    name = next(n for n in os.listdir("/sys/class/net") if n != "lo")
    mac = bytes.fromhex(lines("/sys/class/net/%s/address" % name)[0].replace(":", ""))
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    raw.bind((name, 0))
    return raw, mac


def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("93.184.216.1", 9))
        return socket.inet_aton(probe.getsockname()[0])


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tcp(source, target, source_port, port, flags, sequence=0, payload=b"", window=65535):
    head = struct.pack("!HHIIBBHHH", source_port, port, sequence, 0, 5 << 4, flags, window, 0, 0)
    pseudo = source + target + struct.pack("!BBH", 0, 6, len(head) + len(payload))
    total = checksum(pseudo + head + payload)
    return head[:16] + struct.pack("!H", total) + head[18:] + payload


def ip(source, target, protocol, payload):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0, source, target)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def frames(make):
    """Frames as fast as the card takes them."""
    raw, mac = link()
    end, count = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        frame = b"\xff" * 6 + mac + b"\x08\x00" + make()
        try:
            raw.send(frame)
        except OSError:
            continue
        count += 1
    return count


def syn_flood():
    """Half-open connections from every port to hosts that are allowed."""
    source, target = own_address(), socket.inet_aton(socket.gethostbyname("sink.example.com"))
    return frames(lambda: ip(source, target, 6, tcp(source, target, random.randrange(1024, 65536), 7000, 2)))


def noise():
    """Packets of no meaning."""
    return frames(lambda: os.urandom(random.randrange(1, 1400)))


def dns_flood():
    """Questions about names that nobody allowed."""
    server = next(line.split()[1] for line in lines("/etc/resolv.conf") if line.startswith("nameserver"))
    end, count = time.monotonic() + SECONDS, 0
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        while time.monotonic() < end:
            label = os.urandom(20).hex().encode()
            query = struct.pack("!6H", 1, 256, 1, 0, 0, 0) + b"\x28" + label + b"\x04evil\0" + struct.pack("!2H", 1, 1)
            try:
                udp.sendto(query, (server, 53))
            except OSError:
                continue
            count += 1
    return count


def denied_flood():
    """Connections to addresses that nobody allowed."""
    end, count = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("203.0.113.%d" % random.randrange(256), random.randrange(1, 65536)))
        one.close()
        count += 1
    return count


def never_reads():
    """Asks for endless bytes many times over and reads none."""
    kept, address = [], socket.gethostbyname("source.example.com")
    for _ in range(100):
        one = socket.create_connection((address, 7000), timeout=60)
        one.sendall(b"go\n")
        kept.append(one)
    time.sleep(SECONDS)
    return len(kept)


def many():
    """As many connections as it can have at once."""
    kept, refused, address = [], 0, socket.gethostbyname("sink.example.com")
    for _ in range(5000):
        try:
            kept.append(socket.create_connection((address, 7000), timeout=60))
        except OSError:
            refused += 1
    print(json.dumps({"way": "many: refused", "count": refused}), flush=True)
    return len(kept)


WAYS = [many, never_reads, syn_flood, noise, dns_flood, denied_flood]

for way in WAYS:
    started = time.monotonic()
    count = way()
    print(json.dumps({"way": way.__name__, "count": count, "seconds": time.monotonic() - started}), flush=True)
