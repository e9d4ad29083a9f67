/** SSH to sandboxes through the control plane: who gets in, to what, and for how long. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { makeOpensshKey } from "../../../src/host/openssh-key.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { defaultServerConfig } from "../../../src/server/config.ts";
import { Tenants } from "../../../src/server/organisations/tenants.ts";
import { CredentialStore } from "../../../src/server/ssh/credential-store.ts";
import { Logins } from "../../../src/server/ssh/logins.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { exec } from "../ssh/ssh-bench.ts";
import { ID, openGateway } from "./ssh-gateway-bench.ts";

test("a user name is made for a sandbox that runs, and opens it without a key or a password", async (t) => {
  const { expose, client, guest, ssh } = await openGateway(t);
  guest.program = ({ spec, stdout, stderr, exit }) => {
    stdout.end(`out of ${String(spec.command)}\n`);
    stderr.end("err\n");
    exit({ code: 3 });
  };
  const { status, body } = await expose();
  assert.equal(status, 200);
  const { username, ...address } = body as { username: string };
  assert.match(username, /^ssh_[0-9a-f]{40}$/);
  assert.deepEqual(address, { hostname: "127.0.0.1", port: ssh.port });
  const connection = await client({ username });
  const finished = await exec(connection, "make");
  assert.deepEqual(finished, { stdout: "out of make\n", stderr: "err\n", code: 3, signal: undefined });
  assert.equal(guest.started[0]?.spec.account.name, "app");
});

test("clients that insist on a password or a key are let in by the name all the same", async (t) => {
  const { login, client } = await openGateway(t);
  const { username } = await login();
  const { privateKey } = makeOpensshKey("any");
  for (const insistent of [
    { authHandler: [{ type: "password", username, password: "" }] },
    { authHandler: [{ type: "publickey", username, key: privateKey }] },
    { authHandler: [{ type: "keyboard-interactive", username, prompt: () => assert.fail("it was asked") }] },
  ] as const) {
    const connection = await client({ username, authHandler: [...insistent.authHandler] as never });
    assert.equal((await exec(connection, "true")).code, 0);
  }
});

test("a name that is no longer good is told what a name that never was is told, and nothing else", async (t) => {
  const { login, client, runtime, log } = await openGateway(t);
  const { username } = await login();
  const stale = `${username.slice(0, -1)}${username.endsWith("0") ? "1" : "0"}`;
  const said: string[] = [];
  const tries = async (name: string): Promise<void> => {
    const debug = (text: string): void => {
      // What the client is sent of authentication, without what it says itself.
      if (/Inbound: Received USERAUTH|Inbound: Received DISCONNECT/.test(text)) said.push(text);
    };
    await assert.rejects(client({ username: name, debug }), /authentication methods failed/);
    said.push("|");
  };
  for (const name of ["root", "", stale, username.toUpperCase()]) await tries(name);
  runtime.sandboxes = [sandboxInfo({ status: "stopped" })];
  await tries(username);
  runtime.sandboxes = [];
  await tries(username);
  const answers = said.join("").split("|").slice(0, -1);
  assert.equal(answers.length, 6);
  assert.equal(new Set(answers).size, 1, answers.join("\n"));
  assert.ok(!log().includes(username.slice(4)), "the log has the name");
  assert.match(log(), /"event":"ssh\.refused","address":"127\.0\.0\.1"/);
});

test("whoever has a name of a sandbox that cannot be had right now is told why", async (t) => {
  const { login, client, runtime } = await openGateway(t);
  const { username } = await login();
  runtime.ssh.serve = () => {
    throw new SbxError("sandbox_paused", "the sandbox stands still");
  };
  let said = "";
  const debug = (text: string): unknown => (said += `${text}\n`);
  await assert.rejects(client({ username, debug }));
  assert.match(said, /DISCONNECT \(11, "the sandbox stands still"\)/);
});

test("names are of one sandbox of one organisation, and nobody asks for another's", async (t) => {
  const { expose, tokens, organisations } = await openGateway(t);
  const life = { createdAt: Date.now(), expiresAt: null };
  const spec = { name: null, kind: "organisation", organisations: ["acme"], scopes: ["sandboxes"] } as const;
  const foreign = tokens.create({ ...spec, organisations: ["acme"], scopes: ["sandboxes"], ...life }).token;
  const reading = tokens.create({ ...spec, organisations: ["local"], scopes: ["read"], ...life }).token;
  assert.deepEqual(await expose({ token: foreign }), {
    ...{ status: 404, body: { code: "SANDBOX_NOT_FOUND", message: `there is no sandbox "${ID}"` } },
  });
  assert.equal((await expose({ token: foreign, method: "DELETE" })).status, 404);
  assert.equal((await expose({ token: reading })).status, 403);
  assert.equal((await expose({ token: "ddo_no" })).status, 401);
  organisations.of("local").sandboxes = [sandboxInfo({ status: "stopped" })];
  assert.equal((await expose()).status, 404);
});

test("a name is taken back, and who used it is hung up on; others are not", async (t) => {
  const { login, expose, client, runtime, services } = await openGateway(t);
  runtime.sandboxes = [sandboxInfo(), sandboxInfo({ id: `${ID.slice(0, -1)}2` })];
  const { username } = await login();
  const other = (await expose({ id: `${ID.slice(0, -1)}2` })).body as { username: string };
  const [mine, others] = [await client({ username }), await client({ username: other.username })];
  const closed = once(mine, "close");
  assert.equal((await expose({ method: "DELETE" })).status, 204);
  await closed;
  await assert.rejects(client({ username }));
  assert.equal((await exec(others, "true")).code, 0);
  assert.ok(services.hasRoom);
});

test("a name holds as long as the token it was asked for with", async (t) => {
  const { login, client, tokens } = await openGateway(t);
  const { username } = await login();
  const connection = await client({ username });
  const closed = once(connection, "close");
  tokens.revoke(tokens.list()[0]?.id ?? "");
  await closed;
  await assert.rejects(client({ username }));
});

test("names and the host key outlive the server", async (t) => {
  const first = await openGateway(t);
  const { username } = await first.login();
  await first.server[Symbol.asyncDispose]();
  const { directory, organisations } = first;
  const second = await openGateway(t, { directory, organisations });
  assert.equal(second.ssh.hostKey, first.ssh.hostKey);
  assert.equal(second.ssh.fingerprint, first.ssh.fingerprint);
  assert.match(second.ssh.fingerprint, /^SHA256:[A-Za-z0-9+/]{43}$/);
  let seen = "";
  const connection = await second.client({
    username,
    hostVerifier: (key: Buffer) => {
      seen = `ssh-ed25519 ${key.toString("base64")}`;
      return true;
    },
  });
  assert.equal((await exec(connection, "true")).code, 0);
  assert.equal(seen, second.ssh.hostKey);
  assert.equal(statSync(path.join(directory, "ssh_host_ed25519_key")).mode & 0o777, 0o600);
  assert.ok(!readFileSync(path.join(directory, "control.db")).includes(username), "the name is on the disk");
});

test("names of sandboxes that are over, and of tokens that do not hold, are forgotten", async (t) => {
  const first = await openGateway(t);
  const { organisations, tokens, directory } = first;
  const others = `${ID.slice(0, -1)}2`;
  organisations.of("local").sandboxes = [sandboxInfo(), sandboxInfo({ id: others })];
  await first.login();
  const life = { createdAt: Date.now(), expiresAt: null };
  const spec = { name: "short", kind: "organisation", organisations: ["local"], scopes: ["sandboxes"] } as const;
  const made = tokens.create({ ...spec, organisations: ["local"], scopes: ["sandboxes"], ...life });
  await first.expose({ id: others, token: made.token });
  await first.server[Symbol.asyncDispose]();
  using store = CredentialStore.open(directory);
  assert.deepEqual([store.places().length, store.tokens().length], [2, 2]);
  tokens.revoke("short");
  const logins = new Logins({
    ...{ credentials: store, tokens, now: () => Date.now(), log: { write: () => undefined } },
    tenants: new Tenants(organisations, defaultServerConfig()),
  });
  const { signal } = new AbortController();
  await logins.prune(signal);
  assert.deepEqual(store.places(), [{ organisation: "local", sandbox: ID }]);
  organisations.of("local").sandboxes = [sandboxInfo({ status: "stopped" })];
  await logins.prune(signal);
  assert.deepEqual(store.places(), []);
});

test("clients are told the machine's name where it listens on all of its addresses", async (t) => {
  const { login } = await openGateway(t, { listen: { host: "0.0.0.0", port: 0 } });
  assert.equal((await login()).hostname, hostname());
  const named = await openGateway(t, { publicHost: "ssh.example", publicPort: 22 });
  const { hostname: host, port } = await named.login();
  assert.deepEqual([host, port], ["ssh.example", 22]);
});

test("a sandbox has up to 32 names, each of up to 32 connections; one more is refused with the reason", async (t) => {
  const { login, expose, client } = await openGateway(t);
  const { username } = await login();
  for (let name = 1; name < 32; name++) await login();
  const refused = await expose();
  assert.deepEqual([refused.status, (refused.body as { code: string }).code], [429, "QUOTA_EXCEEDED"]);
  const connections = [];
  for (let index = 0; index < 32; index++) connections.push(await client({ username }));
  let said = "";
  await assert.rejects(client({ username, debug: (text) => (said += text) }));
  assert.match(said, /as many connections with this user name as it may have/);
  const closed = once(connections[0] as never, "close");
  connections[0]?.end();
  await closed;
  // Its end at the sandbox follows.
  for (;;) {
    const again = await client({ username }).catch(() => undefined);
    if (again !== undefined) break;
    await sleep(10);
  }
});

test("a server that ends tells clients so, and does not wait for those that do not listen", async (t) => {
  const { login, client, dial, server } = await openGateway(t);
  const { username } = await login();
  let said = "";
  const connection = await client({ username, debug: (text) => (said += text) });
  const stranger = await dial();
  stranger.write("SSH-2.0-slow\r\n");
  stranger.resume();
  const closed = [connection, stranger].map(
    async (one) => new Promise((resolve) => (one as NodeJS.EventEmitter).once("close", resolve)),
  );
  await server[Symbol.asyncDispose]();
  await Promise.all(closed);
  assert.match(said, /DISCONNECT \(11, "the server is going away"\)/);
});

test("a sandbox that ends ends its connections", async (t) => {
  const { login, client, services } = await openGateway(t);
  let said = "";
  const connection = await client({ ...(await login()), debug: (text) => (said += text) });
  const closed = once(connection, "close");
  services.close("the sandbox has ended: timeout");
  await closed;
  assert.match(said, /DISCONNECT \(11, "the sandbox has ended: timeout"\)/);
});

test("a sandbox that is gone before its client is joined with it lets go of the client, and does not count", async (t) => {
  const { login, client, runtime } = await openGateway(t);
  const { username } = await login();
  const { serve } = runtime.ssh;
  runtime.ssh.serve = (socket) => void socket.destroy();
  const open = runtime.ssh.openMessages.bind(runtime.ssh);
  runtime.ssh.openMessages = async (ref) => {
    const stream = await open(ref);
    stream.destroy();
    await sleep(5);
    return stream;
  };
  for (let time = 0; time < 33; time++) {
    let said = "";
    await client({ username, debug: (text) => (said += text) }).then(
      async (connection) => {
        await once(connection, "close");
      },
      () => undefined,
    );
    assert.match(said, /DISCONNECT \(11, "the sandbox is gone"\)/);
  }
  runtime.ssh.serve = serve;
  runtime.ssh.openMessages = open;
  assert.equal((await exec(await client({ username }), "true")).code, 0);
});

test("without SSH the server has no such route, and a taken port is another one only where none was named", async (t) => {
  const { ssh } = await openGateway(t);
  const listen = { host: "127.0.0.1", port: ssh.port };
  await assert.rejects(openGateway(t, { listen }), { code: "port_in_use" });
  const other = await openGateway(t, { listen, orFreePort: true });
  assert.notEqual(other.ssh.port, ssh.port);
});
