/**
 * What sbx needs of the machine: Debian packages and a Go that is recent enough. Looks first and is quick when all is
 * there. Plain JavaScript that runs on Node 20.
 */
import { execFileSync } from "node:child_process";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from "node:fs";
import { homedir, userInfo } from "node:os";
import path from "node:path";
import { SetupError, run, step } from "./steps.mjs";

/** The oldest Go that builds the guest agent, and the one that is fetched where there is none. */
const MINIMUM_GO = [1, 22];
const FETCHED_GO = "go1.25.5";
const GO_PLACES = ["/usr/local/go/bin", "/usr/lib/go/bin"];

const QEMU =
  process.arch === "arm64"
    ? { program: "qemu-system-aarch64", package: "qemu-system-arm" }
    : { program: "qemu-system-x86_64", package: "qemu-system-x86" };

/** A program or file, and the Debian package that has it. */
const NEEDED = [
  QEMU,
  { program: "qemu-img", package: "qemu-utils" },
  { program: "bwrap", package: "bubblewrap" },
  { program: "mmdebstrap", package: "mmdebstrap" },
  { program: "newuidmap", package: "uidmap" },
  { program: "mke2fs", package: "e2fsprogs" },
  { program: "mount", package: "mount" },
  { program: "xz", package: "xz-utils" },
  { program: "zstd", package: "zstd" },
  { file: "/etc/ssl/certs/ca-certificates.crt", package: "ca-certificates" },
  { file: "/usr/share/keyrings/debian-archive-keyring.gpg", package: "debian-archive-keyring" },
];

/** What only the tests need: clients and judges of what sbx does. */
const NEEDED_BY_TESTS = [
  { program: "ip", package: "iproute2" },
  { program: "openssl", package: "openssl" },
  { program: "python3", package: "python3" },
  { program: "pip3", package: "python3-pip" },
  { program: "systemd-analyze", package: "systemd" },
  { program: "curl", package: "curl" },
  { program: "tmux", package: "tmux" },
  { program: "sftp", package: "openssh-client" },
  { program: "rsync", package: "rsync" },
  { program: "git", package: "git" },
  { program: "ssh-audit", package: "ssh-audit" },
  { program: "chromium", package: "chromium" },
];

/**
 * Installs what is missing, and puts the Go to use first on this process's PATH.
 *
 * @param {{ tests?: boolean }} options whether `npm test` is what is being prepared
 */
export async function prepareSystem({ tests = false } = {}) {
  const missing = missingPackages(tests ? [...NEEDED, ...NEEDED_BY_TESTS] : NEEDED);
  if (findGo() === undefined && !hasProgram("go")) missing.push("golang-go");
  if (missing.length > 0) await installPackages(missing);
  await giveSubordinateIds();
  process.env.PATH = `${await recentGo()}${path.delimiter}${process.env.PATH ?? ""}`;
}

/** Debian packages that are not installed. */
export function missingPackages(needed = NEEDED) {
  return needed
    .filter((item) => (item.file === undefined ? !hasProgram(item.program) : !existsSync(item.file)))
    .map((item) => item.package);
}

function hasProgram(program) {
  // An ordinary user's PATH lacks the directories that mke2fs is in.
  const directories = [...(process.env.PATH ?? "").split(path.delimiter), "/usr/sbin", "/sbin"];
  return directories.some((directory) => directory !== "" && isExecutable(path.join(directory, program)));
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // Not there or not for us: both mean that it cannot be run.
  }
}

