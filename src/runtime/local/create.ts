/** Making a sandbox: admission, image, accelerator, template, record, supervisor, connection. */
import { randomBytes } from "node:crypto";
import { copyFileSync } from "node:fs";
import path from "node:path";
import { agentPath } from "../../host/package-root.ts";
import type { DiskLayerRecord } from "../../protocol/disk-calls.ts";
import { LAUNCH_VERSION, type LaunchMachine, type SandboxLaunch } from "../../protocol/launch.ts";
import { findJailTools } from "../../vm/jail.ts";
import { roundDiskBytes } from "../../vm/disk.ts";
import { layerPath } from "../../vm/restore-options.ts";
import type { OpenImage } from "../../vm/image/image-store.ts";
import { ensureInitrd } from "../../vm/image/initrd.ts";
import { hostArchitecture } from "../../vm/image/recipe.ts";
import { SbxError } from "../errors.ts";
import type { CallOptions, Sandbox } from "../runtime.ts";
import type { CallerEnvironment, SandboxSpec } from "../types.ts";
import { findVerdict, readVerdict } from "./accelerators.ts";
import { admit } from "./admission.ts";
import { claimDisks, findDisks, withRoot, type FoundDisks } from "./create-disks.ts";
import type { FoundRoot } from "./disks/sandbox-disks.ts";
import type { LocalImages } from "./images.ts";
import { knownQemu } from "./known-qemu.ts";
import { prepareNetwork, withPreset, type NetworkLaunch } from "./network/network-launch.ts";
import { checkSandboxName, newSandboxId } from "./sandbox-id.ts";
import { startSandbox, type CreateContext, type LocalContext } from "./start-sandbox.ts";
import { socketPathOf } from "./state.ts";
import { discardTemplate, ensureTemplate, imageRoot, snapshotRoot, type ReadyTemplate } from "./templates.ts";

const MiB = 1024 ** 2;

export type { CreateContext, LocalContext };

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
  if (spec.name !== undefined) checkSandboxName(spec.name);
  const disks = await findDisks(context, spec);
  const { root } = disks;
  const network = await prepareNetwork(context.vault, spec.network, options);
  const { image, machine } = await prepareMachine(context, withRoot(spec, root), options);
  const parts = { spec, image, machine, network, disks };
  if (root?.kind === "volume") return start(context, { ...parts, origin: await bootOrigin(image, root) }, options);
  const { paths, database } = context.state;
  const base = root === undefined ? imageRoot(image) : snapshotRoot(image, root);
  const request = { paths, database, image, root: base, machine, ...options };
  const template = await ensureTemplate(request);
  try {
    return await start(context, { ...parts, origin: templateOrigin(template) }, options);
  } catch (error) {
    if (!mayBeTemplate(error)) throw error;
    options.onProgress?.({ stage: "template", message: "the template does not start; making it anew" });
    await discardTemplate(context.state.paths, template.key);
    return start(context, { ...parts, origin: templateOrigin(await ensureTemplate(request)) }, options);
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
  disks: FoundDisks;
  origin: Origin;
}

/** What its machine begins as. */
interface Origin {
  /** Empty for one that is not made from a template. */
  templateKey: string;
  start: SandboxLaunch["start"];
  /** The root disk; without the sandbox's own layer, where it has one. */
  layers: DiskLayerRecord[];
  /** Makes the sandbox's own layer; `null` where it writes to the last of `layers`, and that is kept. */
  makeLayer: ((target: string) => void) | null;
}

function templateOrigin({ key, root, paths }: ReadyTemplate): Origin {
  const { memoryPath, statePath, diskPath, emptyLayerPath } = paths;
  return {
    templateKey: key,
    start: { kind: "restore", memoryPath, statePath },
    layers: [...root.layers, { path: diskPath, format: "qcow2" }],
    makeLayer: (target) => copyFileSync(emptyLayerPath, target),
  };
}

/** A saved machine knows its disk: one whose disk has changed since has to boot. */
async function bootOrigin(image: NamedImage, { layers }: FoundRoot): Promise<Origin> {
  const boot = { kernelPath: image.kernelPath, initrdPath: await ensureInitrd(image, agentPath(hostArchitecture())) };
  return { templateKey: "", start: { kind: "boot", boot }, layers, makeLayer: null };
}

async function start(context: CreateContext, parts: Parts, options: CallOptions): Promise<Sandbox> {
  return startSandbox(context, makeLaunch(context, parts), {
    ...options,
    settings: parts.network.settings,
    prepare: async (launch) => {
      parts.origin.makeLayer?.(layerPath(launch.directory));
      const { volumes, rootLayers } = await claimDisks(context, parts.disks, launch.id);
      return { ...launch, volumes, rootLayers: rootLayers ?? launch.rootLayers };
    },
  });
}

function makeLaunch(
  { state, folders }: CreateContext,
  { spec, image, machine, network, origin }: Parts,
): SandboxLaunch {
  const id = newSandboxId();
  const directory = path.join(state.paths.sandboxesPath, id);
  const { memoryBytes, cpus, accelerator } = machine.machine;
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
    layersPath: state.paths.layersPath,
    rootLayers:
      origin.makeLayer === null ? origin.layers : [...origin.layers, { path: layerPath(directory), format: "qcow2" }],
    rootWrites: origin.makeLayer === null ? "kept" : "discarded",
    start: origin.start,
    volumes: [],
    spec: {
      imageId: image.id,
      imageName: image.name,
      templateKey: origin.templateKey,
      memoryBytes,
      cpus,
      diskBytes: machine.diskBytes,
      accelerator: accelerator.name,
      labels: spec.labels ?? {},
      ...(spec.app === undefined ? {} : { app: spec.app }),
      session: spec.lifetime.kind === "session",
      ...(spec.budget === undefined ? {} : { budget: [...spec.budget] }),
    },
    lifetime:
      spec.lifetime.kind === "session" ? { kind: "session", token: randomBytes(16).toString("hex") } : spec.lifetime,
    env: spec.env ?? {},
    egress: { ...network.egress, policy: withPreset(network.egress.policy, image.manifest.registries) },
    ...(folders === undefined ? {} : { folders }),
    hostname: spec.name ?? `sbx-${id.slice(-8)}`,
    // How a machine that is not its own child ended is told to the supervisor by bubblewrap.
    prestarted: machine.tools.bubblewrap !== null && origin.start.kind === "restore",
  };
}

/** What a template that no longer fits its QEMU or was damaged looks like from here. */
function mayBeTemplate(error: unknown): boolean {
  return error instanceof SbxError && ["vm_start_failed", "vm_start_timeout", "agent_protocol"].includes(error.code);
}
