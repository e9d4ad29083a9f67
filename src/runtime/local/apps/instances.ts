/**
 * Instances: sandboxes in which revisions run. One starts when somebody wants it, and lives for some minutes beyond the
 * last use; so an app that nobody uses costs nothing. All processes of a user see the same instances: a lock of the
 * database lets one of them start it, and its labels tell the others.
 */
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { abortedError, throwIfAborted } from "../../abort.ts";
import type { Admission } from "../../apps.ts";
import { DEFAULT_SETTINGS } from "../../defaults.ts";
import { SbxError } from "../../errors.ts";
import type { Runtime, Sandbox } from "../../runtime.ts";
import type { CallerEnvironment, NetworkSpec, SandboxInfo } from "../../types.ts";
import type { Argv } from "./build-commands.ts";
import { APP_DIRECTORY, unpack } from "./guest-work.ts";
import { answersHttp } from "./health.ts";
import { findAppPort } from "./listening-ports.ts";

export const REVISION_LABEL = "sbx.revision";
export const CONTEXT_LABEL = "sbx.context";

/** An instance lives so long beyond its last use, `ms`. */
const IDLE_MS = 5 * 60_000;
/** Between two extensions of one that is used, `ms`. */
const EXTEND_EVERY_MS = 60_000;
/** What an instance has of the machine. */
const INSTANCE = { memoryBytes: DEFAULT_SETTINGS.memoryBytes, cpus: DEFAULT_SETTINGS.cpus };
/** For a program to answer its first request, `ms`. */
const START_TIMEOUT_MS = 120_000;
const POLL_MS = 100;
/** Between two starts of one that does not come up, doubled each time, `ms`. */
const BACKOFF_MS = 1000;
const MAX_BACKOFF_MS = 60_000;
/** Lines of a program that did not come up. */
const LAST_LINES = 20;

export type AppRuntime = Pick<
  Runtime,
  "create" | "connect" | "get" | "list" | "remove" | "extend" | "logs" | "network" | "secrets"
>;

/** A revision runs once for each context that it is active in. */
export interface InstanceName {
  revision: string;
  context: "production" | "development";
}

/** All that an instance is made of. */
export interface InstancePlan extends InstanceName {
  /** Slug. */
  app: string;
  admit?: Admission;
  network: NetworkSpec;
  /** Those of the sandbox it comes from that have no value here. */
  missingSecrets: readonly string[];
  env: Record<string, string>;
  /** The archive of its files. */
  readFiles: () => Promise<AsyncIterable<Uint8Array>>;
  /** What has to be done once, with the files there. */
  beforeStart?: (sandbox: Sandbox) => Promise<void>;
  /** The program, once the files are there. */
  findCommand: (sandbox: Sandbox) => Promise<Argv>;
}

/** One that runs or is being started. */
interface Known {
  instance: Promise<Instance>;
  /** Gives up its start. */
  ending: AbortController;
}

interface Failure {
  count: number;
  /** Of `performance.now()`. */
  until: number;
  error: SbxError;
}

interface Instance {
  sandbox: Sandbox;
  port: number;
  extendedAt: number;
}

export interface InstancesOptions {
  runtime: AppRuntime;
  environment: NonNullable<CallerEnvironment["environment"]>;
  /** A lock between processes. */
  lock: (name: string, signal?: AbortSignal) => Promise<AsyncDisposable>;
}

export class Instances implements AsyncDisposable {
  readonly #options: InstancesOptions;
  readonly #known = new Map<string, Known>();
  readonly #failures = new Map<string, Failure>();

  constructor(options: InstancesOptions) {
    this.#options = options;
  }

  /** Has it run, and returns once it answers requests. @throws SbxError with what it said, if it does not */
  async ensure(plan: InstancePlan, signal?: AbortSignal): Promise<void> {
    await this.#instance(plan, async () => plan, signal);
  }

