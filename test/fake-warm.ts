/** Memories of a fake runtime's instances: what goes on from one is a new sandbox that has all that the first one had. */
import type { AppRuntime } from "../src/runtime/local/apps/instances.ts";
import type { InstanceName, WarmInstances, WarmKey } from "../src/runtime/local/apps/warm-instances.ts";

interface Kept {
  key: WarmKey;
  sandbox: string;
  port: number;
}

export class FakeWarm implements WarmInstances {
  readonly kept: Kept[] = [];
  /** Revisions that went on from a memory. */
  readonly woken: string[] = [];
  /** Thrown by the next start. */
  failure: Error | undefined;
  readonly #runtime: Pick<AppRuntime, "create">;

  constructor(runtime: Pick<AppRuntime, "create">) {
    this.#runtime = runtime;
  }

  has(key: WarmKey): boolean {
    return this.kept.some((one) => isSame(one.key, key) && one.key.fit === key.fit);
  }

  keep: WarmInstances["keep"] = async (key, sandbox, port) => {
    await this.discard(key);
    this.kept.push({ key, sandbox, port });
  };

  start: WarmInstances["start"] = async (key, { labels, lifetime }, options) => {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
    const found = this.kept.find((one) => isSame(one.key, key) && one.key.fit === key.fit);
    if (found === undefined) return undefined;
    this.woken.push(key.revision);
    return { sandbox: await this.#runtime.create({ labels, lifetime }, options), port: found.port };
  };

  async discard(name: InstanceName): Promise<void> {
    const at = this.kept.findIndex(({ key }) => isSame(key, name));
    if (at !== -1) this.kept.splice(at, 1);
  }

  async release(revision: string): Promise<void> {
    this.kept.splice(0, Infinity, ...this.kept.filter(({ key }) => key.revision !== revision));
  }
}

function isSame(a: InstanceName, b: InstanceName): boolean {
  return a.revision === b.revision && a.context === b.context;
}
