/** Bodies through the real hook process: streamed, decoded, given back, bounded. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { test } from "node:test";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { HookError } from "../../../src/egress/hooks/hooks.ts";
import { bodyOf, NEVER, openHooks, requestHead, responseHead, textOf, until } from "./hook-module.ts";

const MiB = 1024 * 1024;

/** Bytes that can be told apart; made while they are read. */
function bigBody(
  bytes: number,
  digest = createHash("sha256"),
): { body: Readable; digest: typeof digest; given: () => number } {
  let given = 0;
  const body = Readable.from(
    (function* () {
      for (let number = 0; given < bytes; number++) {
        const part = Buffer.alloc(Math.min(100_000, bytes - given), `${number}-`);
        given += part.length;
        digest.update(part);
        yield part;
      }
    })(),
    { objectMode: false },
  );
  return { body, digest, given: () => given };
}

/** @returns also the most that was under way, by the count of what was given */
async function digestOf(
  body: Readable | null,
  given: () => number = () => 0,
): Promise<{ digest: string; mostBytes: number }> {
  const digest = createHash("sha256");
  let mostBytes = 0;
  let arrivedBytes = 0;
  for await (const part of body ?? []) {
    digest.update(part as Buffer);
    arrivedBytes += (part as Buffer).length;
    mostBytes = Math.max(mostBytes, given() - arrivedBytes);
  }
  return { digest: digest.digest("hex"), mostBytes };
}

for (const [name, source] of [
  ["nothing is returned", "export const onRequest = () => undefined"],
  ["another header is returned", "export const onRequest = (request) => new Request(request, { headers: { a: 'b' } })"],
  [
    "it goes through a stream of the hook",
    "export const onRequest = (request) => new Request(request, { body: request.body.pipeThrough(new TransformStream()), duplex: 'half' })",
  ],
  [
    "only its beginning was read",
    `export const onRequest = async (request) => {
      const reader = request.body.getReader();
      await reader.read();
    }`,
  ],
] as const) {
  test(`50 MB arrive byte for byte in bounded memory where ${name}`, async () => {
    await using opened = await openHooks(source, { memoryLimitMiB: 64 });
    const { body, digest, given } = bigBody(50_000_000);
    const outcome = await opened.hooks.onRequest(requestHead(), body, NEVER);
    const { digest: arrived, mostBytes } = await digestOf(outcome.body, given);
    assert.equal(arrived, digest.digest("hex"));
    assert.ok(mostBytes < 2 * MiB, `${mostBytes} bytes under way`);
  });
}

