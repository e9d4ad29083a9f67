/** From what is deployed to the files of the revision: as they are, or after its commands have run. */
import type { RevisionRow } from "../../../store/apps/revision-store.ts";
import type { Admission, DeploySpec } from "../../apps.ts";
import { SbxError } from "../../errors.ts";
import type { Sandbox } from "../../runtime.ts";
import type { CallerEnvironment } from "../../types.ts";
import { packAssets } from "./asset-archive.ts";
import { buildCommands } from "./build-commands.ts";
import type { BuildLogWriter } from "./build-log.ts";
import { BUILD_TIMEOUT_MS } from "./build-watch.ts";
import { networkOf, OPEN_NETWORK } from "./carried-network.ts";
import { APP_DIRECTORY, archiveOf, runCommand, unpack } from "./guest-work.ts";
import type { AppRuntime } from "./instances.ts";
import { admitted, INSTANCE } from "./instance-start.ts";
import type { RevisionSteps } from "./revision-steps.ts";

/** Of a sandbox that is made for the commands of a build, `ms`. */
const BUILDER_LIFE_MS = BUILD_TIMEOUT_MS + 60_000;
export const BUILD_LABEL = "sbx.build";

export interface Work {
  runtime: AppRuntime;
  environment: NonNullable<CallerEnvironment["environment"]>;
  steps: RevisionSteps;
  log: BuildLogWriter;
  signal: AbortSignal;
  /** Of the commands. */
  env: Record<string, string>;
  keep(archive: AsyncIterable<Uint8Array>): Promise<void>;
  admit: Admission | undefined;
}

interface BuildPlace extends AsyncDisposable {
  sandbox: Sandbox;
  directory: string;
}

/** @throws SbxError `guest_error` for a command that fails */
export async function buildContent(row: RevisionRow, spec: DeploySpec, work: Work): Promise<void> {
  const { source } = spec;
  const { steps, log, signal, runtime } = work;
  const { install, build } = buildCommands(row.document.config);
  const commands = [
    { step: "installing", line: install },
    { step: "building", line: build },
  ] as const;
  const isBuilt = commands.some(({ line }) => line !== undefined);
  await steps.run("preparing", async () => {
    const what = source.kind === "assets" ? countOf(source.assets.size) : `${source.path} of ${source.sandbox}`;
    log.write({ level: "info", message: what, step: "preparing" });
    if (isBuilt) return;
    if (source.kind === "assets") {
      await work.keep(packAssets(source.assets));
      return;
    }
    await using sandbox = await runtime.connect(source.sandbox, { signal });
    await work.keep(archiveOf(sandbox, rootOf(source.path, source.root), signal));
  });
  if (!isBuilt) {
    for (const { step } of commands) steps.skip(step);
    return;
  }
  await using place = await openBuildPlace(row, spec, work);
  for (const { step, line } of commands) {
    if (line === undefined) steps.skip(step);
    else
      await steps.run(step, async () =>
        runLine(place, line, (message) => log.write({ level: "info", message, step }), work),
      );
  }
  const root = source.kind === "sandbox" ? source.root : undefined;
  await work.keep(archiveOf(place.sandbox, rootOf(place.directory, root), signal));
}

/** The sandbox that it comes from, or one of its own with the files in it. */
async function openBuildPlace(row: RevisionRow, { source }: DeploySpec, work: Work): Promise<BuildPlace> {
  const { runtime, signal } = work;
  if (source.kind === "sandbox") {
    const sandbox = await runtime.connect(source.sandbox, { signal });
    return { sandbox, directory: source.path, [Symbol.asyncDispose]: async () => sandbox[Symbol.asyncDispose]() };
  }
  const spec = {
    app: row.app.slug,
    network: networkOf(row.document.network ?? OPEN_NETWORK, new Set()),
    labels: { [BUILD_LABEL]: row.id },
    lifetime: { kind: "duration" as const, ms: BUILDER_LIFE_MS },
    ...INSTANCE,
  };
  const sandbox = await admitted(work, async (budget) =>
    runtime.create({ ...spec, budget }, { signal, environment: work.environment }),
  );
  const end = async (): Promise<void> => {
    await sandbox[Symbol.asyncDispose]();
    await runtime.remove(sandbox.id);
  };
  try {
    await unpack(sandbox, packAssets(source.assets), signal);
  } catch (error) {
    await end();
    throw error;
  }
  return { sandbox, directory: APP_DIRECTORY, [Symbol.asyncDispose]: end };
}

function countOf(assets: number): string {
  return assets === 1 ? "1 file" : `${assets} files`;
}

function rootOf(directory: string, root: string | undefined): string {
  return root === undefined || root === "" ? directory : `${directory}/${root}`;
}

/** Runs a shell command of the user's in a guest. @throws SbxError `guest_error` if it fails */
export async function runLine(
  { sandbox, directory }: Pick<BuildPlace, "sandbox" | "directory">,
  line: string,
  say: (message: string) => void,
  { env, signal }: Pick<Work, "env" | "signal">,
): Promise<void> {
  say(`$ ${line}`);
  const spec = { argv: ["sh", "-c", line] as const, cwd: directory, env };
  const code = await runCommand(sandbox, spec, say, signal);
  signal.throwIfAborted();
  if (code !== 0) throw new SbxError("guest_error", `the command ${JSON.stringify(line)} ended with status ${code}`);
}
