/** The inputs that are kept for a fuzzer: interesting ones, and those that once failed. */
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

export interface FuzzOptions {
  seed: number;
  iterations: number;
}

/** All files of `fuzz/corpus/<target>`, by name, so that runs are the same everywhere. */
export function readCorpus(target: string): Buffer[] {
  const directory = path.join(import.meta.dirname, "corpus", target);
  const names = readdirSync(directory).filter((name) => !name.startsWith("."));
  return names.sort().map((name) => readFileSync(path.join(directory, name)));
}

/** The error of a failed iteration: what is needed to see it again. The input is kept in a file. */
export function fuzzFailure(target: string, seed: number, iteration: number, input: Buffer, cause: unknown): Error {
  const file = path.join(mkdtempSync(path.join(tmpdir(), "sbx-fuzz-")), `${target}-${seed}-${iteration}`);
  writeFileSync(file, input);
  const what = String(cause).slice(0, 1000);
  return new Error(`${target}: ${what}; seed ${seed}, iteration ${iteration}, input in ${file}`, { cause });
}
