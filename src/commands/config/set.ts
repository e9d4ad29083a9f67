/** `sbx config set`: writes a setting to the configuration file. */
import * as Args from "@oclif/core/args";
import { PlainCommand } from "../../cli/plain-command.ts";
import { parseSettingName } from "../../cli/settings/names.ts";
import { SETTING_KEYS } from "../../cli/settings/keys.ts";
import { writeSettings } from "../../cli/settings/store.ts";

export default class ConfigSet extends PlainCommand {
  static override summary = "Set a default for new sandboxes.";

  static override examples = [
    { description: "More memory", command: "<%= config.bin %> config set memory 2GiB" },
    { description: "An image of one's own", command: "<%= config.bin %> config set image data" },
  ];

  static override args = {
    key: Args.string({ description: "Setting.", required: true, ignoreStdin: true }),
    value: Args.string({ description: "Value.", required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ConfigSet);
    const key = parseSettingName(args.key);
    const { settings, sources, path } = this.loadedSettings;
    const changed = { ...settings };
    SETTING_KEYS[key].apply(changed, args.value);
    const value = SETTING_KEYS[key].show(changed);
    await writeSettings(this.context.env, { [key]: value });
    if (flags.json) this.printJson({ key, value, path });
    else if (!flags.quiet && sources[key] === "environment") {
      this.notice(`${SETTING_KEYS[key].env} is set and wins over the file`);
    }
  }
}
