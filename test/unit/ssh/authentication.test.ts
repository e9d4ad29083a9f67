/** Who gets in: nobody without the key that the connection was opened with, and what happens to those who try. */
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { makeOpensshKey } from "../../../src/host/openssh-key.ts";
import { Authentication } from "../../../src/ssh/authentication.ts";
import { encodePayload, MSG } from "../../../src/ssh/payload.ts";
import { KEY_TYPE, parsePublicKey, type PublicKey } from "../../../src/ssh/public-key.ts";
import type { SshTransport } from "../../../src/ssh/transport.ts";
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

test("who goes on as if the account were there, before it is known not to be, is hung up on and harms nobody", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const bytes = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url");
  // What follows a message's number is fields, of which a key and a signature consist as well.
  const fields = (...values: (string | Buffer)[]): Buffer => encodePayload(0, ...values).subarray(1);
  const key = parsePublicKey(`${KEY_TYPE} ${fields(KEY_TYPE, bytes).toString("base64")}`) as PublicKey;
  const sessionId = Buffer.alloc(32, 1);
  const hungUp = Promise.withResolvers<string>();
  const transport = { isOver: false, sessionId, send: () => undefined } as unknown as SshTransport;
  transport.disconnect = (_reason, text) => hungUp.resolve(text);
  const guest = { findAccount: async () => Promise.resolve(undefined) } as never;
  const authentication = new Authentication({ transport, guest, key, accepted: () => assert.fail("it got in") });
  authentication.service("ssh-userauth");
  const asked = [MSG.userauthRequest, "nosuch", "ssh-connection", "publickey", true, KEY_TYPE, key.blob] as const;
  const signature = sign(null, Buffer.concat([fields(sessionId), encodePayload(...asked)]), privateKey);
  authentication.message(encodePayload(...asked, fields(KEY_TYPE, signature)));
  authentication.message(encodePayload(MSG.channelOpen, "session", 0, 65_536, 32_768));
  assert.equal(await hungUp.promise, "the client has not proved who it is");
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
