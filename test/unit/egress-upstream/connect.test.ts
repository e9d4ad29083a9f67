/** Which addresses are dialled, and what a failure to reach them says. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { test, type TestContext } from "node:test";
import { ALLOW, DENY, failureOf, NEVER, readAll, serveTcp, upstreamWith } from "./servers.ts";

async function serveGreeting(t: TestContext, host?: string): Promise<number> {
  return serveTcp(t, (socket) => socket.end("hello"), host);
}

test("the address that was checked is the one that is dialled, and the name is looked up once", async (t) => {
  const port = await serveGreeting(t);
  const answers = [["127.0.0.1"], ["169.254.169.254"]];
  const checked: string[] = [];
  const upstream = upstreamWith({
    lookup: async () => answers.shift() ?? assert.fail("a second lookup"),
    decideAddress: (target, address) => {
      checked.push(`${target.host}:${target.port} ${address}`);
      return ALLOW;
    },
  });
  const { socket, address } = await upstream.connect({ host: "rebinding.example", port }, NEVER);
  assert.equal(await readAll(socket), "hello");
  assert.equal(address, "127.0.0.1");
  // Before it is dialled and, in case that the policy has changed, after.
  const asked = `rebinding.example:${port} 127.0.0.1`;
  assert.deepEqual(checked, [asked, asked]);
  assert.equal(answers.length, 1);
});

test("a name with only closed addresses is refused with the decision, and none is dialled", async (t) => {
  let dialled = 0;
  const port = await serveTcp(t, () => dialled++);
  const upstream = upstreamWith({ lookup: async () => ["127.0.0.1", "::1"], decideAddress: () => DENY });
  const error = await failureOf(upstream.connect({ host: "internal.example", port }, NEVER));
  assert.deepEqual([error.code, error.message, error.decision], ["address_denied", DENY.reason, DENY]);
  assert.equal(dialled, 0);
});

test("of several addresses only the allowed ones are dialled", async (t) => {
  const port = await serveGreeting(t, "127.0.0.2");
  let forbidden = 0;
  const other = await serveTcp(t, () => forbidden++);
  const upstream = upstreamWith({
    lookup: async () => ["127.0.0.1", "127.0.0.2"],
    decideAddress: (_, address) => (address === "127.0.0.1" ? DENY : ALLOW),
  });
  const { address } = await upstream.connect({ host: "mixed.example", port }, NEVER);
  assert.equal(address, "127.0.0.2");
  const error = await failureOf(upstream.connect({ host: "mixed.example", port: other }, NEVER));
  assert.equal(error.code, "refused");
  assert.equal(forbidden, 0);
});

test("a literal address is judged as an address of a name is, and never looked up", async (t) => {
  const port = await serveGreeting(t);
  const lookup = () => assert.fail("looked up");
  const denied = await failureOf(
    upstreamWith({ lookup, decideAddress: () => DENY }).connect({ host: "127.0.0.1", port }, NEVER),
  );
  assert.equal(denied.code, "address_denied");
  const { socket } = await upstreamWith({ lookup }).connect({ host: "127.0.0.1", port }, NEVER);
  assert.equal(await readAll(socket), "hello");
});

test("an IPv6 address is dialled", async (t) => {
  const port = await serveGreeting(t, "::1");
  for (const host of ["::1", "six.example"]) {
    const { socket, address } = await upstreamWith({ lookup: async () => ["::1"] }).connect({ host, port }, NEVER);
    assert.equal(address, "::1");
    assert.equal(await readAll(socket), "hello");
  }
});

test("an address that the user pinned is dialled for that name and port alone, and not judged", async (t) => {
  const port = await serveGreeting(t);
  const upstream = upstreamWith({
    decideAddress: () => DENY,
    overrides: [{ host: "pinned.example", port, address: "127.0.0.1" }],
  });
  const { socket } = await upstream.connect({ host: "pinned.example", port }, NEVER);
  assert.equal(await readAll(socket), "hello");
  for (const target of [
    { host: "pinned.example", port: port - 1 },
    { host: "other.example", port },
  ]) {
    assert.equal((await failureOf(upstream.connect(target, NEVER))).code, "address_denied");
  }
});

test("host.sbx.internal is this machine's loopback, IPv4 first, then IPv6", async (t) => {
  const lookup = () => assert.fail("looked up");
  const four = await serveGreeting(t);
  const six = await serveGreeting(t, "::1");
  const upstream = upstreamWith({ lookup });
  assert.equal((await upstream.connect({ host: "host.sbx.internal", port: four }, NEVER)).address, "127.0.0.1");
  assert.equal((await upstream.connect({ host: "host.sbx.internal", port: six }, NEVER)).address, "::1");
});

test("when all addresses fail, the error is the first one's and names target and address", async (t) => {
  // Nobody listens at the two other addresses.
  const port = await serveGreeting(t);
  const upstream = upstreamWith({ lookup: async () => ["127.0.0.3", "::1"] });
  const error = await failureOf(upstream.connect({ host: "down.example", port }, NEVER));
  assert.deepEqual([error.code, error.message], ["refused", `down.example:${port} (127.0.0.3) refused the connection`]);
});

/** A port whose queue of connections is full: the kernel drops what else comes. */
async function hangingPort(t: TestContext): Promise<number> {
  const script =
    "import socket,sys\ns=socket.socket();s.bind(('127.0.0.1',0));s.listen(0);print(s.getsockname()[1],flush=True);sys.stdin.read()";
  const python = spawn("python3", ["-c", script], { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = (await once(python.stdout, "data")) as [Buffer];
  const port = Number(String(line));
  const filler = connectSocket({ host: "127.0.0.1", port });
  filler.on("error", () => undefined);
  await once(filler, "connect");
  t.after(async () => {
    filler.destroy();
    python.stdin.end();
    await once(python, "exit");
  });
  return port;
}

test("an address that does not answer holds up the others only for a moment, and itself not for ever", async (t) => {
  const port = await hangingPort(t);
  const timeouts = { dialMs: 400 };
  const alone = await failureOf(upstreamWith({ timeouts }).connect({ host: "slow.example", port }, NEVER));
  assert.deepEqual([alone.code, alone.message], ["timeout", `slow.example:${port} did not answer within 0.4 s`]);
  await serveTcp(t, (socket) => socket.end("hello"), "127.0.0.9", port);
  const upstream = upstreamWith({ lookup: async () => ["127.0.0.1", "127.0.0.9"] });
  assert.equal((await upstream.connect({ host: "half.example", port }, NEVER)).address, "127.0.0.9");
});

test("an attempt ends when its signal does, at once and before it began", async (t) => {
  const port = await hangingPort(t);
  const controller = new AbortController();
  const attempt = failureOf(upstreamWith().connect({ host: "slow.example", port }, controller.signal));
  setImmediate(() => controller.abort());
  assert.equal((await attempt).code, "aborted");
  assert.equal(
    (await failureOf(upstreamWith().connect({ host: "127.0.0.1", port }, controller.signal))).code,
    "aborted",
  );
});

test("a socket that breaks where nobody listens does not end the process", async (t) => {
  const port = await serveTcp(t, (socket) => socket.once("data", () => socket.resetAndDestroy()));
  const { socket } = await upstreamWith().connect({ host: "rude.example", port }, NEVER);
  socket.write("hello");
  socket.resume();
  await new Promise((resolve) => socket.once("close", resolve));
});
