/** Starts instances: from the memory of one that ran before where that is kept, else from the revision's files. */
import { setTimeout as sleep } from "node:timers/promises";
import { throwIfAborted } from "../../abort.ts";
import type { Budget } from "../../../metering/budget.ts";
import type { Admission } from "../../apps.ts";
import { DEFAULT_SETTINGS } from "../../defaults.ts";
import { SbxError } from "../../errors.ts";
import type { OrganisationRuntime } from "../../organisations.ts";
import type { Sandbox } from "../../runtime.ts";
import type { CallerEnvironment, NetworkSpec, SandboxInfo } from "../../types.ts";
import type { Argv } from "./build-commands.ts";
import { APP_DIRECTORY, unpack } from "./guest-work.ts";
import { answersHttp } from "./health.ts";
import { findAppPort } from "./listening-ports.ts";
import { makePipes, startReader, stopReader, throughPipes } from "./program-output.ts";
import { fitOf, type InstanceName, type WarmInstances, type WarmKey } from "./warm-instances.ts";

export const REVISION_LABEL = "sbx.revision";
export const CONTEXT_LABEL = "sbx.context";

/** What an instance has of the machine. */
export const INSTANCE = { memoryBytes: DEFAULT_SETTINGS.memoryBytes, cpus: DEFAULT_SETTINGS.cpus };
/** For a program to answer its first request, `ms`. */
const START_TIMEOUT_MS = 120_000;
/** For one that goes on from its memory, `ms`: then it is started from its files. */
const WAKE_TIMEOUT_MS = 15_000;
/** For the first answer of one that goes on, before its logs cost it anything, `ms`. */
const READER_DELAY_MS = 250;
const POLL_MS = 100;
/** Lines of a program that did not come up. */
const LAST_LINES = 20;

export type AppRuntime = Pick<
  OrganisationRuntime,
  "create" | "connect" | "get" | "list" | "remove" | "extend" | "logs" | "network" | "secrets" | "domains"
>;

/** All that an instance is made of. */
export interface InstancePlan extends InstanceName {
  /** Slug. */
  app: string;
  admit?: Admission;
  network: NetworkSpec;
  /** Those of the sandbox it comes from that have no value here. */
  missingSecrets: readonly string[];
  env: Record<string, string>;
  /** Whether its memory may be kept: nothing in it is sealed elsewhere, or would be refused in a copy. */
  isWarmable: boolean;
  /** The archive of its files. */
  readFiles: () => Promise<AsyncIterable<Uint8Array>>;
  /** What has to be done once, with the files there. */
  beforeStart?: (sandbox: Sandbox) => Promise<void>;
  /** The program, once the files are there. */
  findCommand: (sandbox: Sandbox) => Promise<Argv>;
}

export interface Instance {
  sandbox: Sandbox;
  port: number;
  /** Whether its program goes on from its memory. */
  isWoken: boolean;
}

export interface InstanceStarterOptions {
  runtime: AppRuntime;
  environment: NonNullable<CallerEnvironment["environment"]>;
  /** A lock between processes. */
  lock: (name: string, signal?: AbortSignal) => Promise<AsyncDisposable>;
  warm: WarmInstances;
  /** How long each lives at first, `ms`. */
  idleMs: number;
}

export class InstanceStarter {
  readonly #options: InstanceStarterOptions;

  constructor(options: InstanceStarterOptions) {
    this.#options = options;
  }

  /**
   * Those that run and are not `known`, which other processes have started; a new one if there is none.
   *
   * @throws SbxError with what the program said, if it does not come up
   */
  async findOrStart(
    name: InstanceName,
    known: ReadonlySet<string>,
    plan: () => Promise<InstancePlan>,
    signal: AbortSignal,
  ): Promise<Instance[]> {
    await using _lock = await this.#options.lock(`app-${name.revision}-${name.context}`, signal);
    const { runtime } = this.#options;
    const adopted: Instance[] = [];
    for (const { id } of (await runtime.list({ labels: labelsOf(name) })).filter(isLive)) {
      if (known.has(id)) continue;
      const found = await this.#adopt(id, signal);
      if (found !== undefined) adopted.push(found);
      else await runtime.remove(id);
    }
    return adopted.length > 0 ? adopted : [await this.#start(await plan(), signal)];
  }

  /** Whether its memory is to be kept, and is not yet. */
  wantsWarm(plan: InstancePlan): boolean {
    return plan.isWarmable && !this.#options.warm.has(keyOf(plan));
  }

  /** Keeps the memory of one in which nothing is under way. @throws SbxError as checkpoints do */
  async keepWarm(
    plan: InstancePlan,
    { sandbox, port }: Pick<Instance, "sandbox" | "port">,
    signal: AbortSignal,
  ): Promise<void> {
    await stopReader(sandbox, signal);
    try {
      await this.#options.warm.keep(keyOf(plan), sandbox.id, port, { signal });
    } finally {
      await startReader(sandbox);
    }
  }

  /** Has the next one started from its files. */
  async forgetWarm(name: InstanceName): Promise<void> {
    await this.#options.warm.discard(name);
  }

  async answers({ sandbox, port }: Instance, signal?: AbortSignal): Promise<boolean> {
    return answersHttp(sandbox, port, signal);
  }

  async isRunning({ sandbox }: Pick<Instance, "sandbox">): Promise<boolean> {
    const info = await this.#options.runtime.get(sandbox.id).catch(() => undefined);
    return info?.status === "running";
  }

  async end({ sandbox }: Pick<Instance, "sandbox">): Promise<void> {
    await sandbox[Symbol.asyncDispose]();
    await this.#options.runtime.remove(sandbox.id).catch(() => undefined);
  }

  /** Ends what runs of a revision, and forgets what is kept of it. */
  async release(revision: string): Promise<void> {
    const { runtime, warm } = this.#options;
    const running = await runtime.list({ labels: { [REVISION_LABEL]: revision } });
    for (const { id } of running.filter(isLive)) await runtime.remove(id).catch(() => undefined);
    await warm.release(revision);
  }

  /** One that another process has started; undefined if its program does not answer. */
  async #adopt(id: string, signal: AbortSignal): Promise<Instance | undefined> {
    try {
      const sandbox = await this.#options.runtime.connect(id, { signal });
      const port = await findAppPort(sandbox.files);
      if (port !== undefined && (await answersHttp(sandbox, port, signal))) return { sandbox, port, isWoken: false };
      await sandbox[Symbol.asyncDispose]();
      return undefined;
    } catch {
      throwIfAborted(signal, "connecting to the app");
      return undefined; // It is on its way out.
    }
  }

