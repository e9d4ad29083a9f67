/** Making a sandbox: admission, image, accelerator, template, record, supervisor, connection. */
import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { identifyProcess, ownIdentity } from "../../host/process-identity.ts";
import { greetAgent } from "../../protocol/agent-greeting.ts";
import type { FolderLaunch } from "../../protocol/folder-launch.ts";
import { LAUNCH_VERSION, type LaunchMachine, type SandboxLaunch } from "../../protocol/launch.ts";
import type { SecretVault } from "../../store/secrets/vault.ts";
import { findJailTools } from "../../vm/jail.ts";
import { roundDiskBytes } from "../../vm/disk.ts";
import { connectTarget } from "../../protocol/sandbox-target.ts";
import { planMachine } from "../../vm/machine-plan.ts";
import { STATUS_FD } from "../../vm/prestarted-machine.ts";
import { layerPath, machineOptions } from "../../vm/restore-options.ts";
import type { OpenImage } from "../../vm/image/image-store.ts";
import type { Settings } from "../defaults.ts";
import { SbxError } from "../errors.ts";
import { explainFailure } from "../failure.ts";
import type { CallOptions, Sandbox } from "../runtime.ts";
import { connectRpc, type RpcClient } from "../sandbox/rpc-client.ts";
import type { CallerEnvironment, SandboxInfo, SandboxSpec } from "../types.ts";
import { findVerdict, readVerdict } from "./accelerators.ts";
import { admit } from "./admission.ts";
import type { LocalImages } from "./images.ts";
import { knownQemu } from "./known-qemu.ts";
import { sendSecrets } from "./network/network-calls.ts";
import { prepareNetwork, withPreset, type NetworkLaunch } from "./network/network-launch.ts";
import { newSandboxId } from "./sandbox-id.ts";
import { socketPathOf, type LocalState } from "./state.ts";
import { startSupervisor, type StartedSupervisor } from "./supervisor-process.ts";
import { discardTemplate, ensureTemplate, imageRoot, type ReadyTemplate } from "./templates.ts";

const MiB = 1024 ** 2;
/** From a supervisor's end to its last answer, on a host under load, `ms`. */
const LAST_ANSWER_MS = 5000;
/** Names are also host names in the guest. */
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

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
  open: (client: RpcClient, info: SandboxInfo) => Sandbox;
}

type NamedImage = OpenImage & { name: string | null };

/**
 * Makes a sandbox and connects to it. A damaged template is made anew once.
 *
 * @throws SbxError; nothing of the sandbox is left then but its record
 */
export async function createSandbox(
  context: CreateContext,
  spec: SandboxSpec,
  options: CallOptions & CallerEnvironment,
): Promise<Sandbox> {
  checkName(spec.name);
  const network = await prepareNetwork(context.vault, spec.network, options);
  const { image, machine } = await prepareMachine(context, spec, options);
  const { paths, database } = context.state;
  const request = { paths, database, image, root: imageRoot(image), machine, ...options };
  const template = await ensureTemplate(request);
  const parts = { spec, image, machine, network };
  try {
    return await start(context, { ...parts, template }, options);
  } catch (error) {
    if (!mayBeTemplate(error)) throw error;
    options.onProgress?.({ stage: "template", message: "the template does not start; making it anew" });
    await discardTemplate(context.state.paths, template.key);
    return start(context, { ...parts, template: await ensureTemplate(request) }, options);
  }
}

/** Everything a start needs that does not depend on the sandbox's own name or labels. */
export async function prepareMachine(
  { state, images, settings }: LocalContext,
  spec: Pick<SandboxSpec, "image" | "memoryBytes" | "cpus" | "diskBytes">,
  options: CallOptions,
): Promise<{ image: NamedImage; machine: LaunchMachine }> {
  const memoryBytes = Math.floor((spec.memoryBytes ?? settings.memoryBytes) / MiB) * MiB;
  const cpus = spec.cpus ?? settings.cpus;
  const diskBytes = roundDiskBytes(spec.diskBytes ?? settings.diskBytes);
  await admit({ memoryBytes, cpus, diskBytes }, state.paths.statePath);
  const [qemu, tools, image] = await Promise.all([
    knownQemu(state.paths),
    findJailTools(),
    openImage(images, spec.image ?? settings.image, options),
  ]);
  const wanted = settings.accelerator;
  const { paths, database } = state;
  const verdict =
    (await readVerdict(paths, qemu, wanted)) ??
    (await findVerdict({ ...options, paths, database, qemu, tools, image, wanted }));
  const machine = { accelerator: verdict.accelerator, memoryBytes, cpus };
  return { image, machine: { qemu, tools, machine, diskBytes } };
}

