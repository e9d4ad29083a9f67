/** Processes: arguments, streams, signals, ends. */
import assert from "node:assert/strict";
import type { Readable } from "node:stream";
import { test } from "node:test";
import { run } from "../../src/library/run.ts";
import type { Place } from "./place.ts";

const MB = 1_000_000;

export function commandContract(place: () => Place): void {
  test("every word of a command arrives as it is, and the sandbox's variables are there", async () => {
    const { sandbox } = place();
    const words = ["a b", "", "", "'", '"', "$HOME", "\\", "é\n"];
    const { stdout } = await run(sandbox, ["node", "-p", "JSON.stringify(process.argv.slice(1))", "--", ...words]);
    assert.deepEqual(JSON.parse(stdout), words);
    const said = await run(sandbox, ["sh", "-c", 'echo "$COLOUR $SHADE"; pwd; id -un'], {
      ...{ env: { SHADE: "dark" }, cwd: "/tmp", user: "root" },
    });
    assert.equal(said.stdout, "green dark\n/tmp\nroot\n");
    await sandbox.setEnv({ LATER: "now" });
    assert.equal((await run(sandbox, ["sh", "-c", "echo $LATER"])).stdout, "now\n");
  });

  test("a status, a signal and a command that there is not are told apart", async () => {
    const { sandbox } = place();
    const { code, signal, stdout, stderr } = await run(sandbox, ["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert.deepEqual({ code, signal, stdout, stderr }, { code: 7, signal: null, stdout: "out\n", stderr: "err\n" });
    const killed = await run(sandbox, ["sh", "-c", "kill -KILL $$"]);
    assert.equal(killed.signal, "SIGKILL");
    await assert.rejects(run(sandbox, ["no-such-program"]), { code: "command_not_found" });
    await assert.rejects(run(sandbox, ["/etc/hostname"]), { code: "command_not_executable" });
  });

  test("what goes in comes out, byte for byte, of two commands at once", async () => {
    const { sandbox } = place();
    const through = async (fill: number): Promise<boolean> => {
      const bytes = Buffer.alloc(2 * MB, fill);
      await using session = await sandbox.exec({ argv: ["cat"], stdin: true });
      session.stdin?.end(bytes);
      return (await collect(session.stdout)).equals(bytes) && (await session.exit).code === 0;
    };
    assert.deepEqual(await Promise.all([through(1), through(2)]), [true, true]);
  });

  test("a terminal has a size, which can be changed; a signal reaches the command", async () => {
    const { sandbox } = place();
    const argv = ["bash", "-c", "trap 'stty size; exit 3' TERM; stty size; while :; do sleep 0.1; done"] as const;
    await using session = await sandbox.exec({ argv, tty: { cols: 101, rows: 31 } });
    const output = collect(session.stdout, (text) => {
      if (!text.includes("31 101")) return;
      session.resize(80, 24);
      session.signal("SIGTERM");
    });
    assert.equal((await session.exit).code, 3);
    // The shell may say what became of its `sleep`.
    assert.match((await output).toString(), /^31 101\r\n(?:Terminated\r\n)?24 80\r\n$/);
  });

  test("a command in the background outlives its caller, and what it says is in the logs", async () => {
    const { runtime, sandbox } = place();
    const pid = await sandbox.start({ argv: ["sh", "-c", "echo from the background"] });
    const { signal } = new AbortController();
    for await (const line of runtime.logs(sandbox.id, { follow: true, sources: ["process"], signal })) {
      if (line.process?.pid === pid && line.text === "from the background") return;
    }
    assert.fail("nothing was logged");
  });
}

async function collect(source: Readable, onText?: (text: string) => void): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of source as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    onText?.(chunk.toString());
  }
  return Buffer.concat(chunks);
}