async function installPackages(packages) {
  const root = rootCommand();
  if (!hasProgram("apt-get")) {
    throw new SetupError(
      `this is not a Debian system, and these Debian packages are needed: ${packages.join(" ")}`,
      "run sbx on Debian 12 or later, or install the like of them by hand",
    );
  }
  if (root === undefined) {
    throw new SetupError(
      `these Debian packages are missing, and this account may not install them: ${packages.join(" ")}`,
      `sudo apt-get install ${packages.join(" ")}`,
    );
  }
  const apt = [...root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"];
  const install = [...apt, "install", "--yes", "--no-install-recommends", ...packages];
  await step(`installing Debian packages: ${packages.join(" ")}`, async (onLine) => {
    try {
      await run(install, { onLine, terminal: root.length > 0 });
    } catch {
      // Mostly lists that are missing or out of date. A source that does not answer is no reason to stop here: what
      // is needed may come from another one.
      await run([...apt, "update"], { onLine, terminal: root.length > 0 }).catch(() => undefined);
      await run(install, { onLine, terminal: root.length > 0 });
    }
  });
  const still = missingPackages([...NEEDED, ...NEEDED_BY_TESTS]).filter((name) => packages.includes(name));
  if (still.length > 0) throw new SetupError(`installed, and yet not to be found: ${still.join(" ")}`);
}

/** What goes before a command that needs root: nothing for root, sudo where it works; undefined otherwise. */
export function rootCommand() {
  if (process.getuid?.() === 0) return [];
  if (!hasProgram("sudo")) return undefined;
  try {
    execFileSync("sudo", ["-n", "true"], { stdio: "ignore" });
    return ["sudo", "-n"];
  } catch {
    // A password is needed: that takes somebody to type it, and an account that sudo knows.
    return process.stdin.isTTY === true && process.stderr.isTTY === true ? ["sudo"] : undefined;
  }
}

/** An ordinary account builds images with ids of its own (subuid(5)); accounts made by useradd have them. */
async function giveSubordinateIds() {
  const { username, uid } = userInfo();
  if (uid === 0) return;
  const flags = ["subuid", "subgid"].flatMap((kind) => {
    const ranges = readRanges(`/etc/${kind}`);
    if (ranges.some(({ owner }) => owner === username || owner === String(uid))) return [];
    const start = Math.max(100_000, ...ranges.map(({ end }) => end));
    return [`--add-${kind}s`, `${start}-${start + 65_535}`];
  });
  if (flags.length === 0) return;
  const command = ["usermod", ...flags, username];
  const root = rootCommand();
  if (root === undefined) {
    throw new SetupError(
      `the account ${username} has no subordinate ids to build images with`,
      `sudo ${command.join(" ")}`,
    );
  }
  await step(`giving ${username} subordinate ids`, () => run([...root, ...command], { terminal: true }));
}

function readRanges(file) {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [owner, start, count] = line.split(":");
      return { owner, end: Number(start) + Number(count) };
    });
}

/** Directory of a Go that is recent enough: the machine's, or one fetched by the machine's older one. */
async function recentGo() {
  const found = findGo() ?? fetchedGo();
  if (found !== undefined) return found;
  if (!hasProgram("go")) throw new SetupError("Go is not installed", "sudo apt-get install golang-go");
  return await step(
    `fetching ${FETCHED_GO}, since the Go that is installed is older than ${MINIMUM_GO.join(".")}`,
    fetchGo,
  );
}

/** On PATH, or where Go is usually installed. */
function findGo() {
  const versioned = existsSync("/usr/lib")
    ? readdirSync("/usr/lib")
        .filter((name) => /^go-1\.\d+$/.test(name))
        .map((name) => `/usr/lib/${name}/bin`)
    : [];
  const directories = [...(process.env.PATH ?? "").split(path.delimiter), ...GO_PLACES, ...versioned];
  return directories.find((directory) => directory !== "" && isRecentGo(path.join(directory, "go")));
}

function isRecentGo(binary) {
  if (!isExecutable(binary)) return false;
  try {
    const version = execFileSync(binary, ["env", "GOVERSION"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const [, major, minor] = /^go(\d+)\.(\d+)/.exec(version.trim()) ?? [];
    return Number(major) > MINIMUM_GO[0] || (Number(major) === MINIMUM_GO[0] && Number(minor) >= MINIMUM_GO[1]);
  } catch {
    return false; // It does not run here: as good as none.
  }
}

function cacheDirectory() {
  const base = process.env.XDG_CACHE_HOME;
  return path.join(base !== undefined && path.isAbsolute(base) ? base : path.join(homedir(), ".cache"), "sbx", "go");
}

function toolchainDirectory() {
  const version = `v0.0.1-${FETCHED_GO}.linux-${process.arch === "arm64" ? "arm64" : "amd64"}`;
  return path.join(cacheDirectory(), "golang.org", `toolchain@${version}`);
}

function fetchedGo() {
  const directory = path.join(toolchainDirectory(), "bin");
  return isRecentGo(path.join(directory, "go")) ? directory : undefined;
}

/**
 * Go's toolchains are modules (go.dev/doc/toolchain): the older go fetches one from the module proxy that it is set up
 * with and checks it against the checksum database. A module's files are not executable; newer versions of go see to
 * that themselves, older ones do not.
 */
async function fetchGo(onLine) {
  const scratch = path.join(cacheDirectory(), "fetch");
  mkdirSync(scratch, { recursive: true });
  writeFileSync(path.join(scratch, "go.mod"), "module fetch\n");
  const module = path.basename(toolchainDirectory()).replace("toolchain@", "golang.org/toolchain@");
  await run(["go", "mod", "download", "-x", module], {
    cwd: scratch,
    onLine,
    env: { GOMODCACHE: cacheDirectory(), GOFLAGS: "-modcacherw", GO111MODULE: "on" },
  });
  for (const directory of ["bin", "pkg/tool"]) makeExecutable(path.join(toolchainDirectory(), directory));
  const found = fetchedGo();
  if (found === undefined) throw new SetupError(`${FETCHED_GO} was fetched, but it does not run`);
  return found;
}

function makeExecutable(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const entryPath = path.join(directory, entry.name);
    if (entry.isDirectory()) makeExecutable(entryPath);
    else chmodSync(entryPath, 0o755);
  }
}
