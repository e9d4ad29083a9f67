/** Requests that could be read in two ways, or are too much: one answer in the API's form, and nothing done. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { configHeader, openBench, upgradeLines, type ServerBench } from "./harness.ts";

const CREATE = "/api/v3/sandboxes/create";
const BODY = JSON.stringify({ slug: "smuggled", capacity: "1GB" });

interface Answer {
  status: number;
  code: string | undefined;
}

/** Sends bytes, says that there are no more, and reads the answers until the server hangs up. */
async function send(url: string, bytes: string): Promise<Answer[]> {
  const { hostname, port } = new URL(url);
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.end(bytes, "latin1");
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  await new Promise((resolve) => void socket.once("close", resolve));
  const answers = text.split(/(?=HTTP\/1\.1 \d{3} )/).filter((part) => part !== "");
  return answers.map((answer) => {
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);
    return { status, code: /"code":"([A-Z_]+)"/.exec(answer)?.[1] };
  });
}

function head(bench: ServerBench, more: string[], line = "POST /api/v2/volumes HTTP/1.1"): string {
  return [line, "Host: sbx.test", `Authorization: Bearer ${bench.token}`, ...more, "", ""].join("\r\n");
}

test("a request whose length can be read in two ways is refused, and what is hidden behind it is not read", async (t) => {
  const bench = await openBench(t);
  const hidden = head(bench, [`Content-Length: ${BODY.length}`]) + BODY;
  const chunked = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`;
  const cases: Record<string, string> = {
    "length and chunks": head(bench, ["Content-Length: 4", "Transfer-Encoding: chunked"]) + chunked + hidden,
    "chunks and length": head(bench, ["Transfer-Encoding: chunked", "Content-Length: 4"]) + chunked + hidden,
    "two lengths": head(bench, ["Content-Length: 0", `Content-Length: ${hidden.length}`]) + hidden,
    "a list of lengths": head(bench, ["Content-Length: 0, 5"]) + hidden,
    "a signed length": head(bench, [`Content-Length: +${BODY.length}`]) + BODY + hidden,
    "a hexadecimal length": head(bench, ["Content-Length: 0x10"]) + BODY + hidden,
    "a negative length": head(bench, ["Content-Length: -1"]) + hidden,
    "a length beyond all numbers": head(bench, ["Content-Length: 99999999999999999999999"]) + hidden,
    "a coding that is not chunked": head(bench, ["Transfer-Encoding: chunked, identity"]) + chunked + hidden,
    "a coding of its own": head(bench, ["Transfer-Encoding: xchunked"]) + chunked + hidden,
    "a blank before the colon": head(bench, ["Transfer-Encoding : chunked"]) + chunked + hidden,
    "a folded field": head(bench, ["X-A: b", " Transfer-Encoding: chunked", "Content-Length: 0"]) + hidden,
    "a bare carriage return": head(bench, ["X-A: b\rTransfer-Encoding: chunked"]) + chunked + hidden,
    "a bare line feed": head(bench, [`X-A: b\nContent-Length: ${BODY.length}`]) + BODY + hidden,
    "a chunk with a wrong length": `${head(bench, ["Transfer-Encoding: chunked"])}ffffffffffffffffff\r\n${hidden}`,
    "a chunk's bytes behind its length": `${head(bench, ["Transfer-Encoding: chunked"])}1\r\nab\r\n0\r\n\r\n${hidden}`,
    "a NUL in a field": head(bench, ["X-A: \0"]) + hidden,
    "another version": head(bench, [], "POST /api/v2/volumes HTTP/3.9") + hidden,
    "a blank line's worth of method": `\r\n\r\n${head(bench, ["Content-Length : 1"])}${hidden}`,
  };
  const made: string[] = [];
  for (const [title, bytes] of Object.entries(cases)) {
    const answers = await send(bench.url, bytes);
    if (answers[0]?.status !== 400 || answers[0].code !== "INVALID_REQUEST" || answers.length !== 1) {
      made.push(`${title}: ${JSON.stringify(answers)}`);
    }
  }
  assert.deepEqual(made, []);
  assert.deepEqual(bench.runtime.volumes.volumes, []);
  // And the same request in the open is one.
  assert.deepEqual(await send(bench.url, hidden), [{ status: 201, code: undefined }]);
});

test("a target that is no path of this server's reaches nothing, whatever host it names", async (t) => {
  const bench = await openBench(t);
  const targets = [
    "http://other.example/api/v2/volumes",
    "//other.example/api/v2/volumes",
    "/api/v2/volumes/../../../metrics",
    "/api/v2//volumes",
    "/api/v2/volumes/",
    "/API/v2/volumes",
    "/api/v2/volumes%2f",
    "/api%2fv2%2fvolumes",
    "/./api/v2/volumes/%2e%2e/%2e%2e/x",
    "/api/v2/volumes\\",
    "/%00",
    "/%ff%fe",
    "*",
    "/api/v2/volumes#x",
  ];
  for (const target of targets) {
    const [answer] = await send(bench.url, head(bench, [], `POST ${target} HTTP/1.1`));
    assert.ok(
      [400, 404, 405].includes(answer?.status ?? 0) && answer?.code !== undefined,
      `${target} ${answer?.status}`,
    );
  }
  assert.deepEqual(bench.runtime.volumes.volumes, []);
});

test("a request without a host, and one with an expectation of its own, are answered in the API's form", async (t) => {
  const bench = await openBench(t);
  const line = `POST /api/v2/volumes HTTP/1.1\r\nAuthorization: Bearer ${bench.token}\r\nContent-Length: 2\r\n`;
  const ends = "Connection: close\r\n\r\n[]";
  for (const bytes of [line + ends, `${line}Host: x\r\nExpect: miracles\r\n${ends}`]) {
    assert.deepEqual(await send(bench.url, bytes), [{ status: 400, code: "INVALID_REQUEST" }], bytes);
  }
});

test("bodies that are too long, no JSON, no UTF-8 or deeply nested are refused in the API's form", async (t) => {
  const bench = await openBench(t);
  const cases: [string, number, string][] = [
    [`"${"a".repeat(70_000)}"`, 413, "BODY_TOO_LARGE"],
    ["[".repeat(60_000), 400, "INVALID_REQUEST"],
    [`${"[".repeat(30_000)}${"]".repeat(30_000)}`, 400, "INVALID_REQUEST"],
    [`{"slug":${'{"a":'.repeat(9000)}1${"}".repeat(9000)}}`, 400, "INVALID_REQUEST"],
    ["\xff\xfe{}", 400, "INVALID_REQUEST"],
    ["\xef\xbb\xbf[]", 400, "INVALID_REQUEST"],
    ["null", 400, "INVALID_REQUEST"],
    ["1e999", 400, "INVALID_REQUEST"],
    ['{"slug":"a\\u0000b","capacity":1e400}', 400, "INVALID_REQUEST"],
    ['{"__proto__":{"slug":"polluted","capacity":"1GB"}}', 400, "INVALID_REQUEST"],
    ['{"slug":"x-1","capacity":"1e9GB"}', 400, "INVALID_REQUEST"],
    ['{"slug":"x-1","capacity":-1}', 400, "INVALID_REQUEST"],
  ];
  for (const [body, status, code] of cases) {
    const [answer] = await send(bench.url, head(bench, [`Content-Length: ${body.length}`, "Connection: close"]) + body);
    assert.deepEqual(answer, { status, code }, body.slice(0, 40));
  }
  assert.deepEqual(bench.runtime.volumes.volumes, []);
});

test("a configuration in a wrong encoding, of wrong types or with numbers beyond reason makes no sandbox", async (t) => {
  const bench = await openBench(t);
  const base64 = (text: string): string => Buffer.from(text, "utf8").toString("base64");
  const headers = [
    "",
    "%%%",
    `${configHeader()}, ${configHeader()}`,
    Buffer.from(JSON.stringify({ memory_mb: 1280 }))
      .toString("base64url")
      .replaceAll("_", "-")
      .concat("-"),
    Buffer.from("\ufeff{}", "utf16le").toString("base64"),
    base64("[]"),
    base64("null"),
    base64('"text"'),
    base64("{".repeat(50_000)),
    base64('{"memory_mb":1e400}'),
    base64('{"memory_mb":1280.5}'),
    base64('{"memory_mb":9007199254740993}'),
    base64('{"memory_mb":-1280}'),
    base64('{"stop_at_ms":1e400}'),
    base64('{"stop_at_ms":"soon"}'),
    base64('{"volumes":{"/a":7}}'),
    base64('{"volumes":[{"volume":"","path":"/a"}]}'),
    base64('{"labels":{"":"x"}}'),
    base64('{"labels":["x"]}'),
    base64('{"allow_net":"*"}'),
    base64('{"allow_net":[""]}'),
    base64('{"allow_net":["a\\u0000.example"]}'),
    base64('{"env":{"A":1}}'),
    base64('{"env":{"A=B":"x"}}'),
    base64('{"env":{"A\\u0000":"x"}}'),
    base64('{"env":{"A":"x\\u0000"}}'),
    base64('{"volumes":{"/a/../b":"v"}}'),
    base64('{"volumes":{"/a\\u0000":"v"}}'),
    base64('{"volumes":{"a":"v"}}'),
    base64('{"root":7}'),
    base64('{"timeout":"99999999999999d"}'),
  ];
  for (const header of headers) {
    const lines = upgradeLines(CREATE, bench.token, [`x-deno-sandbox-config: ${header}`]);
    const [answer] = await send(bench.url, `${lines.join("\r\n")}\r\n\r\n`);
    const said = Buffer.from(header, "base64").toString("latin1").slice(0, 60);
    assert.deepEqual(answer, { status: 400, code: "INVALID_CONFIG" }, `${header.slice(0, 40)} ${said}`);
  }
  assert.deepEqual(bench.runtime.sandboxes, []);
});

test("two tokens, two organisations or two configurations in one request are none", async (t) => {
  const bench = await openBench(t);
  const other = bench.makeToken({ organisations: ["acme"] });
  const twice = head(bench, [`Authorization: Bearer ${other}`, "Connection: close"], "GET /api/v2/volumes HTTP/1.1");
  assert.deepEqual(await send(bench.url, twice), [{ status: 401, code: "INVALID_TOKEN" }]);
  const orgs = head(
    bench,
    ["X-Deno-Org: local", "X-Deno-Org: acme", "Connection: close"],
    "GET /api/v2/volumes HTTP/1.1",
  );
  assert.deepEqual(await send(bench.url, orgs), [{ status: 403, code: "ORG_FORBIDDEN" }]);
  assert.deepEqual(bench.organisations.opened, ["local"]);
});

test("fields beyond the limit, a target beyond it and a thousand fields are refused with a reason", async (t) => {
  const bench = await openBench(t);
  const long = "a".repeat(300 * 1024);
  for (const bytes of [
    head(bench, [`X-Long: ${long}`], "GET /api/v2/volumes HTTP/1.1"),
    head(bench, [`${long}: x`], "GET /api/v2/volumes HTTP/1.1"),
    head(bench, [], `GET /${long} HTTP/1.1`),
    head(
      bench,
      Array.from({ length: 20_000 }, (_, at) => `X-${at}: aaaaaaaaaa`),
      "GET /api/v2/volumes HTTP/1.1",
    ),
  ]) {
    assert.deepEqual(await send(bench.url, bytes), [{ status: 431, code: "HEADERS_TOO_LARGE" }]);
  }
  const labels = Array.from({ length: 9000 }, (_, at) => `labels[k${at}]=v`).join("&");
  const [answer] = await send(
    bench.url,
    head(bench, ["Connection: close"], `GET /api/v2/sandboxes?${labels} HTTP/1.1`),
  );
  assert.ok([200, 400].includes(answer?.status ?? 0));
});
