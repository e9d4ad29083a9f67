/** `sbx image inspect`: all about one image. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { renderFields } from "../../cli/output/table.ts";
import { parseImageRef } from "../../cli/parsers/names.ts";
import { imageFields, imageJson } from "../../cli/view/image-view.ts";

export default class ImageInspect extends SbxCommand {
  static override summary = "Show everything about an image.";

  static override examples = [
    { description: "Its packages", command: "<%= config.bin %> image inspect data --json | jq -r '.packages[]'" },
  ];

  static override args = {
    image: Args.string({ description: "Name or id, or the beginning of an id.", required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ImageInspect);
    await using runtime = await this.openRuntime();
    const image = await runtime.images.get(parseImageRef(args.image), { signal: this.interrupt.signal });
    if (flags.json) this.printJson(imageJson(image));
    else if (flags.quiet) this.print(image.id);
    else this.print(renderFields(imageFields(image, this.context.now()), await this.stdoutPalette()));
  }
}
