/** Clients that do not read, do not speak, or speak too much; and sandboxes that do not take what they are sent. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { PassThrough, Writable, type Duplex } from "node:stream";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client, ClientChannel } from "ssh2";
import { MAX_STRANGERS } from "../../../src/server/ssh/limits.ts";
import { exec, stuck, zeros } from "../ssh/ssh-bench.ts";
import { openGateway } from "./ssh-gateway-bench.ts";

const MiB = 1024 ** 2;

async function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("close", () => {
      resolve();
    });
  });
}

async function open(connection: Client, command: string): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    connection.exec(command, (error, channel) => {
      if (error === undefined) resolve(channel);
      else reject(error);
    });
  });
}

/** When a number has stopped growing. */
async function settled(read: () => number): Promise<number> {
  let last = -1;
  while (last !== read()) {
    last = read();
    await sleep(100);
  }
  return last;
}

test("who says nothing, or stops in the middle, is hung up on in time", async (t) => {
  const { dial, login, client } = await openGateway(t, { loginMs: 200 });
  for (const words of ["", "SSH-2.0-half\r\n", "SSH-2.0-half\r\n\0\0\0", "GET / HTTP/1.1\r\n\r\n"]) {
    const socket = await dial();
    socket.write(words);
    socket.resume();
    await closed(socket);
  }
  // Who has been let in has all the time there is.
  const connection = await client(await login());
  await sleep(300);
  assert.equal((await exec(connection, "true")).code, 0);
});

test("a stranger who goes on and on is hung up on, long before the time is over", async (t) => {
  const { dial, log } = await openGateway(t);
  const socket = await dial();
  socket.resume();
  socket.write("SSH-2.0-chatter\r\n");
  const end = closed(socket);
  const timer = setInterval(() => socket.write(Buffer.alloc(4096, "\r\n")), 1);
  await end;
  clearInterval(timer);
  while (!log().includes("ssh.refused")) await sleep(5);
});

test("as many strangers as there may be shut nobody out: the oldest of theirs gives way", async (t) => {
  const { dial, login, client } = await openGateway(t);
  const strangers = [];
  for (let index = 0; index < MAX_STRANGERS; index++) strangers.push(await dial());
  for (const stranger of strangers) stranger.resume();
  const oldest = strangers[0];
  assert.ok(oldest !== undefined && !oldest.destroyed);
  const end = closed(oldest);
  const connection = await client(await login());
  await end;
  assert.equal((await exec(connection, "true")).code, 0);
  assert.ok(!strangers[2]?.destroyed);
});

test("where all connections are those of clients with names, one more is not taken, and they go on", async (t) => {
  const { dial, login, client } = await openGateway(t, { maxConnections: 3 });
  const connections = [];
  for (let index = 0; index < 3; index++) connections.push(await client(await login()));
  const refused = await dial();
  let heard = "";
  refused.on("data", (chunk: Buffer) => (heard += chunk.toString("latin1")));
  await closed(refused);
  assert.equal(heard, "");
  for (const connection of connections) assert.equal((await exec(connection, "true")).code, 0);
});

test("a client that hangs up before it has said who it is leaves nothing", async (t) => {
  const { dial, log } = await openGateway(t);
  const socket = await dial();
  socket.end("SSH-2.0-gone\r\n");
  socket.resume();
  await closed(socket);
  while (!log().includes('"event":"ssh.refused"')) await sleep(5);
});

test("a client that does not read stops what it reads from, however many channels it has, and goes on later", async (t) => {
  const { client, login, guest, dial } = await openGateway(t);
  const sources = Array.from({ length: 16 }, zeros);
  const taken = (): number => sources.reduce((sum, source) => sum + source.taken(), 0);
  guest.program = ({ spec, stdout, stderr }) => {
    sources[Number(spec.command)]?.stream.pipe(stdout);
    stderr.end();
  };
  const sock = await dial();
  const end = closed(sock);
  const connection = await client({ ...(await login()), sock });
  for (const number of sources.keys()) (await open(connection, String(number))).on("data", () => undefined);
  while (taken() < 40 * MiB) await sleep(5);
  sock.pause();
  // All windows together are more than the server keeps for a client.
  const stopped = await settled(taken);
  sock.resume();
  const goesOn = (async () => {
    while (taken() < stopped + 40 * MiB) await sleep(5);
    return "it goes on";
  })();
  assert.equal(await Promise.race([goesOn, end.then(() => "it was hung up on")]), "it goes on");
  connection.end();
});

test("a sandbox that takes nothing stops the client within its window, and others on the connection go on", async (t) => {
  const { client, login, guest } = await openGateway(t);
  let isStuck = true;
  guest.program = ({ stdin, stdout, stderr, exit, spec }) => {
    stderr.end();
    if (spec.command === "stuck") stdin.pipe(stuck());
    else {
      stdin.pipe(new Writable({ write: (_chunk, _encoding, done) => done() })).on("finish", () => {
        stdout.end("done");
        exit({});
      });
    }
  };
  const connection = await client(await login());
  const channel = await open(connection, "stuck");
  let sent = 0;
  const feed = new PassThrough();
  feed.pipe(channel);
  while (isStuck) {
    isStuck = feed.write(Buffer.alloc(64 * 1024));
    sent += 64 * 1024;
    await sleep(5);
  }
  assert.ok(sent < 4 * MiB, `${sent} bytes were taken`);
  assert.equal((await exec(connection, "other", "x".repeat(3 * MiB))).stdout, "done");
});

test("a sandbox whose supervisor stands still stops the client, and both go on later", async (t) => {
  const { client, login, runtime, dial } = await openGateway(t);
  const ends: Duplex[] = [];
  runtime.ssh.serve = (socket) => void ends.push(socket);
  const sock = await dial();
  let isClosed = false as boolean;
  void closed(sock).then(() => (isClosed = true));
  const connection = await client({ ...(await login()), sock });
  const message = "x".repeat(16_000);
  for (let bytes = 0; bytes < 24 * MiB; bytes += message.length) {
    connection.forwardOut(message, 1, "localhost", 1, () => undefined);
  }
  assert.ok((await settled(() => sock.writableLength)) > 2 * MiB, "the server has taken it all");
  ends[0]?.resume();
  while (sock.writableLength > 0) await sleep(5);
  assert.ok(!isClosed);
});
