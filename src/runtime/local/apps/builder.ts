/** Builds revisions: files, commands, an instance that answers, and only then the switch of the timelines. */
import type { RevisionNetwork } from "../../../store/apps/app-documents.ts";
import type { RevisionRow } from "../../../store/apps/revision-store.ts";
import type {
  ActivateOptions,
  Admission,
  AppConnection,
  DeploySpec,
  InstanceSettings,
  OpenAppOptions,
} from "../../apps.ts";
import { SbxError } from "../../errors.ts";
import type { Sandbox } from "../../runtime.ts";
import type { CallerEnvironment, CallOptions } from "../../types.ts";
import type { AppContext } from "./app-context.ts";
import { usage } from "./app-faults.ts";
import { checkAssets } from "./asset-archive.ts";
import { commandOf } from "./build-commands.ts";
import { buildContent, runLine, type Work } from "./build-content.ts";
import type { BuildLogs } from "./build-log.ts";
import { watchBuild } from "./build-watch.ts";
import { carryNetwork, OPEN_NETWORK } from "./carried-network.ts";
import type { ContentStore } from "./content-store.ts";
import { APP_DIRECTORY } from "./guest-work.ts";
import type { AppRuntime, InstanceName, InstancePlan, Instances } from "./instances.ts";
import { PRODUCTION, type RevisionWorker } from "./local-revisions.ts";
import { planInstance, variablesFor } from "./revision-plan.ts";
import { RevisionSteps } from "./revision-steps.ts";

/** Built at one time by one process; the others are queued. */
const MAX_BUILDS = 2;
/** Of the files of one revision, where nobody says less, `bytes`. */
const MAX_CONTENT_BYTES = 1024 ** 3;
/** Longest of what is quoted of a failure, `chars`. */
const MAX_FAILURE_CHARS = 2000;

export interface BuilderOptions {
  context: AppContext;
  runtime: AppRuntime;
  environment: NonNullable<CallerEnvironment["environment"]>;
  logs: BuildLogs;
  contents: ContentStore;
  instances: Instances;
}

export class Builder implements RevisionWorker {
  readonly #options: BuilderOptions;
  readonly #ending = new AbortController();
  readonly #working = new Set<Promise<void>>();
  #waiting: (() => void)[] = [];
  #slots = MAX_BUILDS;

  constructor(options: BuilderOptions) {
    this.#options = options;
  }

