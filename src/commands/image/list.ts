/** `sbx image list`: the images. */
import { SbxCommand } from "../../cli/base-command.ts";
import { renderTable } from "../../cli/output/table.ts";
import { IMAGE_COLUMNS, imageJson, imageRow } from "../../cli/view/image-view.ts";

export default class ImageList extends SbxCommand {
  static override aliases = ["image:ls"];
  static override summary = "List the images.";

  static override examples = [{ description: "All of them", command: "<%= config.bin %> image list" }];

  async run(): Promise<void> {
    const { flags } = await this.parse(ImageList);
    await using runtime = await this.openRuntime();
    const images = await runtime.images.list({ signal: this.interrupt.signal });
    if (flags.json) {
      this.printJson(images.map(imageJson));
    } else if (flags.quiet) {
      for (const { id } of images) this.print(id);
    } else if (images.length === 0 && this.context.stdout.isTTY === true) {
      this.notice("no image yet; sbx setup builds one");
    } else {
      const rows = images.map((image) => imageRow(image, this.context.now()));
      this.print(renderTable(IMAGE_COLUMNS, rows, { width: this.stdoutWidth, palette: await this.stdoutPalette() }));
    }
  }
}
