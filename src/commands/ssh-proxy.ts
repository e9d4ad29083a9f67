/**
 * `sbx ssh-proxy`: what SSH clients run to reach a sandbox (ssh_config(5), ProxyCommand). Mostly it does not get this
 * far: bin/run.js tries runtime/local/ssh/quick-proxy.ts before.
 */
import { Socket } from "node:net";
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../cli/base-command.ts";
import { readSshHost } from "../cli/contexts/ssh-host.ts";
import { LOCAL_CONTEXT } from "../runtime/contexts/target.ts";

const SUFFIX = /\.sbx$/i;

export default class SshProxy extends SbxCommand {
  static override hidden = true;
  static override summary = "Connect an SSH client to a sandbox (for ProxyCommand).";
  static override examples = [{ description: "In ssh_config", command: "ProxyCommand <%= config.bin %> ssh-proxy %h" }];

  static override args = {
    host: Args.string({ description: "NAME, NAME.sbx or NAME.CONTEXT.sbx.", required: true, ignoreStdin: true }),
  };

  #named: string = LOCAL_CONTEXT;

  protected override describeContext(): undefined {
    return undefined;
  }

  /** The host name says it: without a context in it, it is a sandbox of this machine. */
  protected override get namedContext(): string {
    return this.#named;
  }

  async run(): Promise<void> {
    const { args } = await this.parse(SshProxy);
    const { ref, context } = readSshHost(args.host.replace(SUFFIX, ""), this.context.env);
    this.#named = context;
    const { sendSocket, wantsSocket } = await import("../host/socket-handover.ts");
    const clientFirst = wantsSocket();
    await using runtime = await this.openRuntime();
    const { stream } = await runtime.ssh.open(ref, {
      hostName: args.host.toLowerCase(),
      clientFirst,
      signal: this.interrupt.signal,
    });
    // What goes to a server is no socket of the sandbox's own: TLS may be around it.
    if (clientFirst && context === LOCAL_CONTEXT && stream instanceof Socket) await sendSocket(stream);
    else await (await import("../cli/ssh/relay.ts")).relay(stream, this.context);
  }
}
