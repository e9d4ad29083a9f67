/** `sbx inspect`: all about one sandbox. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../cli/base-command.ts";
import { renderFields } from "../cli/output/table.ts";
import { parseSandboxRef } from "../cli/parsers/names.ts";
import { exposureFields, exposureJson } from "../cli/view/exposure-view.ts";
import { copyJson, folderFields } from "../cli/view/folder-view.ts";
import { sandboxFields, sandboxJson } from "../cli/view/sandbox-view.ts";

export default class Inspect extends SbxCommand {
  static override summary = "Show everything about a sandbox.";

  static override examples = [
    { description: "For a person", command: "<%= config.bin %> inspect web" },
    { description: "For a program", command: "<%= config.bin %> inspect web --json | jq -r .expiresAt" },
  ];

  static override args = {
    sandbox: Args.string({ description: "Id or name, or the beginning of either.", required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Inspect);
    await using runtime = await this.openRuntime();
    const { signal } = this.interrupt;
    const info = await runtime.get(parseSandboxRef(args.sandbox), { signal });
    if (flags.quiet && !flags.json) {
      this.print(info.id);
      return;
    }
    // A sandbox that ends in this moment has none.
    const runs = info.status === "running" || info.status === "paused";
    const mounts = runs ? await runtime.folders.mounts(info.id, { signal }).catch(() => []) : [];
    const exposures = runs ? await runtime.exposures.list(info.id, { signal }).catch(() => []) : [];
    // A record that cannot be read is what sbx sync complains of; the rest is worth knowing all the same.
    const copies = await runtime.folders.copies(info.id, { signal }).catch(() => []);
    if (flags.json) {
      const others = { mounts, copies: copies.map(copyJson), exposures: exposures.map(exposureJson) };
      this.printJson({ ...sandboxJson(info), ...others });
    } else {
      const more = [...folderFields(mounts, copies), ...exposureFields(exposures)];
      const fields = [...sandboxFields(info, this.context.now()), ...more];
      this.print(renderFields(fields, await this.stdoutPalette()));
    }
  }
}
