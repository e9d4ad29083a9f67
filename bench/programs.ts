/** Runs programs and takes their time as a user's shell would see it. */
import { spawn } from "node:child_process";
import { open } from "node:fs/promises";

export interface RunOptions {
  env?: NodeJS.ProcessEnv;
  /** A file for standard output; it goes nowhere otherwise. */
  outputPath?: string;
  cwd?: string;
}

/**
 * Runs a program to its end and returns how long that took, from before the fork until its exit is known, `ms`.
 *
 * @throws Error with its last words when it fails
 */
export async function timeProgram(argv: readonly string[], options: RunOptions = {}): Promise<number> {
  const [program, ...args] = argv;
  if (program === undefined) throw new RangeError("there is no program");
  await using output = options.outputPath === undefined ? undefined : await open(options.outputPath, "w");
  const start = performance.now();
  const child = spawn(program, args, {
    stdio: ["ignore", output?.fd ?? "ignore", "pipe"],
    env: options.env ?? process.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  let words = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (words = (words + text).slice(-2000)));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
  const took = performance.now() - start;
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code ?? "a signal"}: ${words}`);
  return took;
}

/** Decimal megabytes a second. */
export function megabytesPerSecond(bytes: number, ms: number): number {
  return bytes / 1e6 / (ms / 1000);
}
