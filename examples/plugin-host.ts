/**
 * A plugin host: users' JavaScript that the application calls with events. Each plugin has a sandbox of its own and speaks
 * JSON lines on its standard streams; what it answers is data that is checked, and one that hangs is ended.
 *
 *   node examples/plugin-host.ts
 */
import { once } from "node:events";
import { createInterface } from "node:readline";
import { connect, type ExecSession, type Runtime, type Sandbox } from "sbx";

const ANSWER_MS = 5_000;

/** What a user has uploaded. `handle` is all that they write. */
const PLUGINS: Record<string, string> = {
  shout: "export const handle = (event) => ({ text: event.text.toUpperCase() });",
  curious: "export const handle = async () => ({ text: (await fetch('https://example.com')).statusText });",
  stuck: "export const handle = () => { for (;;); };",
};

/** Runs in the sandbox: one event a line in, one answer a line out. */
const SHIM = `
import { createInterface } from "node:readline";
import { handle } from "./plugin.mjs";
for await (const line of createInterface({ input: process.stdin })) {
  const answer = await Promise.resolve().then(() => handle(JSON.parse(line))).catch((error) => ({ error: error.message }));
  console.log(JSON.stringify(answer));
}`;

class Plugin implements AsyncDisposable {
  readonly #sandbox: Sandbox;
  readonly #session: ExecSession;
  readonly #answers: AsyncIterator<string>;

  private constructor(sandbox: Sandbox, session: ExecSession) {
    this.#sandbox = sandbox;
    this.#session = session;
    this.#answers = createInterface({ input: session.stdout })[Symbol.asyncIterator]();
  }

  static async start(runtime: Runtime, source: string): Promise<Plugin> {
    const sandbox = await runtime.create({ lifetime: { kind: "session" }, memoryBytes: 512 * 1024 ** 2, cpus: 1 });
    await sandbox.files.write("/app/plugin.mjs", source);
    await sandbox.files.write("/app/shim.mjs", SHIM);
    return new Plugin(sandbox, await sandbox.exec({ argv: ["node", "/app/shim.mjs"], stdin: true }));
  }

  /** @throws what went wrong in the plugin, or that it took too long */
  async call(event: { text: string }): Promise<string> {
    const { stdin } = this.#session;
    if (stdin?.write(`${JSON.stringify(event)}\n`) === false) await once(stdin, "drain");
    const late = AbortSignal.timeout(ANSWER_MS);
    const timeout = once(late, "abort").then(() => {
      throw new Error(`no answer within ${ANSWER_MS} ms`);
    });
    const next = await Promise.race([this.#answers.next(), timeout]);
    if (next.done === true) throw new Error("it has ended");
    const answer: unknown = JSON.parse(next.value);
    if (typeof answer !== "object" || answer === null) throw new Error("its answer makes no sense");
    if ("error" in answer) throw new Error(String(answer.error));
    if (!("text" in answer) || typeof answer.text !== "string") throw new Error("its answer makes no sense");
    return answer.text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session[Symbol.asyncDispose]();
    await this.#sandbox[Symbol.asyncDispose]();
  }
}

await using runtime = await connect();
for (const [name, source] of Object.entries(PLUGINS)) {
  await using plugin = await Plugin.start(runtime, source);
  try {
    console.log(`${name}: ${await plugin.call({ text: "hello" })}`);
  } catch (error) {
    console.log(`${name} failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}
