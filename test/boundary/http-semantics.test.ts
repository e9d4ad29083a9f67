/**
 * What HTTP can do beyond asking and being answered, from a real guest through interception: both ways at once, trailers,
 * upgrades, events, expectations, early answers, slow readers, and answers without a body.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { Listening } from "./support/listening.ts";
import { PeakMemory } from "./support/process-memory.ts";
import { FILE, OFFER_BYTES, SemanticsUpstream } from "./support/semantics-upstream.ts";
import { World } from "./support/world.ts";

const SCRIPT = path.join(import.meta.dirname, "guest", "http-semantics.mjs");
const HOST = "api.example.com";
const ADDRESS = "93.184.216.35";
/** Read because of a rule by method, and without a secret. */
const FILES = "files.example.com";
const FILES_ADDRESS = "93.184.216.36";
const POLICY = `version: 1
allow: [{ host: ${FILES}, ports: 443, methods: [GET, HEAD] }]
`;
const MIB = 1024 * 1024;
/** What one connection may cost the supervisor, whatever passes through it. */
const BOUND_BYTES = 48 * MIB;
/** What the kernels' buffers between an upstream and the supervisor hold beside it. */
const SOCKETS_BYTES = 32 * MIB;

let world: World;
let upstream: SemanticsUpstream;
let box: string;
let supervisorPid: number;

before(async () => {
  world = await World.open();
  world.names.set(HOST, ADDRESS);
  upstream = new SemanticsUpstream(world.authority.identity(HOST));
  world.use(await Listening.start(upstream.server, ADDRESS, 443));
  world.names.set(FILES, FILES_ADDRESS);
  const files = new SemanticsUpstream(world.authority.identity(FILES));
  world.use(await Listening.start(files.server, FILES_ADDRESS, 443));
  const policyFile = world.home.scratch("policy.yaml");
  await writeFile(policyFile, POLICY);
  box = await world.home.create(
    ...[
      "--allow-net",
      `${HOST}:443`,
      "--secret",
      `API_KEY@${HOST}`,
      "--net-file",
      policyFile,
      "--ca-file",
      world.caFile,
    ],
  );
  await world.home.must(["copy", SCRIPT, `${box}:/app/http-semantics.mjs`]);
  supervisorPid = (await world.home.info(box)).supervisorPid ?? 0;
});
after(async () => world[Symbol.asyncDispose]());

async function inGuest(what: string, url: string): Promise<Record<string, unknown>> {
  const output = await world.home.must([
    "exec",
    box,
    "--",
    "node",
    "/app/http-semantics.mjs",
    what,
    `https://${HOST}${url}`,
  ]);
  return JSON.parse(output) as Record<string, unknown>;
}

const ROUNDS = ["ROUND 0\n", "ROUND 1\n", "ROUND 2\n", "ROUND 3\n"];

for (const version of [1, 2]) {
  test(`a request and its response stream at the same time in HTTP/${version}`, async () => {
    const { heard } = await inGuest(`ping-pong-${version}`, "/ping-pong");
    assert.deepEqual(heard, ROUNDS);
    assert.equal(upstream.authorizations.at(-1), `Bearer ${world.secret}`);
  });

  test(`an upload that goes on gets its response before it ends in HTTP/${version}`, async () => {
    assert.deepEqual(await inGuest(`early-${version}`, "/refuse"), { status: 413, text: "too large" });
  });
}

test("a gRPC call streams both ways and ends with its trailers", async () => {
  const { heard, type, trailers } = await inGuest("grpc", "/grpc/echo");
  assert.deepEqual(heard, ["round 0", "D", "sk", "last"]);
  assert.equal(type, "application/grpc");
  assert.deepEqual(trailers, { "grpc-status": "0", "grpc-message": "all well" });
  assert.equal(upstream.authorizations.at(-1), `Bearer ${world.secret}`);
});

test("a gRPC error that is all trailers arrives as it is", async () => {
  assert.deepEqual(await inGuest("trailers-only", "/grpc/missing"), { status: 200, grpc: "5", message: "not%20found" });
});

test("a WebSocket carries text, bytes and its close, and the secret in its messages", async () => {
  const answer = await inGuest("websocket", "/chat");
  const key = await world.home.bash(box, "echo $API_KEY");
  assert.deepEqual(answer, {
    heard: [`my key is ${key}`, [0, 255, 128], 200_000],
    ...{ protocol: "chat.v2", code: 4321, reason: "as it was asked", wasClean: true },
  });
  assert.ok(upstream.notes.includes(`websocket my key is ${world.secret}`), upstream.notes.join("\n"));
});

