/**
 * Ends this process when the supervisor is gone, also while the main thread runs the user's code and does not come back:
 * a thread of its own sees the end of a pipe whose other end only the supervisor holds.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

// The negative number is the process group: what the module has started ends too.
const WATCH = `
  const { Socket } = process.getBuiltinModule("node:net");
  const end = () => {
    try { process.kill(-process.pid, "SIGKILL"); } catch { process.kill(process.pid, "SIGKILL"); }
  };
  const { descriptor } = process.getBuiltinModule("node:worker_threads").workerData;
  new Socket({ fd: descriptor, readable: true, writable: false }).on("close", end).on("error", end).resume();
`;

/** Resolves when the watch has begun. */
export async function holdLifeline(descriptor: number): Promise<void> {
  const worker = new Worker(WATCH, {
    eval: true,
    env: {},
    execArgv: [],
    workerData: { descriptor },
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2, stackSizeMb: 1 },
  });
  await once(worker, "online");
  worker.unref();
}
