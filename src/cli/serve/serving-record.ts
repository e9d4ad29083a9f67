/** Who serves from a directory of records, and how it is reached: for commands that want a server to be there. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { isAlive, ownIdentity } from "../../host/process-identity.ts";

const FILE = "serving.json";

const schema = z.object({
  pid: z.number(),
  startTicks: z.string(),
  url: z.string(),
  gateway: z.object({ domain: z.string(), port: z.number() }).nullable(),
});

export type ServingRecord = z.output<typeof schema>;

/** Says that this process serves; until it is disposed, or this process is gone. */
export function recordServing(directory: string, facts: Pick<ServingRecord, "url" | "gateway">): Disposable {
  const file = path.join(directory, FILE);
  const record: ServingRecord = { ...ownIdentity(), ...facts };
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(`${file}.${process.pid}`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${file}.${process.pid}`, file);
  return {
    [Symbol.dispose]() {
      // Another one may have taken over.
      if (read(file)?.pid === process.pid) rmSync(file, { force: true });
    },
  };
}

/** The server that runs now; undefined where there is none. */
export function findServing(directory: string): ServingRecord | undefined {
  const record = read(path.join(directory, FILE));
  return record !== undefined && isAlive(record) ? record : undefined;
}

function read(file: string): ServingRecord | undefined {
  try {
    return schema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return undefined; // None, or not one that sbx wrote.
  }
}
