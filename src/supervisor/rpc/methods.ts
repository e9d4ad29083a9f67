/** Every method of the RPC, with what does it. */
import { notSupported } from "./call-error.ts";
import { DENO_HANDLERS } from "./deno-methods.ts";
import { ENVIRONMENT_HANDLERS } from "./environment-methods.ts";
import { EXPOSE_HANDLERS } from "./expose-methods.ts";
import { FETCH_HANDLERS } from "./fetch-methods.ts";
import { FILE_HANDLERS } from "./file-methods.ts";
import { HANDLE_HANDLERS } from "./handle-methods.ts";
import { PROCESS_HANDLERS } from "./process-methods.ts";
import { SBX_HANDLERS } from "./sbx-methods.ts";
import type { Handlers } from "./session.ts";
import { TRANSFER_HANDLERS } from "./transfer-methods.ts";
import { WALK_HANDLERS } from "./walk-methods.ts";

export const HANDLERS: Handlers = {
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
  vscode: () => {
    throw notSupported("VS Code");
  },
};
