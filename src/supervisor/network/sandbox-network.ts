/**
 * The network of one sandbox, from the launch to the end: waits for what only comes over the socket (values of secrets,
 * proxies, roots), opens the egress path, and answers for it.
 */
import type { Egress, EgressSettings } from "../../egress/egress.ts";
import { readsAnything } from "../../egress/reads-anything.ts";
import type { NetworkLink, WaitingStack } from "../../egress/waiting-stack.ts";
import type { SandboxLaunch } from "../../protocol/launch.ts";
import type {
  CheckAnswer,
  CheckCall,
  NetDenial,
  NetView,
  RulesAnswer,
  RulesCall,
  SecretsAnswer,
  SecretsCall,
} from "../../protocol/net-calls.ts";
import type { EgressLaunch } from "../../protocol/net-launch.ts";
import type { Duplex } from "node:stream";
import { NO_PAST, type NetworkPast } from "../../protocol/network-past.ts";
import { SbxError } from "../../runtime/errors.ts";
import { hookHostScript } from "../hook-host-script.ts";
import { AuditTrail } from "./audit-trail.ts";
import { type CardDialOptions, dialOverCard } from "./card-dial.ts";
import type { NetworkControl } from "./door-routes.ts";

/** Whoever starts a sandbox says at once what only comes over the socket; one that is stuck must not keep a guest, `ms`. */
const SETTINGS_DEADLINE_MS = 60_000;

export interface SandboxNetworkOptions {
  launch: Pick<SandboxLaunch, "id" | "name" | "directory" | "egress">;
  /** What the guest remembers, where it is a copy of another one. */
  past?: NetworkPast;
  /** The other end of the guest's network card; `null` for a machine that has none. */
  link: NetworkLink | null;
  /** A line for the supervisor's log. */
  log: (message: string) => void;
  /** Told the names of secrets that were given a value, and whether it is their first one. */
  onSecrets?: (names: readonly string[], how: "granted" | "rotated") => void;
  settingsDeadlineMs?: number;
}

export interface NetworkMemories {
  /** With the policy as it is by now. */
  egress: EgressLaunch;
  extraRootsPem: readonly string[];
  past: NetworkPast;
  /** Variables that are made anew for each sandbox. */
  ownVariables: readonly string[];
}

export class SandboxNetwork implements NetworkControl, AsyncDisposable {
  readonly #options: SandboxNetworkOptions;
  readonly #trail: AuditTrail;
  readonly #settled = Promise.withResolvers<void>();
  readonly #settings: EgressSettings = { values: new Map(), proxy: null, extraRootsPem: [] };
  #egress: Egress | undefined;
  #opening: Promise<Egress> | undefined;
  #over = false;
  #stack: Promise<WaitingStack> | undefined;
  #waiting: WaitingStack | undefined;
  #introduce: (egress: Egress) => Promise<void> = async () => undefined;

  constructor(options: SandboxNetworkOptions) {
    this.#options = options;
    this.#trail = new AuditTrail(options.launch.directory);
    if (!options.launch.egress.awaitsSettings) this.#settled.resolve();
  }

  /** Whether the guest must not run before the path is open: it gets placeholders, and perhaps roots to trust. */
  get isAwaited(): boolean {
    const { egress } = this.#options.launch;
    return egress.awaitsSettings || readsAnything(egress);
  }

  /**
   * Waits for the settings and opens the path. May be called more than once.
   *
   * @throws the signal's reason, SbxError `timeout` for settings that do not come, SbxError for a hook that does not load
   */
  async open(signal?: AbortSignal): Promise<Egress> {
    this.#opening ??= this.#open(signal);
    return this.#opening;
  }

  /**
   * Opens the path with the guest's first packet. Until then a sandbox that never uses its network has no more of it
   * than a socket.
   *
   * @param introduce tells the guest what it has to know of an open path
   */
  openWhenUsed(introduce: (egress: Egress) => Promise<void>): void {
    this.#introduce = introduce;
    this.#stack ??= this.#openStack();
    this.#stack.catch(this.#complain);
  }

