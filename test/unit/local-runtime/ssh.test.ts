/** The SSH of the local runtime: one key for all commands, host keys that are pinned and forgotten, refusals passed on. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { makeOpensshKey } from "../../../src/host/openssh-key.ts";
import { openIdentity } from "../../../src/runtime/local/ssh/identity.ts";
import { addHost, hasHost, knowsSandbox, removeHosts } from "../../../src/runtime/local/ssh/known-hosts.ts";
import { openSshSocket } from "../../../src/runtime/local/ssh/upgrade.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const KEY = makeOpensshKey("test").publicKey;
const OTHER_KEY = makeOpensshKey("test").publicKey;
const everything = (): boolean => true;

test("OpenSSH reads the keys that sbx makes", (t) => {
  const file = path.join(temporaryDirectory(t), "key");
  for (const comment of ["", "sbx", "a comment of some length"]) {
    const { privateKey, publicKey } = makeOpensshKey(comment);
    writeFileSync(file, privateKey, { mode: 0o600 });
    const read = execFileSync("ssh-keygen", ["-y", "-f", file], { encoding: "utf8" }).trim();
    assert.equal(read, comment === "" ? publicKey : `${publicKey} ${comment}`);
  }
});

test("commands that need a key at once agree on one, which only its user can read", async (t) => {
  const sshPath = path.join(temporaryDirectory(t), "ssh");
  const keys = await Promise.all(Array.from({ length: 8 }, async () => openIdentity(sshPath)));
  assert.equal(new Set(keys.map(({ publicKey }) => publicKey)).size, 1);
  const [{ privatePath, publicKey }] = keys as [(typeof keys)[0]];
  assert.equal(statSync(privatePath).mode & 0o777, 0o600);
  assert.equal(statSync(sshPath).mode & 0o777, 0o700);
  assert.equal(execFileSync("ssh-keygen", ["-y", "-f", privatePath], { encoding: "utf8" }).trim(), `${publicKey} sbx`);
  assert.deepEqual(readdirSync(sshPath), ["identity"]);
});

test("a host name has one key, that of the sandbox that it means now", (t) => {
  const file = path.join(temporaryDirectory(t), "known_hosts");
  const first = { hostName: "web.sbx", key: KEY, sandboxId: "sbx_loc_1" };
  assert.equal(hasHost(file, first), false);
  addHost(file, first, everything);
  assert.equal(hasHost(file, first), true);
  const second = { hostName: "web.sbx", key: OTHER_KEY, sandboxId: "sbx_loc_2" };
  assert.equal(hasHost(file, second), false);
  addHost(file, second, everything);
  addHost(file, { ...second, hostName: "sbx_loc_2.sbx" }, everything);
  assert.equal(hasHost(file, first), false);
  assert.equal(readFileSync(file, "utf8"), `web.sbx ${OTHER_KEY} sbx_loc_2\nsbx_loc_2.sbx ${OTHER_KEY} sbx_loc_2\n`);
  const found = execFileSync("ssh-keygen", ["-F", "web.sbx", "-f", file], { encoding: "utf8" });
  assert.ok(found.includes(OTHER_KEY));
});

test("sandboxes that are gone are forgotten, at the latest with the next line", (t) => {
  const file = path.join(temporaryDirectory(t), "known_hosts");
  for (const id of ["a", "b", "c"]) addHost(file, { hostName: `${id}.sbx`, key: KEY, sandboxId: id }, everything);
  removeHosts(file, "a");
  assert.equal(knowsSandbox(file, "a"), false);
  addHost(file, { hostName: "d.sbx", key: KEY, sandboxId: "d" }, (id) => id === "c");
  assert.deepEqual(
    ["a", "b", "c", "d"].filter((id) => knowsSandbox(file, id)),
    ["c", "d"],
  );
  assert.deepEqual(readdirSync(path.dirname(file)), ["known_hosts"]);
});

/** A supervisor that answers every connection with these bytes. */
async function fakeSupervisor(t: TestContext, answer: (socket: Socket) => void): Promise<string> {
  const socketPath = path.join(temporaryDirectory(t), "s.sock");
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => answer(socket));
  });
  server.listen(socketPath);
  t.after(() => server.close());
  await once(server, "listening");
  return socketPath;
}

const open = async (socketPath: string): ReturnType<typeof openSshSocket> =>
  openSshSocket({ socketPath, publicKey: KEY, clientFirst: false, signal: undefined });

test("what comes behind the answer's head is the client's, however it is cut", async (t) => {
  const socketPath = await fakeSupervisor(t, (socket) => {
    const head = `HTTP/1.1 101 Switching Protocols\r\nx-sbx-ssh-host-key: ${KEY}\r\n\r\n`;
    for (const part of [head.slice(0, 20), head.slice(20), "SSH-2.0-", "x\r\n"]) socket.write(part);
  });
  const { socket, hostKey } = await open(socketPath);
  assert.equal(hostKey, KEY);
  let words = "";
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    words += chunk.toString();
    if (words.includes("\n")) break;
  }
  assert.equal(words, "SSH-2.0-x\r\n");
});

test("a refusal is told in the supervisor's words", async (t) => {
  const body = JSON.stringify({ code: "insufficient_resources", message: "too many" });
  const socketPath = await fakeSupervisor(t, (socket) => {
    socket.write(`HTTP/1.1 503 Refused\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 5)}`);
    setImmediate(() => socket.end(body.slice(5)));
  });
  await assert.rejects(open(socketPath), { code: "insufficient_resources", message: "too many" });
});

test("an answer that makes no sense, or none at all, is a supervisor that is lost", async (t) => {
  for (const words of ["", "HTTP/1.1 101 x\r\n\r\n", "HTTP/1.1 500 x\r\n\r\n", "x".repeat(20_000)]) {
    const socketPath = await fakeSupervisor(t, (socket) => socket.end(words));
    await assert.rejects(open(socketPath), { code: "supervisor_lost" }, words.slice(0, 20));
  }
  await assert.rejects(open("/nowhere/at.all"), { code: "supervisor_lost" });
});
