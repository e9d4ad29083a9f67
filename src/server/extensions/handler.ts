/** What a control call is given, and what it gives back: its value, or its items. */
import type { ControlCallName, ControlParams, ControlResult } from "../../protocol/control-calls.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { CallerEnvironment, ProgressEvent, SandboxInfo } from "../../runtime/types.ts";
import { ApiError } from "../api-error.ts";
import type { Doors } from "../doors.ts";
import type { Tenant } from "../organisations/tenant.ts";

export interface ControlContext {
  tenant: Tenant;
  /** The tenant's. */
  runtime: Runtime;
  /** Of the caller. */
  tokenId: string;
  /** Fires when the client is gone and, for an answer in lines, when its token or the server ends. */
  signal: AbortSignal;
  /** Of a call with progress; nobody hears it otherwise. */
  onProgress: (event: ProgressEvent) => void;
  environment: NonNullable<CallerEnvironment["environment"]>;
  doors: Doors;
}

/** A call whose answer is `items` returns an iterable, any other one a promise. */
export type ControlHandler<N extends ControlCallName> = (
  params: Defined<ControlParams<N>>,
  context: ControlContext,
) => Promise<ControlResult<N>> | AsyncIterable<ControlResult<N>>;

export type ControlHandlers<N extends ControlCallName> = { readonly [K in N]: ControlHandler<K> };

/** What was parsed, without keys whose value is undefined: to the Runtime those are not the same as absent ones. */
export type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

export function defined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as Defined<T>;
}

/** A sandbox as a client is told of it: processes of this machine are not its business. */
export function toClient(info: SandboxInfo): ControlResult<"sandbox.get"> {
  const { disks, ...rest } = info;
  // Why one did not start names files and programs of this machine; its owner is told when it is made.
  const detail = info.reason === "start_failed" ? null : info.detail;
  return {
    ...{ ...rest, detail, labels: { ...rest.labels }, supervisorPid: null, vmPid: null },
    ...(disks === undefined ? {} : { disks: [...disks] }),
  };
}

/** @throws ApiError `UNSUPPORTED` */
export function refuse(what: string, hint?: string): never {
  throw new ApiError("UNSUPPORTED", what, { detail: { code: "unsupported", hint } });
}
