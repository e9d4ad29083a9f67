/** `sbx config get`: one setting. */
import * as Args from "@oclif/core/args";
import { PlainCommand } from "../../cli/plain-command.ts";
import { parseSettingName } from "../../cli/settings/names.ts";
import { SETTING_KEYS } from "../../cli/settings/keys.ts";

export default class ConfigGet extends PlainCommand {
  static override summary = "Show the value of a setting that is in force.";

  static override examples = [
    { description: "How much memory a new sandbox gets", command: "<%= config.bin %> config get memory" },
  ];

  static override args = { key: Args.string({ description: "Setting.", required: true, ignoreStdin: true }) };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ConfigGet);
    const key = parseSettingName(args.key);
    const { settings, sources } = this.loadedSettings;
    const value = SETTING_KEYS[key].show(settings);
    if (flags.json) this.printJson({ key, value, source: sources[key] });
    else this.print(value);
  }
}