test("a body that nobody takes is not read ahead beyond the windows", async () => {
  await using opened = await openHooks(`
    export const onRequest = (request) => new Request(request, { body: request.body.pipeThrough(new TransformStream()), duplex: "half" });
  `);
  const { body, given } = bigBody(50_000_000);
  const outcome = await opened.hooks.onRequest(requestHead(), body, NEVER);
  let before = -1;
  while (before !== given()) {
    before = given();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.ok(given() < 2 * MiB, `${given()} bytes`);
  outcome.body?.destroy();
});

test("a body that a hook read and did not return goes out as it came", async () => {
  await using opened = await openHooks("export const onRequest = async (request) => void (await request.text())");
  const { body, digest } = bigBody(10_000_000);
  const head = requestHead({ fields: [["Content-Length", "10000000"]] });
  const outcome = await opened.hooks.onRequest(head, body, NEVER);
  assert.deepEqual(outcome.head, head);
  assert.equal((await digestOf(outcome.body)).digest, digest.digest("hex"));
});

test("of a larger one that was read the hook has to return something", async () => {
  await using opened = await openHooks(
    "export const onRequest = async (request) => request.url.endsWith('/count') ? new Response(String((await request.bytes()).length)) : void (await request.bytes())",
  );
  const refused = opened.hooks.onRequest(requestHead(), bigBody(20_000_000).body, NEVER);
  await assert.rejects(refused, {
    name: "HookError",
    message:
      "the hook read more than 16 MiB of a body and returned nothing; it has to return a Request or Response with the body then",
  });
  const { body } = bigBody(20_000_000);
  const answered = await opened.hooks.onRequest(requestHead({ target: "/count" }), body, NEVER);
  assert.equal(await textOf(answered.body), "20000000");
});

const TEXT = "the same text, ".repeat(500);
for (const [coding, encoded] of [
  ["gzip", gzipSync(TEXT)],
  ["x-gzip", gzipSync(TEXT)],
  ["deflate", deflateSync(TEXT)],
  ["deflate", deflateRawSync(TEXT)],
  ["br", brotliCompressSync(TEXT)],
  ["zstd", zstdCompressSync(TEXT)],
  ["gzip, br", brotliCompressSync(gzipSync(TEXT))],
  ["identity", Buffer.from(TEXT)],
] as const) {
  test(`a hook sees a body in ${coding} decoded, and what it returns is sent without a coding`, async () => {
    await using opened = await openHooks(`
      export const onResponse = async (response) => {
        const text = await response.text();
        if (response.headers.has("x-look")) return;
        return new Response(text.toUpperCase(), { status: response.status, headers: response.headers });
      };
    `);
    const fields = [
      ["Content-Encoding", coding],
      ["X-Kept", "1"],
    ] as const;
    const changed = await opened.hooks.onResponse(requestHead(), responseHead({ fields }), bodyOf(encoded), NEVER);
    assert.equal(await textOf(changed.body), TEXT.toUpperCase());
    const kept = changed.head.fields.filter(([name]) => name !== "content-type" && name !== "content-length");
    assert.deepEqual(kept, [["X-Kept", "1"]]);
    const head = responseHead({ fields: [...fields, ["x-look", "1"]] });
    const untouched = await opened.hooks.onResponse(requestHead(), head, bodyOf(encoded), NEVER);
    assert.deepEqual(untouched.head, head);
    assert.equal(await textOf(untouched.body), encoded.toString("latin1"));
  });
}

for (const [name, coding, bytes] of [
  ["an unknown coding", "rot13", Buffer.from("x")],
  ["a body that is not what its coding says", "gzip", Buffer.from("x")],
  ["a body that ends too early", "gzip", gzipSync(TEXT).subarray(0, 50)],
  ["a coding in a coding in a coding in a coding", "gzip, gzip, gzip, gzip", Buffer.from("x")],
] as const) {
  test(`${name} is refused when a hook reads it`, async () => {
    await using opened = await openHooks("export const onRequest = async (request) => void (await request.text())");
    const head = requestHead({ fields: [["content-encoding", coding]] });
    await assert.rejects(opened.hooks.onRequest(head, bodyOf(bytes), NEVER), HookError);
  });
}

test("an empty body may have a coding", async () => {
  await using opened = await openHooks(
    "export const onRequest = async (request) => new Response(`[${await request.text()}]`)",
  );
  const head = requestHead({ fields: [["content-encoding", "gzip"]] });
  assert.equal(await textOf((await opened.hooks.onRequest(head, bodyOf(), NEVER)).body), "[]");
});

test("a stream of events goes through onResponse event by event", async () => {
  await using opened = await openHooks(`
    export const onResponse = (response) =>
      new Response(
        response.body
          .pipeThrough(new TextDecoderStream())
          .pipeThrough(new TransformStream({ transform: (text, out) => out.enqueue(text.replaceAll("secret", "******")) }))
          .pipeThrough(new TextEncoderStream()),
        response,
      );
  `);
  const events = new Readable({ read: () => undefined });
  const head = responseHead({
    fields: [
      ["content-type", "text/event-stream"],
      ["Set-Cookie", "a"],
      ["set-cookie", "b"],
    ],
  });
  const outcome = await opened.hooks.onResponse(requestHead(), head, events, NEVER);
  assert.deepEqual(outcome.head, head);
  assert.equal(outcome.bodyReplaced, true);
  const arriving = (outcome.body as Readable).iterator() as AsyncIterator<Buffer, undefined>;
  for (const number of [1, 2, 3]) {
    events.push(`data: secret ${number}\n\n`);
    assert.equal((await arriving.next()).value?.toString(), `data: ****** ${number}\n\n`);
  }
  events.push(null);
  assert.equal((await arriving.next()).done, true);
});

test("a body of the hook's that fails in the middle fails for the reader", async () => {
  await using opened = await openHooks(`
    export const onRequest = () => new Response(new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode("a part"));
        await new Promise((resolve) => setTimeout(resolve, 50));
        controller.error(new Error("on purpose"));
      },
    }));
  `);
  const { body } = await opened.hooks.onRequest(requestHead(), null, NEVER);
  await assert.rejects(textOf(body), {
    name: "HookError",
    message: "the body that the hook returned: Error: on purpose",
  });
});

test("a body of parts that are no bytes is refused", async () => {
  await using opened = await openHooks(`
    export const onRequest = () => new Response(new ReadableStream({ start: (c) => { c.enqueue("text"); c.close(); } }));
  `);
  await assert.rejects(
    opened.hooks.onRequest(requestHead(), null, NEVER),
    /has a part that is no Uint8Array but a string/,
  );
});

test("an upload that breaks off fails in the hook, and not only there", async () => {
  await using opened = await openHooks(
    "export const onRequest = async (request) => new Response(await request.text())",
  );
  const body = new Readable({ read: () => undefined });
  const outcome = opened.hooks.onRequest(requestHead(), body, NEVER);
  body.push("a part");
  setTimeout(() => body.destroy(new Error("reset by the guest")), 50);
  await assert.rejects(outcome, /reset by the guest/);
});

test("a reader that goes away ends the hook's stream", async () => {
  await using opened = await openHooks(`
    export const onRequest = (request, { log }) => new Response(new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(1000)),
      cancel: () => log("cancelled"),
    }));
  `);
  const { body } = await opened.hooks.onRequest(requestHead(), null, NEVER, 4);
  body?.once("data", () => body.destroy());
  while (!opened.lines.includes("flow 4: cancelled")) await new Promise((resolve) => setTimeout(resolve, 5));
});

test("a body cannot be read any more when the hook has returned", async () => {
  await using opened = await openHooks(`
    export const onRequest = (request, { log }) => {
      setTimeout(() => request.text().catch((error) => log(error.message)), 10);
    };
  `);
  const { body } = await opened.hooks.onRequest(requestHead(), bodyOf("text"), NEVER, 5);
  assert.equal(await textOf(body), "text");
  const expected = "flow 5: the hook has returned: the body cannot be read any more";
  while (!opened.lines.includes(expected)) await new Promise((resolve) => setTimeout(resolve, 5));
});

for (const [name, status, body] of [
  ["a status that the class does not know", 999, "text"],
  ["a body with a status that has none", 205, "text"],
  ["no body", 304, null],
] as const) {
  test(`a response with ${name} passes unchanged, and a hook sees the status`, async () => {
    await using opened = await openHooks(
      "export const onResponse = (response, request, { log }) => log(response.status, request.url)",
    );
    const head = responseHead({ status, fields: [["ETag", '"x"']] });
    const stream = body === null ? null : bodyOf(body);
    assert.deepEqual(await opened.hooks.onResponse(requestHead(), head, stream, NEVER, 1), { head, body: stream });
    await until(() => opened.lines.length > 0, "the log line, which comes by another way than the answer");
    assert.deepEqual(opened.lines, [`flow 1: ${status} https://api.example.com/`]);
  });
}
