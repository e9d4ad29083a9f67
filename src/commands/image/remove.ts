/** `sbx image remove`: removes images. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { yesFlag } from "../../cli/flags/common.ts";
import { forEachOf } from "../../cli/for-each.ts";
import { parseImageRef } from "../../cli/parsers/names.ts";
import { confirm } from "../../cli/prompts/confirm.ts";
import { imageJson } from "../../cli/view/image-view.ts";
import type { ImageInfo } from "../../runtime/types.ts";

export default class ImageRemove extends SbxCommand {
  static override aliases = ["image:rm"];
  static override summary = "Remove images.";

  static override description =
    "An image that sandboxes stand on is kept. Where more goes than was named (other names of the image, the default image), it asks first, on a terminal and without --yes.";

  static override examples = [{ description: "One", command: "<%= config.bin %> image remove data" }];

  static override args = {
    images: Args.string({
      description: "Names or ids, or beginnings of ids.",
      multiple: true,
      required: true,
      ignoreStdin: true,
    }),
  };

  static override flags = { yes: yesFlag };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ImageRemove);
    const refs = args.images.map(parseImageRef);
    await using runtime = await this.openRuntime();
    const call = { signal: this.interrupt.signal };
    const removed = await forEachOf(refs, async (ref) => {
      const image = await runtime.images.get(ref, call);
      const question = wouldSurprise(image, ref);
      if (question !== undefined && !(await confirm(question, { context: this.context, yes: flags.yes, ...call }))) {
        return undefined;
      }
      // By id: what was asked about is what goes.
      const gone = await runtime.images.remove(image.id, call);
      if (!flags.json && !flags.quiet) this.print(gone.id);
      return gone;
    });
    const images = removed.results.filter((image) => image !== undefined);
    if (flags.json) this.printJson(images.map(imageJson));
    removed.throwFailures("images");
  }
}

/** The question to ask where removing an image takes more with it than the user named. */
function wouldSurprise(image: ImageInfo, ref: string): string | undefined {
  if (image.isDefault) return "Remove the default image? The next sandbox would have to wait for a new one.";
  const others = image.names.filter((name) => name !== ref);
  if (others.length > 0) return `Remove the image ${image.id.slice(0, 12)}? It is also called ${others.join(", ")}.`;
  return undefined;
}
