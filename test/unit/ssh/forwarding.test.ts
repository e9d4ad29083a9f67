/** Connections through the door: to ports and Unix sockets of the guest, and SFTP. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex, PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import type { Client, ClientChannel } from "ssh2";
import { exec, openBench } from "./ssh-bench.ts";

function echo(): Duplex {
  return new PassThrough();
}

async function open(client: Client, to: { port: number } | { path: string }): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | undefined, channel: ClientChannel): void => {
      if (error === undefined) resolve(channel);
      else reject(error);
    };
    if ("port" in to) client.forwardOut("127.0.0.1", 1, "localhost", to.port, done);
    else client.openssh_forwardOutStreamLocal(to.path, done);
  });
}

test("a port of the guest's is reached, byte for byte, and each direction ends by itself", async (t) => {
  const { guest, client } = await openBench(t);
  guest.server = echo;
  const channel = await open(await client(), { port: 3000 });
  const sent = Buffer.alloc(3_000_000, "0123456789abcdef");
  channel.end(sent);
  const received = await buffer(channel);
  assert.ok(received.equals(sent));
  assert.deepEqual(guest.dialled, [{ host: "localhost", port: 3000 }]);
});

test("a Unix socket of the guest's is reached", async (t) => {
  const { guest, client } = await openBench(t);
  guest.server = echo;
  const channel = await open(await client(), { path: "/run/docker.sock" });
  channel.end("ping");
  assert.equal((await buffer(channel)).toString(), "ping");
  assert.deepEqual(guest.dialled, [{ path: "/run/docker.sock" }]);
});

test("why the guest could not be reached is told, and the connection goes on", async (t) => {
  const { guest, client } = await openBench(t);
  const connection = await client();
  await assert.rejects(open(connection, { port: 1 }), /connection refused/);
  guest.server = echo;
  const channel = await open(connection, { port: 2 });
  channel.end();
  assert.equal((await buffer(channel)).length, 0);
});

test("a server that ends first has its last words heard, and what the client still sends is taken", async (t) => {
  const { guest, client } = await openBench(t);
  const heard: Buffer[] = [];
  const server = new Duplex({
    read() {
      this.push("bye");
      this.push(null);
    },
    write: (chunk: Buffer, _encoding, done) => {
      heard.push(chunk);
      done();
    },
  });
  guest.server = () => server;
  const channel = await open(await client(), { port: 3000 });
  let words = "";
  channel.on("data", (chunk: Buffer) => (words += chunk.toString()));
  await once(channel, "end");
  assert.equal(words, "bye");
  channel.end("and more");
  await once(server, "finish");
  assert.equal(Buffer.concat(heard).toString(), "and more");
});

test("a client that goes away has its connections closed", async (t) => {
  const { guest, client } = await openBench(t);
  const server = echo();
  guest.server = () => server;
  const connection = await client();
  await open(connection, { port: 3000 });
  connection.destroy();
  await once(server, "close");
});

test("sftp is a stream to the guest's server, which the session ends with", async (t) => {
  const { guest, client } = await openBench(t);
  const server = echo();
  guest.server = () => server;
  const connection = await client();
  const channel = await new Promise<ClientChannel>((resolve, reject) => {
    connection.subsys("sftp", (error, made) => {
      if (error === undefined) resolve(made);
      else reject(error);
    });
  });
  channel.end("init");
  assert.equal((await buffer(channel)).toString(), "init");
  assert.equal((await exec(connection, "true")).code, 0);
});

test("an SFTP server that is gone before its client ends the session, and not as a success", async (t) => {
  const { guest, client } = await openBench(t);
  const server = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  guest.server = () => server;
  const connection = await client();
  const channel = await new Promise<ClientChannel>((resolve, reject) => {
    connection.subsys("sftp", (error, made) => (error === undefined ? resolve(made) : reject(error)));
  });
  const status = new Promise((resolve) => channel.once("exit", resolve));
  channel.resume().write("a request");
  server.push(null);
  await once(channel, "close");
  assert.equal(await status, 1);
});