/** The image that is meant; the default one is built if it is not there yet. */
async function openImage(images: LocalImages, ref: string | null, options: CallOptions): Promise<NamedImage> {
  try {
    return await images.open(ref);
  } catch (error) {
    if (ref !== null || !(error instanceof SbxError) || error.code !== "image_not_found") throw error;
    await images.ensureDefault(options);
    return images.open(ref);
  }
}

/** What a sandbox is made of. */
interface Parts {
  spec: SandboxSpec;
  image: NamedImage;
  machine: LaunchMachine;
  network: NetworkLaunch;
  template: ReadyTemplate;
}

async function start(context: CreateContext, parts: Parts, options: CallOptions): Promise<Sandbox> {
  const { store } = context.state;
  const { template } = parts;
  const launch = makeLaunch(context, parts);
  const { id, directory, socketPath: socket } = launch;
  store.insert({
    ...{ id, name: launch.name, createdAt: launch.createdAt, spec: launch.spec },
    ...{ directory, socket, creator: ownIdentity() },
  });
  let supervisor: StartedSupervisor | undefined;
  let delivering: Promise<unknown> | undefined;
  let connecting: Promise<RpcClient> | undefined;
  const undelivered = new AbortController();
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    copyFileSync(template.paths.emptyLayerPath, layerPath(directory));
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
              statePath: template.paths.statePath,
              greeting: greetAgent(launch.hostname),
            },
          }),
      onStarted: (pid) => store.amend(id, { supervisor: identifyProcess(pid) }),
      onProgress: (message) => options.onProgress?.({ stage: "start", message }),
      onDoor: () => {
        // What goes wrong with the start says more than what goes wrong with the connection.
        connecting = connect(context, launch, options);
        connecting.catch(() => undefined);
        if (parts.network.settings === null) return;
        const target = { socketPath: socket, signal: options.signal };
        const delivery = sendSecrets(target, parts.network.settings);
        delivering = delivery;
        delivery.catch((error: unknown) => giveUpUndelivered(undelivered, error));
      },
    });
    const client = await (connecting ?? connect(context, launch, options));
    await delivering;
    await supervisor.commit();
    if (supervisor.info === null) throw new SbxError("supervisor_lost", "the supervisor does not say what it made");
    return context.open(client, supervisor.info);
  } catch (error) {
    await connecting?.then((client) => client.close()).catch(() => undefined);
    await supervisor?.abandon();
    const explained = explainFailure(error, directory);
    const detail = explained instanceof Error ? explained.message : String(explained);
    // Refused if the supervisor has written its own, better reason.
    store.transition(id, "failed", { stoppedAt: Date.now(), reason: "start_failed", detail });
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

function makeLaunch({ state, folders }: CreateContext, { spec, image, machine, network, template }: Parts): SandboxLaunch {
  const id = newSandboxId();
  const directory = path.join(state.paths.sandboxesPath, id);
  const { memoryBytes, cpus, accelerator } = machine.machine;
  const { memoryPath, statePath, diskPath } = template.paths;
  return {
    ...machine,
    kind: "sandbox",
    version: LAUNCH_VERSION,
    id,
    name: spec.name ?? null,
    createdAt: Date.now(),
    directory,
    socketPath: socketPathOf(state.paths, id),
    databasePath: state.paths.databasePath,
    rootLayers: [
      ...template.root.layers,
      { path: diskPath, format: "qcow2" },
      { path: layerPath(directory), format: "qcow2" },
    ],
    rootWrites: "discarded",
    start: { kind: "restore", memoryPath, statePath },
    volumes: [],
    spec: {
      imageId: image.id,
      imageName: image.name,
      templateKey: template.key,
      memoryBytes,
      cpus,
      diskBytes: machine.diskBytes,
      accelerator: accelerator.name,
      labels: spec.labels ?? {},
      session: spec.lifetime.kind === "session",
    },
    lifetime:
      spec.lifetime.kind === "session" ? { kind: "session", token: randomBytes(16).toString("hex") } : spec.lifetime,
    env: spec.env ?? {},
    egress: { ...network.egress, policy: withPreset(network.egress.policy, image.manifest.registries) },
    ...(folders === undefined ? {} : { folders }),
    hostname: spec.name ?? `sbx-${id.slice(-8)}`,
    // How a machine that is not its own child ended is told to the supervisor by bubblewrap.
    prestarted: machine.tools.bubblewrap !== null,
  };
}

function checkName(name: string | undefined): void {
  if (name === undefined || (NAME.test(name) && !name.startsWith("sbx-"))) return;
  throw new SbxError("usage", `${JSON.stringify(name)} cannot be the name of a sandbox`, {
    hint: "a name has up to 63 lower-case letters, digits and dashes, and does not begin with sbx-",
  });
}

/** What a template that no longer fits its QEMU or was damaged looks like from here. */
function mayBeTemplate(error: unknown): boolean {
  return error instanceof SbxError && ["vm_start_failed", "vm_start_timeout", "agent_protocol"].includes(error.code);
}
