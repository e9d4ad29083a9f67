/** A sandbox of an organisation of `sbx serve` that is no machine: serve/fast-sandbox.ts, recorded as one that runs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { identifyProcess } from "../../src/host/process-identity.ts";
import { NODE_FLAGS } from "../../src/runtime/local/supervisor-process.ts";
import { startAnswering } from "./answering-process.ts";
import { recordSandboxes, type Served } from "./served.ts";

export interface FastGuest extends AsyncDisposable {
  readonly id: string;
  readonly socketPath: string;
  /** The guest's home, on this machine. */
  readonly home: string;
}

export async function openFastGuest(served: Served, organisation: string): Promise<FastGuest> {
  // A socket's path is short.
  const home = mkdtempSync(path.join(tmpdir(), "sbx-fast-"));
  const socketPath = path.join(home, "rpc.sock");
  const program = path.join(import.meta.dirname, "fast-sandbox.ts");
  const sandbox = await startAnswering([process.execPath, ...NODE_FLAGS, program, socketPath, home]);
  const supervisor = identifyProcess(sandbox.pid);
  if (supervisor === null) throw new Error("the fast guest has ended");
  const [id = ""] = recordSandboxes(served.pathsOf(organisation), { count: 1, supervisor, socketPath });
  return {
    ...{ id, socketPath, home },
    async [Symbol.asyncDispose]() {
      await sandbox[Symbol.asyncDispose]();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