test("server-sent events arrive one by one, each before the next one is sent", async () => {
  assert.deepEqual(await inGuest("events", "/events"), {
    type: "text/event-stream",
    heard: ["event 1", "event 2", "event 3", "event 4"],
  });
});

test("whether to go on with a body that waits for 100 Continue is the upstream's decision", async () => {
  upstream.notes.length = 0;
  assert.deepEqual(await inGuest("continue", "/continue/yes"), { continued: true, status: 200, text: "100000 bytes" });
  assert.deepEqual(upstream.notes, ["continue", "body"]);
  upstream.notes.length = 0;
  assert.deepEqual(await inGuest("continue", "/continue/no"), { continued: false, status: 417, text: "no" });
  assert.deepEqual(upstream.notes, ["refused"]);
});

test("an upload of 200 MB waits for an upstream that does not read yet, and arrives whole", async (t) => {
  const memory = new PeakMemory(supervisorPid);
  const line = `head -c ${OFFER_BYTES} /dev/zero | curl -sS --max-time 500 -H "authorization: Bearer $API_KEY" -T - https://${HOST}/upload`;
  const answer = JSON.parse(await world.home.bash(box, line, { deadlineMs: 540_000 })) as {
    bytes: number;
    sha256: string;
  };
  assert.equal(answer.bytes, OFFER_BYTES);
  assert.equal(answer.sha256, createHash("sha256").update(Buffer.alloc(OFFER_BYTES)).digest("hex"));
  t.diagnostic(`${memory.grownBytes / MIB} MiB`);
  assert.ok(memory.grownBytes < BOUND_BYTES, `the supervisor grew by ${memory.grownBytes / MIB} MiB`);
});

test("who reads slowly slows the upstream down, and the supervisor holds little for it", async (t) => {
  const memory = new PeakMemory(supervisorPid);
  const { read } = await inGuest("slow", "/offer");
  assert.equal(read, 4096);
  assert.ok(upstream.offeredBytes > 0);
  t.diagnostic(`${memory.grownBytes / MIB} MiB, ${upstream.offeredBytes / MIB} MiB went out`);
  assert.ok(upstream.offeredBytes < BOUND_BYTES + SOCKETS_BYTES, `${upstream.offeredBytes / MIB} MiB went out`);
  assert.ok(memory.grownBytes < BOUND_BYTES, `the supervisor grew by ${memory.grownBytes / MIB} MiB`);
});

test("HEAD and 304 are answered as the upstream answers them, with a secret and without", async () => {
  for (const host of [HOST, FILES]) {
    for (const version of ["--http1.1", "--http2"]) {
      const [head = "", notModified = ""] = await answers(
        version,
        `-I https://${host}/file`,
        `-i -H 'If-None-Match: "v1"' https://${host}/file`,
      );
      assert.match(head, /^HTTP\/[\d.]+ 200/);
      assert.match(head, new RegExp(`^content-length: ${FILE.length}$`, "im"));
      assert.match(notModified, /^HTTP\/[\d.]+ 304/);
      assert.match(notModified, /^etag: "v1"$/im);
    }
  }
});

test("a range is answered where no secret is for the host, and as a whole where a part could split one", async () => {
  for (const version of ["--http1.1", "--http2"]) {
    const ask = (host: string): string => `-i -H 'Range: bytes=10-24' https://${host}/file`;
    const [part = "", whole = ""] = await answers(version, ask(FILES), ask(HOST));
    assert.match(part, /^HTTP\/[\d.]+ 206/);
    assert.match(part, new RegExp(`^content-range: bytes 10-24/${FILE.length}$`, "im"));
    assert.match(part, /\n\n012345678901234$/);
    assert.match(whole, /^HTTP\/[\d.]+ 200/);
    assert.equal(whole.slice(whole.indexOf("\n\n") + 2), FILE.toString());
  }
});

/** What curl prints for each of these argument lists. */
async function answers(version: string, ...asked: string[]): Promise<string[]> {
  const output = await world.home.bash(
    box,
    asked.map((words) => `curl -sS ${version} ${words}; echo; echo ----`).join("\n"),
  );
  return output
    .replaceAll("\r", "")
    .split("\n----")
    .map((part) => part.trim());
}
