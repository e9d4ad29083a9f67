/** Responses: values on their way into the guest. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { test } from "node:test";
import {
  brotliCompressSync,
  constants,
  createBrotliCompress,
  createGzip,
  createZstdCompress,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from "node:zlib";
import { LeakError } from "../../../src/egress/secrets/secrets.ts";
import {
  cut,
  fieldOf,
  openSandbox,
  PLAIN_VALUE,
  placeholderOf,
  request,
  response,
  send,
  sendUntilError,
  VALUE,
  WRITINGS,
} from "./sandbox-secrets.ts";

const VALUES = [
  PLAIN_VALUE,
  VALUE,
  "12345678",
  "s3cr3t+/==",
  "pässwörd-€-😀-0",
  "trailing space ",
  "%25%25%25%25\\\\\\\\",
];

/** A text that no way to write a value contains once it was scrubbed. */
function assertClean(text: string, value: string, what: string): void {
  for (const [how, write] of Object.entries(WRITINGS)) {
    // What is left of base64 at its edges has bits of the neighbours.
    const written = how.startsWith("base64")
      ? write(value)
          .replace(/(?:=|%3D)*$/, "")
          .slice(3, -3)
      : write(value);
    assert.ok(!text.includes(written), `${what}: ${how} is left in ${text}`);
  }
}

test("a value in any way of writing becomes the placeholder in headers, trailers, messages and bodies", async () => {
  for (const value of VALUES) {
    const { secrets, placeholder } = openSandbox({ value });
    for (const [how, write] of Object.entries(WRITINGS)) {
      const echoed = Buffer.from(`<${write(value)}>`);
      const incoming = secrets.openResponse(request(), response([["x-echo", echoed.toString("latin1")]]));
      const scrubbed = [
        fieldOf(incoming.head, "x-echo") ?? "",
        incoming.trailers([["x-echo", echoed.toString("latin1")]])[0]?.[1] ?? "",
        incoming.message(echoed).toString(),
        (await send(incoming.body(), [echoed])).toString(),
        secrets.scrubText(echoed.toString()),
      ];
      for (const text of scrubbed) {
        assertClean(text, value, how);
        assert.equal(text, scrubbed[0]);
        if (!/base64|hexadecimal/.test(how)) assert.equal(text, `<${placeholder}>`, how);
      }
    }
  }
});

test("base64 and hexadecimal stay what they are, with the placeholder in it", () => {
  for (const value of VALUES) {
    const { secrets, placeholder } = openSandbox({ value });
    for (const write of [
      (text: string) => text,
      (text: string) => `u:${text}`,
      (text: string) => `x${text}tail`,
      (text: string) => `xy${text}${text}z`,
      (text: string) => `${text}, ${text}`,
    ]) {
      for (const coding of ["base64", "hex"] as const) {
        const text = secrets.scrubText(`(${Buffer.from(write(value)).toString(coding)})`);
        assert.equal(text, `(${Buffer.from(write(placeholder)).toString(coding)})`);
      }
    }
  }
});

