/** From a launch to a sandbox that somebody is connected to: record, directory, supervisor, secrets, connection. */
import { mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { identifyProcess, ownIdentity } from "../../host/process-identity.ts";
import { greetAgent } from "../../protocol/agent-greeting.ts";
import type { FolderLaunch } from "../../protocol/folder-launch.ts";
import type { SandboxLaunch } from "../../protocol/launch.ts";
import { connectTarget } from "../../protocol/sandbox-target.ts";
import { isLive } from "../../store/lifecycle.ts";
import type { SandboxStore } from "../../store/sandbox-store.ts";
import type { SecretVault } from "../../store/secrets/vault.ts";
import { planMachine } from "../../vm/machine-plan.ts";
import { STATUS_FD } from "../../vm/prestarted-machine.ts";
import { machineOptions } from "../../vm/restore-options.ts";
import type { Settings } from "../defaults.ts";
import { SbxError } from "../errors.ts";
import { explainFailure } from "../failure.ts";
import type { CallOptions, Sandbox } from "../runtime.ts";
import { connectRpc, type RpcClient } from "../sandbox/rpc-client.ts";
import type { RpcSandboxOptions } from "../sandbox/rpc-sandbox.ts";
import type { SandboxInfo } from "../types.ts";
import type { LocalImages } from "./images.ts";
import { sendSecrets } from "./network/network-calls.ts";
import { socketPathOf, type LocalState } from "./state.ts";
import { startSupervisor, type StartedSupervisor } from "./supervisor-process.ts";

/** From a supervisor's end to its last answer, on a host under load, `ms`. */
const LAST_ANSWER_MS = 5000;
/** What a supervisor has for its volumes (supervisor/disks), and some time for the rest, `ms`. */
const SESSION_END_MS = 15_000;

export interface LocalContext {
  state: LocalState;
  images: LocalImages;
  settings: Settings;
  vault: SecretVault;
}

export interface CreateContext extends LocalContext {
  /** What of this machine it is to have; checked before. */
  folders?: FolderLaunch;
  /** Makes the handle of a sandbox that was connected to. */
  open: (client: RpcClient, info: SandboxInfo, more?: Pick<RpcSandboxOptions, "onDispose">) => Sandbox;
}

export interface StartSandboxOptions extends CallOptions {
  /** What the supervisor is told of its network over its socket, as the body of the call; `null` for nothing. */
  settings: string | null;
  /**
   * Makes and claims what the sandbox needs, once it is recorded and has its directory. Returns the launch as it is then.
   */
  prepare: (launch: SandboxLaunch) => Promise<SandboxLaunch>;
}

/**
 * Starts a sandbox and connects to it.
 *
 * @param planned how it is to be launched; its id is new
 * @throws SbxError; nothing of the sandbox is left then but its record
 */
export async function startSandbox(
  context: CreateContext,
  planned: SandboxLaunch,
  options: StartSandboxOptions,
): Promise<Sandbox> {
  const { store } = context.state;
  const { id, directory, socketPath: socket } = planned;
  store.insert({
    ...{ id, name: planned.name, createdAt: planned.createdAt, spec: planned.spec },
    ...{ directory, socket, creator: ownIdentity() },
  });
  let supervisor: StartedSupervisor | undefined;
  let delivering: Promise<unknown> | undefined;
  let connecting: Promise<RpcClient> | undefined;
  const undelivered = new AbortController();
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const { imageDataPath, dataPath, statePath, verdictPath, socketsPath } = context.state.paths;
    const home = { imageDataPath, dataPath, statePath, verdictPath, socketsPath };
    const launch = await options.prepare({ ...planned, home });
    const machineStart = launch.prestarted
      ? await planMachine({ ...machineOptions(launch), statusFd: STATUS_FD })
      : null;
    supervisor = await startSupervisor(launch, {
      logPath: path.join(directory, "supervisor.log"),
      signal: AbortSignal.any([undelivered.signal, ...(options.signal === undefined ? [] : [options.signal])]),
      ...(machineStart === null
        ? {}
        : {
            machine: {
              command: machineStart.command,
              statePath: requireStatePath(launch),
              greeting: greetAgent(launch.hostname),
            },
          }),
      onStarted: (pid) => store.amend(id, { supervisor: identifyProcess(pid) }),
      onProgress: (message) => options.onProgress?.({ stage: "start", message }),
      onDoor: () => {
        // What goes wrong with the start says more than what goes wrong with the connection.
        connecting = connect(context, planned, options);
        connecting.catch(() => undefined);
        if (options.settings === null) return;
        const target = { socketPath: socket, signal: options.signal };
        const delivery = sendSecrets(target, options.settings);
        delivering = delivery;
        delivery.catch((error: unknown) => giveUpUndelivered(undelivered, error));
      },
    });
    const client = await (connecting ?? connect(context, planned, options));
    await delivering;
    await supervisor.commit();
    if (supervisor.info === null) throw new SbxError("supervisor_lost", "the supervisor does not say what it made");
    const settled = outlivesItself(launch) ? { onDispose: async () => untilOver(store, id) } : {};
    return context.open(client, supervisor.info, settled);
  } catch (error) {
    await connecting?.then((client) => client.close()).catch(() => undefined);
    await supervisor?.abandon();
    const explained = explainFailure(error, directory);
    const detail = explained instanceof Error ? explained.message : String(explained);
    // Refused if the supervisor has written its own, better reason.
    store.transition(id, "failed", { stoppedAt: Date.now(), reason: "start_failed", detail });
    // A supervisor that was killed has left it, and nobody looks after a sandbox that has failed.
    rmSync(socket, { force: true });
    rmSync(directory, { recursive: true, force: true });
    throw explained;
  }
}

/**
 * Without its settings the supervisor may wait for ever. One that is gone was ended by something else, which its own
 * answer is about to tell.
 */
function giveUpUndelivered(undelivered: AbortController, error: unknown): void {
  const isGone = error instanceof SbxError && error.code === "supervisor_lost";
  setTimeout(() => undelivered.abort(error), isGone ? LAST_ANSWER_MS : 0).unref();
}

async function connect({ state }: CreateContext, launch: SandboxLaunch, { signal }: CallOptions): Promise<RpcClient> {
  return connectRpc({
    socketPath: socketPathOf(state.paths, launch.id),
    requestPath: connectTarget(launch.id),
    ...(launch.lifetime.kind === "session" ? { primary: launch.lifetime.token } : {}),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** Whether whoever hangs up has to wait: what a session wrote is on its volumes, and they are free, when it is over. */
function outlivesItself({ lifetime, volumes, rootWrites }: SandboxLaunch): boolean {
  const writes = rootWrites === "kept" || volumes.some(({ access }) => access === "read-write");
  return lifetime.kind === "session" && writes;
}

async function untilOver(store: SandboxStore, id: string): Promise<void> {
  const deadline = performance.now() + SESSION_END_MS;
  while (isLive(store.get(id)?.status ?? "stopped") && performance.now() < deadline) await sleep(5);
}

/** Only what is restored is started along with its supervisor. */
function requireStatePath({ start }: SandboxLaunch): string {
  if (start.kind === "restore") return start.statePath;
  throw new SbxError("internal", "a machine that boots was to be started along with its supervisor");
}
