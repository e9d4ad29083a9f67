/** `sbx net deny`: a rule for a running sandbox. */
import { changeArgs, NetChangeCommand } from "../../cli/network/change-command.ts";

export default class NetDeny extends NetChangeCommand {
  static override summary = "Keep a running sandbox from hosts, at once.";

  static override description =
    "Holds from this moment until the sandbox ends, and wins over all that allows the host. Connections that are open end.";

  static override examples = [
    { description: "One host", command: "<%= config.bin %> net deny web uploads.example.com" },
    { description: "Everything", command: "<%= config.bin %> net deny web '*'" },
  ];

  static override args = changeArgs;

  protected readonly verdict = "deny";

  async run(): Promise<void> {
    const { args, flags } = await this.parse(NetDeny);
    await this.change(args, flags);
  }
}
