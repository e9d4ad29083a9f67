/** `sbx forward`: TCP of this machine into a real one. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { startScript } from "./support/exposed.ts";
import { eventually } from "./support/leftovers.ts";
import { openTestHome } from "./support/test-home.ts";

const MIB = 1024 * 1024;
const home = await openTestHome();
after(async () => home[Symbol.asyncDispose]());

let id = "";
before(async () => {
  id = await home.create("--name", "web", "--memory", "512MiB");
  await startScript(home, id, "guest-echo.js", "7000", "7001", "/tmp/echo.sock");
});

interface Running {
  ports: number[];
  /** Ends it as Ctrl-C does; settles with its exit status. */
  interrupt(): Promise<number>;
  exited: Promise<number>;
  stderr: () => string;
}

/** Runs it until all of its ports are open. */
async function forward(...operands: string[]): Promise<Running> {
  const child = home.start(["forward", "web", ...operands, "--json"]);
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const exited = once(child, "exit").then(([code]) => code as number);
  const ports: number[] = [];
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  while (ports.length < operands.length) {
    const line = await lines.next();
    if (line.done === true) throw new Error(`sbx forward ended: ${stderr}`);
    ports.push((JSON.parse(line.value) as { port: number }).port);
  }
  after(() => child.kill("SIGKILL"));
  return {
    ports,
    exited,
    stderr: () => stderr,
    interrupt: async () => {
      child.kill("SIGINT");
      return exited;
    },
  };
}

async function open(port = 0, host = "127.0.0.1"): Promise<Socket> {
  const socket = connect({ port, host, allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}

async function echoed(port: number | undefined, text: string, host?: string): Promise<string> {
  const socket = await open(port, host);
  socket.end(text);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

test("several ports and a socket at once; each half of a connection ends by itself; Ctrl-C ends all", async () => {
  const running = await forward("0:7000", "0:7001", "0:/tmp/echo.sock");
  const [first, second, third] = running.ports;
  await eventually(async () => assert.equal(await echoed(first, "one"), "one"));
  const answers = await Promise.all([echoed(first, "a", "::1"), echoed(second, "b"), echoed(third, "c")]);
  assert.deepEqual(answers, ["a", "b", "c"]);
  const many = await Promise.all(Array.from({ length: 50 }, async (_, at) => echoed(second, `text ${at}`)));
  assert.deepEqual(
    many,
    Array.from({ length: 50 }, (_, at) => `text ${at}`),
  );
  assert.equal(await running.interrupt(), 0);
  await assert.rejects(open(first), { code: "ECONNREFUSED" });
});

test("64 MiB come back exactly, at the pace of a slow reader", async () => {
  const running = await forward("0:7000");
  const block = randomBytes(MIB);
  const sent = createHash("sha256");
  const received = createHash("sha256");
  const socket = await open(running.ports[0]);
  const blocks = function* (): Generator<Buffer> {
    for (let count = 0; count < 64; count++) {
      sent.update(block);
      yield block;
    }
  };
  Readable.from(blocks()).pipe(socket);
  let bytes = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    // Now and then it takes no more for a moment: what is under way waits, and nothing is lost.
    if (Math.floor(bytes / (16 * MIB)) !== Math.floor((bytes + chunk.length) / (16 * MIB))) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    bytes += chunk.length;
    received.update(chunk);
  }
  assert.equal(bytes, 64 * MIB);
  assert.equal(received.digest("hex"), sent.digest("hex"));
  assert.equal(await running.interrupt(), 0);
});

test("where nothing listens a connection is reset, and the command says so once and goes on", async () => {
  const running = await forward("0:7999");
  for (let count = 0; count < 3; count++) {
    const socket = await open(running.ports[0]);
    const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNRESET");
  }
  assert.equal(running.stderr().match(/no connection to 7999 in the sandbox/g)?.length, 1, running.stderr());
  assert.equal(await running.interrupt(), 0);
});

test("a port that is taken, and what is none, is refused clearly", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  const taken = await home.sbx(["forward", "web", `${port}:7000`]);
  other.close();
  assert.equal(taken.status, 1);
  assert.match(taken.stderr, new RegExp(`port ${port} of 127\\.0\\.0\\.1 is taken by another program`));
  for (const words of [["x"], ["0"], ["1:2:3"], ["8080:"], ["8080:/a", "--address", "here"], []]) {
    assert.equal((await home.sbx(["forward", "web", ...words])).status, 2, words.join(" "));
  }
  assert.equal((await home.sbx(["forward", "nobody", "7000"])).status, 1);
});

test("another address than the loopback is told what it means", async () => {
  const child = home.start(["forward", "web", "0:7000", "--address", "0.0.0.0"]);
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const exited = once(child, "exit");
  child.kill("SIGINT");
  await exited;
  assert.match(line, /^0\.0\.0\.0:\d+ -> 7000$/);
  assert.match(stderr, /whoever reaches this machine can now talk to 7000 of the sandbox at port \d+/);
});

test("the end of the sandbox is the end of the command, which says why", async () => {
  const running = await forward("0:7000");
  const socket = await open(running.ports[0]);
  socket.on("error", () => undefined);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await home.must(["kill", "web"]);
  await closed;
  assert.equal(await running.exited, 1);
  assert.match(running.stderr(), /the sandbox web stopped/);
  assert.match(running.stderr(), /killed/);
});