test("a redirect, a cookie and an echoed Authorization are scrubbed", () => {
  const { secrets, placeholder } = openSandbox({ value: VALUE });
  const encoded = encodeURIComponent(VALUE);
  const fields = [
    ["Location", `https://evil.example/?next=${encodeURIComponent(`https://api.example.com/?key=${encoded}`)}`],
    ["Set-Cookie", `key=${encoded}; Path=/`],
    ["X-Echo-Authorization", `Basic ${Buffer.from(`user:${VALUE}`).toString("base64")}`],
    ["X-Clean", "1"],
  ] as const;
  assert.deepEqual(secrets.openResponse(request(), response(fields, 302)).head.fields, [
    ["Location", `https://evil.example/?next=${encodeURIComponent("https://api.example.com/?key=")}${placeholder}`],
    ["Set-Cookie", `key=${placeholder}; Path=/`],
    ["X-Echo-Authorization", `Basic ${Buffer.from(`user:${placeholder}`).toString("base64")}`],
    ["X-Clean", "1"],
  ]);
});

test("a response of any other host is scrubbed as well, and of several secrets the host's own placeholder is used", () => {
  const { secrets, placeholder } = openSandbox({ more: ["second"] });
  secrets.setValue("second", PLAIN_VALUE);
  const scrub = (host: string): string | undefined =>
    fieldOf(secrets.openResponse(request({ host }), response([["x", PLAIN_VALUE]])).head, "x");
  assert.equal(scrub("other.example.org"), placeholder);
  assert.equal(scrub("api.example.com"), placeholder);
  assert.equal(scrub("second.example.net"), placeholderOf(secrets, "second"));
});

test("a coded response is decoded and scrubbed, and arrives without coding, length and digests", async () => {
  const { secrets, placeholder } = openSandbox({ value: VALUE });
  const text = `${"some text ".repeat(5000)}${VALUE}${" and more".repeat(5000)}`;
  const codings: [coding: string, coded: Buffer][] = [
    ["gzip", gzipSync(text)],
    ["GZIP", gzipSync(text)],
    ["deflate", deflateSync(text)],
    ["deflate", deflateRawSync(text)],
    ["br", brotliCompressSync(text)],
    ["zstd", zstdCompressSync(text)],
    ["gzip, br", brotliCompressSync(gzipSync(text))],
    ["identity", Buffer.from(text)],
  ];
  for (const [coding, coded] of codings) {
    const fields = [
      ["content-type", "text/plain"],
      ["content-encoding", coding],
      ["content-length", String(coded.length)],
      ["etag", '"x"'],
      ["content-digest", "x"],
    ] as const;
    for (const size of [1, 999, coded.length]) {
      const incoming = secrets.openResponse(request(), response(fields));
      if (coding !== "identity") {
        assert.deepEqual(incoming.head.fields, [
          ["content-type", "text/plain"],
          ["etag", '"x"'],
        ]);
      }
      assert.equal(fieldOf(incoming.head, "content-length"), undefined);
      const arrived = await send(
        incoming.body(),
        size === 1 ? cut(coded, size).slice(0, 200).concat(coded.subarray(200)) : cut(coded, size),
      );
      assert.equal(arrived.toString(), text.replace(VALUE, placeholder), `${coding} in pieces of ${size}`);
    }
  }
});

test("an empty coded body is an empty body", async () => {
  const { secrets } = openSandbox();
  const incoming = secrets.openResponse(request(), response([["content-encoding", "gzip"]]));
  assert.equal((await send(incoming.body(), [])).length, 0);
});

test("what cannot be searched is not passed on", async () => {
  const { secrets } = openSandbox();
  const cases: [reason: RegExp, fields: [string, string][], status: number][] = [
    [/content coding that cannot be searched/, [["content-encoding", "made-up"]], 200],
    [/content coding that cannot be searched/, [["content-encoding", "gzip, made-up"]], 200],
    [/content coding that cannot be searched/, [["content-encoding", "gzip, gzip, gzip, gzip"]], 200],
    [/part of a coded response/, [["content-encoding", "gzip"]], 206],
    [/incorrect header check/, [["content-encoding", "gzip"]], 200],
    [/compressed gRPC message/, [["content-type", "application/grpc"]], 200],
  ];
  for (const [reason, fields, status] of cases) {
    const body = secrets.openResponse(request(), response(fields, status)).body();
    assert.ok(body);
    const { output, error } = await sendUntilError(body, [Buffer.from([1, 0, 0, 0, 1, 65])]);
    assert.match(String(error), reason);
    assert.equal(output.length, 0);
  }
});

test("a response without a body keeps its length, unless the GET would be decoded", () => {
  const { secrets } = openSandbox();
  const plain = [["content-length", "10"]] as const;
  const coded = [["content-encoding", "gzip"], ...plain] as const;
  for (const [head, status] of [
    [request({ method: "HEAD" }), 200],
    [request({ method: "GET" }), 304],
    [request({ method: "GET" }), 204],
  ] as const) {
    assert.deepEqual(secrets.openResponse(head, response(plain, status)).head.fields, plain);
    assert.equal(secrets.openResponse(head, response(plain, status)).body(), null);
    assert.deepEqual(secrets.openResponse(head, response(coded, status)).head.fields, []);
  }
  const empty = secrets.openResponse(request(), response([["content-length", "0"]]));
  assert.deepEqual(empty.head.fields, [["content-length", "0"]]);
  assert.equal(empty.body(), null);
});

test("an event stream flows: what cannot be the beginning of a value is passed on at once, in every coding", async () => {
  const { secrets, placeholder } = openSandbox();
  const coders = {
    identity: null,
    gzip: createGzip(),
    br: createBrotliCompress(),
    zstd: createZstdCompress(),
  };
  for (const [coding, coder] of Object.entries(coders)) {
    const body = secrets.openResponse(request(), response([["content-encoding", coding]])).body();
    assert.ok(body);
    coder?.pipe(body);
    const received = collect(body);
    for (const [event, arrives] of [
      ["data: one\n\n", "data: one\n\n"],
      [`data: ${PLAIN_VALUE}\n\n`, `data: ${placeholder}\n\n`],
      ["data: end\n\n", "data: end\n\n"],
    ] as const) {
      (coder ?? body).write(event);
      coder?.flush(
        coding === "br"
          ? constants.BROTLI_OPERATION_FLUSH
          : coding === "zstd"
            ? constants.ZSTD_e_flush
            : constants.Z_SYNC_FLUSH,
      );
      assert.equal(await received(arrives.length), arrives, coding);
    }
    body.destroy();
    coder?.destroy();
  }
});

test("only what may be the beginning of a value is held back, until the next chunk or the end", async () => {
  const { secrets, placeholder } = openSandbox();
  const body = secrets.openResponse(request(), response()).body();
  assert.ok(body);
  const write = async (text: string): Promise<string> => {
    await new Promise((resolve) => body.write(text, resolve));
    return readAll(body);
  };
  assert.equal(await write("clean!"), "clean!");
  assert.equal(await write(`clean ${PLAIN_VALUE.slice(0, 12)}`), "clean ");
  assert.equal(await write("x!"), `${PLAIN_VALUE.slice(0, 12)}x!`);
  assert.equal(await write(`(${PLAIN_VALUE.slice(0, -1)}`), "(");
  assert.equal(await write(`${PLAIN_VALUE.slice(-1)})`), `${placeholder})`);
  assert.equal(await write(`!${PLAIN_VALUE.slice(0, 3)}`), "!");
  const rest = once(body, "end");
  body.end();
  body.resume();
  const ended = await Promise.all([once(body, "data"), rest]);
  assert.equal(String(ended[0][0]), PLAIN_VALUE.slice(0, 3));
});

function readAll(stream: Readable): string {
  const parts: Buffer[] = [];
  for (let part = stream.read() as Buffer | null; part !== null; part = stream.read() as Buffer | null)
    parts.push(part);
  return Buffer.concat(parts).toString();
}

/** Reads on until there is as much as asked for. */
function collect(stream: Readable): (length: number) => Promise<string> {
  let text = "";
  stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return async (length) => {
    while (text.length < length) await once(stream, "data");
    const taken = text;
    text = "";
    return taken;
  };
}

function grpcMessage(text: string, length = Buffer.byteLength(text)): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, Buffer.from(text)]);
}

