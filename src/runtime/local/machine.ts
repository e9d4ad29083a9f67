/** The machine under the local runtime: `sbx setup` and `sbx doctor`. */
import { rm } from "node:fs/promises";
import { findQemu } from "../../vm/qemu-binary.ts";
import type { CallOptions, MachineApi } from "../runtime.ts";
import type { Check } from "../types.ts";
import { readVerdict } from "./accelerators.ts";
import { failedBy, ok, warning } from "./checks/check-result.ts";
import { checkDisks } from "./checks/disks-check.ts";
import { hostChecks } from "./checks/host-checks.ts";
import { checkSecrets } from "./checks/secrets-check.ts";
import { prepareMachine, type LocalContext } from "./create.ts";
import { damagedDatabases } from "./state.ts";
import { discardTemplate, ensureTemplate, imageRoot, listTemplates } from "./templates.ts";

const ACCELERATOR = { id: "accelerator", title: "Accelerator" };
const TEMPLATE = { id: "template", title: "Template" };
const STATE = { id: "state", title: "State" };

export class LocalMachine implements MachineApi {
  readonly #context: LocalContext;

  constructor(context: LocalContext) {
    this.#context = context;
  }

  /** Image, accelerator verdict and template of the default sandbox; then what `doctor` says. */
  async setup(options: CallOptions & { force?: boolean } = {}): Promise<Check[]> {
    const { state, images, settings } = this.#context;
    const { force = false } = options;
    if (settings.image === null) await images.ensureDefault(options);
    // Anew: a changed host may do better, and whoever asks by force doubts what is there.
    if (force) await rm(state.paths.verdictPath, { force: true });
    const { image, machine } = await prepareMachine(this.#context, {}, options);
    const request = {
      paths: state.paths,
      database: state.database,
      image,
      root: imageRoot(image),
      machine,
      ...options,
    };
    if (force) {
      for (const { key } of await listTemplates(state.paths)) await discardTemplate(state.paths, key);
    }
    await ensureTemplate(request);
    return this.doctor(options);
  }

  async doctor(options: CallOptions = {}): Promise<Check[]> {
    const { state, images, settings, vault } = this.#context;
    const { dataPath } = state.paths;
    const host = await hostChecks({ ...options, dataPath, images, image: settings.image });
    const disks = await checkDisks({ state, images }, options);
    return [
      ...host,
      await this.#accelerator(),
      await this.#template(),
      this.#state(),
      disks,
      await checkSecrets(vault),
    ];
  }

  async #accelerator(): Promise<Check> {
    const { state, settings } = this.#context;
    try {
      const verdict = await readVerdict(state.paths, await findQemu(), settings.accelerator);
      if (verdict === undefined) return warning(ACCELERATOR, "not tried on this host yet", "sbx setup");
      return ok(ACCELERATOR, `${verdict.accelerator.name}: ${verdict.reason}`);
    } catch (error) {
      return failedBy(ACCELERATOR, error, "sbx setup");
    }
  }

  async #template(): Promise<Check> {
    try {
      const templates = await listTemplates(this.#context.state.paths);
      const megabytes = Math.round(templates.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6);
      if (templates.length === 0) return warning(TEMPLATE, "none; the first sandbox will make one", "sbx setup");
      return ok(TEMPLATE, `${templates.length} made, ${megabytes} MB on disk`);
    } catch (error) {
      return failedBy(TEMPLATE, error, "sbx setup");
    }
  }

  #state(): Check {
    const { store, paths } = this.#context.state;
    const [damaged] = damagedDatabases(paths);
    if (damaged !== undefined) {
      return warning(STATE, `the database was damaged and made anew; the old one is at ${damaged}`, "sbx prune");
    }
    return ok(STATE, `${store.listLive().length} live sandboxes in ${paths.statePath}`);
  }
}
