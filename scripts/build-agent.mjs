/**
 * Builds the guest agent and the program that starts machines (guest/, Go) for both architectures into dist/agent/.
 *
 * Plain JavaScript that runs on Node 20 too, because it is part of the build of a package that may be installed from
 * source. Builds are skipped while the sources, the Go version and the binaries are what they were. With `--host` only
 * the agent of this machine's architecture is built.
 */
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const projectPath = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const sourcePath = path.join(projectPath, "guest");
const outputPath = path.join(projectPath, "dist", "agent");
const stampPath = path.join(outputPath, "stamp.json");

/** The oldest Go that the agent is written for. */
const MINIMUM_GO = [1, 22];
export const ARCHITECTURES = ["amd64", "arm64"];

/** Arguments of `go build`: no paths of this machine, no symbol tables. */
const BUILD_FLAGS = ["-trimpath", "-ldflags", "-s -w -buildid="];

/** The programs, by the package they are made from: the guest's agent, and what works on machines on the host. */
const PROGRAMS = {
  "sbx-agent": ".",
  "sbx-launch": "./cmd/sbx-launch",
  "sbx-memory": "./cmd/sbx-memory",
  "sbx-send-fd": "./cmd/sbx-send-fd",
};

/** Where a program for an architecture of Go's naming is, once built. */
function programPath(program, architecture) {
  return path.join(outputPath, `${program}-linux-${architecture}`);
}

/** All Go sources and what else decides the result, sorted. Tests do not. */
function sourceFiles(directoryPath = sourcePath) {
  return readdirSync(directoryPath, { withFileTypes: true })
    .flatMap((entry) => {
      const entryPath = path.join(directoryPath, entry.name);
      if (entry.isDirectory()) return entry.name === "testdata" ? [] : sourceFiles(entryPath);
      return /(^go\.mod|\.go|\.s)$/.test(entry.name) && !entry.name.endsWith("_test.go") ? [entryPath] : [];
    })
    .sort();
}

function hashOf(goVersion) {
  const hash = createHash("sha256").update(JSON.stringify([goVersion, BUILD_FLAGS, ARCHITECTURES, PROGRAMS]));
  for (const file of sourceFiles()) {
    const content = readFileSync(file);
    hash.update(`${path.relative(sourcePath, file)}\0${content.length}\0`).update(content);
  }
  return hash.digest("hex");
}

function findGo() {
  let version;
  try {
    version = execFileSync("go", ["env", "GOVERSION"], { cwd: sourcePath, encoding: "utf8" }).trim();
  } catch (error) {
    throw new Error("building the guest agent needs Go 1.22 or newer on PATH; `go env GOVERSION` failed", {
      cause: error,
    });
  }
  const [, major, minor] = /^go(\d+)\.(\d+)/.exec(version) ?? [];
  const tooOld = Number(major) < MINIMUM_GO[0] || (Number(major) === MINIMUM_GO[0] && Number(minor) < MINIMUM_GO[1]);
  if (major !== undefined && tooOld) {
    throw new Error(`building the guest agent needs Go ${MINIMUM_GO.join(".")} or newer; PATH has ${version}`);
  }
  return version;
}

/** Whether a binary on disk is the one that the stamp was written for. */
function isCurrent(sizes, target) {
  try {
    return statSync(target).size === sizes[path.basename(target)];
  } catch {
    return false; // There is no binary.
  }
}

/** Sizes of the binaries that were built from these sources, by name. */
function builtSizes(hash) {
  try {
    const stamp = JSON.parse(readFileSync(stampPath, "utf8"));
    return stamp.hash === hash ? stamp.sizes : {};
  } catch {
    return {}; // No stamp or an unreadable one: there is everything to build.
  }
}

/** @returns the size of the binary, `bytes` */
function compile(source, architecture, target) {
  const unfinished = `${target}.${process.pid}`;
  try {
    execFileSync("go", ["build", ...BUILD_FLAGS, "-o", unfinished, source], {
      cwd: sourcePath,
      env: { ...process.env, CGO_ENABLED: "0", GOOS: "linux", GOARCH: architecture, GOFLAGS: "", GOWORK: "off" },
      stdio: ["ignore", "ignore", "inherit"],
    });
    const { size } = statSync(unfinished);
    renameSync(unfinished, target);
    return size;
  } finally {
    rmSync(unfinished, { force: true });
  }
}

/** This machine's architecture in Go's naming: the one that guests on it have. */
export const HOST_ARCHITECTURE = process.arch === "arm64" ? "arm64" : "amd64";

/**
 * Builds what is out of date of the architectures asked for.
 *
 * @returns whether anything was built, and the paths of the agent by architecture
 * @throws Error if Go is missing, too old or fails; its output goes to stderr
 */
export function buildAgent({ log = () => {}, architectures = ARCHITECTURES } = {}) {
  const goVersion = findGo();
  const hash = hashOf(goVersion);
  const paths = Object.fromEntries(architectures.map((name) => [name, programPath("sbx-agent", name)]));
  const sizes = builtSizes(hash);
  const outdated = architectures.flatMap((architecture) =>
    Object.entries(PROGRAMS)
      .map(([program, source]) => ({ architecture, source, target: programPath(program, architecture) }))
      .filter(({ target }) => !isCurrent(sizes, target)),
  );
  if (outdated.length === 0) return { built: false, paths };
  mkdirSync(outputPath, { recursive: true });
  for (const { architecture, source, target } of outdated) {
    log(`building ${path.basename(target)}`);
    sizes[path.basename(target)] = compile(source, architecture, target);
  }
  writeFileSync(`${stampPath}.${process.pid}`, JSON.stringify({ hash, goVersion, sizes }));
  renameSync(`${stampPath}.${process.pid}`, stampPath);
  return { built: true, paths };
}

if (process.argv[1] !== undefined && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const architectures = process.argv.includes("--host") ? [HOST_ARCHITECTURE] : ARCHITECTURES;
  const { built, paths } = buildAgent({ log: (line) => process.stderr.write(`${line}\n`), architectures });
  if (!built) process.stderr.write("the guest agent is up to date\n");
  for (const file of Object.values(paths)) process.stdout.write(`${path.relative(process.cwd(), file)}\n`);
}
