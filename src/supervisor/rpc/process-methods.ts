/** `spawn`, `processWait`, `processKill` (deno-sandbox-protocol, section 3.4) and the terminal size of sbx's own. */
import type { ProcessStatus } from "../../protocol/rpc-methods-process.ts";
import { callTypeError, describing } from "./call-error.ts";
import { launchForClient } from "./launch.ts";
import type { Handlers } from "./session.ts";
import { findSignal } from "./signal-names.ts";

/** Exit code of a process that SIGKILL ended: the only one that running out of memory can have. */
const KILLED_CODE = 137;
const DEFAULT_SIGNAL = "SIGTERM";

export const PROCESS_HANDLERS: Handlers<"spawn" | "processWait" | "processKill" | "sbx.resize"> = {
  spawn: async (call, params) => {
    const { command, args } = params;
    const sbx = call.session.extensions ? params.sbx : undefined;
    const extras = { pty: sbx?.pty, user: sbx?.user, detached: sbx?.detached === true };
    const { result } = await launchForClient(call, [command, ...(args ?? [])], params, extras);
    return result;
  },
  processWait: async ({ session }, { pid }): Promise<ProcessStatus> => {
    const process = session.state.processes.get(pid);
    const { code, signal, oom } = await process.exit;
    // A client whose output is inherited shows it only if it comes before this answer.
    await session.outputDone(process);
    return { success: code === 0 && signal === null, code, signal, oom: code === KILLED_CODE ? oom : null };
  },
  processKill: async ({ session }, { pid, signal, vscode, sbx }) => {
    const name = findSignal(signal ?? DEFAULT_SIGNAL);
    if (name === undefined) throw callTypeError(`Invalid signal: ${String(signal)}`);
    // VS Code is what was started and what that has started.
    const group = vscode === true || (session.extensions && sbx?.group === true);
    await session.state.processes.get(pid).signal(name, group);
    return null;
  },
  "sbx.resize": async ({ session }, { pid, cols, rows }) => {
    const { processes, link } = session.state;
    if (processes.get(pid).exited) return null;
    return describing(`resize the terminal of process ${pid}`, link.call("resize", { pid, cols, rows }));
  },
};
