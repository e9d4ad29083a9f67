/** The agent of the guest on this machine (its development mode), with an empty directory as the home. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";
import { openAgentLink } from "../../../src/guest/agent-link.ts";
import type { AgentLink } from "../../../src/guest/link.ts";
import { type Bench, serveLink, type TestClient } from "./rpc-harness.ts";

/** A name and not a literal: the script has no types. */
const BUILDER: string = "../../../scripts/build-agent.mjs";

/** Built when it is missing or older than its sources, which takes Go; an agent that cannot be built fails the test. */
async function agentBinary(): Promise<string> {
  const builder = (await import(BUILDER)) as {
    buildAgent(): { paths: Record<string, string> };
  };
  const { paths } = builder.buildAgent();
  const found = paths[process.arch === "arm64" ? "arm64" : "amd64"];
  if (found === undefined) throw new Error(`no agent for ${process.arch}`);
  return found;
}

export interface RealBench extends Omit<Bench, "agent"> {
  /** The home of the sandbox, on this machine. */
  home: string;
  client: TestClient;
}

/** A link to a fresh agent, which ends with the test. */
export async function openRealLink(t: TestContext): Promise<{ link: AgentLink; home: string }> {
  const home = await realpath(await mkdtemp(path.join(tmpdir(), "sbx-rpc-")));
  const socketPath = path.join(home, ".agent.sock");
  const agent = spawn(await agentBinary(), ["--dev", "--socket", socketPath], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  const exited = once(agent, "exit");
  t.after(async () => {
    agent.kill();
    await exited;
    await rm(home, { recursive: true, force: true });
  });
  const link = await openAgentLink(await dial(socketPath));
  await link.call("resume", {
    entropy: Buffer.alloc(32, 7).toString("base64"),
    unixNs: (BigInt(Date.now()) * 1_000_000n).toString(),
    hostname: "test",
    machineId: "0123456789abcdef0123456789abcdef",
  });
  return { link, home };
}

export async function openRealBench(t: TestContext, options: { extensions?: boolean } = {}): Promise<RealBench> {
  const { link, home } = await openRealLink(t);
  const bench = await serveLink(t, link, { home, env: { PATH: process.env["PATH"] ?? "", HOME: home } });
  const { client } = await bench.connect(options);
  return { ...bench, home, client };
}

async function dial(socketPath: string): Promise<ReturnType<typeof connect>> {
  for (;;) {
    const socket = connect(socketPath);
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    if (isOpen) return socket;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
