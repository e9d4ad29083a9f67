/** `node fuzz/run.ts <target> [--iterations N] [--seed N]`: runs one fuzzer; exit code 1 and a repro when it fails. */
import { readdirSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import type { FuzzOptions } from "./corpus-files.ts";

const DEFAULT_ITERATIONS = 10_000;

interface Target {
  fuzz?: (options: FuzzOptions) => Promise<void>;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { iterations: { type: "string" }, seed: { type: "string" } },
  });
  const [name] = positionals;
  const iterations = parseCount(values.iterations ?? String(DEFAULT_ITERATIONS), "--iterations");
  const seed = parseCount(values.seed ?? String(Math.floor(Math.random() * 2 ** 31)), "--seed");
  const targets = readdirSync(import.meta.dirname)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => file.slice(0, -3));
  const found = name !== undefined && targets.includes(name) ? await load(name) : undefined;
  if (found?.fuzz === undefined) {
    process.stderr.write(
      `usage: fuzz <target> [--iterations N] [--seed N]\ntargets: ${(await fuzzers(targets)).join(" ")}\n`,
    );
    process.exitCode = 2;
    return;
  }
  process.stderr.write(`${String(name)}: ${iterations} iterations, seed ${seed}\n`);
  const begin = performance.now();
  await found.fuzz({ seed, iterations });
  process.stderr.write(`${String(name)}: fine after ${Math.round(performance.now() - begin)} ms\n`);
}

async function fuzzers(targets: string[]): Promise<string[]> {
  const loaded = await Promise.all(
    targets.filter((target) => target !== "run").map(async (target) => ({ target, module: await load(target) })),
  );
  return loaded.filter(({ module }) => module.fuzz !== undefined).map(({ target }) => target);
}

async function load(target: string): Promise<Target> {
  return (await import(path.join(import.meta.dirname, `${target}.ts`))) as Target;
}

function parseCount(text: string, option: string): number {
  if (!/^\d{1,12}$/.test(text)) throw new Error(`${option} takes a number, not '${text}'`);
  return Number(text);
}

await main();
