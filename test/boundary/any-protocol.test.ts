/**
 * A name and a port let any protocol over TCP through: one where TLS comes later, one where the server speaks first, half
 * closes in both directions, and as many bytes as there are.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import path from "node:path";
import type { Readable } from "node:stream";
import { PROJECT_PATH } from "../vm/support/program.ts";
import { Listening } from "./support/listening.ts";
import { postgresServer, type SeenSession } from "./support/postgres-server.ts";
import { World } from "./support/world.ts";

const DATABASE = "db.example.com";
const MAIL = "mail.example.com";
const RAW = "raw.example.com";
const PORTS = { plainSql: 5432, encryptedSql: 5433, mail: 25, half: 7001, bulk: 7002, refused: 7003 };
const BULK_BYTES = 100 * 1024 * 1024;
/** pg, and what it needs. */
const CLIENT_PACKAGES = [
  ...["pg", "pg-connection-string", "pg-int8", "pg-pool", "pg-protocol", "pg-types", "pgpass", "postgres-array"],
  ...["postgres-bytea", "postgres-date", "postgres-interval", "split2", "xtend"],
];

let world: World;
let box: string;
const sessions: SeenSession[] = [];

before(async () => {
  world = await World.open();
  world.names.set(DATABASE, "93.184.216.34");
  world.names.set(MAIL, "93.184.216.35");
  world.names.set(RAW, "93.184.216.36");
  await serve(postgresServer(sessions), "93.184.216.34", PORTS.plainSql);
  await serve(postgresServer(sessions, world.authority.identity(DATABASE)), "93.184.216.34", PORTS.encryptedSql);
  box = await world.home.create(
    ...["--allow-net", `${DATABASE}:${PORTS.plainSql},${PORTS.encryptedSql}`, "--allow-net", `${MAIL}:${PORTS.mail}`],
    ...["--allow-net", `${RAW}:${PORTS.half}-${PORTS.refused}`, "--ca-file", world.caFile],
    // For a host of its own: here it stays a placeholder.
    ...["--secret", "API_KEY@api.example.com"],
  );
});
after(async () => world[Symbol.asyncDispose]());

async function serve(server: Server, address: string, port: number): Promise<void> {
  world.use(await Listening.start(server, address, port));
}

async function serveRaw(port: number, onSocket: (socket: Socket) => void): Promise<void> {
  await serve(createServer({ allowHalfOpen: true }, onSocket), "93.184.216.36", port);
}

test("the published PostgreSQL client works, without TLS and with TLS that it asks for in the middle", async () => {
  const client = world.home.scratch("client");
  for (const name of CLIENT_PACKAGES) {
    cpSync(path.join(PROJECT_PATH, "node_modules", name), path.join(client, "node_modules", name), { recursive: true });
  }
  cpSync(path.join(import.meta.dirname, "guest", "query.cjs"), path.join(client, "query.cjs"));
  await world.home.must(["copy", client, `${box}:/app/client`]);
  const rows = [[{ asked: "select 'from the guest'" }], [{ asked: "select 2" }]];
  const ask = `node /app/client/query.cjs ${DATABASE}`;
  const output = await world.home.bash(box, `${ask} ${PORTS.plainSql} plain && ${ask} ${PORTS.encryptedSql} tls`);
  assert.deepEqual(
    output.split("\n").map((line) => JSON.parse(line) as unknown),
    [rows, rows],
  );
  assert.deepEqual(
    sessions.map(({ encrypted, user }) => ({ encrypted, user })),
    [
      { encrypted: false, user: "app" },
      { encrypted: true, user: "app" },
    ],
  );
});

test("what is not HTTP gets placeholders as they are", () => {
  assert.equal(sessions.length, 2);
  for (const { password } of sessions) assert.match(password, /^DENO_SECRET_PLACEHOLDER_[0-9a-f]{64}$/);
});

