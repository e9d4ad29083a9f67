/** The host programs that an image build needs, and the Debian packages that bring them. */
import { SbxError } from "../../runtime/errors.ts";
import { findProgram } from "../qemu-binary.ts";
import { toolPath } from "./command.ts";

/** Program and the package that has it. */
export const BUILD_TOOLS: readonly { program: string; package: string }[] = [
  { program: "apt-get", package: "apt" },
  { program: "mmdebstrap", package: "mmdebstrap" },
  { program: "mke2fs", package: "e2fsprogs" },
  { program: "mount", package: "mount" },
  { program: "unshare", package: "util-linux" },
  { program: "newuidmap", package: "uidmap" },
  { program: "xz", package: "xz-utils" },
  { program: "zstd", package: "zstd" },
  { program: "npm", package: "npm" },
];

/** Tools that are not there. An ordinary account needs newuidmap, root does not. */
export async function missingBuildTools(): Promise<typeof BUILD_TOOLS> {
  const needed = BUILD_TOOLS.filter((tool) => tool.program !== "newuidmap" || process.getuid?.() !== 0);
  const found = await Promise.all(
    needed.map(async (tool) => (await findProgram(tool.program, toolPath())) !== undefined),
  );
  return needed.filter((_, index) => found[index] === false);
}

/** @throws SbxError `image_build_failed`, with the command that installs what is missing */
export async function requireBuildTools(): Promise<void> {
  const missing = await missingBuildTools();
  if (missing.length === 0) return;
  const programs = missing.map((tool) => tool.program).join(", ");
  if (missing.some((tool) => tool.program === "apt-get")) {
    throw new SbxError("image_build_failed", `images are built on Debian, and this machine lacks ${programs}`, {
      hint: "run sbx on Debian 12 or later",
    });
  }
  throw new SbxError("image_build_failed", `building an image takes programs that are not installed: ${programs}`, {
    hint: `sudo apt-get install ${missing.map((tool) => tool.package).join(" ")}`,
  });
}
