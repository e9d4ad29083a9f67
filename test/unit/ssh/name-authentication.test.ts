/** Clients whose user name is their secret: what they are told, and when. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { NameAuthentication } from "../../../src/ssh/name-authentication.ts";
import { encodePayload, MSG, ProtocolError } from "../../../src/ssh/payload.ts";
import type { SshTransport } from "../../../src/ssh/transport.ts";

const REFUSAL_MS = 1000;
const FAILURE = encodePayload(MSG.userauthFailure, "publickey", false);

interface Opened {
  name: string;
  destroy: () => void;
}

interface Bench {
  authentication: NameAuthentication<Opened>;
  sent: Buffer[];
  hungUp: string[];
  accepted: [name: string, waiting: Buffer[]][];
  destroyed: string[];
  transport: { isOver: boolean };
  /** Settles a lookup. */
  found: (name: string) => void;
}

/** The only good name is `good`. */
function openBench(t: TestContext, { isSlow = false } = {}): Bench {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const bench = { sent: [], hungUp: [], accepted: [], destroyed: [] } as unknown as Bench;
  const lookups = Promise.withResolvers<string>();
  bench.found = lookups.resolve;
  bench.transport = { isOver: false };
  const transport = bench.transport as unknown as SshTransport;
  transport.send = (payload) => bench.sent.push(payload);
  transport.disconnect = (_reason, text) => bench.hungUp.push(text);
  bench.authentication = new NameAuthentication<Opened>({
    ...{ transport, refusalMs: REFUSAL_MS },
    open: async (name) => {
      const found = isSlow ? await lookups.promise : name;
      if (found === "full") throw new Error("there is no room");
      return found === "good" ? { name, destroy: () => bench.destroyed.push(name) } : undefined;
    },
    accepted: ({ name }, waiting) => bench.accepted.push([name, [...waiting]]),
  });
  bench.authentication.service("ssh-userauth");
  bench.sent.length = 0;
  return bench;
}

function request(name: string, method = "none", ...more: (string | boolean)[]): Buffer {
  return encodePayload(MSG.userauthRequest, name, "ssh-connection", method, ...more);
}

test("whatever the method, the right name is let in at once", async (t) => {
  for (const asked of [
    request("good"),
    request("good", "password", false, "anything"),
    request("good", "publickey", false, "ssh-rsa", "no key at all"),
    request("good", "keyboard-interactive", "", ""),
  ]) {
    const { authentication, sent, accepted } = openBench(t);
    authentication.message(asked);
    await turn();
    assert.deepEqual(sent, [encodePayload(MSG.userauthSuccess)]);
    assert.equal(accepted[0]?.[0], "good");
    t.mock.timers.reset();
  }
});

test("a refusal comes after its time, not before, and is the same whatever was asked", async (t) => {
  for (const asked of [request("bad"), request("bad", "password", false, "good"), request("", "publickey", true)]) {
    const { authentication, sent } = openBench(t);
    authentication.message(asked);
    await turn();
    t.mock.timers.tick(REFUSAL_MS - 1);
    await turn();
    assert.deepEqual(sent, []);
    t.mock.timers.tick(1);
    await turn();
    assert.deepEqual(sent, [FAILURE]);
    t.mock.timers.reset();
  }
});

test("requests that come before a refusal wait for their own, and after six the client is hung up on", async (t) => {
  const { authentication, sent, hungUp } = openBench(t);
  for (let attempt = 0; attempt < 8; attempt++) authentication.message(request("bad"));
  for (let refused = 1; refused <= 6; refused++) {
    await turn();
    t.mock.timers.tick(REFUSAL_MS);
    await turn();
    assert.equal(sent.length, refused);
  }
  await turn();
  assert.deepEqual(hungUp.slice(0, 1), ["too many attempts to authenticate"]);
});

test("one connection tries one name", async (t) => {
  const { authentication, hungUp, accepted } = openBench(t);
  authentication.message(request("bad"));
  await turn();
  t.mock.timers.tick(REFUSAL_MS);
  await turn();
  authentication.message(request("good"));
  await turn();
  assert.deepEqual([hungUp, accepted], [["too many attempts to authenticate"], []]);
});

test("what a client says before it is let in reaches what it is let in to, up to a bound", async (t) => {
  const { authentication, accepted, found } = openBench(t, { isSlow: true });
  authentication.message(request("good"));
  const early = encodePayload(MSG.channelOpen, "session");
  for (let message = 0; message < 64; message++) authentication.message(early);
  assert.throws(() => authentication.message(early), ProtocolError);
  found("good");
  await turn();
  assert.deepEqual(accepted, [["good", new Array(64).fill(early)]]);
});

test("who is gone before the sandbox was reached leaves nothing open", async (t) => {
  const { authentication, sent, accepted, found, transport, destroyed } = openBench(t, { isSlow: true });
  authentication.message(request("good"));
  transport.isOver = true;
  found("good");
  await turn();
  assert.deepEqual([sent, accepted, destroyed], [[], [], ["good"]]);
});

test("why a sandbox cannot be had is told as the connection's end", async (t) => {
  const { authentication, sent, hungUp } = openBench(t);
  authentication.message(request("full"));
  await turn();
  assert.deepEqual([sent, hungUp], [[], ["there is no room"]]);
});

test("what is no request to authenticate, and names without end, are the end", (t) => {
  const { authentication, hungUp } = openBench(t);
  assert.throws(() => authentication.message(encodePayload(MSG.channelOpen, "session")), ProtocolError);
  assert.throws(() => authentication.message(request("x".repeat(257))), ProtocolError);
  assert.throws(() => authentication.message(Buffer.of(MSG.userauthRequest, 0, 0)), ProtocolError);
  authentication.message(encodePayload(MSG.userauthRequest, "good", "ssh-else", "none"));
  authentication.service("ssh-userauth");
  assert.deepEqual(hungUp, ["too many attempts to authenticate", "there is no such service"]);
});