test("a gRPC message keeps its length, and its end waits for no other message", async () => {
  const { secrets, placeholder } = openSandbox();
  const fields = [
    ["content-type", "application/grpc+proto"],
    ["content-length", "99"],
  ] as const;
  const incoming = secrets.openResponse(request(), response(fields));
  assert.deepEqual(incoming.head.fields, fields);
  const body = incoming.body();
  assert.ok(body);
  const messages: [sent: string, arrives: string][] = [
    [`a${PLAIN_VALUE}b`, `a${placeholder.slice(0, PLAIN_VALUE.length)}b`],
    [PLAIN_VALUE.slice(0, 3), PLAIN_VALUE.slice(0, 3)],
    [PLAIN_VALUE.slice(3), PLAIN_VALUE.slice(3)],
    ["", ""],
  ];
  for (const [sent, arrives] of messages) {
    for (const piece of cut(grpcMessage(sent), 3)) await new Promise((resolve) => body.write(piece, resolve));
    assert.equal(readAll(body), grpcMessage(arrives).toString());
  }
});

test("a false framing of a gRPC body lets three bytes of a value in at most, and hides none from a leak's search", async () => {
  const { secrets, placeholder } = openSandbox();
  const fields = [["content-type", "application/grpc"]] as const;
  for (const write of [(text: string) => text, (text: string) => Buffer.from(`:${text}`).toString("base64")]) {
    const value = write(PLAIN_VALUE);
    let whole = 0;
    for (let at = 0; at <= value.length; at += 1) {
      const sent = Buffer.from(`${grpcMessage("", at + 1).toString("latin1")}<${value}>\0\0\0\0\0`, "latin1");
      for (const size of [1, 4, sent.length]) {
        const body = secrets.openResponse(request(), response(fields)).body();
        assert.ok(body);
        // What is read as the next message's flags may be odd, and ends it.
        const { output, error } = await sendUntilError(body, cut(sent, size));
        const text = output.toString("latin1", 6);
        if (error === null) {
          whole += 1;
          assert.equal(output.length, sent.length);
          assert.ok(text.includes(write(placeholder).slice(4, value.length - 4)), `${text} at ${at}`);
        }
        for (let from = 0; from + 5 <= value.length - 2; from += 1) {
          assert.ok(!text.includes(value.slice(from, from + 5)), `${text} at ${at}`);
        }
      }
    }
    assert.ok(whole > 10);
    const key = write(placeholder);
    for (let at = 0; at <= key.length; at += 1) {
      const sent = Buffer.concat([grpcMessage("", at), Buffer.from(key)]);
      const elsewhere = request({ host: "other.example.org", fields });
      await assert.rejects(send(secrets.openRequest(elsewhere).body(), cut(sent, 3)), LeakError);
    }
  }
});

