/**
 * The sandboxes and snapshots that one server has made. Tools reach these and no others: whatever else runs on the
 * machine is not looked for, and its names tell nothing, as names that a model gives are this table's own.
 */
import { randomBytes } from "node:crypto";
import type { Runtime, Sandbox } from "../runtime/runtime.ts";
import type { ProgressEvent, SandboxInfo, SandboxSpec } from "../runtime/types.ts";
import { MADE_BY_LABEL, MAX_SNAPSHOTS, type McpPolicy } from "./policy.ts";
import { ToolError } from "./tool-error.ts";

export interface FleetMember {
  readonly id: string;
  /** What the model calls it. */
  readonly name: string | null;
  readonly createdAt: number;
  /** Epoch ms. */
  readonly expiresAt: number;
  readonly sandbox: Sandbox;
}

export interface FleetSnapshot {
  /** What the model calls it. */
  readonly name: string;
  /** What the runtime does. */
  readonly slug: string;
  readonly sizeBytes: number;
}

export interface FleetCall {
  signal: AbortSignal;
  onProgress?: (event: ProgressEvent) => void;
}

export interface CreateRequest {
  name?: string | undefined;
  /** A snapshot of this server. */
  snapshot?: string | undefined;
}

type Member = FleetMember & { timer: NodeJS.Timeout | undefined };

export class Fleet implements AsyncDisposable {
  readonly #runtime: Runtime;
  readonly #policy: McpPolicy;
  readonly #members = new Map<string, Member>();
  readonly #snapshots = new Map<string, FleetSnapshot>();
  /** Names of sandboxes that are being made. */
  readonly #reserved = new Set<string>();
  /** Sandboxes that are being made; they count. */
  #underWay = 0;
  #snapshotsUnderWay = 0;
  readonly #makings = new Set<Promise<unknown>>();
  #closed = false;

  constructor(runtime: Runtime, policy: McpPolicy) {
    this.#runtime = runtime;
    this.#policy = policy;
  }

