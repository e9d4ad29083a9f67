/** URLs of one sandbox: their names, their ports, and the calls about them at the supervisor's door. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import path from "node:path";
import { Duplex } from "node:stream";
import { test, type TestContext } from "node:test";
import type { LoopbackDialer } from "../../../src/guest/dial-loopback.ts";
import type { AgentLink } from "../../../src/guest/link.ts";
import type { ExposureRecord } from "../../../src/protocol/expose-calls.ts";
import { answerCall } from "../../../src/supervisor/door-http.ts";
import { EXPOSURE_CALLS, type ExposureControl } from "../../../src/supervisor/expose/door-routes.ts";
import { makeExposureHost } from "../../../src/supervisor/expose/exposure-name.ts";
import { Exposures } from "../../../src/supervisor/expose/exposures.ts";
import { GuestPorts, type GuestPortsOptions } from "../../../src/supervisor/expose/guest-port.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { ask } from "./supervisor-bench.ts";

const REFUSED = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });

function open(t: TestContext, name: string | null = "web"): { exposures: Exposures; dialled: number[] } {
  const dialled: number[] = [];
  const ports = {
    prepare: async () => true,
    dial: async (port: number) => {
      dialled.push(port);
      return Promise.reject(REFUSED);
    },
  };
  const exposures = new Exposures({ id: "sbx_loc_0", name, ports, isPaused: () => false });
  t.after(() => exposures[Symbol.asyncDispose]());
  return { exposures, dialled };
}

/** Status of a request with a Host field; 0 where nobody listens. */
async function statusOf({ hostPort }: ExposureRecord, host: string): Promise<number> {
  return new Promise((resolve) => {
    const asked = request({ host: "127.0.0.1", port: hostPort, headers: { host }, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    asked.on("error", () => resolve(0));
    asked.end();
  });
}

test("a name is a label of a host with more than 100 random bits, whatever the sandbox is called", () => {
  const names = new Set<string>();
  for (const name of ["web", null, "x".repeat(63), `${"y".repeat(40)}-z`]) {
    for (let count = 0; count < 100; count++) {
      const host = makeExposureHost(name);
      assert.match(host, /^[a-z0-9](?:[a-z0-9-]{0,40}[a-z0-9])?-[a-z2-7]{21}\.localhost$/);
      assert.ok((host.split(".")[0] ?? "").length <= 63);
      names.add(host.split(".")[0]?.slice(-21) ?? "");
    }
  }
  assert.equal(names.size, 400);
  assert.ok(21 * Math.log2(32) > 100);
});

test("all URLs of a sandbox share a port, each leads to its own server, and the same is not made twice", async (t) => {
  const { exposures, dialled } = open(t);
  const [first, second, again] = await Promise.all([
    exposures.add({ guestPort: 3000 }),
    exposures.add({ guestPort: 4000 }),
    exposures.add({ guestPort: 3000 }),
  ]);
  assert.deepEqual(first, again);
  assert.equal(first.hostPort, second.hostPort);
  assert.notEqual(first.host, second.host);
  assert.equal(first.url, `http://${first.host}:${first.hostPort}`);
  assert.equal(await statusOf(first, second.host), 503);
  assert.equal(await statusOf(first, first.host), 503);
  assert.equal(await statusOf(first, "evil.example"), 404);
  assert.deepEqual(dialled, [4000, 3000]);
  assert.deepEqual(
    exposures.list().map(({ guestPort }) => guestPort),
    [3000, 4000],
  );
});

test("what is taken away is gone, the last one with its port, which comes back", async (t) => {
  const { exposures } = open(t);
  const first = await exposures.add({ guestPort: 3000 });
  const second = await exposures.add({ guestPort: 4000 });
  await exposures.remove(3000);
  assert.deepEqual([await statusOf(first, first.host), await statusOf(second, second.host)], [404, 503]);
  await exposures.remove(4000);
  assert.equal(await statusOf(second, second.host), 0);
  await assert.rejects(exposures.remove(4000), { code: "exposure_not_found" });
  const back = await exposures.add({ guestPort: 3000 });
  assert.equal(back.hostPort, first.hostPort);
  assert.notEqual(back.host, first.host, "an old URL stays worthless");
});

test("a port of the user's choice is used or refused, never replaced", async (t) => {
  const { exposures } = open(t);
  const other = createTcpServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  await assert.rejects(exposures.add({ guestPort: 3000, hostPort: port }), { code: "port_in_use" });
  other.close();
  await once(other, "close");
  assert.equal((await exposures.add({ guestPort: 3000, hostPort: port })).hostPort, port);
  assert.equal((await exposures.add({ guestPort: 4000 })).hostPort, port);
  await assert.rejects(exposures.add({ guestPort: 3000, hostPort: port - 1 }), { code: "port_in_use" });
});

test("a sandbox has up to 64 URLs, and none after its end", async (t) => {
  const { exposures } = open(t);
  for (let port = 1; port <= 64; port++) await exposures.add({ guestPort: port });
  await assert.rejects(exposures.add({ guestPort: 65 }), { code: "usage" });
  const [first] = exposures.list();
  assert.ok(first !== undefined);
  await exposures[Symbol.asyncDispose]();
  assert.equal(await statusOf(first, first.host), 0);
  await assert.rejects(exposures.add({ guestPort: 1 }), { code: "sandbox_stopped" });
});

test("at the door: listed, made, taken away, and refused in words", async (t) => {
  const control: ExposureControl = open(t).exposures;
  const socketPath = path.join(temporaryDirectory(t), "s.sock");
  const server = createServer((incoming, response) => {
    void answerCall(incoming, response, incoming.url ?? "", EXPOSURE_CALLS, () => control).then((known) => {
      if (!known) response.writeHead(404).end("null");
    });
  }).listen(socketPath);
  await once(server, "listening");
  t.after(() => server.close());
  const target = "/sbx/v1/exposures";
  const made = await ask(socketPath, "POST", target, JSON.stringify({ guestPort: 3000 }));
  assert.equal(made.status, 200);
  assert.deepEqual((await ask(socketPath, "GET", target)).body, [made.body]);
  for (const body of [
    "",
    "{}",
    '{"guestPort":0}',
    '{"guestPort":1.5}',
    '{"guestPort":"80"}',
    "[",
    '{"guestPort":80,"hostPort":-1}',
  ]) {
    assert.equal((await ask(socketPath, "POST", target, body)).status, 400, body);
  }
  assert.equal((await ask(socketPath, "PUT", target, "{}")).status, 405);
  assert.equal((await ask(socketPath, "DELETE", `${target}/x`)).status, 404);
  assert.equal((await ask(socketPath, "DELETE", `${target}/4000`)).status, 404);
  assert.deepEqual((await ask(socketPath, "DELETE", `${target}/3000`)).body, made.body);
});

test("the network card goes first; the agent where that does not lead, and then before it for a while", async () => {
  const ways: string[] = [];
  const failures: { card?: Error; agent?: Error } = {};
  const way = (name: string, failure: () => Error | undefined) => async (): Promise<Duplex> => {
    ways.push(name);
    const error = failure();
    return error === undefined ? new Duplex() : Promise.reject(error);
  };
  const link = fakeLink(() => undefined);
  const options: GuestPortsOptions = {
    link,
    overCard: way("card", () => failures.card),
    loopback: { dial: way("agent", () => failures.agent) } as unknown as LoopbackDialer,
  };
  const ports = new GuestPorts(options);
  const dial = async (): Promise<unknown> => ports.dial(3000, undefined, new AbortController().signal);
  await dial();
  assert.deepEqual(ways.splice(0), ["card"]);
  Object.assign(failures, { card: REFUSED, agent: REFUSED });
  await assert.rejects(dial(), { code: "ECONNREFUSED" });
  await assert.rejects(dial(), { code: "ECONNREFUSED" });
  assert.deepEqual(ways.splice(0), ["card", "agent", "card", "agent"], "a server that comes is looked for everywhere");
  delete failures.agent;
  await dial();
  await dial();
  assert.deepEqual(ways.splice(0), ["card", "agent", "agent"]);
  const closed = new GuestPorts({ ...options, link: fakeLink(() => new Error("read-only")) });
  await closed.dial(3000, undefined, new AbortController().signal);
  assert.deepEqual(ways, ["agent"], "a kernel that cannot be told is not tried");
});

/** A link whose guest writes files, or fails to. */
function fakeLink(failure: () => Error | undefined): AgentLink {
  return {
    openWritable: () =>
      Object.assign(new Duplex({ write: (_chunk, _encoding, done) => done(), read() {} }), { streamId: 1 }),
    call: async () => {
      const error = failure();
      if (error !== undefined) throw error;
      return null;
    },
  } as unknown as AgentLink;
}
