/** `sbx net allow`: a rule for a running sandbox. */
import { changeArgs, NetChangeCommand } from "../../cli/network/change-command.ts";

export default class NetAllow extends NetChangeCommand {
  static override summary = "Let a running sandbox reach more hosts, at once.";

  static override description =
    "Holds from this moment until the sandbox ends. The exit status is 1 if a host is still denied by something else.";

  static override examples = [
    { description: "One host", command: "<%= config.bin %> net allow web api.example.com" },
    {
      description: "A database, and a service with two ports",
      command: "<%= config.bin %> net allow web db.example.com:5432 cache.example.com:6379,6380",
    },
  ];

  static override args = changeArgs;

  protected readonly verdict = "allow";

  async run(): Promise<void> {
    const { args, flags } = await this.parse(NetAllow);
    await this.change(args, flags);
  }
}
