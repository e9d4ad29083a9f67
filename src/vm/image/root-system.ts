/**
 * Puts the guest's root file system together inside a workshop: Debian by mmdebstrap, the recipe's files, the account
 * `app`, and nothing that tells of the machine it was made on.
 */
import path from "node:path";
import { SbxError } from "../../runtime/errors.ts";
import { CommandFailure } from "./command.ts";
import type { DebianSources } from "./debian-sources.ts";
import type { Recipe } from "./recipe.ts";
import type { Workshop } from "./workshop.ts";

/** The account that commands run as. */
export const GUEST_USER = { name: "app", uid: 1000, gid: 1000, home: "/home/app" } as const;

/** What must not be in an image: traces of the build and of the host, and what every sandbox gets anew. */
const REMOVED = [
  "etc/apt/apt.conf.d/99mmdebstrap",
  "etc/apt/sources.list",
  "etc/apt/sources.list.d",
  "var/cache/apt",
  "var/cache/debconf/config.dat-old",
  "var/cache/debconf/templates.dat-old",
  "var/cache/ldconfig",
  "var/lib/apt/lists",
  "var/lib/dbus/machine-id",
  "var/lib/systemd/random-seed",
  "var/log",
  "tmp",
  "var/tmp",
  "dev",
  "run",
];
const MADE_AGAIN: readonly (readonly [string, string])[] = [
  ["etc/apt/sources.list.d", "0755"],
  ["var/cache/apt/archives/partial", "0755"],
  ["var/lib/apt/lists/partial", "0755"],
  ["var/log/apt", "0755"],
  ["tmp", "1777"],
  ["var/tmp", "1777"],
  ["dev", "0755"],
  ["run", "0755"],
];

/** What dpkg leaves out by etc/dpkg/dpkg.cfg.d/sbx, but mmdebstrap's first extraction does not. Licences stay. */
const DOCUMENTATION: readonly (readonly [string, string])[] = [
  ["usr/share/doc", "copyright"],
  ["usr/share/man", ""],
  ["usr/share/info", ""],
  ["usr/share/locale", "locale.alias"],
];

/** mmdebstrap's stages, in words for people who have not heard of it. */
const STAGES: Readonly<Record<string, string>> = {
  "running apt-get update": "fetching the package lists",
  "downloading packages with apt": "fetching the base system",
  "extracting archives": "unpacking the base system",
  "installing essential packages": "setting up the base system",
  "installing remaining packages inside the chroot": "installing packages",
};

const APT_CONFIGURATION = `APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
`;

export interface RootSystemOptions {
  workshop: Workshop;
  sources: DebianSources;
  recipe: Recipe;
  extraPackages: readonly string[];
  signal?: AbortSignal | undefined;
  onPackages: (done: number, total: number) => void;
  onStep: (message: string) => void;
}

/** Where the root file system lies in a workshop. */
export function rootPath(workshop: Workshop): string {
  return `${workshop.directory}/root`;
}

/**
 * Installs Debian. Package lists and apt's settings stay until {@link finishRootSystem}.
 *
 * @throws SbxError `image_build_failed`, naming a package that Debian does not have
 */
export async function installDebian(options: RootSystemOptions): Promise<void> {
  const { workshop, sources, recipe, signal } = options;
  const setup = `${workshop.directory}/setup`;
  const dpkgSettings = recipe.files.find((file) => file.path === "/etc/dpkg/dpkg.cfg.d/sbx");
  await workshop.run(["mkdir", setup]);
  await workshop.writeFile(`${setup}/sources.list`, sources.buildList, signal);
  await workshop.writeFile(`${setup}/apt.conf`, APT_CONFIGURATION + sources.aptConfiguration, signal);
  await workshop.writeFile(`${setup}/dpkg.cfg`, dpkgSettings?.content ?? "", signal);
  const included = [...recipe.packages, ...sources.distribution.packages, ...options.extraPackages];
  const flags = [
    "--mode=unshare",
    "--variant=apt",
    "--format=directory",
    "--verbose",
    `--architectures=${recipe.architecture}`,
    `--include=${included.join(",")}`,
    `--aptopt=${setup}/apt.conf`,
    // As dpkg's own file, not by --dpkgopt: that would send every essential package through a filter in Python.
    `--setup-hook=mkdir -p "$1/etc/dpkg/dpkg.cfg.d" && cp ${setup}/dpkg.cfg "$1/etc/dpkg/dpkg.cfg.d/sbx"`,
    "--skip=cleanup/apt/lists,check/qemu",
    ...(options.extraPackages.length === 0 ? [] : [`--extract-hook=${packageCheck(options.extraPackages)}`]),
  ];
  try {
    const argv = ["mmdebstrap", ...flags, sources.distribution.codename, rootPath(workshop), `${setup}/sources.list`];
    await workshop.run(argv as ["mmdebstrap", ...string[]], {
      signal,
      // Whatever ends the build, mmdebstrap's own temporary directories go with the workshop.
      env: { ...buildEnvironment(), TMPDIR: setup },
      onLine: packageCounter(options),
    });
  } catch (error) {
    throw error instanceof CommandFailure ? debianFailure(error, sources.distribution.codename) : error;
  }
}

