/**
 * `sbx serve`, the built one, as a process of its own with records of this run. Its organisations can be given sandboxes
 * that are only rows in their databases, and tokens.
 */
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { organisationPaths } from "../../src/runtime/local/organisations/organisation-paths.ts";
import type { StatePaths } from "../../src/runtime/local/paths.ts";
import { newSandboxId } from "../../src/runtime/local/sandbox-id.ts";
import { OWN_ORGANISATION } from "../../src/runtime/organisations.ts";
import { SCOPES } from "../../src/server/tokens/token-format.ts";
import { TokenStore } from "../../src/server/tokens/token-store.ts";
import type { ProcessIdentity } from "../../src/host/process-identity.ts";
import { openDatabase } from "../../src/store/database.ts";
import { SandboxStore } from "../../src/store/sandbox-store.ts";
import type { Bench } from "../workbench.ts";
import { startAnswering, startedSchema } from "./answering-process.ts";

const LIMITS = { quotas: { sandboxes: 10_000, memory: "10000GB", cpus: 20_000, creationsPerMinute: 100_000 } };

export interface Served extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** 0 without a gateway. */
  readonly gatewayPort: number;
  /** What the gateway's certificates are from. */
  readonly authorityPath: string;
  /** Where the organisation's runtime keeps things; not of the user's own. */
  pathsOf(organisation: string): StatePaths;
  makeToken(organisation?: string): string;
}

/** @param options.gateway whether it also serves URLs of sandboxes */
export async function openServed(bench: Bench, { gateway = false } = {}): Promise<Served> {
  const dataPath = path.join(bench.scratchPath, "server");
  mkdirSync(dataPath, { recursive: true, mode: 0o700 });
  const configPath = path.join(dataPath, "server.json");
  writeFileSync(configPath, JSON.stringify(LIMITS));
  // A file, as the log of a service is one or a socket: each line is a system call.
  const logPath = path.join(dataPath, "server.log");
  const log = openSync(logPath, "a");
  const doors = ["--ssh-listen", "off", "--gateway-listen", gateway ? "127.0.0.1:0" : "off"];
  const listen = ["--listen", "127.0.0.1:0", ...doors];
  const argv = bench.sbx("serve", ...listen, "--data", dataPath, "--config", configPath, "--json");
  const server = await startAnswering(argv, { stderr: log });
  closeSync(log);
  const tokens = TokenStore.open(dataPath);
  const { url, gateway: opened } = startedSchema.parse(server.answer);
  return {
    gatewayPort: opened?.port ?? 0,
    ...{ url, pid: server.pid, authorityPath: path.join(dataPath, "gateway-localhost.pem") },
    pathsOf: (organisation) => organisationPaths(organisation, dataPath, bench.paths),
    makeToken: (organisation = OWN_ORGANISATION) =>
      tokens.create({
        ...{ name: null, kind: "organisation", organisations: [organisation], scopes: [...SCOPES] },
        ...{ createdAt: Date.now(), expiresAt: null },
      }).token,
    async [Symbol.asyncDispose]() {
      tokens[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
      const lines = readFileSync(logPath, "utf8").split("\n");
      for (const line of lines) if (line.includes('"level":"error"')) bench.log(line);
    },
  };
}

export interface RecordedSandboxes {
  count: number;
  /** The process that stands for their supervisors. */
  supervisor: ProcessIdentity;
  socketPath?: string;
}

/** Sandboxes that are nothing but rows. Returns their ids. */
export function recordSandboxes(paths: StatePaths, { count, supervisor, socketPath }: RecordedSandboxes): string[] {
  const database = openDatabase(paths.databasePath);
  try {
    const store = new SandboxStore(database);
    return Array.from({ length: count }, (_, index) => {
      const id = newSandboxId();
      const directory = path.join(paths.sandboxesPath, id);
      const socket = socketPath ?? path.join(paths.socketsPath, `${id}.sock`);
      const createdAt = Date.now() - index * 1000;
      store.insert({
        id,
        name: `box-${index}`,
        createdAt,
        spec: specOf(index),
        directory,
        socket,
        creator: supervisor,
      });
      store.transition(id, "running", { startedAt: createdAt, expiresAt: createdAt + 3_600_000, supervisor, vmPid: 1 });
      return id;
    });
  } finally {
    database.close();
  }
}

function specOf(index: number): Parameters<SandboxStore["insert"]>[0]["spec"] {
  return {
    ...{ imageId: "0".repeat(64), imageName: "default", templateKey: "0".repeat(32), accelerator: "tcg" },
    ...{ memoryBytes: 768 * 1024 ** 2, cpus: 2, diskBytes: 10 * 1024 ** 3, session: false },
    labels: { task: `task-${index}`, user: `user-${index % 10}` },
  };
}
