/**
 * `sbx ssh-proxy`: what SSH clients run to reach a sandbox (ssh_config(5), ProxyCommand). Mostly it does not get this
 * far: bin/run.js tries runtime/local/ssh/quick-proxy.ts before.
 */
import { Socket } from "node:net";
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../cli/base-command.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";

const SUFFIX = /\.sbx$/i;

export default class SshProxy extends SbxCommand {
  static override hidden = true;
  static override summary = "Connect an SSH client to a sandbox (for ProxyCommand).";
  static override examples = [{ description: "In ssh_config", command: "ProxyCommand <%= config.bin %> ssh-proxy %h" }];

  static override args = {
    host: Args.string({ description: "Name of the sandbox, also with .sbx.", required: true, ignoreStdin: true }),
  };

  protected override describeContext(): undefined {
    return undefined;
  }

  async run(): Promise<void> {
    const { args } = await this.parse(SshProxy);
    const ref = parseSandboxRef(args.host.replace(SUFFIX, ""));
    const { sendSocket, wantsSocket } = await import("../host/socket-handover.ts");
    const clientFirst = wantsSocket();
    await using runtime = await this.openRuntime();
    const { stream } = await runtime.ssh.open(ref, {
      hostName: args.host.toLowerCase(),
      clientFirst,
      signal: this.interrupt.signal,
    });
    if (clientFirst && stream instanceof Socket) await sendSocket(stream);
    else await (await import("../cli/ssh/relay.ts")).relay(stream, this.context);
  }
}
