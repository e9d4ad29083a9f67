/** A program that serves until it is told to end, and says in its first line, which is JSON, where. */
import { spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { z } from "zod";

/** What the servers say. */
export const startedSchema = z.object({
  url: z.string(),
  gateway: z.object({ port: z.number() }).nullish(),
});

const DISPOSE_MS = 20_000;

export interface AnsweringProcess extends AsyncDisposable {
  readonly pid: number;
  /** Its first line, parsed. */
  readonly answer: unknown;
}

/** @param stderr of the program; this one's own if absent */
export async function startAnswering(
  argv: readonly string[],
  { env = process.env, stderr = "inherit" }: { env?: NodeJS.ProcessEnv; stderr?: number | "inherit" } = {},
): Promise<AnsweringProcess> {
  const [program = "", ...args] = argv;
  const stdio: StdioOptions = ["ignore", "pipe", stderr];
  const child = spawn(program, args, { env, stdio });
  const exited = once(child, "exit");
  if (child.stdout === null || child.pid === undefined) throw new Error(`${program} cannot be started`);
  const { pid } = child;
  const lines = createInterface({ input: child.stdout });
  const first = await lines[Symbol.asyncIterator]().next();
  if (first.done === true) throw new Error(`${argv.join(" ")} ended before it said where it serves`);
  child.stdout.resume();
  return {
    pid,
    answer: JSON.parse(first.value),
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), DISPOSE_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}