test("a gRPC body that ends within a message, or before one, keeps its last bytes", async () => {
  const { secrets } = openSandbox();
  const fields = [["content-type", "application/grpc"]] as const;
  for (const sent of [
    grpcMessage("whole"),
    grpcMessage("cut off", 99),
    Buffer.from([0, 0]),
    Buffer.from([0, 0, 0, 0, 2, 65]),
  ]) {
    assert.deepEqual(await send(secrets.openResponse(request(), response(fields)).body(), cut(sent, 4)), sent);
    assert.deepEqual(await send(secrets.openRequest(request({ fields })).body(), cut(sent, 4)), sent);
  }
});

test("in a format with lengths a long value's placeholder is filled", async () => {
  const value = "v0123456789".repeat(20);
  const { secrets, placeholder } = openSandbox({ value });
  const fields = [["content-type", "application/x-protobuf"]] as const;
  const out = await send(secrets.openResponse(request(), response(fields)).body(), [`<${value}>`]);
  assert.equal(out.toString(), `<${placeholder.padEnd(value.length, "*")}>`);
});

test("a short value is scrubbed as it is and escaped, not in base64", () => {
  const { secrets, placeholder } = openSandbox({ value: "p@ss" });
  assert.equal(secrets.scrubText("p@ss p%40ss p\\u0040ss"), `${placeholder} ${placeholder} ${placeholder}`);
  const coded = Buffer.from("p@ss").toString("base64");
  assert.equal(secrets.scrubText(coded), coded);
});

test("a decompression bomb is decoded no faster than it is read", async () => {
  const { secrets } = openSandbox();
  const bomb = gzipSync(Buffer.alloc(256 * 1024 * 1024), { level: 9 });
  const body = secrets.openResponse(request(), response([["content-encoding", "gzip"]])).body();
  assert.ok(body);
  body.write(bomb);
  await once(body, "readable");
  for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.ok(body.readableLength < 1024 * 1024, `${body.readableLength} bytes wait`);
  let bytes = 0;
  for await (const chunk of body.end()) bytes += (chunk as Buffer).length;
  assert.equal(bytes, 256 * 1024 * 1024);
});

test("a text that was harmless is scrubbed as soon as it is a value", () => {
  const { secrets, placeholder } = openSandbox({ value: "another one" });
  for (let round = 0; round < 3; round += 1) assert.equal(secrets.scrubText("tomorrow's value"), "tomorrow's value");
  secrets.setValue("KEY", "tomorrow's value");
  assert.equal(secrets.scrubText("tomorrow's value"), placeholder);
});
