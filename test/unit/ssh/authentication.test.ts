/** Who gets in: nobody without the key that the connection was opened with, and what happens to those who try. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { makeOpensshKey } from "../../../src/host/openssh-key.ts";
import { parsePublicKey } from "../../../src/ssh/public-key.ts";
import { exec, openBench } from "./ssh-bench.ts";

test("the key that was named gets in, and the host key is the server's own", async (t) => {
  const { client, hostKey } = await openBench(t);
  let seen = "";
  const connection = await client({
    hostVerifier: (key: Buffer) => {
      seen = `ssh-ed25519 ${key.toString("base64")}`;
      return true;
    },
  });
  assert.equal((await exec(connection, "true")).code, 0);
  assert.equal(seen, hostKey.publicKey);
});

test("another key, a password, or nothing at all gets nowhere", async (t) => {
  const { client, guest } = await openBench(t);
  const { privateKey } = makeOpensshKey("another");
  await assert.rejects(client({ privateKey }), /authentication methods failed/);
  await assert.rejects(client({ privateKey: undefined as never, password: "app" }), /authentication methods failed/);
  await assert.rejects(client({ privateKey: undefined as never }), /authentication methods failed/);
  assert.equal(guest.started.length, 0);
});

test("an account that the sandbox has not is refused with its name", async (t) => {
  const { client } = await openBench(t);
  let said = "";
  const refused = client({ username: "nosuch" }, (text) => (said += text));
  await assert.rejects(refused, /authentication methods failed/);
  assert.equal(said, 'sbx: the sandbox has no account "nosuch"\r\n');
});

test("a guest that takes its time keeps a client waiting, and gets it in", async (t) => {
  const { client, guest } = await openBench(t);
  guest.accountDelay = sleep(300);
  assert.equal((await exec(await client(), "true")).code, 0);
});

test("who says nothing, or stops in the middle, is hung up on in time", async (t) => {
  const { dial } = await openBench(t, { handshakeMs: 200 });
  for (const words of ["", "SSH-2.0-half\r\n", "SSH-2.0-half\r\n\0\0\0"]) {
    const socket = await dial();
    socket.write(words);
    socket.resume();
    await once(socket, "close");
  }
});

test("where it is asked to, the server waits for the client's first byte", async (t) => {
  const { dial } = await openBench(t);
  const socket = await dial({ waitsForClient: true });
  let heard = "";
  socket.on("data", (chunk: Buffer) => (heard += chunk.toString("latin1")));
  await sleep(100);
  assert.equal(heard, "");
  socket.write("SSH-2.0-test\r\n");
  while (!heard.startsWith("SSH-2.0-OpenSSH_sbx\r\n")) await sleep(5);
});

test("only a whole line with one key of the right kind is a public key", () => {
  const { publicKey } = makeOpensshKey("x");
  assert.ok(parsePublicKey(publicKey));
  assert.ok(parsePublicKey(`${publicKey} somebody@somewhere`));
  const [, base64 = ""] = publicKey.split(" ");
  const cut = Buffer.from(base64, "base64").subarray(0, -1).toString("base64");
  const long = Buffer.concat([Buffer.from(base64, "base64"), Buffer.of(0)]).toString("base64");
  for (const line of [
    "",
    base64,
    `ssh-rsa ${base64}`,
    `ssh-ed25519 ${cut}`,
    `ssh-ed25519 ${long}`,
    `${publicKey}\nx`,
  ]) {
    assert.equal(parsePublicKey(line), undefined, line);
  }
});
