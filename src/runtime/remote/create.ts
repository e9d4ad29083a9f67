/** Making a sandbox on a control plane. */
import { setTimeout as sleep } from "node:timers/promises";
import type { AboutAnswer } from "../../protocol/control-calls.ts";
import type { ClientMachine } from "../client-machine.ts";
import type { CreateOptions, Sandbox } from "../runtime.ts";
import type { SandboxInfo, SandboxSpec } from "../types.ts";
import { openRpc, toSandbox } from "./connect.ts";
import type { ControlClient } from "./control-client.ts";
import { encodeConfig, extendedConfig, publishedConfig } from "./sandbox-config.ts";
import { unknownInfo } from "./sandbox-info.ts";

const CREATE_PATH = "/api/v3/sandboxes/create";
const CONFIG_HEADER = "x-deno-sandbox-config";
/** A server answers when the sandbox is up; before its first one it may have to build the image, `ms`. */
const START_TIMEOUT_MS = 15 * 60_000;
/** What a session that wrote to volumes has to end, `ms`. */
const SESSION_END_MS = 15_000;

export interface CreateContext {
  client: ControlClient;
  machine: ClientMachine;
  /** Ends a sandbox that nobody will use. */
  remove: (id: string) => Promise<unknown>;
  get: (id: string) => Promise<SandboxInfo>;
  /** Values of the secrets that a checkpoint's sandboxes have. */
  secretsOfCheckpoint: (ref: string, options: CreateOptions) => Promise<Record<string, string>>;
}

/**
 * Makes a sandbox there and connects to it. What it is to have of this machine is looked at before anything is made.
 *
 * @throws SbxError `unsupported` for what the server cannot give it, what the server refuses, what a copy fails with
 */
export async function createSandbox(
  context: CreateContext,
  spec: SandboxSpec,
  options: CreateOptions,
): Promise<Sandbox> {
  const { client, machine } = context;
  const { signal, onProgress } = options;
  const about = await client.about(options);
  const isExtended = about?.features.includes("create") === true;
  const server = client.endpoints.name;
  // Before the values of secrets are asked for: a command may want a password for them.
  if (isExtended) extendedConfig(spec, []);
  else publishedConfig(spec, [], { server, now: Date.now() });
  const notice = lifetimeNotice(spec, about, server);
  if (notice !== undefined) options.onNotice?.(notice);
  const copies = await machine.planCopies(spec.copies ?? [], server);
  const requests = spec.network?.secrets ?? [];
  const secrets = await machine.grantSecrets(requests, options);
  const saved = spec.checkpoint === undefined ? {} : await context.secretsOfCheckpoint(spec.checkpoint, options);
  const config = isExtended
    ? extendedConfig(spec, secrets, saved)
    : publishedConfig(spec, secrets, { server, now: Date.now() });
  const fields = { [CONFIG_HEADER]: encodeConfig(config) };
  onProgress?.({ stage: "start", message: `starting a sandbox at ${server}` });
  const rpc = await openRpc(client, client.endpoints.webSocket(CREATE_PATH), fields, {
    ...{ signal, handshakeTimeoutMs: START_TIMEOUT_MS },
  });
  const known = { ...unknownInfo(rpc.sandboxId ?? ""), ...knownOf(spec) };
  const onDispose = writesOn(spec) && isExtended ? async () => untilOver(context, rpc.sandboxId ?? "") : undefined;
  const sandbox = await toSandbox(client, rpc, { known, signal, machine, ...(onDispose && { onDispose }) });
  try {
    if (!isExtended && spec.env !== undefined) await sandbox.setEnv(spec.env, options);
    await copies.make(sandbox, options);
    return sandbox;
  } catch (error) {
    await sandbox[Symbol.asyncDispose]();
    await context.remove(sandbox.id).catch(() => undefined);
    throw error;
  }
}

/** A server gives less where more is asked for; that is not to be found out when the time is over. */
function lifetimeNotice({ lifetime }: SandboxSpec, about: AboutAnswer | undefined, server: string): string | undefined {
  const most = about?.limits["lifetime"];
  if (typeof most !== "number" || lifetime.kind === "session" || lifetime.ms <= most) return undefined;
  return `${server} gives a sandbox ${Math.floor(most / 60_000)} minutes at one time; sbx extend gives it more later`;
}

function knownOf({ labels = {}, memoryBytes = 0, lifetime }: SandboxSpec): Partial<SandboxInfo> {
  const now = Date.now();
  return {
    ...{ labels, memoryBytes, createdAt: now, startedAt: now },
    expiresAt: lifetime.kind === "session" ? null : now + lifetime.ms,
  };
}

/** Whether whoever hangs up has to wait: what a session wrote is on its volumes, and they are free, when it is over. */
function writesOn({ lifetime, root, volumes = [] }: SandboxSpec): boolean {
  const writes = root !== undefined || volumes.some(({ access }) => access === "read-write");
  return lifetime.kind === "session" && writes;
}

async function untilOver({ get }: CreateContext, id: string): Promise<void> {
  const deadline = performance.now() + SESSION_END_MS;
  while (performance.now() < deadline) {
    // Whatever is in the way of an answer is no reason to fail: the sandbox ends without anybody looking.
    const info = await get(id).catch(() => undefined);
    if (info === undefined || info.status === "stopped" || info.status === "failed") return;
    await sleep(100);
  }
}