  /** A connection to its server; it is started if it does not run. @param plan asked for when it has to be */
  async open(name: InstanceName, plan: () => Promise<InstancePlan>, signal?: AbortSignal): Promise<Duplex> {
    for (let isRetry = false; ; isRetry = true) {
      const instance = await this.#instance(name, plan, signal);
      try {
        const tunnel = await instance.sandbox.openTunnel(
          { port: instance.port },
          signal === undefined ? {} : { signal },
        );
        this.#keepAlive(instance, tunnel);
        return tunnel;
      } catch (error) {
        throwIfAborted(signal, "connecting to the app");
        // It ended meanwhile, or its program did: once more, with a new one.
        await this.#drop(name, instance);
        if (isRetry) throw error;
      }
    }
  }

  /** Ends what runs of a revision. */
  async release(revision: string): Promise<void> {
    for (const [key, known] of this.#known) {
      if (!key.startsWith(`${revision} `)) continue;
      known.ending.abort(new SbxError("aborted", "the revision is gone"));
      this.#known.delete(key);
      this.#failures.delete(key);
      await letGo(known);
    }
    const { runtime } = this.#options;
    const running = await runtime.list({ labels: { [REVISION_LABEL]: revision } });
    for (const { id } of running.filter(isLive)) await runtime.remove(id).catch(() => undefined);
  }

