/** What pages in a real browser can do to a gateway. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { openBrowser } from "../../vm/support/browser.ts";
import { HOST, openBench } from "./gateway-bench.ts";

/** A name of the internet's that its owner has pointed at this machine (DNS rebinding). */
const REBOUND = "rebound.example";
const PAGE = "<p>app here</p>";
const ANSWER = `HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: ${PAGE.length}\r\nconnection: close\r\n\r\n${PAGE}`;

function answerAll(socket: Socket): void {
  socket.on("data", () => socket.end(ANSWER));
  socket.on("error", () => undefined);
}

/** A page of another site; resolves to its address. */
async function openSite(t: TestContext, host: string): Promise<string> {
  const server = createServer((_request, response) => {
    response.setHeader("content-type", "text/html").end("<title>another site</title>");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.closeAllConnections());
  t.after(() => server.close());
  return `http://${host}:${(server.address() as AddressInfo).port}/`;
}

/** Runs in the page: all that one can try with a port, by whatever name. Settles when each has been answered. */
async function attack({ port, names }: { port: number; names: string[] }): Promise<string[]> {
  const outcomes = names.flatMap((name) => [
    fetch(`http://${name}:${port}/`, { mode: "no-cors", method: "POST", body: "x" }).then(
      ({ type }) => type,
      () => "failed",
    ),
    fetch(`http://${name}:${port}/`).then(
      async (response) => response.text(),
      () => "failed",
    ),
    new Promise<string>((resolve) => {
      const socket = new WebSocket(`ws://${name}:${port}/`);
      socket.onopen = () => resolve("a WebSocket");
      socket.onerror = () => resolve("failed");
    }),
  ]);
  return Promise.all(outcomes);
}

test("a page that does not know the URL reaches nothing behind the gateway, by whatever name of this machine", async (t) => {
  const bench = await openBench(t);
  await bench.serve(answerAll);
  await using browser = await openBrowser([`--host-resolver-rules=MAP ${REBOUND} 127.0.0.1`]);
  const page = await browser.newPage();
  await page.goto(await openSite(t, REBOUND));
  const names = ["127.0.0.1", "localhost", "[::1]", REBOUND, "web-0123456789abcdefghijz.localhost"];
  const outcomes = await page.evaluate(attack, { port: bench.gateway.port, names });
  assert.equal(outcomes.length, 3 * names.length);
  assert.deepEqual(
    outcomes.filter((outcome) => outcome.includes("app here") || outcome === "a WebSocket"),
    [],
  );
  assert.equal(bench.dials(), 0);
});

test("a page of another site that knows the URL cannot read answers or open WebSockets", async (t) => {
  const bench = await openBench(t);
  await bench.serve(answerAll);
  await using browser = await openBrowser([`--host-resolver-rules=MAP ${REBOUND} 127.0.0.1`]);
  const page = await browser.newPage();
  await page.goto(await openSite(t, REBOUND));
  const [, read, webSocket] = await page.evaluate(attack, { port: bench.gateway.port, names: [HOST] });
  assert.equal(read, "failed");
  assert.equal(webSocket, "failed");
});

test("the page that says that nothing listens gives way to the server when there is one", async (t) => {
  const bench = await openBench(t);
  await using browser = await openBrowser();
  const page = await browser.newPage();
  await page.goto(`http://${HOST}:${bench.gateway.port}/`);
  assert.match((await page.textContent("body")) ?? "", /3000/);
  await bench.serve(answerAll);
  await page.getByText("app here").waitFor({ timeout: 60_000 });
});