  async prepare({ source }: DeploySpec, options: CallOptions): Promise<RevisionNetwork> {
    if (source.kind === "assets") {
      checkAssets(source.assets);
      return OPEN_NETWORK;
    }
    if (!source.path.startsWith("/")) throw usage(`${JSON.stringify(source.path)} is no absolute path in the sandbox`);
    return carryNetwork(await this.#options.runtime.network.show(source.sandbox, options));
  }

  start(id: string, spec: DeploySpec, admit?: Admission): void {
    const work = this.#run(id, spec, admit).catch(() => undefined);
    this.#working.add(work);
    void work.finally(() => this.#working.delete(work));
  }

  async openHttp(
    name: InstanceName,
    settings: Partial<InstanceSettings>,
    { first, admit, signal }: OpenAppOptions,
  ): Promise<AppConnection> {
    const plan = async (): Promise<InstancePlan> => this.#plan(name, admit);
    const connection = await this.#options.instances.open(name, { plan, settings }, signal);
    if (first !== undefined) connection.stream.write(first);
    return connection;
  }

  async run(name: InstanceName, { admit, signal }: ActivateOptions): Promise<void> {
    await this.#options.instances.ensure(await this.#plan(name, admit), signal);
  }

  async retire(name: InstanceName): Promise<void> {
    await this.#options.instances.retire(name);
  }

  async release(id: string): Promise<void> {
    await this.#options.instances.release(id);
  }

  /** Gives up what is being built: a later process would not know of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new SbxError("aborted", "the process that built it has ended"));
    await Promise.allSettled(this.#working);
  }

  async #run(id: string, spec: DeploySpec, admit: Admission | undefined): Promise<void> {
    const { context, runtime, environment, logs, contents, instances } = this.#options;
    const log = logs.writer(id, context.now);
    const steps = new RevisionSteps(context, id);
    using watch = watchBuild(context.revisions, id, this.#ending.signal);
    const { signal } = watch;
    const keep = async (archive: AsyncIterable<Uint8Array>): Promise<void> => this.#keep(id, spec, archive);
    try {
      await using _slot = await this.#takeSlot(signal);
      steps.begin();
      const row = this.#require(id);
      const env = await variablesFor(context, row, "build");
      const work = { runtime, environment, steps, log, signal, env, keep, admit };
      await contents.removeLeftovers();
      await buildContent(row, spec, work);
      await this.#warmUp(id, work);
      signal.throwIfAborted();
      if (!steps.succeed()) {
        watch.look();
        signal.throwIfAborted();
      }
    } catch (error) {
      const text = sentence(signal.aborted ? signal.reason : error);
      log.write({ level: "error", message: text, step: steps.step });
      steps.fail(watch.reason() ?? "error", text);
      await instances.release(id).catch(() => undefined);
    }
  }

  async #keep(id: string, { maxBytes = MAX_CONTENT_BYTES }: DeploySpec, archive: AsyncIterable<Uint8Array>) {
    const { revisions } = this.#options.context;
    await this.#options.contents.store(archive, maxBytes, ({ sha256, bytes }) => {
      revisions.change(id, { content: sha256, document: { contentBytes: bytes } });
    });
  }

  /** Has it run for each of its timelines, which are switched when all of that is done. */
  async #warmUp(id: string, { steps, log, signal, admit }: Work): Promise<void> {
    const { instances } = this.#options;
    const row = this.#require(id);
    const { timelines } = row.document.progress;
    if (timelines.length === 0) {
      steps.skip("deploying");
      return;
    }
    steps.start("deploying");
    for (const { slug } of timelines) {
      const say = (message: string): void => log.write({ level: "info", message, step: "deploying", timeline: slug });
      say("starting an instance");
      const plan = await this.#plan(
        { revision: id, context: slug === PRODUCTION ? "production" : "development" },
        admit,
      );
      for (const name of plan.missingSecrets) {
        say(`the secret ${name} was given with the sandbox alone and is not stored: the revision does not have it`);
      }
      const line = commandOf(row.document.config.predeploy);
      const beforeStart = async (sandbox: Sandbox): Promise<void> => {
        const place = { sandbox, directory: APP_DIRECTORY };
        if (line !== undefined) {
          await steps.runOf(slug, "predeploy", async () => runLine(place, line, say, { env: plan.env, signal }));
        }
      };
      await steps.runOf(slug, "warmup", async () => instances.ensure({ ...plan, beforeStart }, signal));
      say("it answers requests");
    }
  }

  async #plan({ revision, context }: InstanceName, admit: Admission | undefined): Promise<InstancePlan> {
    const plan = await planInstance(this.#options, this.#require(revision), context);
    return admit === undefined ? plan : { ...plan, admit };
  }

  async #takeSlot(signal: AbortSignal): Promise<AsyncDisposable> {
    while (this.#slots === 0) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      signal.throwIfAborted();
    }
    this.#slots--;
    return {
      [Symbol.asyncDispose]: async () => {
        this.#slots++;
        const waiting = this.#waiting;
        this.#waiting = [];
        for (const wake of waiting) wake();
      },
    };
  }

  #require(id: string): RevisionRow {
    const row = this.#options.context.revisions.get(id);
    if (row === undefined) throw usage("the revision was removed");
    return row;
  }
}

/** What went wrong, with what the program said. Some of it is a guest's. */
function sentence(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at instanceof Error && parts.length < 4; at = at.cause) parts.push(at.message);
  return (parts.length === 0 ? String(error) : parts.join(": ")).slice(0, MAX_FAILURE_CHARS);
}
