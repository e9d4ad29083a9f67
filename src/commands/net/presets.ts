/** `sbx net presets`: what --net none, balanced and open stand for. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { prose } from "../../cli/output/prose.ts";
import { renderTable } from "../../cli/output/table.ts";
import { PRESETS, presetText } from "../../cli/view/preset-view.ts";
import { presetGroups, type Registry } from "../../policy/presets.ts";
import type { NetMode } from "../../policy/spec.ts";

export default class NetPresets extends SbxCommand {
  static override summary = "Show what --net none, balanced and open stand for.";

  static override description = prose(`
The hosts of balanced are what most development work needs, over HTTPS, and those that the default image's package
managers fetch from. Whatever can be uploaded to one of them can leave the sandbox.`);

  static override examples = [{ description: "The hosts of one", command: "<%= config.bin %> net presets balanced" }];

  static override args = {
    name: Args.string({
      description: "Preset to print the hosts of.",
      options: Object.keys(PRESETS),
      ignoreStdin: true,
    }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(NetPresets);
    const { name } = args as { name?: NetMode };
    if (name === undefined) {
      const rows = Object.entries(PRESETS).map(([preset, summary]) => [preset, summary]);
      if (flags.json) this.printJson(rows.map(([preset, summary]) => ({ name: preset, summary })));
      else if (flags.quiet) this.print(Object.keys(PRESETS).join("\n"));
      else this.print(renderTable(COLUMNS, rows, { width: this.stdoutWidth, palette: await this.stdoutPalette() }));
      return;
    }
    const groups = presetGroups(name, { registries: await this.#registries() });
    if (flags.json) this.printJson({ name, summary: PRESETS[name], groups });
    else if (flags.quiet) for (const { hosts } of groups) this.print(hosts.join("\n"));
    else this.print(presetText(name, groups, await this.stdoutPalette()));
  }

  /** Those of the default image, if it has been built. */
  async #registries(): Promise<readonly Registry[]> {
    await using runtime = await this.openRuntime();
    const images = await runtime.images.list({ signal: this.interrupt.signal });
    return images.find(({ isDefault }) => isDefault)?.registries ?? [];
  }
}

const COLUMNS = [{ title: "PRESET" }, { title: "WHAT IS ALLOWED WITHOUT A RULE", minWidth: 20 }];
