/** Requests to a secret's own host: how the value is written in each place. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { fieldOf, openSandbox, PLAIN_VALUE, request, send, VALUE, WRITINGS } from "./sandbox-secrets.ts";

const LATIN1_VALUE = Buffer.from(VALUE).toString("latin1");

function basic(text: string): string {
  return `Basic ${Buffer.from(text).toString("base64")}`;
}

test("header values get the value as it is, wherever it stands in them", () => {
  const { secrets, placeholder: P } = openSandbox({ value: VALUE });
  const cases: [name: string, sent: string, arrives: string][] = [
    ["Authorization", `Bearer ${P}`, `Bearer ${LATIN1_VALUE}`],
    ["X-Api-Key", P, LATIN1_VALUE],
    ["Cookie", `a=1; key=${P}; b=2`, `a=1; key=${LATIN1_VALUE}; b=2`],
    ["X-Two", `${P},${P}`, `${LATIN1_VALUE},${LATIN1_VALUE}`],
    ["X-Percent", encodeURIComponent(P).replace("_", "%5F"), encodeURIComponent(VALUE)],
    ["Referer", `https://api.example.com/?k=${P}`, `https://api.example.com/?k=${encodeURIComponent(VALUE)}`],
  ];
  for (const [name, sent, arrives] of cases) {
    const outgoing = secrets.openRequest(request({ fields: [[name, sent]] }));
    assert.deepEqual(outgoing.head.fields, [[name, arrives]], name);
    assert.deepEqual(outgoing.used, ["KEY"]);
    assert.ok(!outgoing.blocked);
  }
});

test("Basic credentials are decoded and coded anew, with the value as user, as password, or both", () => {
  for (const value of [VALUE, PLAIN_VALUE, "12345678", "123456789", "1234567890"]) {
    const { secrets, placeholder: P } = openSandbox({ value });
    for (const write of [
      (key: string) => `user:${key}`,
      (key: string) => `${key}:`,
      (key: string) => `x:${key}`,
      (key: string) => `${key}:${key}`,
      (key: string) => `${key}${key}`,
      (key: string) => `me@example.com/token:${key}-suffix`,
    ]) {
      const outgoing = secrets.openRequest(request({ fields: [["authorization", basic(write(P))]] }));
      assert.equal(fieldOf(outgoing.head, "authorization"), basic(write(value)));
    }
  }
});

test("base64 of either alphabet in any header is coded anew", () => {
  const { secrets, placeholder: P } = openSandbox({ value: VALUE });
  const config = (key: string): string => JSON.stringify({ username: "u?>", password: key });
  const sent = Buffer.from(config(P)).toString("base64url");
  const outgoing = secrets.openRequest(request({ fields: [["x-registry-auth", sent]] }));
  const arrived = Buffer.from(fieldOf(outgoing.head, "x-registry-auth") ?? "", "base64url").toString();
  assert.equal(arrived, config(P).replace(P, VALUE));
});

test("Proxy-* fields, header names, the method and forms that no place decodes keep the placeholder", () => {
  const { secrets, placeholder: P } = openSandbox({ value: VALUE });
  const fields = [
    ["Proxy-Auth", P],
    [`x-${P.toLowerCase()}`, "1"],
    ["x-capitals", P.toUpperCase()],
    ["x-hex", Buffer.from(P).toString("hex")],
    ["x-twice", WRITINGS["percent-encoded twice"]?.(P.replace("_", "%5F")) ?? ""],
  ] as const;
  const outgoing = secrets.openRequest(request({ method: P, fields }));
  assert.deepEqual(outgoing.head.fields, fields);
  assert.equal(outgoing.head.method, P);
  assert.deepEqual(outgoing.used, []);
  assert.ok(!outgoing.blocked);
  assert.deepEqual(outgoing.leaks, []);
});

test("path and query get the value percent-encoded, as each needs", () => {
  const { secrets, placeholder: P } = openSandbox({ value: "12:a/b?c#d e+f&g=h;i%j" });
  const cases = {
    [`/bot${P}/send`]: "/bot12:a%2Fb%3Fc%23d%20e+f&g=h%3Bi%25j/send",
    [`/x?key=${P}&y=${P}`]:
      "/x?key=12%3Aa%2Fb%3Fc%23d%20e%2Bf%26g%3Dh%3Bi%25j&y=12%3Aa%2Fb%3Fc%23d%20e%2Bf%26g%3Dh%3Bi%25j",
    [`/${P.replaceAll("_", "%5f")}?a`]: "/12:a%2Fb%3Fc%23d%20e+f&g=h%3Bi%25j?a",
    "/?DENO_SECRET_PLACEHOLDER_": "/?DENO_SECRET_PLACEHOLDER_",
  };
  for (const [target, arrives] of Object.entries(cases)) {
    assert.equal(secrets.openRequest(request({ target })).head.target, arrives);
  }
});

test("a body gets the value as its type needs it, and its length goes out of the head", async () => {
  const { secrets, placeholder: P } = openSandbox({ value: VALUE });
  const escaped = JSON.stringify(VALUE).slice(1, -1);
  const xml = "sk-live/+abc&amp;&quot;x\\y=é 1234567890%q";
  const cases: [type: string, sent: string, arrives: string][] = [
    ["application/json", `{"key":"${P}"}`, `{"key":"${escaped}"}`],
    [
      "application/json; charset=utf-8",
      `{"key":"${WRITINGS["JSON with code units"]?.(P) ?? ""}"}`,
      `{"key":"${escaped}"}`,
    ],
    ["application/vnd.api+json", `["${P}"]`, `["${escaped}"]`],
    ["application/json", `{"u":"/?k=${P.replace("_", "%5F")}"}`, `{"u":"/?k=${encodeURIComponent(VALUE)}"}`],
    ["Application/X-WWW-Form-Urlencoded", `a=1&k=${P}&b=2`, `a=1&k=${encodeURIComponent(VALUE)}&b=2`],
    ["application/x-www-form-urlencoded", `k=${P.replaceAll("_", "%5F")}`, `k=${encodeURIComponent(VALUE)}`],
    ["application/xml", `<k v="${P}">${P}</k>`, `<k v="${xml}">${xml}</k>`],
    ["application/soap+xml", `<k>${P.replace("D", "&#68;")}</k>`, `<k>${xml}</k>`],
    ["text/plain", `key ${P}.`, `key ${VALUE}.`],
    ["multipart/form-data; boundary=x", `--x\r\n\r\n${P}\r\n--x--`, `--x\r\n\r\n${VALUE}\r\n--x--`],
    ["application/octet-stream", `\0${P}\0`, `\0${VALUE}\0`],
    ["", P, VALUE],
    ["text/plain", Buffer.from(`u:${P}!`).toString("base64"), Buffer.from(`u:${VALUE}!`).toString("base64")],
  ];
  for (const [type, sent, arrives] of cases) {
    const fields = [
      ["Content-Type", type],
      ["Content-Length", String(sent.length)],
    ] as const;
    const outgoing = secrets.openRequest(request({ fields }));
    assert.deepEqual(outgoing.head.fields, [["Content-Type", type]]);
    assert.deepEqual(outgoing.used, []);
    assert.equal((await send(outgoing.body(), [sent])).toString(), arrives, type);
    assert.deepEqual(outgoing.used, ["KEY"]);
  }
});

test("a body with lengths in it, and one in an unknown coding, go as they are with their length", async () => {
  const { secrets, placeholder: P } = openSandbox();
  for (const field of [
    ["content-type", "application/grpc"],
    ["content-type", "application/grpc+json"],
    ["content-type", "application/x-protobuf"],
    ["content-type", "application/cbor"],
    ["content-encoding", "aws-chunked"],
  ] as const) {
    const fields = [field, ["content-length", "5"]] as const;
    const outgoing = secrets.openRequest(request({ fields }));
    assert.deepEqual(outgoing.head.fields, fields);
    const body = `\0\0\0\0X${P}`;
    assert.equal((await send(outgoing.body(), [body])).toString(), body);
    assert.deepEqual(outgoing.used, []);
  }
});

test("an empty body keeps its length and needs no stream", () => {
  const { secrets } = openSandbox();
  const fields = [["content-length", "0"]] as const;
  const outgoing = secrets.openRequest(request({ fields }));
  assert.equal(outgoing.body(), null);
  assert.deepEqual(outgoing.head.fields, fields);
});

test("a body that the guest compressed is decoded, and goes out without its coding", async () => {
  const { secrets, placeholder: P } = openSandbox({ value: VALUE });
  const text = `${"some text ".repeat(5000)}${P}${" and more".repeat(5000)}`;
  const codings: [coding: string, code: (data: string) => Buffer][] = [
    ["gzip", gzipSync],
    ["x-gzip", gzipSync],
    ["deflate", deflateSync],
    ["deflate", deflateRawSync],
    ["br", brotliCompressSync],
    ["zstd", zstdCompressSync],
  ];
  for (const [coding, code] of codings) {
    const fields = [
      ["content-encoding", coding],
      ["content-length", "1"],
      ["digest", "sha-256=x"],
      ["content-md5", "x"],
      ["x-kept", "1"],
    ] as const;
    const outgoing = secrets.openRequest(request({ fields }));
    assert.deepEqual(outgoing.head.fields, [["x-kept", "1"]]);
    const arrived = await send(outgoing.body(), [code(text)]);
    assert.equal(arrived.toString(), text.replace(P, VALUE), coding);
  }
});

test("a body that is not in the coding it announces fails", async () => {
  const { secrets } = openSandbox();
  const outgoing = secrets.openRequest(request({ fields: [["content-encoding", "gzip"]] }));
  await assert.rejects(send(outgoing.body(), ["this is no gzip"]), /incorrect header check/);
});

test("trailers and WebSocket messages get the value", () => {
  const { secrets, placeholder: P } = openSandbox({ value: VALUE });
  assert.deepEqual(secrets.openRequest(request()).trailers([["x-sum", P]]), [["x-sum", LATIN1_VALUE]]);
  const cases = {
    [`login ${P}`]: `login ${VALUE}`,
    [` {"token":"${P}"}`]: ` {"token":"${JSON.stringify(VALUE).slice(1, -1)}"}`,
    "nothing here": "nothing here",
  };
  for (const [sent, arrives] of Object.entries(cases)) {
    assert.equal(secrets.openRequest(request()).message(Buffer.from(sent)).toString(), arrives);
  }
});

test("before there is a value the placeholder goes out unchanged, to the own host only", () => {
  const { secrets, placeholder: P } = openSandbox({ value: null });
  const own = secrets.openRequest(request({ fields: [["x-key", P]] }));
  assert.equal(fieldOf(own.head, "x-key"), P);
  assert.ok(!own.blocked);
  assert.ok(secrets.openRequest(request({ host: "other.example.org", fields: [["x-key", P]] })).blocked);
});

test("responses are asked for in codings that can be read, and from the own host never in part", () => {
  const { secrets } = openSandbox();
  const cases = {
    "gzip, deflate, br, zstd": "gzip, deflate, br, zstd",
    "br;q=1.0, GZIP;q=0.5, made-up, *;q=0.1": "br;q=1.0, GZIP;q=0.5",
    "dcb, made-up": "identity",
    "*": "identity",
    "": "identity",
    "identity;q=0, gzip": "identity;q=0, gzip",
  };
  const fields = [
    ["range", "bytes=3-9"],
    ["If-Range", '"x"'],
    ["grpc-accept-encoding", "gzip"],
  ] as const;
  for (const [accepted, asked] of Object.entries(cases)) {
    const sent = [["Accept-Encoding", accepted], ...fields] as const;
    assert.deepEqual(secrets.openRequest(request({ fields: sent })).head.fields, [
      ["Accept-Encoding", asked],
      ["grpc-accept-encoding", "identity"],
    ]);
    const elsewhere = secrets.openRequest(request({ host: "other.example.org", fields: sent }));
    assert.equal(fieldOf(elsewhere.head, "range"), "bytes=3-9");
  }
  assert.deepEqual(secrets.openRequest(request()).head.fields, [], "nothing is added");
});
