/**
 * What a clone of sbx needs before it runs: the npm packages, the guest agent, the bundle. Looks first and is quick when
 * all is there. Plain JavaScript that runs on Node 20.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { SetupError, hand, run, step } from "./steps.mjs";

export const projectPath = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const stampPath = path.join(projectPath, "dist", ".build-stamp");
const bundlePath = path.join(projectPath, "dist", "main.js");

/** Runs project scripts on a Node that is recent enough. */
export const NODE = [process.execPath, path.join(projectPath, "scripts", "node.mjs")];

/** sbx itself. */
export const SBX = [process.execPath, path.join(projectPath, "bin", "run.js")];

const AGENT = [process.execPath, "scripts/build-agent.mjs", "--host"];

/** Installs and builds what is missing or out of date. */
export async function prepareProject() {
  if (!packagesAreCurrent()) await step("installing npm packages", installPackages);
  const stamp = stampOf(sourceFiles());
  if (!bundleIsCurrent(stamp)) {
    await step("building sbx", (onLine) => run([...NODE, "scripts/build.mjs"], { cwd: projectPath, onLine }));
    writeFileSync(stampPath, `${stamp}\n${stampOf([bundlePath])}\n`);
  }
  if (agentWasBuilt()) await buildAgent();
  else await buildAgentAndImage();
}

/**
 * The first time both take long and neither needs the other. That is all this is for: `sbx setup` makes the image too.
 */
async function buildAgentAndImage() {
  await step("building the guest agent and the image", async (onLine) => {
    const results = await Promise.allSettled([
      run(AGENT, { cwd: projectPath, onLine }),
      run([...SBX, "image", "build", "default"], { onLine }),
    ]);
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  });
}

function agentWasBuilt() {
  return existsSync(path.join(projectPath, "dist", "agent", "stamp.json"));
}

async function installPackages(onLine) {
  // Whatever the environment says of production: the bundler and the Node that comes along are needed.
  const flags = ["--ignore-scripts", "--include=dev", "--include=optional", "--no-audit", "--no-fund"];
  await run(["npm", "ci", ...flags], { cwd: projectPath, onLine, env: { NODE_ENV: "development" } });
}

/** Whether node_modules holds what the lock file says; npm keeps a list of what it put there. */
export function packagesAreCurrent() {
  const wanted = readPackages(path.join(projectPath, "package-lock.json"));
  const present = readPackages(path.join(projectPath, "node_modules", ".package-lock.json"));
  if (wanted === undefined) throw new SetupError("package-lock.json is missing or cannot be read");
  if (present === undefined) return false;
  return Object.entries(wanted).every(([name, { version, optional }]) => {
    if (name === "") return true;
    // An optional package may be of another platform.
    return present[name] === undefined ? optional === true : present[name].version === version;
  });
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8")).packages;
  } catch {
    return undefined; // Not there, or cut short by an installation that was interrupted.
  }
}

/** The script sees for itself whether there is anything to do. */
async function buildAgent() {
  await step("building the guest agent", (onLine) => run(AGENT, { cwd: projectPath, onLine }), { silentMs: 1500 });
}

function bundleIsCurrent(stamp) {
  if (!existsSync(stampPath) || !existsSync(bundlePath)) return false;
  return readFileSync(stampPath, "utf8") === `${stamp}\n${stampOf([bundlePath])}\n`;
}

/** Everything that the bundle is made from. */
function sourceFiles() {
  const files = ["package.json", "package-lock.json", "scripts/build.mjs"].map((name) => path.join(projectPath, name));
  for (const entry of readdirSync(path.join(projectPath, "src"), { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) files.push(path.join(entry.parentPath ?? entry.path, entry.name));
  }
  return files.sort();
}

/** By date and size: reading every file would take longer than the check is worth. */
function stampOf(files) {
  const hash = createHash("sha256");
  for (const file of files) {
    const { mtimeMs, size } = statSync(file);
    hash.update(`${path.relative(projectPath, file)}\0${mtimeMs}\0${size}\0`);
  }
  return hash.digest("hex");
}

/** The machine part: image, accelerator, template. Says what it does; what it found only when something is wrong. */
export async function prepareMachine() {
  const status = await hand([...SBX, "setup"], { quiet: true });
  if (status !== 0) throw new SetupError(`sbx setup ended with status ${status}`, "bin/run.js doctor");
}
