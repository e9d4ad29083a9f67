/** The gateway as its clients see it: those who know a URL, and everybody else on the machine. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openGateway } from "../../../src/gateway/gateway.ts";
import { answer, type Bench, get, HOST, openBench } from "./gateway-bench.ts";

/** A server that answers each request with what it was asked. */
function echo(socket: Socket): void {
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    for (let end = text.indexOf("\r\n\r\n"); end !== -1; end = text.indexOf("\r\n\r\n")) {
      socket.write(answer(text.slice(0, text.indexOf(" HTTP"))));
      text = text.slice(end + 4);
    }
  });
  socket.on("end", () => socket.end());
  socket.on("error", () => undefined);
}

async function serving(t: TestContext, limits = {}): Promise<Bench> {
  const bench = await openBench(t, limits);
  await bench.serve(echo);
  return bench;
}

describe("who knows the URL", () => {
  test("reaches the server, on both families, and again on the same connection", async (t) => {
    const bench = await serving(t);
    for (const address of ["127.0.0.1", "::1"]) {
      const client = await bench.client(address);
      await client.send(get("/1")).until(({ text }) => text.endsWith("GET /1"));
      await client.send(get("/2") + get("/3")).until(({ text }) => text.endsWith("GET /3"));
    }
    assert.equal(bench.dials(), 2);
  });

  test("may write the name in capitals, and any port: a tunnel may have another one", async (t) => {
    const bench = await serving(t);
    const client = await bench.client();
    client.send(get("/x").replace(`${HOST}:80`, HOST.toUpperCase()));
    await client.until(({ text }) => text.endsWith("GET /x"));
  });

  test("gets the server's bytes as they are, at its own pace", async (t) => {
    const bench = await openBench(t);
    const block = Buffer.alloc(1024 * 1024, "x");
    let written = 0;
    await bench.serve((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => {
        const more = (): void => {
          while (written < 256 && socket.write(block)) written++;
          if (written < 256) socket.once("drain", more);
          written++;
        };
        more();
      });
    });
    const client = await bench.client();
    client.socket.pause();
    client.send(get());
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(written < 64, `${written} MiB went nowhere`);
  });

  test("can end its half, and gets the rest", async (t) => {
    const bench = await openBench(t);
    await bench.serve((socket) => {
      socket.resume().on("end", () => socket.end(answer("after the end")));
    });
    const client = await bench.client();
    client.socket.end(get());
    assert.match(await client.ended(), /after the end$/);
    assert.equal(client.end, "FIN");
  });

  test("sees a server's reset as one, and its orderly end as one", async (t) => {
    const bench = await openBench(t);
    await bench.serve((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", (head: Buffer) => {
        const half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
        socket.write(half, () => {
          setTimeout(() => (head.includes("/reset") ? socket.resetAndDestroy() : socket.end()), 50);
        });
      });
    });
    const reset = await bench.client();
    await reset.send(get("/reset")).ended();
    assert.equal(reset.end, "reset");
    const ended = await bench.client();
    await ended.send(get("/end")).ended();
    assert.equal(ended.end, "FIN");
  });

  test("is cut off when the URL is taken away", async (t) => {
    const bench = await serving(t);
    const client = await bench.client();
    await client.send(get("/1")).until(({ text }) => text.endsWith("GET /1"));
    bench.gateway.drop(bench.target);
    await client.ended();
    assert.equal(client.end, "reset", "an orderly end could pass for the end of an answer");
  });
});

