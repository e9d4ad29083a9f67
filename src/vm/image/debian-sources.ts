/**
 * Where Debian comes from: the mirror that this machine's own apt is set up with. What apt says about its configuration
 * is the administrator's word; credentials in it stay on the host.
 */
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import path from "node:path";
import { SbxError } from "../../runtime/errors.ts";
import { CommandFailure, runCommand } from "./command.ts";
import type { RecipeDistribution } from "./recipe.ts";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const APT_HELPER = "/usr/lib/apt/apt-helper";
const RELEASES =
  "buster|bullseye|bookworm|trixie|forky|duke|sid|stable|oldstable|oldoldstable|testing|unstable|experimental";
const BASE_RELEASE = new RegExp(`^(${RELEASES})$`);
const SECURITY_RELEASE = new RegExp(`^(${RELEASES})-security$`);

/** One package index that apt knows of. */
export interface AptIndex {
  uri: string;
  release: string;
  component: string;
  signedBy: string | null;
}

export interface DebianSources {
  distribution: RecipeDistribution;
  /** sources.list for the build, credentials included. */
  buildList: string;
  /** sources.list for inside the image: only what a guest could reach, and no credentials. */
  guestList: string;
  /** apt's own settings for reaching it, such as a proxy; not for the image. */
  aptConfiguration: string;
}

/** What `apt-get indextargets` prints with {@link INDEX_FORMAT}. */
export function parseAptIndexes(text: string): AptIndex[] {
  const indexes: AptIndex[] = [];
  for (const line of text.split("\n")) {
    const [uri, release, component, signedBy] = line.split("|");
    if (uri === undefined || release === undefined || component === undefined) continue;
    // A field that an index does not have comes back as it was asked for.
    const key = signedBy === undefined || signedBy.startsWith("$(") || signedBy === "" ? null : signedBy;
    indexes.push({ uri, release, component, signedBy: key });
  }
  return indexes;
}

const INDEX_FORMAT = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)";

/** The mirrors in apt's configuration that hold Debian itself and its security updates. */
export function pickDebianMirrors(indexes: readonly AptIndex[]): { base: AptIndex; security: AptIndex | null } | null {
  const main = indexes.filter((index) => index.component === "main" && !index.uri.startsWith("cdrom:"));
  const base = main.find((index) => BASE_RELEASE.test(index.release));
  if (base === undefined) return null;
  return { base, security: main.find((index) => SECURITY_RELEASE.test(index.release)) ?? null };
}

/**
 * The first of the distributions that the mirror has.
 *
 * @param scratchPath directory for a small download
 * @throws SbxError `image_build_failed` when apt knows no Debian mirror or none of them answers
 */
export async function findDebianSources(
  distributions: readonly RecipeDistribution[],
  options: { scratchPath: string; mirror?: string | undefined; signal?: AbortSignal | undefined },
): Promise<DebianSources> {
  const { base, security } = await configuredMirrors(options.mirror, options.signal);
  const failures: string[] = [];
  for (const distribution of distributions) {
    const failure = await probe(base.uri, distribution.codename, options);
    if (failure === null) return describe(distribution, base, security, await aptConfiguration(options.signal));
    failures.push(`${distribution.codename}: ${failure}`);
  }
  throw new SbxError("image_build_failed", `the Debian mirror ${withoutCredentials(base.uri)} has no release to use`, {
    cause: new Error(failures.join("; ")),
    hint: "check the network with: sudo apt-get update",
  });
}

async function configuredMirrors(
  mirror: string | undefined,
  signal: AbortSignal | undefined,
): Promise<{ base: AptIndex; security: AptIndex | null }> {
  if (mirror !== undefined) {
    return { base: { uri: mirror, release: "stable", component: "main", signedBy: null }, security: null };
  }
  const argv = ["apt-get", "indextargets", "Created-By: Packages", "--format", INDEX_FORMAT] as const;
  const text = (await runCommand(argv, { signal })).toString("utf8");
  const picked = pickDebianMirrors(parseAptIndexes(text));
  if (picked === null) {
    throw new SbxError("image_build_failed", "apt on this machine names no Debian mirror", {
      hint: "images are built from Debian: name a mirror in SBX_DEBIAN_MIRROR",
    });
  }
  return {
    base: await resolveMirrorList(picked.base),
    security: picked.security === null ? null : await resolveMirrorList(picked.security),
  };
}

/** Debian's cloud images name their mirrors through a file: apt-transport-mirror(1). The first one in it is taken. */
async function resolveMirrorList(index: AptIndex): Promise<AptIndex> {
  const match = /^mirror\+file:(?:\/\/)?(\/.+?)\/?$/.exec(index.uri);
  if (match?.[1] === undefined) return index;
  const lines = (await readFile(match[1], "utf8")).split("\n").map((line) => line.trim());
  const uri = lines.find((line) => line !== "" && !line.startsWith("#"))?.split(/\s/)[0];
  return uri === undefined ? index : { ...index, uri };
}

/** `null` when the mirror has the release, else why not. apt's own downloader knows the machine's proxies. */
async function probe(
  uri: string,
  codename: string,
  options: { scratchPath: string; signal?: AbortSignal | undefined },
): Promise<string | null> {
  const target = path.join(options.scratchPath, `InRelease-${codename}`);
  try {
    await runCommand([APT_HELPER, "download-file", join(uri, `dists/${codename}/InRelease`), target], {
      signal: options.signal,
    });
    return null;
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    return error.output.split("\n").find((line) => line.startsWith("E: ")) ?? error.message;
  } finally {
    await rm(target, { force: true });
  }
}

function describe(
  distribution: RecipeDistribution,
  base: AptIndex,
  security: AptIndex | null,
  aptSettings: string,
): DebianSources {
  const { codename } = distribution;
  const suites = [
    { index: base, suite: codename },
    { index: base, suite: `${codename}-updates` },
    ...(security === null ? [] : [{ index: security, suite: `${codename}-security` }]),
  ];
  const key = keyring(base.signedBy);
  const signed = key === null ? "" : ` [signed-by=${key}]`;
  const guest = suites.filter(({ index }) => /^https?:/.test(index.uri));
  return {
    distribution,
    buildList: suites.map(({ index, suite }) => `deb${signed} ${index.uri} ${suite} main\n`).join(""),
    guestList: guest
      .map(({ index, suite }) => `deb [signed-by=${KEYRING}] ${withoutCredentials(index.uri)} ${suite} main\n`)
      .join(""),
    aptConfiguration: aptSettings,
  };
}

/** A file with keys, where the configuration names one; the archive's own keys otherwise. */
function keyring(signedBy: string | null): string | null {
  if (signedBy !== null && signedBy.startsWith("/") && existsSync(signedBy)) return signedBy;
  return existsSync(KEYRING) ? KEYRING : null;
}

/** Proxies, certificates and the like of this machine's apt, in apt's own syntax. */
async function aptConfiguration(signal: AbortSignal | undefined): Promise<string> {
  const text = (await runCommand(["apt-config", "dump"], { signal })).toString("utf8");
  return text
    .split("\n")
    .filter((line) => /^Acquire::https?::[^ ]+ ".+";$/.test(line))
    .map((line) => `${line}\n`)
    .join("");
}

/** The address as it may be shown and stored: user names and passwords in it stay out. */
export function withoutCredentials(uri: string): string {
  return uri.replace(/^([a-z+]+:\/\/)[^/@]*@/, "$1");
}

function join(uri: string, rest: string): string {
  return `${uri.replace(/\/+$/, "")}/${rest}`;
}