  /**
   * Connects to a server on the guest's IPv4 loopback over the guest's network card, as far as its kernel lets that in.
   * Opens nothing of the way out.
   *
   * @throws FlowError
   */
  async connect(port: number, options: CardDialOptions): Promise<Duplex> {
    return dialOverCard(await (this.#stack ??= this.#openStack()), port, options);
  }

  /** What a copy of the guest would remember now. */
  memories(): NetworkMemories {
    const { launch, past = NO_PAST } = this.#options;
    const { names, placeholders } = this.#egress?.memories() ?? past;
    return {
      egress: { ...launch.egress, policy: this.#egress?.policy ?? launch.egress.policy },
      extraRootsPem: this.#settings.extraRootsPem,
      // Before the stack is there the guest has no connection that it did not have at the beginning.
      past: { connections: [...(this.#waiting?.connections() ?? past.connections)], names, placeholders },
      ownVariables: [...(this.#egress?.environment.keys() ?? [])],
    };
  }

  /** Roots for whoever makes a TLS connection of the guest's on the host's side of it. */
  get trustedCertificates(): readonly string[] {
    return this.#egress?.roots.map(({ pem }) => pem) ?? [];
  }

  setSecrets(call: SecretsCall): SecretsAnswer {
    const granted = this.#options.launch.egress.secrets.map(({ name }) => name);
    const unknown = Object.keys(call.values).find((name) => !granted.includes(name));
    if (unknown !== undefined) {
      throw new SbxError("usage", `the sandbox was not given the secret ${unknown}`, {
        hint: "secrets are given when a sandbox is made: sbx create --secret NAME@HOST",
      });
    }
    const had = new Set(this.#settings.values.keys());
    for (const [name, value] of Object.entries(call.values)) {
      this.#egress?.setValue(name, value);
      this.#settings.values.set(name, value);
    }
    if (this.#egress === undefined) {
      this.#settings.proxy = call.proxy ?? this.#settings.proxy;
      this.#settings.extraRootsPem = call.extraRootsPem ?? this.#settings.extraRootsPem;
    }
    this.#tellOf(Object.keys(call.values), had);
    const missing = this.#missing();
    if (missing.length === 0) this.#settled.resolve();
    return { set: Object.keys(call.values), missing };
  }

  #tellOf(names: readonly string[], had: ReadonlySet<string>): void {
    for (const how of ["granted", "rotated"] as const) {
      const told = names.filter((name) => had.has(name) === (how === "rotated"));
      if (told.length > 0) this.#options.onSecrets?.(told, how);
    }
  }

  /** What it has counted so far; opens nothing. */
  get counters(): AuditTrail["counters"] {
    return this.#trail.counters;
  }

  get denied(): NetDenial[] {
    return this.#trail.denied;
  }

  async view(): Promise<NetView> {
    const { openFlows, ...rest } = (await this.open()).view();
    return { ...rest, counters: { ...this.#trail.counters, openFlows }, denied: this.denied };
  }

  async check(call: CheckCall): Promise<CheckAnswer> {
    return (await this.open()).check(call);
  }

  async changeRules(call: RulesCall): Promise<RulesAnswer> {
    return (await this.open()).changeRules(call);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    this.#settled.resolve();
    // A path that is opening at the end was not opened for anybody.
    await (await this.#opening?.catch(() => undefined))?.[Symbol.asyncDispose]();
    (await this.#stack?.catch(() => undefined))?.[Symbol.dispose]();
    this.#trail[Symbol.dispose]();
  }

  /** Loaded when the guest runs: nothing of it is needed before. */
  async #openStack(): Promise<WaitingStack> {
    const { link } = this.#options;
    if (link === null) throw new SbxError("internal", "the machine was started without a network card");
    const { WaitingStack: Stack } = await import("../../egress/waiting-stack.ts");
    const stack = (this.#waiting = new Stack(link, () => void this.open().catch(this.#complain)));
    stack.breakOff(this.#options.past?.connections ?? []);
    return stack;
  }

  readonly #complain = (error: unknown): void => {
    this.#options.log(`the network could not be opened: ${String(error)}`);
  };

  async #open(signal: AbortSignal | undefined): Promise<Egress> {
    const { launch, log } = this.#options;
    const stack = await (this.#stack ??= this.#openStack());
    await this.#untilSettled(signal);
    if (this.#over) throw new SbxError("aborted", "the sandbox ended before its network was opened");
    const { openEgress } = await import("../../egress/egress.ts");
    this.#egress = await openEgress({
      stack,
      launch: launch.egress,
      settings: this.#settings,
      sandbox: { id: launch.id, name: launch.name },
      audit: this.#trail.record,
      log,
      hookHost: { nodePath: process.execPath, scriptPath: hookHostScript() },
      past: this.#options.past ?? NO_PAST,
    });
    await this.#introduce(this.#egress);
    return this.#egress;
  }

  async #untilSettled(signal: AbortSignal | undefined): Promise<void> {
    const deadlineMs = this.#options.settingsDeadlineMs ?? SETTINGS_DEADLINE_MS;
    const giveUp = (): void => {
      const names = this.#missing().join(", ");
      const what = names === "" ? "the settings of the network" : `values of secrets (${names})`;
      this.#settled.reject(
        new SbxError("timeout", `the sandbox was not started: ${what} did not come within ${deadlineMs / 1000} s`),
      );
    };
    const timer = setTimeout(giveUp, deadlineMs);
    try {
      await untilAborted(this.#settled.promise, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  #missing(): string[] {
    return this.#options.launch.egress.secrets
      .map(({ name }) => name)
      .filter((name) => !this.#settings.values.has(name));
  }
}

async function untilAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
