/** What the gateway says itself to who knows a URL. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { answer, get, openBench } from "./gateway-bench.ts";

const HTML = "Accept: text/html,application/xhtml+xml";

test("while nothing listens, a browser gets a page that says so and a program one line of JSON", async (t) => {
  const bench = await openBench(t);
  const program = await bench.client();
  const [head = "", body = ""] = (await program.send(get()).ended()).split("\r\n\r\n");
  assert.match(head, /^HTTP\/1\.1 503 Service Unavailable\r\ncontent-type: application\/json\r\n/);
  assert.match(head, /\r\nretry-after: 2\r\n/);
  assert.deepEqual(JSON.parse(body), {
    code: "nothing_listens",
    message: "No server in the sandbox web listens on port 3000.",
  });
  const browser = await bench.client();
  const page = await browser.send(get("/", HTML)).ended();
  assert.match(page, /^HTTP\/1\.1 503 Service Unavailable\r\ncontent-type: text\/html/);
  assert.match(
    page,
    /No server in the sandbox web listens on port 3000\..*sbx exec web -- python3 -m http\.server 3000/s,
  );
  assert.match(page, /cache-control: no-store/);
  const head2 = await bench.client();
  assert.match(await head2.send(get("/", HTML).replace("GET", "HEAD")).ended(), /connection: close\r\n\r\n$/);
});

test("the page asks the gateway, which answers when something listens; the server hears nothing of it", async (t) => {
  const bench = await openBench(t);
  const heard: string[] = [];
  const waiting = await bench.client();
  waiting.send(get("/", "X-Sbx-Wait: 1"));
  while (bench.dials() < 2) await sleep(5);
  assert.equal(waiting.text, "");
  await bench.serve((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => heard.push(chunk.toString()));
  });
  assert.match(await waiting.ended(), /^HTTP\/1\.1 204 No Content\r\n/);
  assert.deepEqual(heard, []);
});

test("the page is told to ask again when it has waited long enough", async (t) => {
  const bench = await openBench(t, { waitMs: 50 });
  const waiting = await bench.client();
  assert.match(await waiting.send(get("/", "X-Sbx-Wait: 1")).ended(), /^HTTP\/1\.1 503 /);
});

test("a paused sandbox is said to be paused, and is not dialled", async (t) => {
  const bench = await openBench(t);
  bench.pause(true);
  const client = await bench.client();
  assert.match(await client.send(get()).ended(), /^HTTP\/1\.1 503 .*"sandbox_paused"/s);
  assert.equal(bench.dials(), 0);
});

test("a sandbox that does not answer in time is said to have given none", async (t) => {
  const bench = await openBench(t, { dialMs: 50 });
  bench.target.dial = async (_first, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error));
    });
  const client = await bench.client();
  assert.match(await client.send(get()).ended(), /^HTTP\/1\.1 504 .*"no_answer"/s);
});

test("a server that hangs up without an answer is said to have done so, once; a later end is its own", async (t) => {
  const bench = await openBench(t);
  await bench.serve((socket) => {
    let asked = 0;
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      if (chunk.includes("/rude") || ++asked > 1) socket.end();
      else socket.write(answer("fine"));
    });
  });
  const rude = await bench.client();
  assert.match(await rude.send(get("/rude", HTML)).ended(), /^HTTP\/1\.1 502 .*hung up without an answer/s);
  const kept = await bench.client();
  await kept.send(get()).until(({ text }) => text.endsWith("fine"));
  assert.match(await kept.send(get()).ended(), /fine$/);
});

test("beyond so many connections there is an answer that says so", async (t) => {
  const bench = await openBench(t, { guests: 2 });
  await bench.serve((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", () => socket.write(answer("fine")));
  });
  for (let made = 0; made < 2; made++) {
    const client = await bench.client();
    await client.send(get()).until(({ text }) => text.endsWith("fine"));
  }
  const third = await bench.client();
  assert.match(await third.send(get()).ended(), /^HTTP\/1\.1 503 .*"too_many_connections"/s);
});

test("no name that a user gave can write into the page", async (t) => {
  const bench = await openBench(t);
  Object.assign(bench.target.subject, { sandbox: '<script>"&' });
  const client = await bench.client();
  const page = await client.send(get("/", HTML)).ended();
  assert.match(page, /&#60;script&#62;&#34;&#38;/);
  assert.doesNotMatch(page, /<script>"/);
});

test("a server that resets a connection in the moment that it accepts it has closed it early", async (t) => {
  const bench = await openBench(t);
  bench.target.dial = async () => {
    const server = new PassThrough().on("error", () => undefined).destroy(new Error("reset"));
    await new Promise((resolve) => server.once("close", resolve));
    return server;
  };
  const client = await bench.client();
  assert.match(await client.send(get()).ended(), /^HTTP\/1\.1 502 [^]*closed_early/);
});

test("one URL takes no more than its share of the connections, and gives it back", async (t) => {
  const bench = await openBench(t, { guests: 10, guestsOfTarget: 1, halfClosedMs: 50 });
  await bench.serve((socket) => socket.on("data", () => socket.write(answer("x"))).on("error", () => undefined));
  const first = await bench.client();
  await first.send(get()).until(({ text }) => text.endsWith("x"));
  const second = await bench.client();
  assert.match(await second.send(get()).ended(), /^HTTP\/1\.1 503 .*"code":"too_many_connections"/s);
  first.socket.destroy();
  for (;;) {
    const third = await bench.client();
    await third.send(get()).until(({ text }) => text.includes("\r\n\r\n"));
    if (third.text.startsWith("HTTP/1.1 200")) break;
  }
});