test("a server that speaks first is heard first", async () => {
  const heard: string[] = [];
  let isInData = false;
  const answers: Record<string, string> = { DATA: "354 go on", QUIT: "221 bye" };
  const server = createServer((socket) => {
    socket.write("220 mail.example.com ready\r\n");
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      for (let end = text.indexOf("\r\n"); end >= 0; end = text.indexOf("\r\n")) {
        const line = text.slice(0, end);
        text = text.slice(end + 2);
        heard.push(line);
        if (isInData && line !== ".") continue;
        isInData = line === "DATA";
        socket.write(`${answers[line] ?? "250 well"}\r\n`);
      }
    });
  });
  await serve(server, "93.184.216.35", PORTS.mail);
  const line = `printf 'Subject: hello\\r\\n\\r\\nfrom the guest\\r\\n' | curl -sS smtp://${MAIL} --mail-from a@example.com --mail-rcpt b@example.com -T -`;
  await world.home.bash(box, line);
  assert.match(heard[0] ?? "", /^EHLO /);
  assert.ok(heard.includes("from the guest"), heard.join("\n"));
  assert.equal(heard.at(-1), "QUIT");
});

test("either side may end its half of a connection and hear the other out", async () => {
  await serveRaw(PORTS.half, (socket) => {
    // The second kind: says all at once and ends, then listens.
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      if (chunks.length === 1 && chunk.toString() === "end yours\n") socket.end("mine is over\n");
    });
    socket.on("end", () => {
      const all = Buffer.concat(chunks).toString();
      if (socket.writableEnded) rest.resolve(all);
      else socket.end(`heard all of: ${all}`);
    });
  });
  const rest = Promise.withResolvers<string>();
  assert.equal(await world.home.bash(box, `echo first | nc -N ${RAW} ${PORTS.half}`), "heard all of: first");
  const script = `
import socket
s = socket.create_connection(("${RAW}", ${PORTS.half}))
s.sendall(b"end yours\\n")
heard = b""
while chunk := s.recv(100): heard += chunk
s.sendall(b"now you listen\\n")
s.shutdown(socket.SHUT_WR)
print(heard.decode(), end="")`;
  assert.equal(await world.home.must(["exec", box, "--", "python3", "-c", script]), "mine is over");
  assert.equal(await rest.promise, "end yours\nnow you listen\n");
});

test("100 MB go both ways at once on one connection, and arrive as they were sent", async () => {
  const sent = createHash("sha256");
  const received = createHash("sha256");
  let receivedBytes = 0;
  await serveRaw(PORTS.bulk, (socket) => {
    numbers(5)
      .on("data", (chunk: Buffer) => sent.update(chunk))
      .pipe(socket);
    socket.on("data", (chunk: Buffer) => {
      receivedBytes += chunk.length;
      received.update(chunk);
    });
  });
  const line = `${numbersLine(1)} | nc -N ${RAW} ${PORTS.bulk} | sha256sum`;
  const sum = await world.home.bash(box, line, { deadlineMs: 540_000 });
  assert.equal(sum.split(" ")[0], sent.digest("hex"));
  assert.equal(receivedBytes, BULK_BYTES);
  const expected = execFileSync("sh", ["-c", `${numbersLine(1)} | sha256sum`], { encoding: "utf8" });
  assert.equal(received.digest("hex"), expected.split(" ")[0]);
});

/** Numbered lines: no two parts of them are alike, so nothing can change places unseen. */
function numbersLine(first: number): string {
  return `seq ${first} 20000000 | head -c ${BULK_BYTES}`;
}

function numbers(first: number): Readable {
  return spawn("sh", ["-c", numbersLine(first)], { stdio: ["ignore", "pipe", "ignore"] }).stdout;
}

test("a port that nobody listens at refuses, as it would without sbx between", async () => {
  const { status, stderr } = await world.home.sbx(["exec", box, "--", "nc", "-v", RAW, String(PORTS.refused)]);
  assert.equal(status, 1);
  assert.match(stderr, /Connection refused/);
});
