/** How what a client sends is cut into requests. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestHead } from "../../../src/gateway/request-head.ts";
import { RequestReader } from "../../../src/gateway/request-reader.ts";

interface Read {
  targets: string[];
  passed: string;
  refused: string | undefined;
  held: string | undefined;
}

/** Feeds a reader in pieces; stops at the first refusal. */
function read(
  text: string,
  sizes: number | "whole" = "whole",
  judge: (head: RequestHead) => void = () => undefined,
): Read {
  const result: Read = { targets: [], passed: "", refused: undefined, held: undefined };
  const reader = new RequestReader((head) => {
    judge(head);
    result.targets.push(head.target);
  });
  const bytes = Buffer.from(text, "latin1");
  const size = sizes === "whole" ? bytes.length : sizes;
  for (let at = 0; at < bytes.length; at += size) {
    const { passed, upgrade, refused } = reader.read(bytes.subarray(at, at + size));
    result.passed += passed?.toString("latin1") ?? "";
    result.held ??= upgrade?.held?.toString("latin1");
    if (refused !== undefined) {
      result.refused = refused.message;
      break;
    }
  }
  return result;
}

const get = (target: string, ...fields: string[]): string =>
  [`GET ${target} HTTP/1.1`, "Host: a.localhost:1", ...fields, "", ""].join("\r\n");
const CHUNKS = "4;ext=1\r\nWiki\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n";
const PIPELINE = [
  get("/1"),
  get("/2", "Content-Length: 5"),
  "12345",
  get("/3", "Transfer-Encoding: chunked"),
  CHUNKS,
  get("/4", "Transfer-Encoding: chunked"),
  "0\r\n\r\n",
  get("/5"),
].join("");

test("every head is judged and every byte passed, however the bytes are cut", () => {
  for (const size of ["whole", 1, 2, 3, 7, 64, 100] as const) {
    const { targets, passed, refused } = read(PIPELINE, size);
    assert.deepEqual(targets, ["/1", "/2", "/3", "/4", "/5"], String(size));
    assert.equal(passed, PIPELINE);
    assert.equal(refused, undefined);
  }
});

test("no byte of a head is passed before it is complete, nor of a request that is refused", () => {
  const judge = ({ target }: RequestHead): void => {
    if (target === "/2") throw new Error("no");
  };
  for (const size of ["whole", 1, 5] as const) {
    const { targets, passed, refused } = read(PIPELINE, size, judge);
    assert.deepEqual([targets, passed, refused], [["/1"], get("/1"), "no"], String(size));
  }
  assert.equal(read("GET / HTTP/1.1\r\nHost: a", 3).passed, "");
});

test("what only looks like a request is a part of a body", () => {
  const inner = get("/inner");
  const { targets } = read(`${get("/1", `Content-Length: ${inner.length}`)}${inner}${get("/2")}`, 9);
  assert.deepEqual(targets, ["/1", "/2"]);
});

test("chunks that are not well formed are refused", () => {
  const begin = get("/", "Transfer-Encoding: chunked");
  for (const body of [
    "\r\n",
    "g\r\n",
    " 4\r\n",
    "4 \r\nWiki\r\n",
    "+4\r\nWiki\r\n",
    "0x4\r\nWiki\r\n",
    "4\nWiki\n",
    "4\r\nWikiX\r\n",
    "4\r\nWiki\n",
    "4\r\nWiki\r0",
    "fffffffffffff\r\n",
    ";x\r\n",
    "4;a\u0000\r\n",
    `4;${"x".repeat(1100)}\r\n`,
    "0\r\nX: a\u0000\r\n\r\n",
    "0\r\n\n",
    "0\r\nX: a\rY\r\n\r\n",
    `0\r\n${"X: y\r\n".repeat(20_000)}\r\n`,
  ]) {
    assert.match(read(begin + body).refused ?? "", /chunks/, JSON.stringify(body.slice(0, 40)));
    assert.match(read(begin + body, 1).refused ?? "", /chunks/, JSON.stringify(body.slice(0, 40)));
  }
});

test("a head has up to 64 KiB, and no more of one is kept", () => {
  const filler = (bytes: number): string => `X: ${"y".repeat(bytes)}`;
  assert.equal(read(get("/", filler(65_000)), 1000).targets.length, 1);
  assert.match(read(get("/", filler(66_000)), 1000).refused ?? "", /65536 bytes/);
  assert.match(read("y".repeat(70_000), 1).refused ?? "", /65536 bytes/);
});

test("behind a request for an upgrade nothing is passed, until the server has agreed and all is", () => {
  const upgrade = get("/ws", "Connection: Upgrade", "Upgrade: websocket");
  assert.deepEqual(read(`${upgrade}frames`), { targets: ["/ws"], passed: upgrade, refused: undefined, held: "frames" });
  const reader = new RequestReader(() => undefined);
  assert.deepEqual(reader.read(Buffer.from(upgrade)).upgrade, { held: undefined });
  reader.passAll();
  assert.equal(reader.read(Buffer.from("\u0000\u0001 no HTTP")).passed?.toString(), "\u0000\u0001 no HTTP");
});

test("heads go on as they are rewritten, and bodies as they are, however the bytes are cut", () => {
  const requests = [
    get("/1"),
    `${get("/2", "Content-Length: 5").replace("GET", "POST")}hello`,
    `${get("/3", "Transfer-Encoding: chunked").replace("GET", "PUT")}3\r\nabc\r\n0\r\nX: y\r\n\r\n`,
    get("/4"),
  ];
  const expected = requests.map((request) => request.replace("Host: a.localhost:1", "Host: b")).join("");
  const bytes = Buffer.from(requests.join(""), "latin1");
  for (let size = 1; size <= bytes.length; size++) {
    const reader = new RequestReader(
      () => undefined,
      (head) => Buffer.from(head.toString("latin1").replace("Host: a.localhost:1", "Host: b"), "latin1"),
    );
    let passed = "";
    for (let at = 0; at < bytes.length; at += size) {
      passed += reader.read(bytes.subarray(at, at + size)).passed?.toString("latin1") ?? "";
    }
    assert.equal(passed, expected, `in pieces of ${size}`);
  }
});

test("a head that is refused is neither passed on nor rewritten", () => {
  const rewritten: string[] = [];
  const reader = new RequestReader(
    ({ target }) => {
      if (target === "/2") throw new Error("not this one");
    },
    (head) => {
      rewritten.push(head.toString("latin1", 0, 6));
      return head;
    },
  );
  const { passed, refused } = reader.read(Buffer.from(get("/1") + get("/2")));
  assert.equal(passed?.toString("latin1"), get("/1"));
  assert.equal(refused?.message, "not this one");
  assert.deepEqual(rewritten, ["GET /1"]);
});
