/** The method table of the sandbox RPC: one row a method, from which server and client take types and checks. */
import type * as z from "zod/mini";
import { FILE_HANDLE_METHODS, FILE_SYSTEM_METHODS } from "./rpc-methods-fs.ts";
import { NETWORK_METHODS, PROCESS_METHODS } from "./rpc-methods-process.ts";
import { SBX_METHODS } from "./rpc-methods-sbx.ts";

export const RPC_METHODS = {
  ...PROCESS_METHODS,
  ...FILE_SYSTEM_METHODS,
  ...FILE_HANDLE_METHODS,
  ...NETWORK_METHODS,
  ...SBX_METHODS,
};

export type RpcMethodName = keyof typeof RPC_METHODS;
/** Params as the server sees them after the check. */
export type RpcParams<M extends RpcMethodName> = z.output<(typeof RPC_METHODS)[M]["params"]>;
/** Params as a caller writes them. */
export type RpcParamsInput<M extends RpcMethodName> = z.input<(typeof RPC_METHODS)[M]["params"]>;
export type RpcResult<M extends RpcMethodName> = z.output<(typeof RPC_METHODS)[M]["result"]>;

/** Own keys only: a method called `constructor` or `toString` is unknown. */
export function isRpcMethod(method: string): method is RpcMethodName {
  return Object.hasOwn(RPC_METHODS, method);
}

/** Whether a method is one of sbx's own, which a plain client must not see. */
export function isExtensionMethod(method: RpcMethodName): boolean {
  return method.startsWith("sbx.");
}
