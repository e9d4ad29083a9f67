/** Looks for patterns in what is too large to hold: files, and the memory of other processes (/proc/PID/mem, as root). */
import { openSync, readdirSync, readFileSync, readSync, closeSync } from "node:fs";
import type { Readable } from "node:stream";
import { findForms } from "./value-forms.ts";

const CHUNK_BYTES = 16 * 1024 * 1024;

export async function findInFile(content: Readable, patterns: ReadonlyMap<string, Buffer>): Promise<string[]> {
  const found = new Set<string>();
  const overlap = longest(patterns);
  let tail = Buffer.alloc(0);
  for await (const chunk of content as AsyncIterable<Buffer>) {
    const data = Buffer.concat([tail, chunk]);
    note(data, patterns, found);
    tail = data.subarray(Math.max(0, data.length - overlap));
  }
  return [...found];
}

/** Everything that a process has mapped and read: for QEMU that includes all of the guest's memory. */
export async function findInMemory(
  pid: number,
  patterns: ReadonlyMap<string, Buffer>,
): Promise<{ bytes: number; forms: string[] }> {
  const found = new Set<string>();
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const overlap = longest(patterns);
  let bytes = 0;
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
      const range = /^([0-9a-f]+)-([0-9a-f]+) r/.exec(line);
      if (range === null || /\[v(var|syscall)/.test(line)) continue;
      const end = Number.parseInt(range[2] ?? "", 16);
      for (let at = Number.parseInt(range[1] ?? "", 16); at < end; at += CHUNK_BYTES - overlap) {
        const read = readMemory(memory, chunk, Math.min(CHUNK_BYTES, end - at), at);
        note(chunk.subarray(0, read), patterns, found);
        bytes += read;
        if (end - at <= CHUNK_BYTES) break;
      }
    }
  } finally {
    closeSync(memory);
  }
  return { bytes, forms: [...found] };
}

/** A process below another one, by its name. @throws Error if there is none */
export function findDescendant(pid: number, name: RegExp): number {
  if (name.test(readFileSync(`/proc/${pid}/comm`, "utf8"))) return pid;
  for (const child of readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean)) {
    try {
      return findDescendant(Number(child), name);
    } catch {
      continue; // Not below this one.
    }
  }
  throw new Error(`process ${pid} has no descendant ${String(name)}`);
}

/** Processes whose arguments or environment have the value in them; not those of the test itself. */
export function findInProcesses(value: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) =>
      ["cmdline", "environ"]
        .filter((kind) => {
          try {
            return findForms(readFileSync(`/proc/${pid}/${kind}`), value).length > 0;
          } catch {
            return false; // Gone meanwhile.
          }
        })
        .map((kind) => `${pid} ${kind}`),
    );
}

function readMemory(memory: number, chunk: Buffer, length: number, at: number): number {
  try {
    return readSync(memory, chunk, 0, length, at);
  } catch {
    return 0; // Mapped, but there is nothing behind it.
  }
}

function note(data: Buffer, patterns: ReadonlyMap<string, Buffer>, found: Set<string>): void {
  for (const [name, pattern] of patterns) if (!found.has(name) && data.includes(pattern)) found.add(name);
}

function longest(patterns: ReadonlyMap<string, Buffer>): number {
  return Math.max(...[...patterns.values()].map((pattern) => pattern.length));
}
