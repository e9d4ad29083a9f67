/** `sbx image build`: an image of one's own. */
import * as Args from "@oclif/core/args";
import { SbxCommand } from "../../cli/base-command.ts";
import { switchFlag } from "../../cli/flags/common.ts";
import { parseImageRef } from "../../cli/parsers/names.ts";
import { parsePackageName } from "../../cli/parsers/package-name.ts";
import { imageJson } from "../../cli/view/image-view.ts";

export default class ImageBuild extends SbxCommand {
  static override summary = "Build an image with more Debian packages.";

  static override description =
    "The packages come on top of those of the default image. An image of the same recipe is not built again, only named.";

  static override examples = [
    { description: "With a database", command: "<%= config.bin %> image build data sqlite3 postgresql-client" },
    { description: "Used", command: "<%= config.bin %> create --image data" },
  ];

  static override args = {
    name: Args.string({ description: "Name for the image.", required: true, ignoreStdin: true }),
    packages: Args.string({ description: "Debian packages.", multiple: true, ignoreStdin: true }),
  };

  static override flags = {
    force: switchFlag({ char: "f", summary: "Build it although there is one of the same recipe." }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ImageBuild);
    const spec = {
      name: parseImageRef(args.name),
      packages: (args.packages ?? []).map(parsePackageName),
      force: flags.force,
    };
    await using runtime = await this.openRuntime();
    using progress = this.openProgress({ quiet: flags.quiet || flags.json });
    const image = await runtime.images.build(spec, { signal: this.interrupt.signal, onProgress: progress.onProgress });
    progress.stop();
    if (flags.json) this.printJson(imageJson(image));
    else this.print(image.id);
  }
}
