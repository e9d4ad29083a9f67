/** A control plane for the soak, as a process of its own: its memory is what is looked at. The argument is a guest's socket. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Writable } from "node:stream";
import { parseServerConfig } from "../../src/server/config.ts";
import { openServerLog } from "../../src/server/server-log.ts";
import { openServer } from "../../src/server/serve.ts";
import { SCOPES } from "../../src/server/tokens/token-format.ts";
import { TokenStore } from "../../src/server/tokens/token-store.ts";
import { ORGANISATIONS } from "./soak-load.ts";
import { SoakOrganisations } from "./soak-runtime.ts";

const LIMITS = { quotas: { sandboxes: 10_000, memory: "100000GB", cpus: 20_000, creationsPerMinute: 100_000 } };

const directory = mkdtempSync(path.join(tmpdir(), "sbx-soak-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
const tokens = TokenStore.open(directory);
/** Failures of the server's own are shown; the rest would be much. */
const log = new Writable({
  write(chunk: Buffer, _encoding, done) {
    if (chunk.includes('"level":"error"')) process.stderr.write(chunk);
    done();
  },
});
const server = await openServer({
  ...{ runtimes: new SoakOrganisations(process.argv[2] ?? ""), tokens, log: openServerLog(log, () => Date.now()) },
  ...{ config: parseServerConfig(JSON.stringify(LIMITS), "soak"), environment: {}, version: "0.0.0" },
  ...{ now: () => Date.now(), listen: { host: "127.0.0.1", port: 0 } },
});
const made = ORGANISATIONS.map((organisation) => {
  const life = { createdAt: Date.now(), expiresAt: null };
  return tokens.create({
    ...{ name: null, kind: "organisation", organisations: [organisation], scopes: [...SCOPES] },
    ...life,
  }).token;
});
process.on("SIGTERM", () => {
  void server[Symbol.asyncDispose]().then(() => process.exit());
});
process.stdout.write(`${JSON.stringify({ url: server.url, tokens: made })}\n`);
