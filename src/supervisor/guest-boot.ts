/** From a started QEMU to a guest that answers: waits for the agent, with what went wrong if it never does. */
import { constants } from "node:os";
import { openAgentLink } from "../guest/agent-link.ts";
import type { AgentLink } from "../guest/link.ts";
import { newIdentity } from "../protocol/agent-greeting.ts";
import { SbxError } from "../runtime/errors.ts";
import type { VirtualMachine } from "../vm/virtual-machine.ts";
import type { TimedLog } from "./watch/timed-log.ts";

const MAX_TAIL = 2000;
/** Of what is quoted as the reason of an end, which is kept for a month. */
const MAX_QUOTE = 300;

/** Last words of a machine: what QEMU complained of and what the guest's console said. */
export class LastWords {
  #console = "";
  #errors = "";
  #panicked = false;

  constructor(vm: VirtualMachine, logs: { console: TimedLog; vm: TimedLog } | null) {
    vm.consoleOutput.on("data", (chunk: Buffer) => {
      logs?.console.write(chunk);
      const text = this.#console + chunk.toString("latin1");
      // What a kernel prints after these words is longer than the tail.
      this.#panicked ||= text.includes("Kernel panic");
      this.#console = text.slice(-MAX_TAIL);
    });
    vm.errorOutput.on("data", (chunk: Buffer) => {
      logs?.vm.write(chunk);
      this.#errors = (this.#errors + chunk.toString("latin1")).slice(-MAX_TAIL);
    });
    void vm.exited.then(() => {
      logs?.console.flush();
      logs?.vm.flush();
    });
  }

  get console(): string {
    return this.#console;
  }

  /** Whether the guest's kernel said that it panicked. */
  get panicked(): boolean {
    return this.#panicked;
  }

  /** One sentence for a person. */
  summary(): string {
    const fatal = /sbx-agent: fatal: (.*)/.exec(this.#console)?.[1];
    if (fatal !== undefined) return `the guest's agent gave up: ${quote(fatal)}`;
    if (this.#panicked) return "the guest's kernel panicked";
    const line = this.#errors.trim().split("\n").at(-1) ?? "";
    return line === "" ? "QEMU gave no reason" : quote(line);
  }
}

/** Words that a guest may have chosen. Controls would take six characters each in the record of the end. */
function quote(text: string): string {
  return text.slice(0, MAX_QUOTE).replace(/[^ -~]/g, "?");
}

/**
 * @param options.greeted whether HELLO and identity wait in the machine's socket already
 * @throws SbxError `vm_start_failed` when QEMU ends first, `vm_start_timeout` when the deadline passes, the reason of
 *   `signal`
 */
export async function connectAgent(
  vm: VirtualMachine,
  words: LastWords,
  deadlineMs: number,
  { signal, greeted = false }: { signal?: AbortSignal; greeted?: boolean } = {},
): Promise<AgentLink> {
  const giveUp = new AbortController();
  const onAbort = (): void => giveUp.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted === true) onAbort();
  const timer = setTimeout(() => {
    giveUp.abort(
      new SbxError("vm_start_timeout", `the guest did not come up within ${deadlineMs / 1000} s: ${words.summary()}`, {
        hint: "sbx doctor",
      }),
    );
  }, deadlineMs);
  void vm.exited.then(({ code, signal }) => {
    const how = describeExit(code, signal);
    giveUp.abort(new SbxError("vm_start_failed", `QEMU ended ${how}: ${words.summary()}`, { hint: "sbx doctor" }));
  });
  try {
    return await openAgentLink(vm.agentSocket, { signal: giveUp.signal, greeted });
  } catch (error) {
    // A hang-up and the exit that caused it arrive in either order; the exit explains more.
    if (!giveUp.signal.aborted) await Promise.race([vm.exited, new Promise((resolve) => setTimeout(resolve, 500))]);
    throw giveUp.signal.aborted ? giveUp.signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** How QEMU ended. The jail passes a signal on as a status above 128. */
export function describeExit(code: number | null, signal: NodeJS.Signals | null): string {
  const number = signal === null ? (code ?? 0) - 128 : constants.signals[signal];
  if (number === constants.signals.SIGKILL) return "by SIGKILL (perhaps the host ran out of memory)";
  if (signal !== null) return `by ${signal}`;
  return number > 0 ? `by signal ${number}` : `with status ${code ?? 0}`;
}

/** What makes one clone of a template different from all others, if that was not said before there was a link. */
export async function giveIdentity(link: AgentLink, hostname: string): Promise<void> {
  if (link.greeting === undefined) {
    await link.call("resume", newIdentity(hostname));
    return;
  }
  await link.greeting;
}
