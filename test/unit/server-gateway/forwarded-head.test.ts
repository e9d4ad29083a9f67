/** What of a client's head reaches a server behind the gateway. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseHead } from "../../../src/gateway/request-head.ts";
import { forwardHead, type Forwarding } from "../../../src/server/gateway/forwarded-head.ts";
import { SeededRandom } from "../../../fuzz/seeded-random.ts";

const HOST = "k3vq.localhost:8443";
const SEED = 20_261_128;
const CLAIMS = [
  "X-Forwarded-For",
  "x_forwarded_for",
  "X-FORWARDED-PROTO",
  "X-Forwarded_Host",
  "X-Forwarded-Port",
].concat(["Forwarded", "X-Real-IP", "X_Real_Ip", "Proxy", "X-Sbx-Wait", "x-forwarded"]);
const OTHERS = ["Accept", "X-Own", "Cookie", "X-Forward", "Forwarded-By", "X-Request-Id", "Proxy-Authorization"];

function forward(fields: readonly string[], options: Partial<Forwarding> = {}): string[] {
  const head = Buffer.from(["GET /x HTTP/1.1", ...fields, "", ""].join("\r\n"), "latin1");
  parseHead(head);
  const made = forwardHead(head, { host: HOST, address: "203.0.113.7", isOnce: false, ...options });
  parseHead(made);
  return made.toString("latin1").split("\r\n").slice(0, -2);
}

test("whatever a client claims, in whatever spelling, the server has the gateway's word and all other fields as they were", () => {
  const random = new SeededRandom(SEED);
  for (let round = 0; round < 2000; round++) {
    const others = Array.from({ length: random.below(5) }, () => `${random.pick(OTHERS)}: v${random.below(9)}\u00e9`);
    const claims = Array.from({ length: random.below(5) }, () => `${random.pick(CLAIMS)}:evil`);
    const mixed = [...others, ...claims].map((field) => ({ field, at: random.below(1000) }));
    const sorted = mixed.toSorted((a, b) => a.at - b.at).map(({ field }) => field);
    const made = forward([...sorted, "HOST:k3vq.localhost"]);
    assert.deepEqual(made, [
      ...["GET /x HTTP/1.1", `Host: ${HOST}`, ...sorted.filter((field) => others.includes(field))],
      ...["X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", `X-Forwarded-Host: ${HOST}`],
    ]);
  }
});

test("behind a proxy its word on the client stays, and a connection is for one request unless it is upgraded", () => {
  const proxied = { address: null, isOnce: true };
  assert.deepEqual(forward(["Host: a", "X-Forwarded-For: 203.0.113.9", "Connection: keep-alive"], proxied), [
    ...["GET /x HTTP/1.1", `Host: ${HOST}`, "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"],
    ...[`X-Forwarded-Host: ${HOST}`, "Connection: close"],
  ]);
  const upgrade = ["Connection: keep-alive, Upgrade", "Upgrade: websocket"];
  const made = forward(["Host: a", ...upgrade], proxied);
  assert.deepEqual(made.slice(2, 4), upgrade);
  assert.ok(!made.includes("Connection: close"));
});

test("no client has a server that is a proxy drop what the gateway says: Connection names no fields", () => {
  const connection = (...fields: string[]): string[] =>
    forward(["Host: a", ...fields]).filter((field) => /^connection:/i.test(field));
  assert.deepEqual(connection("Connection: close, X-Forwarded-For"), ["Connection: close"]);
  assert.deepEqual(connection("connection: x-forwarded-for,X-Forwarded-Host", "Connection: host"), []);
  assert.deepEqual(connection("Connection: Upgrade, HTTP2-Settings, cookie"), ["Connection: Upgrade"]);
  for (const field of ["Connection: keep-alive, Upgrade", "connection:close", "Connection: TE, close"]) {
    assert.deepEqual(connection(field), [field]);
  }
});
