/**
 * What the search for secrets costs: `node scripts/node.mjs test/unit/egress-secrets/secrets-bench.ts`. Bodies in MB a
 * second through the search alone, heads in µs a request and response. Not a test.
 */
import { randomBytes } from "node:crypto";
import type { RequestHead } from "../../../src/egress/http-heads.ts";
import { createSecrets } from "../../../src/egress/secrets/create-secrets.ts";
import { Rewriter } from "../../../src/egress/secrets/rewriter.ts";
import { SecretBook } from "../../../src/egress/secrets/secret-book.ts";
import type { Secrets } from "../../../src/egress/secrets/secrets.ts";
import { API, openSandbox, request, response } from "./sandbox-secrets.ts";

const MIB = 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
const MIN_MS = 600;
const BATCH_MS = 5;
const WORDS = "the quick brown Fox jumps over the lazy Dog and Returns a VALUE to Every caller".split(" ");

function fill(make: () => string): Buffer {
  const parts: string[] = [];
  for (let length = 0; length < MIB; length += parts.at(-1)?.length ?? 0) parts.push(make());
  return Buffer.from(parts.join("")).subarray(0, MIB);
}

const word = (): string => WORDS[Math.floor(Math.random() * WORDS.length)] ?? "";
const BODIES: Readonly<Record<string, Buffer>> = {
  bytes: randomBytes(MIB),
  base64: Buffer.from(randomBytes(MIB).toString("base64")).subarray(0, MIB),
  hexadecimal: Buffer.from(randomBytes(MIB / 2).toString("hex")),
  JSON: fill(() => `{"id":${Math.random()},"t":"${word()} \\"${word()}\\" http:\\/\\/x \\u00e9 ${word()} ${word()}"},`),
  form: fill(() => `k${encodeURIComponent(`${word()} & = / é`)}=`),
  zeros: Buffer.alloc(MIB),
};

/** The fastest of several batches, `ms`: other work on the machine slows some of them down. */
function measure(work: () => void): number {
  const begin = performance.now();
  let times = 1;
  let best = Number.POSITIVE_INFINITY;
  while (performance.now() - begin < MIN_MS) {
    const batch = performance.now();
    for (let count = 0; count < times; count += 1) work();
    const took = performance.now() - batch;
    best = Math.min(best, took / times);
    if (took < BATCH_MS) times *= 2;
  }
  return best;
}

function benchBodies(secrets: number): void {
  const book = new SecretBook(Array.from({ length: secrets }, (_, index) => ({ name: `KEY${index}`, hosts: [API] })));
  for (const { name } of book.secrets) book.setValue(name, `sk-${randomBytes(24).toString("base64url")}`);
  const begin = performance.now();
  const searches = { request: book.inRequests, response: book.inResponses };
  process.stdout.write(`${secrets} secrets: search made in ${(performance.now() - begin).toFixed(1)} ms\n`);
  for (const [direction, search] of Object.entries(searches)) {
    const speeds = Object.entries(BODIES).map(([name, body]) => {
      const ms = measure(() => {
        const rewriter = new Rewriter(
          () => search,
          () => null,
        );
        for (let at = 0; at < MIB; at += CHUNK_BYTES) rewriter.push(body.subarray(at, at + CHUNK_BYTES));
        rewriter.end();
      });
      return `${name} ${((1000 / ms) * (MIB / 1e6)).toFixed(0)}`;
    });
    process.stdout.write(`  ${direction} bodies, MB/s: ${speeds.join(", ")}\n`);
  }
}

function head(authorization: string): RequestHead {
  return request({
    target: "/v1/chat/completions?stream=true&trace=8b1f2c3d",
    fields: [
      ["Content-Type", "application/json"],
      ["Content-Length", "1523"],
      ["User-Agent", "python-client/2.31.0 (linux; x86_64) CPython/3.11.2"],
      ["Accept", "application/json, text/event-stream;q=0.9, */*;q=0.1"],
      ["Accept-Encoding", "gzip, deflate, br, zstd"],
      ["Accept-Language", "en-US,en;q=0.9"],
      ["Authorization", authorization],
      ["Cookie", "session=6a1f3c9be2d84c7a; theme=dark; consent=1"],
      ["X-Request-Id", "0c6d1a52-9a3e-4ad0-8d3c-55d2c1e07c3e"],
      ["Cache-Control", "no-cache"],
      ["Origin", "https://app.example.com"],
      ["Referer", "https://app.example.com/projects/42/chat"],
    ],
  });
}

const ANSWER = response([
  ["Date", "Thu, 27 Nov 2025 12:00:00 GMT"],
  ["Content-Type", "application/json"],
  ["Content-Length", "20314"],
  ["Server", "example/1.2"],
  ["Cache-Control", "private, no-store"],
  ["Set-Cookie", "session=6a1f3c9be2d84c7a; Path=/; Secure; HttpOnly; SameSite=Lax"],
  ["Strict-Transport-Security", "max-age=31536000; includeSubDomains"],
  ["X-Request-Id", "0c6d1a52-9a3e-4ad0-8d3c-55d2c1e07c3e"],
  ["Vary", "Accept-Encoding"],
  ["ETag", '"33a64df551425fcc55e4d42a148795d9f25f89d4"'],
]);

function benchHeads(what: string, secrets: Secrets, sent: RequestHead): void {
  const outgoing = measure(() => secrets.openRequest(sent).head);
  const body = measure(() => secrets.openRequest(sent).body());
  const incoming = measure(() => secrets.openResponse(sent, ANSWER).head);
  const line = [outgoing, body, incoming].map((ms) => (ms * 1000).toFixed(1));
  process.stdout.write(`${what}: request ${line[0]} µs (with its body's stream ${line[1]}), response ${line[2]} µs\n`);
}

for (const secrets of [1, 10]) benchBodies(secrets);
const { secrets, placeholder } = openSandbox();
benchHeads("own host, Bearer", secrets, head(`Bearer ${placeholder}`));
benchHeads("own host, Basic", secrets, head(`Basic ${Buffer.from(`user:${placeholder}`).toString("base64")}`));
benchHeads("own host, nothing replaced", secrets, head("Bearer 0123456789"));
benchHeads("other host", secrets, { ...head("Bearer 0123456789"), host: "other.example.org" });
benchHeads(
  "no secrets",
  createSecrets({ grants: [], onLeak: "block", report: () => undefined }),
  head("Bearer 0123456789"),
);
