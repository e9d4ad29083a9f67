/** `sbx image inspect`: all about one image. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { switchFlag } from "../../cli/flags/common.ts";
import { renderFields } from "../../cli/output/table.ts";
import { parseImageRef } from "../../cli/parsers/names.ts";
import { imageFields, imageJson } from "../../cli/view/image-view.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { ImageInfo } from "../../runtime/types.ts";

export default class ImageInspect extends SbxCommand {
  static override summary = "Show everything about an image.";

  static override description =
    "A damaged image is shown with what is wrong, as far as sizes and the manifest tell. With --verify every byte of it is read, and the command fails if one has changed.";

  static override examples = [
    { description: "Whether it is still as it was built", command: "<%= config.bin %> image inspect default --verify" },
    { description: "Its packages", command: "<%= config.bin %> image inspect data --json | jq -r '.packages[]'" },
  ];

  static override args = {
    image: Args.string({ description: "Name or id, or the beginning of an id.", required: true, ignoreStdin: true }),
  };

  static override flags = {
    verify: switchFlag({ summary: "Read every byte and compare it with what was built." }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ImageInspect);
    const ref = parseImageRef(args.image);
    await using runtime = await this.openRuntime();
    const image = flags.verify
      ? await this.#verify(runtime, ref, flags)
      : await runtime.images.get(ref, { signal: this.interrupt.signal });
    if (flags.json) {
      this.printJson(flags.verify ? { ...imageJson(image), verified: true } : imageJson(image));
    } else if (flags.quiet) {
      this.print(image.id);
    } else {
      const fields = imageFields(image, this.context.now());
      if (flags.verify) fields.push(["Verified", "every byte is as it was built"]);
      this.print(renderFields(fields, await this.stdoutPalette()));
    }
  }

  async #verify(runtime: Runtime, ref: string, flags: { quiet: boolean; json: boolean }): Promise<ImageInfo> {
    using progress = this.openProgress({ quiet: flags.quiet || flags.json });
    const { signal } = this.interrupt;
    const image = await runtime.images.verify(ref, { signal, onProgress: progress.onProgress });
    progress.stop();
    return image;
  }
}
