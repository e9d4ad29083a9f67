/** `sbx snapshot tree`: what was made from which snapshot. */
import { SbxCommand } from "../../cli/base-command.ts";
import { treeJson, treeLines } from "../../cli/view/snapshot-view.ts";

export default class SnapshotTree extends SbxCommand {
  static override summary = "Show what was made from which snapshot.";

  static override description =
    "Snapshots with what they take on this machine beyond what they stand on, and below each the snapshots, volumes and sandboxes that were made from it.";

  static override examples = [{ description: "All of it", command: "<%= config.bin %> snapshot tree" }];

  async run(): Promise<void> {
    const { flags } = await this.parse(SnapshotTree);
    await using runtime = await this.openRuntime();
    const trees = await runtime.snapshots.tree({ signal: this.interrupt.signal });
    if (flags.json) this.printJson(trees.map(treeJson));
    else for (const line of treeLines(trees)) this.print(line);
  }
}
