/**
 * `npm run bench`: measures the built sbx, each figure beside its comparison from the same run.
 *
 *   npm run bench -- [--only ROW|GROUP]… [--rounds N] [--copy-rounds N] [--alive N] [--idle-seconds N] [--json] [--out FILE]
 *
 * A group is what the names of several rows begin with, such as `egress`.
 *
 * The table goes to stdout (or JSON with --json), what is being done to stderr. The exit status is 1 if a row could not
 * be measured; a row that misses its reach is a result, not a failure.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { machineFacts } from "./machine-facts.ts";
import { renderTable, type Report } from "./report.ts";
import type { Row } from "./row.ts";
import { appWakeRow } from "./rows/app-wake.ts";
import { execRow, runRow, versionRow } from "./rows/commands.ts";
import { createRow } from "./rows/create.ts";
import { rootRow, snapshotRow, volumeRow, volumeWriteRow } from "./rows/disks.ts";
import { flowsRow } from "./rows/egress-flows.ts";
import { bulkRow, connectRow } from "./rows/egress-guest.ts";
import { policyRow } from "./rows/egress-policy.ts";
import { latencyRow, requestsRow } from "./rows/egress-proxy.ts";
import { deployRow } from "./rows/deploy.ts";
import { echoRow } from "./rows/echo.ts";
import { exposeRow } from "./rows/expose.ts";
import { createCopyRow, mountRow } from "./rows/folders.ts";
import { forkRow } from "./rows/fork.ts";
import { idleRow, memoryRow } from "./rows/footprint.ts";
import { meteringRow } from "./rows/metering.ts";
import { serveCreateRow } from "./rows/serve-create.ts";
import { serveGatewayRow } from "./rows/serve-gateway.ts";
import { serveIdleRow } from "./rows/serve-idle.ts";
import { serveListRow } from "./rows/serve-list.ts";
import { serveRemoteRow } from "./rows/serve-remote.ts";
import { serveRpcRow } from "./rows/serve-rpc.ts";
import { serveStreamRow } from "./rows/serve-stream.ts";
import { sshConnectRow, sshLargeRow, sshSmallRow } from "./rows/ssh.ts";
import { largeCopyRow, outputRow, smallCopyRow } from "./rows/transfer.ts";
import { openBench, type Counts } from "./workbench.ts";

const ROWS: readonly Row[] = [
  createRow,
  runRow,
  execRow,
  versionRow,
  outputRow,
  largeCopyRow,
  smallCopyRow,
  memoryRow,
  idleRow,
  bulkRow,
  connectRow,
  requestsRow,
  latencyRow,
  policyRow,
  flowsRow,
  volumeRow,
  volumeWriteRow,
  snapshotRow,
  rootRow,
  forkRow,
  createCopyRow,
  mountRow,
  exposeRow,
  echoRow,
  sshConnectRow,
  sshLargeRow,
  sshSmallRow,
  serveCreateRow,
  serveRpcRow,
  serveListRow,
  serveStreamRow,
  serveIdleRow,
  serveRemoteRow,
  serveGatewayRow,
  appWakeRow,
  deployRow,
  meteringRow,
];

const DEFAULTS: Counts = { rounds: 20, copyRounds: 5, alive: 20, idleSeconds: 30 };

interface Options {
  rows: readonly Row[];
  counts: Counts;
  json: boolean;
  outPath: string | undefined;
}

async function main(): Promise<void> {
  const options = readOptions();
  let last = "";
  const log = (message: string): void => {
    if (message !== last) process.stderr.write(`${message}\n`);
    last = message;
  };
  await using bench = await openBench(options.counts, log);
  const machine = machineFacts(bench.root, bench.paths.statePath, bench.qemu.version);
  const report: Report = { machine, outcomes: [], failures: [] };
  for (const row of options.rows) {
    log(`measuring: ${row.title}`);
    try {
      report.outcomes.push(...(await row.measure(bench)));
    } catch (error) {
      report.failures.push({ id: row.id, error: error instanceof Error ? error.message : String(error) });
      process.exitCode = 1;
    }
    // After each row: a run takes minutes, and what it has found must not be lost with it.
    if (options.outPath !== undefined) writeFileSync(options.outPath, asJson(report));
  }
  process.stdout.write(options.json ? asJson(report) : renderTable(report));
}

function asJson(report: Report): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true },
      rounds: { type: "string" },
      "copy-rounds": { type: "string" },
      alive: { type: "string" },
      "idle-seconds": { type: "string" },
      json: { type: "boolean", default: false },
      out: { type: "string" },
    },
  });
  const counts = {
    rounds: readCount("rounds", values.rounds, DEFAULTS.rounds),
    copyRounds: readCount("copy-rounds", values["copy-rounds"], DEFAULTS.copyRounds),
    alive: readCount("alive", values.alive, DEFAULTS.alive),
    idleSeconds: readCount("idle-seconds", values["idle-seconds"], DEFAULTS.idleSeconds),
  };
  return { rows: chooseRows(values.only), counts, json: values.json, outPath: values.out };
}

function chooseRows(only: string[] | undefined): readonly Row[] {
  if (only === undefined) return ROWS;
  const isNamed = (id: string, name: string): boolean => id === name || id.startsWith(`${name}-`);
  const unknown = only.filter((name) => !ROWS.some(({ id }) => isNamed(id, name)));
  const known = ROWS.map(({ id }) => id).join(", ");
  if (unknown.length > 0) usage(`there is no row ${unknown.join(", ")}; the rows are ${known}`);
  return ROWS.filter(({ id }) => only.some((name) => isNamed(id, name)));
}

function readCount(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1) usage(`--${name} must be a whole number from 1, not ${text}`);
  return count;
}

function usage(message: string): never {
  process.stderr.write(`bench: ${message}\n`);
  process.exit(2);
}

await main();
