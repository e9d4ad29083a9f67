/** The network of a sandbox. Rules go as far as they may at its creation: to what is not public only where that is allowed. */
import { draftRule } from "../../policy/build-policy.ts";
import type { NETWORK_CALLS } from "../../protocol/control-calls-network.ts";
import type { ControlParams, ControlResult } from "../../protocol/control-calls.ts";
import type { CheckAnswer, NetView, RulesAnswer } from "../../runtime/network.ts";
import { ApiError } from "../api-error.ts";
import { isPrivateHost } from "../private-hosts.ts";
import type { ControlContext, ControlHandlers, Defined } from "./handler.ts";

export const NETWORK_HANDLERS: ControlHandlers<keyof typeof NETWORK_CALLS> = {
  "network.show": async ({ ref }, { runtime, signal }) => copied<NetView>(await runtime.network.show(ref, { signal })),
  "network.check": async ({ ref, method, url }, { runtime, signal }) =>
    copied<CheckAnswer>(await runtime.network.check(ref, method, url, { signal })),
  "network.change": change,
  "network.denied": async ({ ref }, { runtime, signal }) => copied(await runtime.network.denied(ref, { signal })),
  "network.log": log,
};

async function change(
  { ref, verdict, hosts }: Defined<ControlParams<"network.change">>,
  { tenant, runtime }: ControlContext,
): Promise<ControlResult<"network.change">> {
  for (const pattern of verdict === "allow" ? hosts : []) {
    const { host } = draftRule(verdict, pattern, { kind: "api" });
    if (tenant.quotas.privateNetwork || !isPrivateHost(host)) continue;
    throw new ApiError(
      "INVALID_REQUEST",
      `${JSON.stringify(host.slice(0, 128))} is not a public address, which this server does not open`,
    );
  }
  return copied<RulesAnswer>(await runtime.network.change(ref, verdict, hosts));
}

async function* log(
  { ref, ...options }: Defined<ControlParams<"network.log">>,
  { runtime, signal }: ControlContext,
): AsyncIterable<ControlResult<"network.log">> {
  let damaged = 0;
  const onDamaged = (count: number): void => {
    damaged = count;
  };
  for await (const event of runtime.network.log(ref, { ...options, signal, onDamaged })) yield { event: copied(event) };
  if (damaged > 0) yield { damaged };
}

/** The same without its `readonly`: it is written as JSON, and nobody keeps it. */
function copied<T>(value: T): Mutable<T> {
  return value as Mutable<T>;
}

type Mutable<T> = T extends readonly (infer Item)[]
  ? Mutable<Item>[]
  : T extends object
    ? { -readonly [K in keyof T]: Mutable<T[K]> }
    : T;
