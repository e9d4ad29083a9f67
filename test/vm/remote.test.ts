/** The command line on one machine (a home of its own), sandboxes on another one: `sbx serve` between them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import type { Outcome } from "./support/program.ts";
import { SdkServer } from "./support/sdk-server.ts";
import { openTestHome, type TestHome } from "./support/test-home.ts";

describe("a remote runtime", { timeout: 240_000 }, () => {
  let host: TestHome;
  let server: SdkServer;
  /** It has no image and no machine: whatever it runs, it runs elsewhere. */
  let client: TestHome;
  let env: NodeJS.ProcessEnv;

  before(async () => {
    host = await openTestHome();
    server = await SdkServer.open(host);
    client = await openTestHome({ images: "none", templates: "none", verdict: "none" });
    env = { SBX_CONTEXT: server.url, SBX_TOKEN: server.token ?? "", EXAMPLE_KEY: "canary-value" };
    const secret = ["--secret", "EXAMPLE_KEY@api.example.com"];
    await mkdir(client.scratch("src"));
    await writeFile(client.scratch("src/main.py"), "print('from a file')\n");
    const files = ["--copy", `${client.scratch("src")}:/home/app/src`, "--env", "COLOUR=green"];
    await must("create", "--detach", "--name", "web", "--timeout", "10m", ...files, ...secret);
  });

  after(async () => {
    await server[Symbol.asyncDispose]();
    await client[Symbol.asyncDispose]();
    await host[Symbol.asyncDispose]();
  });

  async function remote(args: string[], input?: string): Promise<Outcome> {
    return client.sbx(args, { env, ...(input === undefined ? {} : { input }) });
  }

  async function must(...args: string[]): Promise<string> {
    return client.must(args, { env });
  }

  test("a sandbox has its name, its copies, its variables, and placeholders for the secrets of the client's machine", async () => {
    const line = "echo $COLOUR $EXAMPLE_KEY; python3 src/main.py";
    assert.match(await must("exec", "web", "--", "bash", "-c", line), /^green (?!canary)\S{20,}\nfrom a file$/);
    const [info] = await host.list();
    assert.deepEqual([info?.name, info?.status], ["web", "running"]);
    assert.equal((JSON.parse(await must("inspect", "we", "--json")) as { name: string }).name, "web");
    assert.ok(!(await readFile(path.join(host.paths.statePath, "sbx.db"))).includes("canary-value"));
  });

  test("stdin, stdout, stderr and the exit status are those of the command", async () => {
    const { status, stdout, stderr } = await remote(
      ["exec", "-i", "web", "--", "bash", "-c", "cat; echo error >&2; exit 42"],
      "to the guest\n",
    );
    assert.deepEqual([status, stdout, stderr.includes("error\n")], [42, "to the guest\n", true]);
    assert.equal((await remote(["exec", "web", "--", "no-such-command"])).status, 127);
  });

  test("files are copied both ways, and a port of the sandbox is reached", async () => {
    await must("copy", `${client.scratch("src")}/main.py`, "web:/tmp/copied.py");
    await must("copy", "web:/tmp/copied.py", client.scratch("back.py"));
    assert.equal(await readFile(client.scratch("back.py"), "utf8"), "print('from a file')\n");
    await must("exec", "web", "--", "bash", "-c", "cd /tmp && (setsid python3 -m http.server 8000 >/dev/null 2>&1 &)");
    const forward = client.start(["forward", "web", "0:8000", "--json"], { env });
    let line = "";
    for await (const chunk of forward.stdout.iterator({ destroyOnReturn: false })) {
      line += String(chunk);
      if (line.includes("\n")) break;
    }
    const port = Number(/:(\d+)/.exec(line)?.[1] ?? /"hostPort":(\d+)/.exec(line)?.[1]);
    const fetched = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/copied.py`)).text();
    let text = await fetched().catch(() => "");
    while (text === "") text = await fetched().catch(() => "");
    assert.equal(text, "print('from a file')\n");
    forward.kill("SIGINT");
    await once(forward, "exit");
  });

  test("SSH goes through the server to the sandbox, with a key of the client's", async () => {
    assert.equal(await must("ssh", "web", "--", "id", "-un"), "app");
  });

  test("a machine is copied, stands still, and ends; what happened is told to the client", async () => {
    await must("fork", "web", "--name", "copy", "--timeout", "5m");
    assert.match(await must("exec", "copy", "--", "cat", "src/main.py"), /from a file/);
    await must("pause", "copy");
    await must("resume", "copy");
    await must("kill", "copy");
    const events = (await must("events", "--json"))
      .split("\n")
      .map((line) => (JSON.parse(line) as { type: string }).type);
    assert.ok(
      ["sandbox.created", "sandbox.forked", "sandbox.paused", "sandbox.stopped"].every((type) => events.includes(type)),
    );
  });

  test("a session ends when its client is killed", async () => {
    const session = client.start(["run", "--name", "gone", "--", "sleep", "1000"], { env });
    while (!(await host.list()).some(({ name, status }) => name === "gone" && status === "running"));
    session.kill("SIGKILL");
    while ((await host.list()).some(({ name, status }) => name === "gone" && status === "running"));
    const [info] = (await host.list()).filter(({ name }) => name === "gone");
    assert.equal(info?.reason, "session_ended");
  });

  test("a server that is gone is said to be gone, and nothing happens on the client's machine instead", async () => {
    const running = client.start(["exec", "web", "--", "sleep", "1000"], { env });
    let said = "";
    running.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
    while (!(await host.bash("web", "pgrep -f 'sleep 1000' || true")).includes("\n") && said === "") {
      if ((await host.bash("web", "pgrep -x sleep || true")) !== "") break;
    }
    await server.end("SIGKILL");
    const [status] = (await once(running, "exit")) as [number];
    assert.notEqual(status, 0);
    assert.match(said, /connection/);
    const { status: away, stderr } = await remote(["run", "--", "true"]);
    assert.equal(away, 125);
    assert.match(stderr, /cannot be reached/);
    assert.deepEqual(await client.list(), []);
  });
});
