/** `sbx forward`: ports of this machine that lead into a sandbox, for as long as the command runs. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { isIP } from "node:net";
import { SbxCommand } from "../cli/base-command.ts";
import { explainLostSandbox } from "../cli/create/failures.ts";
import { sandboxArg } from "../cli/flags/sandbox-arg.ts";
import { FailureNotices } from "../cli/forward/failure-notices.ts";
import { type Forward as OpenForward, openForward } from "../cli/forward/forward.ts";
import { prose } from "../cli/output/prose.ts";
import { describeTarget, parseForwardOperand } from "../cli/parsers/forward-operand.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { quoteValue, usageError } from "../cli/parsers/usage-error.ts";
import { forwardJson, forwardLine, isLoopback } from "../cli/view/forward-view.ts";
import { SbxError } from "../runtime/errors.ts";
import type { Sandbox } from "../runtime/runtime.ts";

export default class Forward extends SbxCommand {
  static override summary = "Forward ports of this machine into a sandbox.";

  static override description = prose(`
Any protocol over TCP, until Ctrl-C or the end of the sandbox. Nothing has to listen in the sandbox yet. For HTTP there
is sbx expose, whose URLs nobody else on this machine can guess; a forwarded port is open to all of its users.

HOSTPORT:PORT; a port alone is the same on both sides, and 0 in front means any free one, which is printed. Behind the
colon there can be the path of a Unix socket of the sandbox.`);

  static override usage = ["forward SANDBOX [HOSTPORT:]PORT...", "forward SANDBOX HOSTPORT:/PATH..."];

  static override examples = [
    { description: "A database, and a server", command: "<%= config.bin %> forward web 5432 8080:3000" },
    { description: "Any free port, for a program", command: "<%= config.bin %> forward web 0:3000 --json" },
    { description: "A Unix socket", command: "<%= config.bin %> forward web 8080:/run/app.sock" },
  ];

  static override args = {
    sandbox: sandboxArg,
    ports: Args.string({ description: "What leads where.", required: true, multiple: true, ignoreStdin: true }),
  };

  static override flags = {
    address: Flags.string({
      summary: "Listen on this address of the machine instead of its loopback.",
      helpValue: "ADDRESS",
      parse: async (text) => {
        if (isIP(text) === 0) throw usageError(`${quoteValue(text)} is not an IP address`, "--address 0.0.0.0");
        return text;
      },
    }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Forward);
    const operands = args.ports.map(parseForwardOperand);
    const addresses = flags.address === undefined ? ["127.0.0.1", "::1"] : [flags.address];
    const { signal } = this.interrupt;
    await using runtime = await this.openRuntime();
    await using sandbox = await runtime.connect(parseSandboxRef(args.sandbox), { signal });
    const notices = new FailureNotices((text) => this.notice(text));
    await using forwards = new AsyncDisposableStack();
    for (const { hostPort, target } of operands) {
      const forward = await openForward({
        ...{ addresses, port: hostPort },
        open: async (closing) => {
          const tunnel = await sandbox.openTunnel(target, { signal: closing });
          notices.succeeded(target);
          return tunnel;
        },
        onFailure: (error) => notices.failed(target, error),
      });
      forwards.use(forward);
      if (flags.address !== undefined && !isLoopback(flags.address)) this.#warn(forward, describeTarget(target));
      const ways = forward.addresses.map((address) => ({ address, port: forward.port, target }));
      if (flags.json) for (const way of ways.slice(0, 1)) this.printJson(forwardJson(way));
      else for (const way of ways.slice(0, 1)) this.print(forwardLine(way));
    }
    try {
      await this.#untilEnd(sandbox);
    } catch (error) {
      throw await explainLostSandbox(error, runtime, sandbox.id);
    }
  }

  #warn({ port }: OpenForward, target: string): void {
    this.notice(`whoever reaches this machine can now talk to ${target} of the sandbox at port ${port}`);
  }

  /** Ctrl-C is how one stops it; it is no failure then. */
  async #untilEnd(sandbox: Sandbox): Promise<void> {
    const { signal } = this.interrupt;
    const interrupted = Promise.withResolvers<"interrupted">();
    signal.addEventListener("abort", () => interrupted.resolve("interrupted"), { once: true });
    if (signal.aborted) interrupted.resolve("interrupted");
    const end = await Promise.race([sandbox.closed, interrupted.promise]);
    if (end !== "interrupted") {
      throw new SbxError("connection_closed", "the sandbox is gone", { cause: end, hint: `sbx inspect ${sandbox.id}` });
    }
    if (this.interrupt.received !== "SIGINT") signal.throwIfAborted();
  }
}
