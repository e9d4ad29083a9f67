/**
 * From nothing to the result of a first command: a program that uses the official SDK on `sbx serve`, beside the same
 * through the embedded runtime, on which the server stands. Both are warm, in this process, and of the same machine.
 */
import { Sandbox } from "@deno/sandbox";
import { buildPolicy } from "../../src/policy/build-policy.ts";
import type { Sandbox as RuntimeSandbox } from "../../src/runtime/runtime.ts";
import type { SandboxSpec } from "../../src/runtime/types.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { openServed } from "../serve/served.ts";
import { inTurns, timed } from "../statistics.ts";
import type { Bench } from "../workbench.ts";

const REACH_TIMES = 1.15;
const ANSWER = "hello\n";
const MEMORY_MIB = 1280;

/** What the server makes of the SDK's request without options. */
const SPEC: SandboxSpec = {
  memoryBytes: MEMORY_MIB * 1024 ** 2,
  lifetime: { kind: "session" },
  network: {
    policy: buildPolicy({ mode: "open", rules: [], expressions: [] }),
    ...{ secrets: [], onLeak: "pass", inspect: false, hookPath: null, resolve: [], extraRootsPem: [] },
  },
};

export const serveCreateRow: Row = {
  id: "serve-create",
  title: "`Sandbox.create()` of the official SDK to the first `sh` result",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using served = await openServed(bench);
    process.env.DENO_SANDBOX_ENDPOINT = served.url;
    const token = served.makeToken();
    const [samples, embedded] = await inTurns(
      bench.counts.rounds,
      3,
      () => createOverServer(bench, token),
      () => createEmbedded(bench),
    );
    return [
      outcome({
        ...{ id: "serve-create", what: "SDK: `Sandbox.create()` to the first `sh` result", unit: "ms", samples },
        beside: { what: "the embedded runtime's create to the same result", samples: embedded },
        reach: `≤ ${REACH_TIMES} ×`,
        isReached: (_median, ratio) => 1 / ratio <= REACH_TIMES,
      }),
    ];
  },
};

async function createOverServer(bench: Bench, token: string): Promise<number> {
  let sandbox: Sandbox | undefined;
  try {
    return await timed(async () => {
      sandbox = await Sandbox.create({ token, memory: `${MEMORY_MIB}MiB` });
      requireAnswer(await sandbox.sh`echo hello`.text());
    });
  } finally {
    await sandbox?.close();
    if (sandbox !== undefined) await bench.runtime.remove(sandbox.id);
  }
}

async function createEmbedded(bench: Bench): Promise<number> {
  let sandbox: RuntimeSandbox | undefined;
  try {
    return await timed(async () => {
      sandbox = await bench.runtime.create(SPEC);
      requireAnswer(await outputOf(sandbox));
    });
  } finally {
    await sandbox?.[Symbol.asyncDispose]();
    if (sandbox !== undefined) await bench.runtime.remove(sandbox.id);
  }
}

/** As the SDK words it. */
async function outputOf(sandbox: RuntimeSandbox): Promise<string> {
  await using session = await sandbox.exec({
    argv: ["bash", "-c", "echo hello"],
    env: { BASH_ENV: "$HOME/.bashrc" },
  });
  session.stderr.resume();
  const chunks: Buffer[] = [];
  for await (const chunk of session.stdout as AsyncIterable<Buffer>) chunks.push(chunk);
  const { code } = await session.exit;
  if (code !== 0) throw new Error(`the first command ended with ${code}`);
  return Buffer.concat(chunks).toString();
}

function requireAnswer(text: string): void {
  if (text !== ANSWER) throw new Error(`the first command said ${JSON.stringify(text)}`);
}
