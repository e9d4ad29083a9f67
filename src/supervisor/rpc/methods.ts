/** Every method of the RPC, with what does it. */
import type { RpcMethodName } from "../../protocol/rpc-methods.ts";
import { DENO_HANDLERS } from "./deno-methods.ts";
import type { Dialect } from "./dialect.ts";
import { ENVIRONMENT_HANDLERS } from "./environment-methods.ts";
import { EXPOSE_HANDLERS } from "./expose-methods.ts";
import { FETCH_HANDLERS } from "./fetch-methods.ts";
import { FILE_HANDLERS } from "./file-methods.ts";
import { HANDLE_HANDLERS } from "./handle-methods.ts";
import { PROCESS_HANDLERS } from "./process-methods.ts";
import { PYTHON_HANDLERS } from "./python-methods.ts";
import { SBX_HANDLERS } from "./sbx-methods.ts";
import type { Handler, Handlers } from "./session.ts";
import { TRANSFER_HANDLERS } from "./transfer-methods.ts";
import { VSCODE_HANDLERS } from "./vscode-methods.ts";
import { WALK_HANDLERS } from "./walk-methods.ts";

const HANDLERS: Handlers = {
  /** The dispatcher has done it by now; an error here would end an SDK client's process. */
  abort: () => null,
  ...ENVIRONMENT_HANDLERS,
  ...FILE_HANDLERS,
  ...TRANSFER_HANDLERS,
  ...HANDLE_HANDLERS,
  ...WALK_HANDLERS,
  ...PROCESS_HANDLERS,
  ...DENO_HANDLERS,
  ...FETCH_HANDLERS,
  ...SBX_HANDLERS,
  ...EXPOSE_HANDLERS,
  ...VSCODE_HANDLERS,
};

/** What does a method for clients of a dialect. */
export function handlerOf(method: RpcMethodName, dialect: Dialect): Handler<RpcMethodName> {
  const own: Partial<Record<RpcMethodName, unknown>> = dialect === "python" ? PYTHON_HANDLERS : {};
  return (own[method] ?? HANDLERS[method]) as Handler<RpcMethodName>;
}
