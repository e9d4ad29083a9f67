/** The public gateway of `sbx serve` in front of real machines: the official SDK, curl, and a server that is killed. */
import assert from "node:assert/strict";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { startScript } from "./support/exposed.ts";
import { eventually } from "./support/leftovers.ts";
import { PROJECT_PATH, runHost } from "./support/program.ts";
import { openTestHome, type TestHome } from "./support/test-home.ts";

interface Told {
  id: string;
  url: string;
  early: number;
  text: string;
  urlOfProcess: string;
  textOfProcess: string;
  refused: string;
}

describe("the gateway", { timeout: 240_000 }, () => {
  let home: TestHome;
  let port = 0;
  let server: ChildProcessWithoutNullStreams;
  /** What it printed, for a shell. */
  let lines = "";
  let told: Told;

  async function serve(): Promise<void> {
    const gateway = ["--gateway-listen", `127.0.0.1:${port}`];
    server = home.start(["serve", "--listen", "127.0.0.1:0", "--ssh-listen", "off", ...gateway]);
    let [printed, said] = ["", ""];
    server.stdout.on("data", (chunk: Buffer) => (printed += chunk.toString()));
    server.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
    // Which is written behind all the lines, and may be read before them.
    while (!said.includes("servers of sandboxes get URLs")) await once(server.stderr, "data");
    while (!printed.includes("DENO_CERT=")) await once(server.stdout, "data");
    await sleep(100);
    lines = printed;
  }

  function certificate(): string {
    return /^export NODE_EXTRA_CA_CERTS=(\S+)$/m.exec(lines)?.[1] ?? "";
  }

  async function curl(url: string, ...args: string[]): Promise<string> {
    return (await runHost(["curl", "-sS", "--noproxy", "*", "--cacert", certificate(), ...args, url])).stdout;
  }

  before(async () => {
    home = await openTestHome();
    port = await freePort();
    await serve();
  });

  after(async () => {
    server.kill("SIGKILL");
    await home[Symbol.asyncDispose]();
  });

  test("a program with the official SDK and the printed lines gets to a port's and a process's server by fetch", async () => {
    const program = path.join(PROJECT_PATH, "test/vm/support/gateway-program.mjs");
    const { stdout, stderr, status } = await runHost(
      ["bash", "-c", `${lines}\nexec "$0" "$1"`, process.execPath, program],
      {
        env: home.env,
      },
    );
    assert.equal(status, 0, stderr);
    told = JSON.parse(stdout) as Told;
    assert.match(told.url, new RegExp(`^https://[a-z2-7]{26}\\.localhost:${port}$`));
    assert.notEqual(told.url, told.urlOfProcess);
    assert.deepEqual(
      [told.early, told.text, told.textOfProcess, told.refused],
      [503, "hello from the sandbox", "hello from the sandbox", "ENOENT"],
    );
  });

  test("event streams, WebSockets and large bodies pass, under a certificate that curl checks", async () => {
    await startScript(home, told.id, "guest-server.js", "8001");
    const { token, endpoint } = access();
    const response = await fetch(`${endpoint}/api/v3/sandbox/${told.id}/expose/http`, {
      ...{ method: "POST", body: '{"port":8001}', headers: { authorization: `Bearer ${token}` } },
    });
    const { domain } = (await response.json()) as { domain: string };
    await eventually(async () => assert.match(await curl(`https://${domain}/x`), /"url":"\/x"/));
    assert.equal(await curl(`https://${domain}/events`, "-N"), "data: 1\n\ndata: 2\n\ndata: 3\n\n");
    const body = home.scratch("body.bin");
    await writeFile(body, Buffer.alloc(8_000_000, "0123456789"));
    const answer = await curl(`https://${domain}/`, "--data-binary", `@${body}`);
    assert.match(answer, /"method":"POST"/);
    const socket = new WebSocket(`wss://127.0.0.1:${port}/`, {
      ...{ ca: readFileSync(certificate()), servername: domain.replace(/:\d+$/, ""), headers: { host: domain } },
    });
    await once(socket, "open");
    socket.send("hello");
    assert.equal(String((await once(socket, "message"))[0]), "hello");
    socket.close();
    await once(socket, "close");
  });

  test("a server that is killed loses no name; a sandbox that ends takes its names along, without a trace", async () => {
    server.kill("SIGKILL");
    await once(server, "exit");
    await serve();
    assert.equal(await curl(`${told.url}/hello.txt`), "hello from the sandbox");
    assert.equal(await curl(`${told.urlOfProcess}/hello.txt`), "hello from the sandbox");
    const never = `https://${"a".repeat(26)}.localhost:${port}/`;
    const unknown = await curl(never, "-i");
    assert.match(unknown, /^HTTP\/1\.1 404 Not Found\r\n/);
    await home.must(["kill", told.id]);
    assert.equal(await curl(told.url, "-i"), unknown);
  });

  function access(): { token: string; endpoint: string } {
    const endpoint = /^export DENO_SANDBOX_ENDPOINT=(\S+)$/m.exec(lines)?.[1] ?? "";
    return { endpoint, token: /^export DENO_DEPLOY_TOKEN=(\S+)$/m.exec(lines)?.[1] ?? "" };
  }
});

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
