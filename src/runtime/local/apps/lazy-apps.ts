/** The apps, opened when somebody first asks for them: most commands never do. */
import type { AppApi, AppDoor, LayerApi, RevisionApi } from "../../apps.ts";
import type { OpenApps } from "./open-apps.ts";

export class LazyApps implements AppApi, AppDoor, AsyncDisposable {
  readonly layers: LayerApi;
  readonly revisions: RevisionApi;
  readonly #open: () => Promise<OpenApps>;
  #opened: Promise<OpenApps> | undefined;

  constructor(open: () => Promise<OpenApps>) {
    this.#open = open;
    const layers = async (): Promise<LayerApi> => (await this.#apps()).layers;
    this.layers = {
      create: async (...args) => (await layers()).create(...args),
      list: async (...args) => (await layers()).list(...args),
      get: async (...args) => (await layers()).get(...args),
      update: async (...args) => (await layers()).update(...args),
      remove: async (...args) => (await layers()).remove(...args),
      users: async (...args) => (await layers()).users(...args),
    };
    const revisions = async (): Promise<RevisionApi> => (await this.#apps()).revisions;
    this.revisions = {
      list: async (...args) => (await revisions()).list(...args),
      get: async (...args) => (await revisions()).get(...args),
      cancel: async (...args) => (await revisions()).cancel(...args),
      remove: async (...args) => (await revisions()).remove(...args),
      keep: async (...args) => (await revisions()).keep(...args),
      timelines: async (...args) => (await revisions()).timelines(...args),
      async *progress(...args) {
        yield* (await revisions()).progress(...args);
      },
      async *buildLogs(...args) {
        yield* (await revisions()).buildLogs(...args);
      },
    };
  }

  create: AppApi["create"] = async (...args) => (await this.#apps()).create(...args);
  list: AppApi["list"] = async (...args) => (await this.#apps()).list(...args);
  get: AppApi["get"] = async (...args) => (await this.#apps()).get(...args);
  update: AppApi["update"] = async (...args) => (await this.#apps()).update(...args);
  remove: AppApi["remove"] = async (...args) => (await this.#apps()).remove(...args);
  deploy: AppApi["deploy"] = async (...args) => (await this.#apps()).deploy(...args);
  activate: AppApi["activate"] = async (...args) => (await this.#apps()).activate(...args);
  logs: AppApi["logs"] = async (...args) => (await this.#apps()).logs(...args);
  timelines: AppApi["timelines"] = async (...args) => (await this.#apps()).timelines(...args);

  openHttp: AppDoor["openHttp"] = async (...args) => (await this.#apps()).openHttp(...args);

  /** Gives up what is being built. */
  async [Symbol.asyncDispose](): Promise<void> {
    const opened = await this.#opened;
    this.#opened = undefined;
    await opened?.[Symbol.asyncDispose]();
  }

  async #apps(): Promise<AppApi & AppDoor> {
    this.#opened ??= this.#open();
    return (await this.#opened).apps;
  }
}