  /** @throws ToolError `too_many_sandboxes`, `name_in_use`, `snapshot_not_found` */
  async create({ name, snapshot }: CreateRequest, call: FleetCall): Promise<FleetMember> {
    using _name = this.#reserve(name);
    const start = snapshot === undefined ? this.#policy.spec : this.#startingFrom(this.#findSnapshot(snapshot));
    return await this.#making(1, async () => {
      const { keep, lifetimeMs, environment } = this.#policy;
      const spec: SandboxSpec = {
        ...start,
        labels: { ...this.#policy.spec.labels, ...MADE_BY_LABEL },
        // A session ends with this process, even if that is killed.
        lifetime: keep ? { kind: "duration", ms: lifetimeMs } : { kind: "session" },
      };
      const sandbox = await this.#runtime.create(spec, { ...call, environment });
      return this.#adopt(sandbox, name);
    });
  }

  list(): FleetMember[] {
    return [...this.#members.values()];
  }

  snapshots(): FleetSnapshot[] {
    return [...this.#snapshots.values()];
  }

  /** By id, or the name that the model gave. @throws ToolError `sandbox_not_found` */
  find(ref: string): FleetMember {
    const member = this.#members.get(ref) ?? this.list().find(({ name }) => name === ref);
    if (member !== undefined) return member;
    throw new ToolError(
      "sandbox_not_found",
      `there is no sandbox ${JSON.stringify(ref)}`,
      "list_sandboxes tells which there are; create_sandbox makes one",
    );
  }

  /** Copies a running sandbox. Each copy has the rights of its source. */
  async fork(ref: string, count: number, call: FleetCall): Promise<{ copies: FleetMember[]; pausedMs: number }> {
    const source = this.find(ref);
    return this.#making(count, async () => {
      const { lifetimeMs, environment } = this.#policy;
      const report = await this.#runtime.fork(source.id, { count, lifetimeMs }, { ...call, environment });
      const copies = report.sandboxes.map(async ({ id }) => this.#connect(id));
      const results = await Promise.allSettled(copies);
      const failed = results.find((result) => result.status === "rejected");
      if (failed === undefined) return { copies: await Promise.all(copies), pausedMs: report.pausedMs };
      // All of them, or none.
      await Promise.allSettled(report.sandboxes.map(async ({ id }) => this.#forget(id)));
      throw failed.reason;
    });
  }

  /** Of a sandbox's disk. @throws ToolError `name_in_use`, `too_many_snapshots` */
  async snapshot(ref: string, name: string, call: FleetCall): Promise<FleetSnapshot> {
    const source = this.find(ref);
    if (this.#snapshots.has(name)) throw nameInUse("snapshot", name);
    if (this.#snapshots.size + this.#snapshotsUnderWay >= MAX_SNAPSHOTS) {
      throw new ToolError("too_many_snapshots", `there are ${MAX_SNAPSHOTS} snapshots already`, "use one of them");
    }
    this.#snapshotsUnderWay++;
    try {
      const slug = `mcp-${randomBytes(6).toString("hex")}`;
      const { sizeBytes } = await this.#tracked(this.#runtime.snapshots.create(slug, source.id, call));
      const snapshot = { name, slug, sizeBytes };
      this.#snapshots.set(name, snapshot);
      return snapshot;
    } finally {
      this.#snapshotsUnderWay--;
    }
  }

  async kill(ref: string): Promise<FleetMember> {
    const member = this.find(ref);
    await this.#forget(member.id);
    return member;
  }

  /** What the runtime says of one of them. */
  async info(member: FleetMember, { signal }: FleetCall): Promise<SandboxInfo> {
    return this.#runtime.get(member.id, { signal });
  }

  /** Takes everything down that was made, unless it is to be kept. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    // Their calls have been aborted; what they made all the same is known when they have ended.
    await Promise.allSettled(this.#makings);
    const members = this.list();
    const { keep } = this.#policy;
    if (keep) {
      for (const { id } of members) this.#drop(id);
      await Promise.allSettled(members.map(async ({ sandbox }) => sandbox[Symbol.asyncDispose]()));
      return;
    }
    await Promise.allSettled(members.map(async ({ id }) => this.#forget(id)));
    // The newest first: it may stand on one before it.
    for (const { slug } of this.snapshots().reverse()) {
      await this.#runtime.snapshots.remove(slug).catch(() => undefined); // sbx snapshot list shows what is left.
    }
  }

  /** Makes so many sandboxes within the limit. */
  async #making<T>(count: number, make: () => Promise<T>): Promise<T> {
    const { maxSandboxes } = this.#policy;
    if (this.#members.size + this.#underWay + count > maxSandboxes) {
      throw new ToolError(
        "too_many_sandboxes",
        `at most ${maxSandboxes} ${maxSandboxes === 1 ? "sandbox" : "sandboxes"} may run at once`,
        "kill_sandbox one that is not needed any more",
      );
    }
    this.#underWay += count;
    try {
      return await this.#tracked(make());
    } finally {
      this.#underWay -= count;
    }
  }

  async #tracked<T>(making: Promise<T>): Promise<T> {
    this.#makings.add(making);
    try {
      return await making;
    } finally {
      this.#makings.delete(making);
    }
  }

  async #connect(id: string): Promise<FleetMember> {
    return this.#adopt(await this.#runtime.connect(id), undefined);
  }

  async #adopt(sandbox: Sandbox, name: string | undefined): Promise<FleetMember> {
    const { id } = sandbox;
    const createdAt = Date.now();
    const expiresAt = sandbox.info.expiresAt ?? createdAt + this.#policy.lifetimeMs;
    const forget = (): void => {
      if (this.#members.has(id)) this.#forget(id).catch(() => undefined);
    };
    // Nobody else ends a session's sandbox when its time is over.
    const timer = sandbox.info.expiresAt === null ? setTimeout(forget, this.#policy.lifetimeMs) : undefined;
    this.#members.set(id, { id, name: name ?? null, createdAt, expiresAt, sandbox, timer });
    // It has ended, or cannot be reached any more: it must not live on where nobody counts it.
    sandbox.closed.then(forget, forget);
    if (this.#closed) {
      await this.#forget(id);
      throw new ToolError("shutting_down", "the server is ending");
    }
    return this.find(id);
  }

  async #forget(id: string): Promise<void> {
    const member = this.#members.get(id);
    this.#drop(id);
    // Its connection may have failed; what counts is that it is removed.
    await member?.sandbox[Symbol.asyncDispose]();
    // A session's sandbox has ended by now; removing it again changes nothing.
    await this.#runtime.remove(id);
  }

  #drop(id: string): void {
    clearTimeout(this.#members.get(id)?.timer);
    this.#members.delete(id);
  }

  /** Keeps a name for a sandbox that is being made. */
  #reserve(name: string | undefined): Disposable | null {
    if (name === undefined) return null;
    const taken = this.list().some((member) => member.name === name || member.id === name);
    if (taken || this.#reserved.has(name)) throw nameInUse("sandbox", name);
    this.#reserved.add(name);
    return { [Symbol.dispose]: () => this.#reserved.delete(name) };
  }

  /** The disk is the snapshot's; everything else is as the user has said. */
  #startingFrom({ slug }: FleetSnapshot): McpPolicy["spec"] {
    const { image: _image, checkpoint: _checkpoint, ...spec } = this.#policy.spec;
    return { ...spec, root: slug };
  }

  #findSnapshot(name: string): FleetSnapshot {
    const snapshot = this.#snapshots.get(name);
    if (snapshot !== undefined) return snapshot;
    const known = [...this.#snapshots.keys()].join(", ");
    throw new ToolError(
      "snapshot_not_found",
      `there is no snapshot ${JSON.stringify(name)}`,
      known === "" ? "snapshot_sandbox makes one" : `there are: ${known}`,
    );
  }
}

function nameInUse(what: string, name: string): ToolError {
  return new ToolError("name_in_use", `there is a ${what} ${JSON.stringify(name)} already`, "choose another name");
}
