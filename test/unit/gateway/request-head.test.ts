/** Which heads the gateway takes, and what it reads in them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findHeadEnd, HeadError, parseHead, type RequestHead } from "../../../src/gateway/request-head.ts";

function head(text: string): RequestHead {
  return parseHead(Buffer.from(text.replaceAll("\n", "\r\n"), "latin1"));
}

/** The status that a head is refused with. */
function refusal(text: string): number {
  try {
    parseHead(Buffer.from(text, "latin1"));
  } catch (error) {
    assert.ok(error instanceof HeadError);
    return error.status;
  }
  return 200;
}

const request = (...fields: string[]): string =>
  ["GET / HTTP/1.1", "Host: a.localhost:1", ...fields, "", ""].join("\r\n");

test("what the gateway needs is read: host in lower case, body, upgrade, origin", () => {
  assert.deepEqual(
    head("POST /x?y HTTP/1.1\nHOST:  A.localhost:80 \nContent-Length: 12\nOrigin: http://b\nAccept: text/html\n\n"),
    {
      ...{ method: "POST", target: "/x?y", host: "a.localhost:80", body: { kind: "bytes", bytes: 12 } },
      ...{ upgrades: false, origin: "http://b", accept: "text/html", waits: false },
    },
  );
  assert.deepEqual(head("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: Chunked\n\n").body, { kind: "chunked" });
  assert.equal(head("GET / HTTP/1.1\nHost: a\nContent-Length: 0\n\n").body, null);
  assert.equal(head("GET / HTTP/1.1\nHost: a\nConnection: keep-alive, Upgrade\nUpgrade: websocket\n\n").upgrades, true);
  assert.equal(head("GET / HTTP/1.1\nHost: a\nConnection: close\nUpgrade: websocket\n\n").upgrades, false);
  assert.equal(head("GET / HTTP/1.1\nHost: a\nX-Sbx-Wait: 1\n\n").waits, true);
  assert.equal(head("GET / HTTP/1.0\nAccept: */*\n\n").host, undefined);
  assert.equal(head("OPTIONS * HTTP/1.1\nHost: a\n\n").target, "*");
  assert.equal(head("GET / HTTP/1.1\nHost: [::1]:80\nX: \u00e9\t\u00ff\nEmpty:\n\n").host, "[::1]:80");
});

test("a host is named once, and is one", () => {
  assert.equal(refusal(request()), 200);
  assert.equal(refusal(request("Host: b.localhost:1")), 400);
  assert.equal(refusal(request("host: a.localhost:1")), 400);
  assert.equal(refusal("GET / HTTP/1.1\r\nAccept: */*\r\n\r\n"), 400);
  for (const host of [
    "",
    "a b",
    "a,b",
    "a@b",
    "a/b",
    "a:1:2",
    "a:",
    "a:123456",
    "http://a",
    "[::1",
    "a\u00e9",
    "a".repeat(256),
  ]) {
    assert.equal(refusal(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`), 400, JSON.stringify(host));
  }
});

test("targets of proxies are refused, and other versions of HTTP", () => {
  for (const line of [
    "GET http://a.localhost:1/ HTTP/1.1",
    "GET //http://a HTTP/2.0",
    "CONNECT a.localhost:1 HTTP/1.1",
    "GET * HTTP/1.1",
    "GET a HTTP/1.1",
    "GET  / HTTP/1.1",
    "GET / HTTP/1.1 ",
    " GET / HTTP/1.1",
    "GET /\u00a0\u0001 HTTP/1.1",
    "GET /",
    "G(T / HTTP/1.1",
    "PRI * HTTP/2.0",
    "",
  ]) {
    assert.ok(refusal(`${line}\r\nHost: a.localhost:1\r\n\r\n`) >= 400, JSON.stringify(line));
  }
  assert.equal(refusal("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
  assert.equal(refusal("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 505);
});

test("whatever two readers could understand in two ways is refused", () => {
  for (const field of [
    "Content-Length: 1\r\nContent-Length: 1",
    "Content-Length: 1\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding : chunked",
    "Content-Length: +1",
    "Content-Length: 1, 1",
    "Content-Length: 0x1",
    "Content-Length: -1",
    "Content-Length: 1 2",
    "Content-Length:",
    "Content-Length: 9999999999999999",
    "X: a\r\n folded",
    "X: a\nY: b",
    "X: a\rY: b",
    "X: a\u0000b",
    "X",
    ": a",
    "X Y: a",
    "X\u00e9: a",
    "Upgrade: a\r\nUpgrade: b",
    "Origin: http://a\r\nOrigin: http://b",
  ]) {
    assert.equal(refusal(request(field)), 400, JSON.stringify(field));
  }
  assert.equal(refusal(request("Transfer-Encoding: chunked").replace("HTTP/1.1", "HTTP/1.0")), 400);
  assert.equal(refusal(request(...Array.from({ length: 300 }, (_, at) => `X${at}: a`))), 431);
});

test("the end of a head is found wherever it was cut", () => {
  const bytes = Buffer.from(`${request("X: y")}rest`);
  const end = bytes.length - "rest".length;
  for (let cut = 0; cut < end; cut++) {
    assert.equal(findHeadEnd(bytes.subarray(0, cut)), -1);
    assert.equal(findHeadEnd(bytes, cut), end, `what was looked at before ends at ${cut}`);
  }
});
