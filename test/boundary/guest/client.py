"""
A program in the guest that does as it is told: one JSON object a line in, one a line out, with the same "id". Starting a
process costs up to seconds under emulation; what a request costs here is the request.

  request   one HTTP/1.1 request, perhaps to an address, name or Host that do not agree
  open      a TCP connection that stays open; "send" writes to it, "read" reads from it
  dns       one query to the guest's resolver, with what an extended error (RFC 8914) says
  many      connections, as many as asked at a time, and what became of them
"""

import collections
import http.client
import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
from urllib.parse import urlsplit

CONTEXT = ssl.create_default_context()
OUT = threading.Lock()
SOCKETS = {}
MAX_BODY = 64 * 1024


def say(answer):
    with OUT:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def words(error):
    if isinstance(error, socket.gaierror):
        return "gaierror %d" % error.errno
    if isinstance(error, ssl.SSLError):
        return "tls %s" % (getattr(error, "verify_message", "") or error.reason)
    return type(error).__name__


def expand(text):
    """$NAME as a shell has it, so that a test says which variable holds a placeholder and not what it is."""
    return re.sub(r"\$(\w+)", lambda match: os.environ.get(match.group(1), ""), text)


def dial(order):
    url = urlsplit(order["url"])
    port = url.port or (443 if url.scheme == "https" else 80)
    raw = socket.create_connection((order.get("address", url.hostname), port), timeout=order.get("timeout", 60))
    if url.scheme != "https":
        return raw
    return CONTEXT.wrap_socket(raw, server_hostname=order.get("serverName", url.hostname))


def request(order):
    url = urlsplit(order["url"])
    connection = http.client.HTTPConnection(url.hostname)
    try:
        connection.sock = dial(order)
    except OSError as error:
        return {"error": words(error), "stage": "connect"}
    target = (url.path or "/") + ("?" + url.query if url.query else "")
    headers = {name: expand(value) for name, value in order.get("headers", {}).items()}
    headers.setdefault("Host", url.netloc)
    body = expand(order["body"]).encode("latin-1") if "body" in order else None
    try:
        connection.request(order.get("method", "GET"), expand(target), body=body, headers=headers)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return {"error": words(error), "stage": "head"}
    answer = {"status": response.status, "headers": {k.lower(): v for k, v in response.getheaders()}}
    kept, count, pause = b"", 0, order.get("pause", 0)
    try:
        while True:
            part = response.read1(65536) if response.chunked or response.length is None else response.read(65536)
            if not part:
                break
            count += len(part)
            kept += part[: MAX_BODY - len(kept)]
            if pause:
                time.sleep(pause)
            if count >= order.get("atMost", 1 << 62):
                break
        if response.length:
            answer["error"] = "IncompleteRead"
    except (OSError, http.client.HTTPException) as error:
        answer.update(error=words(error), stage="body")
    connection.close()
    return {**answer, "bytes": count, "body": kept.decode("latin-1")}


def open_socket(order):
    try:
        SOCKETS[order["name"]] = socket.create_connection((order["host"], order["port"]), timeout=order.get("timeout", 30))
        return {}
    except OSError as error:
        return {"error": words(error)}


def send(order):
    try:
        SOCKETS[order["name"]].sendall(order["text"].encode("latin-1"))
        return {}
    except OSError as error:
        return {"error": words(error)}


def read(order):
    try:
        SOCKETS[order["name"]].settimeout(order.get("timeout", 30))
        return {"body": SOCKETS[order["name"]].recv(65536).decode("latin-1")}
    except OSError as error:
        return {"error": words(error)}


def dns(order):
    name = order["name"].encode()
    labels = b"".join(bytes([len(part)]) + part for part in name.split(b".")) + b"\0"
    # With EDNS, where an extended error has its place.
    query = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 1) + labels + struct.pack("!2H", 1, 1) + b"\0\0\x29\x10\0\0\0\0\0\0\0"
    server = next(line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver"))
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(30)
        udp.sendto(query, (server, 53))
        answer = udp.recv(4096)
    text = re.search(rb"blocked by sbx: [^\0]*", answer)
    return {"rcode": answer[3] & 15, "answers": struct.unpack("!H", answer[6:8])[0], "text": text and text.group().decode()}


def many(order):
    """Connections at once, kept until all have been tried."""
    kept, results = [], collections.Counter()
    lock = threading.Lock()
    left = iter(range(order["count"]))

    def work():
        while True:
            with lock:
                if next(left, None) is None:
                    return
            try:
                one = socket.create_connection((order["host"], order["port"]), timeout=order.get("timeout", 60))
                if "text" in order:
                    one.sendall(order["text"].encode("latin-1"))
                with lock:
                    results["open"] += 1
                    kept.append(one)
            except OSError as error:
                with lock:
                    results[words(error)] += 1

    threads = [threading.Thread(target=work) for _ in range(order.get("workers", 64))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if order.get("keep"):
        SOCKETS["many"] = kept
    else:
        for one in kept:
            one.close()
    return dict(results)


def release(order):
    for one in SOCKETS.pop("many", []):
        one.close()
    return {}


def environment(order):
    return {"env": {name: os.environ.get(name) for name in order["names"]}}


OPERATIONS = {
    "request": request,
    "open": open_socket,
    "send": send,
    "read": read,
    "dns": dns,
    "many": many,
    "release": release,
    "env": environment,
}


def serve(order):
    try:
        answer = OPERATIONS[order["op"]](order)
    except Exception as error:  # told to the test, which fails by it
        answer = {"fault": "%s: %s" % (type(error).__name__, error)}
    say({**answer, "id": order["id"]})


if __name__ == "__main__":
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    except (ImportError, ValueError):
        pass
    say({"id": 0})
    for line in sys.stdin:
        threading.Thread(target=serve, args=(json.loads(line),), daemon=True).start()
