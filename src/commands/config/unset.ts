/** `sbx config unset`: takes a setting out of the configuration file. */
import * as Args from "@oclif/core/args";
import { PlainCommand } from "../../cli/plain-command.ts";
import { parseSettingName } from "../../cli/settings/names.ts";
import { writeSettings } from "../../cli/settings/store.ts";

export default class ConfigUnset extends PlainCommand {
  static override summary = "Go back to the default of a setting.";

  static override examples = [
    { description: "The default image again", command: "<%= config.bin %> config unset image" },
  ];

  static override args = { key: Args.string({ description: "Setting.", required: true, ignoreStdin: true }) };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ConfigUnset);
    const key = parseSettingName(args.key);
    const { file, path } = this.loadedSettings;
    const removed = file[key] !== undefined;
    if (removed) await writeSettings(this.context.env, { [key]: undefined });
    if (flags.json) this.printJson({ key, removed, path });
  }
}