/** Lets apt plan the installation, so that a package that does not exist is known in seconds. Names are checked. */
function packageCheck(names: readonly string[]): string {
  return `env APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --quiet=2 --simulate install ${names.join(" ")} > /dev/null`;
}

/** Files, links, directories and the account of the recipe; then everything goes that an image must not hold. */
export async function finishRootSystem(options: RootSystemOptions): Promise<void> {
  const { workshop, recipe, signal } = options;
  const root = rootPath(workshop);
  const run = async (...argv: [string, ...string[]]): Promise<void> => {
    await workshop.run(argv, { signal });
  };
  await run("rm", "-rf", "--one-file-system", ...REMOVED.map((item) => `${root}/${item}`));
  for (const [directory, kept] of DOCUMENTATION) {
    await run("find", `${root}/${directory}`, "!", "-type", "d", "!", "-name", kept, "-delete");
    await run("find", `${root}/${directory}`, "-mindepth", "1", "-type", "d", "-empty", "-delete");
  }
  for (const [directory, mode] of MADE_AGAIN) await run("install", "-d", "-m", mode, `${root}/${directory}`);
  for (const file of recipe.files) {
    await run("mkdir", "-p", `${root}${path.dirname(file.path)}`);
    await workshop.writeFile(`${root}${file.path}`, file.content, signal);
    await run("chmod", file.mode, `${root}${file.path}`);
  }
  await workshop.writeFile(`${root}/etc/apt/sources.list.d/debian.list`, options.sources.guestList, signal);
  for (const link of recipe.links) await run("ln", "-sfn", link.target, `${root}${link.path}`);
  await makeAccount(run, root);
  for (const item of recipe.directories) {
    await run("chroot", root, "install", "-d", "-m", item.mode, "-o", item.owner, "-g", item.owner, item.path);
  }
}

async function makeAccount(run: (...argv: [string, ...string[]]) => Promise<void>, root: string): Promise<void> {
  const { name, uid, home } = GUEST_USER;
  const account = ["--uid", String(uid), "--user-group", "--groups", "sudo", "--shell", "/bin/bash"];
  await run("chroot", root, "useradd", ...account, "--create-home", "--home-dir", home, name);
  // So that `pip install` and `npm install -g` work without sudo and what they install is on everyone's PATH.
  await run("chroot", root, "chown", "-R", `${name}:${name}`, "/usr/local");
}

/** What is installed, sorted by name. */
export async function listPackages(workshop: Workshop): Promise<{ name: string; version: string }[]> {
  const format = "${binary:Package}\t${Version}\n";
  const output = await workshop.run(["dpkg-query", "--root", rootPath(workshop), "--show", "--showformat", format]);
  return output
    .toString("utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [name = "", version = ""] = line.split("\t");
      return { name, version };
    });
}

/** `Debian GNU/Linux 13 (trixie)` */
export async function distributionName(workshop: Workshop): Promise<string> {
  const text = (await workshop.run(["cat", `${rootPath(workshop)}/etc/os-release`])).toString("utf8");
  return /^PRETTY_NAME="?([^"\n]+)"?$/m.exec(text)?.[1] ?? "Debian GNU/Linux";
}

/** No more of the host's environment than downloads need: package scripts see it. */
function buildEnvironment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
  for (const name of ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"]) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return env;
}

/** Counts packages as apt and dpkg speak of them: fetched, unpacked and set up are three steps of each. */
function packageCounter(options: RootSystemOptions): (line: string) => void {
  let total = 0;
  let done = 0;
  return (line) => {
    const planned = /(\d+) newly installed/.exec(line);
    const stage = /^I: (.+?)\.\.\.$/.exec(line);
    if (planned?.[1] !== undefined) total += Number(planned[1]) * 3;
    else if (stage?.[1] !== undefined) {
      const step = STAGES[stage[1]];
      if (step !== undefined) options.onStep(step);
    } else if (/^(Get:\d+ .* \[|Unpacking |Setting up )/.test(line)) {
      done += 1;
      if (total > 0) options.onPackages(Math.min(done, total), total);
    }
  };
}

/** apt's two ways of saying that there is no such package. */
const NO_PACKAGE = /^E: (?:Unable to locate package (\S+)|Package '?([^' ]+)'? has no installation candidate)/m;

function debianFailure(failure: CommandFailure, codename: string): SbxError {
  const [, unknown, unavailable] = NO_PACKAGE.exec(failure.output) ?? [];
  const name = unknown ?? unavailable;
  const cause = new Error(`${failure.message}\n${failure.output}`.trimEnd());
  if (name !== undefined) {
    return new SbxError("image_build_failed", `Debian ${codename} has no package ${JSON.stringify(name)}`, {
      hint: `look for its name with: apt-cache search ${name}`,
    });
  }
  return new SbxError("image_build_failed", `mmdebstrap could not install Debian ${codename}`, {
    cause,
    hint: "check the network and the mirror with: sudo apt-get update",
  });
}