  /** Lets go of the instances; they live on for as long as they were given. */
  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#known.values()];
    this.#known.clear();
    for (const { ending } of all) ending.abort(new SbxError("aborted", "the process that started it has ended"));
    await Promise.all(all.map(letGo));
  }

  /** However many ask at once: one is started, and goes on for the others when one of them leaves. */
  async #instance(
    name: InstanceName,
    plan: () => Promise<InstancePlan>,
    signal: AbortSignal | undefined,
  ): Promise<Instance> {
    const key = keyOf(name);
    this.#requirePatience(key);
    const known = this.#known.get(key) ?? this.#begin(key, name, plan);
    if (signal === undefined) return known.instance;
    const { promise: left, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(abortedError(signal, "starting the app"));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([known.instance, left]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #begin(key: string, name: InstanceName, plan: () => Promise<InstancePlan>): Known {
    const ending = new AbortController();
    const known: Known = { ending, instance: this.#findOrStart(name, plan, ending.signal) };
    const forget = (): void => {
      if (this.#known.get(key) === known) this.#known.delete(key);
    };
    this.#known.set(key, known);
    known.instance.then(
      () => this.#failures.delete(key),
      (error: unknown) => this.#noteFailure(key, ending.signal, error),
    );
    void known.instance.then(async ({ sandbox }) => sandbox.closed).then(forget, forget);
    return known;
  }

  /** One that does not come up is not tried again and again by whoever asks. */
  #requirePatience(key: string): void {
    const failure = this.#failures.get(key);
    if (failure !== undefined && performance.now() < failure.until) throw failure.error;
  }

  #noteFailure(key: string, ending: AbortSignal, error: unknown): void {
    if (ending.aborted || !(error instanceof SbxError) || error.code !== "guest_error") return;
    const count = (this.#failures.get(key)?.count ?? 0) + 1;
    const until = performance.now() + Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** count);
    this.#failures.set(key, { count, until, error });
  }

  async #findOrStart(name: InstanceName, plan: () => Promise<InstancePlan>, signal: AbortSignal): Promise<Instance> {
    await using _lock = await this.#options.lock(`app-${name.revision}-${name.context}`, signal);
    const { runtime } = this.#options;
    const labels = labelsOf(name);
    for (const { id } of (await runtime.list({ labels })).filter(isLive)) {
      const found = await this.#adopt(id, signal);
      if (found !== undefined) return found;
      await runtime.remove(id);
    }
    return await this.#start(await plan(), signal);
  }

  /** One that another process has started; undefined if its program does not answer. */
  async #adopt(id: string, signal: AbortSignal): Promise<Instance | undefined> {
    try {
      const sandbox = await this.#options.runtime.connect(id, { signal });
      const port = await findAppPort(sandbox.files);
      if (port !== undefined && (await answersHttp(sandbox, port, signal))) return { sandbox, port, extendedAt: 0 };
      await sandbox[Symbol.asyncDispose]();
      return undefined;
    } catch {
      throwIfAborted(signal, "connecting to the app");
      return undefined; // It is on its way out.
    }
  }

  async #start(plan: InstancePlan, signal: AbortSignal): Promise<Instance> {
    const { runtime, environment } = this.#options;
    const lifetime = { kind: "duration" as const, ms: IDLE_MS };
    const { app, network } = plan;
    const spec = {
      app,
      network,
      labels: labelsOf(plan),
      lifetime,
      memoryBytes: INSTANCE.memoryBytes,
      cpus: INSTANCE.cpus,
    };
    const make = async (): Promise<Sandbox> => runtime.create(spec, { signal, environment });
    const sandbox = plan.admit === undefined ? await make() : await plan.admit(INSTANCE, make);
    try {
      await unpack(sandbox, await plan.readFiles(), signal);
      await plan.beforeStart?.(sandbox);
      const argv = await plan.findCommand(sandbox);
      const pid = await sandbox.start({ argv, env: plan.env, cwd: APP_DIRECTORY }, { signal });
      const port = await this.#untilHealthy(sandbox, pid, signal);
      return { sandbox, port, extendedAt: performance.now() };
    } catch (error) {
      await sandbox[Symbol.asyncDispose]();
      await runtime.remove(sandbox.id).catch(() => undefined);
      throw error;
    }
  }

  async #untilHealthy(sandbox: Sandbox, pid: number, signal: AbortSignal): Promise<number> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      throwIfAborted(signal, "starting the app");
      const port = await findAppPort(sandbox.files);
      if (port !== undefined && (await answersHttp(sandbox, port, signal))) return port;
      const isRunning = await sandbox.files.stat(`/proc/${pid}`).then(
        () => true,
        () => false,
      );
      if (!isRunning) throw await this.#notUp(sandbox, "the program ended before it answered a request");
      if (performance.now() > deadline) throw await this.#notUp(sandbox, "the program answers no request");
      await sleep(POLL_MS);
    }
  }

  /** With its last lines, which are a guest's words. */
  async #notUp({ id }: Sandbox, why: string): Promise<SbxError> {
    const lines: string[] = [];
    // The supervisor writes what a process said before it says that it ended.
    await sleep(POLL_MS);
    for await (const { text } of this.#options.runtime.logs(id, { sources: ["process"], tail: LAST_LINES })) {
      lines.push(text);
    }
    const said = lines.length === 0 ? undefined : new Error(lines.join("\n"));
    return new SbxError("guest_error", why, { ...(said && { cause: said }), hint: "sbx app logs APP" });
  }

  async #drop(name: InstanceName, { sandbox }: Instance): Promise<void> {
    this.#known.delete(keyOf(name));
    await sandbox[Symbol.asyncDispose]();
    await this.#options.runtime.remove(sandbox.id).catch(() => undefined);
  }

  /** While a connection is open the instance lives. */
  #keepAlive(instance: Instance, tunnel: Duplex): void {
    const extend = (): void => {
      if (performance.now() - instance.extendedAt < EXTEND_EVERY_MS) return;
      instance.extendedAt = performance.now();
      void this.#options.runtime.extend(instance.sandbox.id, IDLE_MS).catch(() => undefined);
    };
    extend();
    const timer = setInterval(extend, EXTEND_EVERY_MS).unref();
    tunnel.once("close", () => clearInterval(timer));
  }
}

async function letGo({ instance }: Known): Promise<void> {
  await instance.then(async ({ sandbox }) => sandbox[Symbol.asyncDispose]()).catch(() => undefined);
}

function keyOf({ revision, context }: InstanceName): string {
  return `${revision} ${context}`;
}

function labelsOf({ revision, context }: InstanceName): Record<string, string> {
  return { [REVISION_LABEL]: revision, [CONTEXT_LABEL]: context };
}

function isLive({ status }: SandboxInfo): boolean {
  return status === "running" || status === "paused";
}
