/** A sandbox that may reach the benchmarks' server on the host's loopback, under a name that is pinned to it. */
import { readFileSync } from "node:fs";
import type { RuleSpec } from "../../src/policy/spec.ts";
import type { NetworkSpec } from "../../src/runtime/types.ts";
import { execQuietly, type Bench } from "../workbench.ts";
import { PeerClient, SERVER_NAME, type PeerServer } from "./peer.ts";
import { GUEST_CLIENT, type NetworkGuest } from "./user-network-machine.ts";

const DIRECTORY = "/run/bench";
const CA_PATH = `${DIRECTORY}/ca.pem`;
const PROGRAM_PATH = `${DIRECTORY}/peer`;

export interface NetworkSandbox extends NetworkGuest {
  readonly supervisorPid: number;
}

/** @param options.inspect whether TLS and HTTP are read; otherwise all of it goes through as it is */
export async function openNetworkSandbox(
  bench: Bench,
  server: PeerServer,
  { inspect }: { inspect: boolean },
): Promise<NetworkSandbox> {
  const network = networkSpec(server, inspect);
  const sandbox = await bench.runtime.create({ lifetime: { kind: "session" }, network });
  const stop = async (): Promise<void> => {
    await sandbox[Symbol.asyncDispose]();
    await bench.runtime.remove(sandbox.id);
  };
  try {
    const { supervisorPid } = await bench.runtime.get(sandbox.id);
    if (supervisorPid === null) throw new Error(`sandbox ${sandbox.id} has no supervisor`);
    await execQuietly(sandbox, ["mkdir", "-p", DIRECTORY], "root");
    await sandbox.upload([server.programPath, server.caPath], DIRECTORY, { user: "root" });
    const session = await sandbox.exec({ argv: [...GUEST_CLIENT, PROGRAM_PATH, "client"], stdin: true, user: "root" });
    const { stdin, stdout, stderr } = session;
    if (stdin === null) throw new Error("the client has no standard input");
    const client = new PeerClient({ stdin, stdout, stderr });
    return {
      ...{ client, supervisorPid },
      target: (port) => ({ address: `${SERVER_NAME}:${port}`, ca: CA_PATH }),
      async time(...argv) {
        const [program = "", ...args] = argv;
        const start = performance.now();
        await execQuietly(sandbox, [program, ...args], "root");
        return performance.now() - start;
      },
      curlOptions: () => [],
      async [Symbol.asyncDispose]() {
        await client[Symbol.asyncDispose]();
        await session[Symbol.asyncDispose]();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function networkSpec({ ports, caPath }: PeerServer, inspect: boolean): NetworkSpec {
  const open = [ports.raw, ports.http, ports.https];
  const rule: RuleSpec = {
    id: "r1",
    verdict: "allow",
    host: SERVER_NAME,
    ports: open.map((port) => ({ first: port, last: port })),
    methods: null,
    paths: null,
    source: { kind: "option", option: "--allow-net" },
  };
  return {
    policy: { mode: "none", rules: [rule], expressions: [] },
    secrets: [],
    onLeak: "block",
    inspect,
    hookPath: null,
    resolve: open.map((port) => ({ host: SERVER_NAME, port, address: "127.0.0.1" })),
    extraRootsPem: [readFileSync(caPath, "utf8")],
  };
}