  async #start(plan: InstancePlan, signal: AbortSignal): Promise<Instance> {
    return (await this.#wake(plan, signal)) ?? (await this.#startCold(plan, signal));
  }

  /** From its memory; undefined where that is not to be had. */
  async #wake(plan: InstancePlan, signal: AbortSignal): Promise<Instance | undefined> {
    // A new revision's own work before the start is done in a machine of its own.
    if (!plan.isWarmable || plan.beforeStart !== undefined || !this.#options.warm.has(keyOf(plan))) return undefined;
    return admitted(plan, async (budget) => {
      try {
        return await this.#goOn(plan, budget, AbortSignal.any([signal, AbortSignal.timeout(WAKE_TIMEOUT_MS)]));
      } catch (error) {
        throwIfAborted(signal, "starting the app");
        if (error instanceof SbxError && error.code === "insufficient_resources") throw error;
        // Damaged, or of another version of sbx: the files are as good, and the next one that rests is kept.
        await this.#options.warm.discard(plan);
        return undefined;
      }
    });
  }

  async #goOn(plan: InstancePlan, budget: Budget, signal: AbortSignal): Promise<Instance | undefined> {
    const { warm, environment, idleMs } = this.#options;
    const spec = { labels: labelsOf(plan), lifetime: { kind: "duration" as const, ms: idleMs }, budget };
    const woken = await warm.start(keyOf(plan), spec, { signal, environment });
    if (woken === undefined) return undefined;
    // What its program says meanwhile waits in the pipes; the first answer goes before.
    setTimeout(() => void startReader(woken.sandbox).catch(() => undefined), READER_DELAY_MS).unref();
    return { ...woken, isWoken: true };
  }

  async #startCold(plan: InstancePlan, signal: AbortSignal): Promise<Instance> {
    const { runtime, environment, idleMs } = this.#options;
    const { app, network } = plan;
    const lifetime = { kind: "duration" as const, ms: idleMs };
    const spec = { app, network, labels: labelsOf(plan), lifetime, ...INSTANCE };
    const sandbox = await admitted(plan, async (budget) =>
      runtime.create({ ...spec, budget }, { signal, environment }),
    );
    try {
      await unpack(sandbox, await plan.readFiles(), signal);
      await plan.beforeStart?.(sandbox);
      const argv = await plan.findCommand(sandbox);
      await makePipes(sandbox, signal);
      await startReader(sandbox, signal);
      const spec = { argv: throughPipes(argv), env: plan.env, cwd: APP_DIRECTORY };
      const pid = await sandbox.start(spec, { signal });
      return { sandbox, port: await this.#untilHealthy(sandbox, pid, signal), isWoken: false };
    } catch (error) {
      await this.end({ sandbox });
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
    for await (const { text, process } of this.#options.runtime.logs(id, { sources: ["process"], tail: LAST_LINES })) {
      if (process?.stream !== "event") lines.push(text);
    }
    const said = lines.length === 0 ? undefined : new Error(lines.join("\n"));
    return new SbxError("guest_error", why, { ...(said && { cause: said }), hint: "sbx app logs APP" });
  }
}

/** Asks for the room that one takes, where somebody counts. */
export async function admitted<T>(
  { admit }: { admit?: Admission | undefined },
  make: (budget: Budget) => Promise<T>,
): Promise<T> {
  return admit === undefined ? make([]) : admit(INSTANCE, make);
}

function keyOf({ revision, context, network, env }: InstancePlan): WarmKey {
  return { revision, context, fit: fitOf({ network, env, size: INSTANCE }) };
}

function labelsOf({ revision, context }: InstanceName): Record<string, string> {
  return { [REVISION_LABEL]: revision, [CONTEXT_LABEL]: context };
}

function isLive({ status }: SandboxInfo): boolean {
  return status === "running" || status === "paused";
}
