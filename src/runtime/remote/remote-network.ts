/** The network of sandboxes, through a control plane of sbx's own. */
import type { Verdict } from "../../policy/spec.ts";
import type {
  AuditEvent,
  AuditLogOptions,
  CheckAnswer,
  NetDenial,
  NetView,
  NetworkApi,
  RulesAnswer,
} from "../network.ts";
import type { CallOptions } from "../types.ts";
import type { ControlClient } from "./control-client.ts";

export class RemoteNetwork implements NetworkApi {
  readonly #client: ControlClient;

  constructor(client: ControlClient) {
    this.#client = client;
  }

  async show(ref: string, options: CallOptions = {}): Promise<NetView> {
    return await this.#client.call("network.show", { ref }, options);
  }

  async check(ref: string, method: string, url: string, options: CallOptions = {}): Promise<CheckAnswer> {
    return this.#client.call("network.check", { ref, method, url }, options);
  }

  async change(
    ref: string,
    verdict: Verdict,
    patterns: readonly string[],
    options: CallOptions = {},
  ): Promise<RulesAnswer> {
    return this.#client.call("network.change", { ref, verdict, hosts: [...patterns] }, options);
  }

  async denied(ref: string, options: CallOptions = {}): Promise<readonly NetDenial[]> {
    return this.#client.call("network.denied", { ref }, options);
  }

  /** What is wanted is decided here, so what a filter keeps is counted here as well. */
  async *log(
    ref: string,
    { filter, tail, follow, onDamaged, ...call }: AuditLogOptions = {},
  ): AsyncIterable<AuditEvent> {
    const only = filter ?? (() => true);
    if (filter === undefined || tail === undefined) {
      const asked = { ref, ...(follow === true && { follow }), ...(tail !== undefined && { tail }) };
      yield* this.#events(asked, { ...call, filter: only, ...(onDamaged && { onDamaged }) });
      return;
    }
    const seen = new Map<string, number>();
    const last: AuditEvent[] = [];
    for await (const event of this.#events({ ref }, { ...call, filter: () => true })) {
      if (follow === true) seen.set(keyOf(event), (seen.get(keyOf(event)) ?? 0) + 1);
      if (only(event)) last.push(event);
      if (last.length > tail) last.shift();
    }
    yield* last;
    if (follow !== true) return;
    // The log from its beginning once more, without what was in it a moment ago.
    for await (const event of this.#events(
      { ref, follow },
      { ...call, filter: () => true, ...(onDamaged && { onDamaged }) },
    )) {
      const key = keyOf(event);
      const count = seen.get(key) ?? 0;
      if (count > 0) seen.set(key, count - 1);
      else if (only(event)) yield event;
    }
  }

  async *#events(
    asked: { ref: string; follow?: boolean; tail?: number },
    {
      filter,
      onDamaged,
      ...call
    }: CallOptions & Required<Pick<AuditLogOptions, "filter">> & Pick<AuditLogOptions, "onDamaged">,
  ): AsyncIterable<AuditEvent> {
    for await (const item of this.#client.items("network.log", asked, call)) {
      if ("damaged" in item) onDamaged?.(item.damaged);
      else if (filter(item.event)) yield item.event;
    }
  }
}

function keyOf(event: AuditEvent): string {
  return JSON.stringify(event);
}
