/** `sbx config list`: all settings, and where each comes from. */
import { PlainCommand } from "../../cli/plain-command.ts";
import { renderTable, type Column } from "../../cli/output/table.ts";
import { SETTING_KEYS, SETTING_NAMES } from "../../cli/settings/keys.ts";
import { prose } from "../../cli/output/prose.ts";

const COLUMNS: readonly Column[] = [{ title: "KEY" }, { title: "VALUE", minWidth: 8 }, { title: "SOURCE" }];

export default class ConfigList extends PlainCommand {
  static override aliases = ["config:ls"];
  static override summary = "List the settings and where each value comes from.";

  static override description = prose(`
A setting comes from its environment variable, else from the configuration file ($XDG_CONFIG_HOME/sbx/config.json,
usually ~/.config/sbx/config.json), else it is the default. Options of a command win over all of them.

${SETTING_NAMES.map((name) => `  ${name.padEnd(8)} ${SETTING_KEYS[name].env.padEnd(12)} ${SETTING_KEYS[name].summary}`).join("\n")}`);

  static override examples = [{ description: "All of them", command: "<%= config.bin %> config list" }];

  async run(): Promise<void> {
    const { flags } = await this.parse(ConfigList);
    const { settings, sources, path } = this.loadedSettings;
    const rows = SETTING_NAMES.map((key) => ({
      key,
      value: SETTING_KEYS[key].show(settings),
      source: sources[key],
      place: { default: "default", file: path, environment: SETTING_KEYS[key].env }[sources[key]],
    }));
    if (flags.json) {
      this.printJson(
        rows.map(({ key, value, source, place }) =>
          source === "default" ? { key, value, source } : { key, value, source, place },
        ),
      );
    } else if (flags.quiet) {
      for (const { key } of rows) this.print(key);
    } else {
      const cells = rows.map(({ key, value, source, place }) => [
        key,
        value,
        source === "default" ? source : `${source} (${place})`,
      ]);
      this.print(renderTable(COLUMNS, cells, { width: this.stdoutWidth, palette: await this.stdoutPalette() }));
    }
  }
}
