/** Checks of sbx's own pieces: which sbx the shell finds, the agent, the data directory. */
import { constants } from "node:fs";
import { access, realpath, stat } from "node:fs/promises";
import path from "node:path";
import { agentPath, packageRoot } from "../../../host/package-root.ts";
import { hostArchitecture } from "../../../vm/image/recipe.ts";
import type { Check } from "../../types.ts";
import { failed, info, ok, warning } from "./check-result.ts";

/** Whether typing `sbx` starts this one. */
export async function checkOnPath(pathVariable = process.env.PATH ?? ""): Promise<Check> {
  const subject = { id: "path", title: "sbx on PATH" };
  const own = path.join(packageRoot(), "bin", "run.js");
  const found: string[] = [];
  for (const directory of pathVariable.split(path.delimiter).filter(Boolean)) {
    const candidate = path.join(directory, "sbx");
    const executable = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (executable) found.push(candidate);
  }
  const [first] = found;
  if (first === undefined) return info(subject, `none; this is ${own}`);
  if ((await realpath(first)) === (await realpath(own))) return ok(subject, first);
  return warning(subject, `${first} is another sbx than ${own}`, `remove it, or call ${own}`);
}

/** The program that is process 1 in every guest. */
export async function checkAgent(filePath = agentPath(hostArchitecture())): Promise<Check> {
  const subject = { id: "agent", title: "Guest agent" };
  const size = await stat(filePath).then(
    (found) => found.size,
    () => 0,
  );
  if (size > 0) return ok(subject, `${(size / 1e6).toFixed(1)} MB at ${filePath}`);
  return failed(subject, `missing at ${filePath}`, "in a clone: npm start; installed from npm: install sbx again");
}

/** Other accounts must not read what sandboxes write. */
export async function checkDataDirectory(dataPath: string): Promise<Check> {
  const subject = { id: "data", title: "Data directory" };
  try {
    const { mode } = await stat(dataPath);
    await access(dataPath, constants.W_OK | constants.X_OK);
    if ((mode & 0o077) === 0) return ok(subject, dataPath);
    return warning(subject, `${dataPath} is open to other accounts`, `chmod 700 ${JSON.stringify(dataPath)}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return info(subject, `${dataPath}, not made yet`);
    return failed(subject, `${dataPath} cannot be written to`, `sudo chown -R "$USER" ${JSON.stringify(dataPath)}`);
  }
}