describe("who does not know it", () => {
  test("learns nothing: names, addresses and nonsense get the same answer", async (t) => {
    const bench = await serving(t);
    const texts = new Set<string>();
    for (const host of [
      "evil.example",
      "localhost",
      `127.0.0.1:${bench.gateway.port}`,
      "[::1]",
      `${HOST}.`,
      `x${HOST}`,
      HOST.slice(1),
      "web.localhost",
    ]) {
      const client = await bench.client();
      texts.add(await client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nAccept: text/html\r\n\r\n`).ended());
    }
    const nameless = await bench.client();
    texts.add(await nameless.send("GET / HTTP/1.0\r\n\r\n").ended());
    assert.equal(texts.size, 1);
    const [text = ""] = texts;
    assert.match(text, /^HTTP\/1\.1 404 Not Found\r\n/);
    assert.doesNotMatch(text, /sbx|sandbox|3000|web/);
    assert.equal(bench.dials(), 0);
  });

  test("is refused for two hosts, for targets of proxies, and for what is no HTTP", async (t) => {
    const bench = await serving(t);
    for (const request of [
      get().replace("\r\n\r\n", `\r\nHost: ${HOST}\r\n\r\n`),
      `GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`,
      `CONNECT ${HOST}:80 HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`,
      `GET / HTTP/1.1\nHost: ${HOST}\n\n\r\n\r\n`,
      "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\r\n\r\n",
    ]) {
      const client = await bench.client();
      assert.match(await client.send(request).ended(), /^HTTP\/1\.1 400 Bad Request\r\n/, JSON.stringify(request));
    }
    assert.equal(bench.dials(), 0);
  });

  test("gets nowhere on a connection of somebody who does", async (t) => {
    const bench = await serving(t);
    const client = await bench.client();
    await client.send(get("/1")).until(({ text }) => text.endsWith("GET /1"));
    client.send(`GET /2 HTTP/1.1\r\nHost: evil.example\r\n\r\n${get("/3")}`);
    assert.doesNotMatch(await client.ended(), /GET \/[23]/);
  });

  test("cannot keep others out by connections that say nothing", async (t) => {
    const bench = await serving(t, { strangers: 4 });
    const silent = await Promise.all(Array.from({ length: 12 }, async () => bench.client()));
    const client = await bench.client();
    await client.send(get("/1")).until(({ text }) => text.endsWith("GET /1"));
    await silent[0]?.ended();
  });

  test("has a while to finish a head, byte by byte or not", async (t) => {
    const bench = await serving(t, { headMs: 100 });
    const client = await bench.client();
    const drip = setInterval(() => client.socket.write("x"), 10);
    t.after(() => clearInterval(drip));
    client.socket.write("GET /");
    assert.equal(await client.ended(), "");
  });
});

describe("pages of other sites", () => {
  const upgrade = (origin?: string): string =>
    get("/ws", "Connection: Upgrade", "Upgrade: websocket", ...(origin === undefined ? [] : [`Origin: ${origin}`]));

  test("open no WebSocket, even where they know the URL; those of this machine and programs do", async (t) => {
    const bench = await serving(t);
    for (const origin of [
      "https://evil.example",
      "http://localhost.evil.example",
      "null",
      "http://127.0.0.1.evil.example",
      "file://",
    ]) {
      const client = await bench.client();
      assert.match(await client.send(upgrade(origin)).ended(), /^HTTP\/1\.1 403 .*foreign_origin/s, origin);
    }
    assert.equal(bench.dials(), 0);
    for (const origin of [
      undefined,
      `http://${HOST}:80`,
      "http://localhost:5173",
      "http://other-x.localhost:1",
      "http://127.0.0.1:8080",
      "http://[::1]:1",
    ]) {
      const client = await bench.client();
      await client.send(upgrade(origin)).until(({ text }) => text.endsWith("GET /ws"));
    }
  });
});

describe("an upgrade", () => {
  test("is what the server makes of it: frames pass once it has agreed, requests go on if it has not", async (t) => {
    const bench = await openBench(t);
    await bench.serve((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", (head: Buffer) => {
        if (head.includes("GET /no")) {
          socket.on("end", () => socket.end());
          socket.write(answer("no"));
          socket.on("data", (chunk: Buffer) => socket.write(answer(chunk.toString("latin1").split(" HTTP")[0] ?? "")));
          return;
        }
        socket.on("end", () => socket.end());
        // In pieces: its first bytes decide.
        socket.write("HTTP/1.");
        setTimeout(() => socket.write("1 101 Switching Protocols\r\n\r\n"), 20);
        socket.on("data", (chunk: Buffer) => socket.write(`<${chunk.toString("latin1")}>`, "latin1"));
      });
    });
    const fields = ["Connection: Upgrade", "Upgrade: websocket"];
    const agreed = await bench.client();
    agreed.send(`${get("/ws", ...fields)}\u0081\u0001 frames`);
    await agreed.until(({ text }) => text.endsWith("<\u0081\u0001 frames>"));
    await agreed
      .send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
      .until(({ text }) => text.includes("evil.example"));
    const declined = await bench.client();
    await declined.send(get("/no", ...fields)).until(({ text }) => text.endsWith("no"));
    await declined.send(get("/next")).until(({ text }) => text.endsWith("GET /next"));
    assert.equal((await declined.send("no HTTP\r\n\r\n").ended()).endsWith("GET /next"), true);
  });

  test("that a server never answers does not hold on to a client that has gone", async (t) => {
    const bench = await openBench(t, { guests: 1, halfClosedMs: 50 });
    await bench.serve((socket) => socket.resume().on("error", () => undefined));
    const gone = await bench.client();
    gone.send(get("/ws", "Connection: Upgrade", "Upgrade: websocket"));
    while (bench.dials() < 1) await sleep(5);
    await sleep(50);
    gone.socket.destroy();
    for (let attempt = 0; attempt < 100 && bench.dials() < 2; attempt++) {
      (await bench.client()).send(get());
      await sleep(20);
    }
    assert.equal(bench.dials(), 2);
  });

  test("has all that a client sent before the server agreed, and then its end", async (t) => {
    const bench = await openBench(t);
    await bench.serve((socket) => {
      let text = "";
      socket.on("error", () => undefined);
      socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
      socket.once("data", () => {
        setTimeout(() => socket.write("HTTP/1.1 101 Switching Protocols\r\n\r\n"), 100);
      });
      socket.on("end", () => socket.end(`<${text.split("\r\n\r\n")[1]?.length}>`));
    });
    const client = await bench.client();
    client.send(get("/ws", "Connection: Upgrade", "Upgrade: websocket"));
    await sleep(20);
    client.socket.end("x".repeat(300_000));
    assert.match(await client.ended(), /<300000>$/);
  });
});

test("a port that is taken on one family is not used, and a fixed one that is taken is an error", async (t) => {
  const other = createServer().listen(0, "::1");
  await once(other, "listening");
  t.after(() => other.close());
  const { port } = other.address() as AddressInfo;
  await assert.rejects(openGateway({ port, find: () => undefined }), { code: "EADDRINUSE" });
  const socket = connect({ port, host: "127.0.0.1" });
  await once(socket, "error");
});
