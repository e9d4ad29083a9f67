/**
 * The guest's kernel: the distribution's cloud kernel, unpacked beside the root file system. It is not installed as a
 * package, since that would bring initramfs-tools with it, and 20 seconds to make an initramfs that nobody boots.
 */
import { writeCpio, type CpioEntry } from "./cpio.ts";
import { loadOrder, moduleName, parseModuleIndex } from "./kernel-modules.ts";
import type { Recipe } from "./recipe.ts";
import { rootPath } from "./root-system.ts";
import type { Argv } from "./command.ts";
import type { Workshop } from "./workshop.ts";

export interface InstalledKernel {
  /** As `uname -r` prints it. */
  release: string;
  /** The package, such as `linux-image-6.12.41+deb13-cloud-amd64`, and its version. */
  package: { name: string; version: string };
  /** Path of the bootable image, as seen from inside the workshop. */
  imagePath: string;
}

/** Downloads the kernel with the package lists that mmdebstrap fetched, and moves its modules into the root. */
export async function installKernel(
  workshop: Workshop,
  recipe: Recipe,
  signal: AbortSignal | undefined,
): Promise<InstalledKernel> {
  const directory = `${workshop.directory}/kernel`;
  const configuration = `${workshop.directory}/setup/kernel-apt.conf`;
  await workshop.run(["mkdir", directory]);
  await workshop.writeFile(configuration, aptConfiguration(workshop, recipe.architecture), signal);
  const apt = async (...argv: string[]): Promise<string> => {
    const [program = "", ...args] = argv;
    const command: Argv = ["env", `--chdir=${directory}`, `APT_CONFIG=${configuration}`, program, ...args];
    return (await workshop.run(command, { signal })).toString("utf8");
  };
  const depends = await apt("apt-cache", "depends", "--important", `linux-image-cloud-${recipe.architecture}`);
  const name = /^\s*Depends: (linux-image-\S+)$/m.exec(depends)?.[1];
  if (name === undefined) throw new Error(`linux-image-cloud-${recipe.architecture} depends on no kernel: ${depends}`);
  await apt("apt-get", "--quiet", "download", name);
  const debs = (await apt("find", ".", "-name", "*.deb")).split("\n").filter(Boolean);
  const [deb] = debs;
  if (deb === undefined || debs.length !== 1) throw new Error(`apt downloaded ${debs.length} packages for ${name}`);
  const version = (await apt("dpkg-deb", "--field", deb, "Version")).trim();
  await apt("dpkg-deb", "--extract", deb, "tree");
  return { ...(await placeModules(workshop, `${directory}/tree`, signal)), package: { name, version } };
}

async function placeModules(
  workshop: Workshop,
  tree: string,
  signal: AbortSignal | undefined,
): Promise<Omit<InstalledKernel, "package">> {
  const found = (await workshop.run(["find", tree, "-path", "*/lib/modules/*", "-prune"])).toString("utf8");
  const [modules = ""] = found.split("\n");
  const release = modules.slice(modules.lastIndexOf("/") + 1);
  if (!/^\d+\.\d+\.[\w.+~-]+$/.test(release)) throw new Error(`the kernel package has no modules: ${found}`);
  const root = rootPath(workshop);
  await workshop.run(["mkdir", "-p", `${root}/usr/lib/modules`]);
  await workshop.run(["mv", modules, `${root}/usr/lib/modules/${release}`]);
  await workshop.run(["chroot", root, "depmod", release], { signal });
  return { release, imagePath: `${tree}/boot/vmlinuz-${release}` };
}

/** An archive of the modules that must be there before the root file system is, ready to load, and their order. */
export async function packModules(
  workshop: Workshop,
  recipe: Recipe,
  release: string,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const base = `${rootPath(workshop)}/usr/lib/modules/${release}`;
  const read = async (name: string): Promise<string> =>
    (await workshop.run(["cat", `${base}/${name}`])).toString("utf8");
  const index = parseModuleIndex(await read("modules.dep"), await read("modules.builtin"));
  const entries: CpioEntry[] = [{ type: "directory", path: "modules", mode: 0o755 }];
  const order: string[] = [];
  for (const file of loadOrder(index, recipe.kernelModules)) {
    const name = `${moduleName(file)}.ko`;
    const content = await workshop.run(unpacker(`${base}/${file}`), { signal });
    entries.push({ type: "file", path: `modules/${name}`, mode: 0o644, content });
    order.push(`${name}\n`);
  }
  entries.push({ type: "file", path: "modules/order", mode: 0o644, content: Buffer.from(order.join("")) });
  return writeCpio(entries);
}

function unpacker(file: string): Argv {
  if (file.endsWith(".xz")) return ["xz", "--decompress", "--stdout", file];
  if (file.endsWith(".zst")) return ["zstd", "--decompress", "--stdout", "--quiet", file];
  if (file.endsWith(".gz")) return ["gzip", "--decompress", "--stdout", file];
  return ["cat", file];
}

/** The host's apt, working on the image's lists; in the manner of mmdebstrap. */
function aptConfiguration(workshop: Workshop, architecture: string): string {
  const root = rootPath(workshop);
  return `Dir "${root}";
Dir::State::Status "${root}/var/lib/dpkg/status";
APT::Architecture "${architecture}";
APT::Architectures { "${architecture}"; };
APT::Sandbox::User "root";
#clear Dir::Bin::methods;
Dir::Bin::methods "/usr/lib/apt/methods";
`;
}
