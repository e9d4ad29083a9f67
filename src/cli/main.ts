/** The program: loads what the arguments need of oclif, runs the command, and ends with its status and all output out. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { Plugin } from "@oclif/core/config";
import type { PJSON } from "@oclif/core/interfaces";
import { run } from "@oclif/core/run";
import { settings } from "@oclif/core/settings";
import { SbxError } from "../runtime/errors.ts";
import { commandNames } from "./command-names.ts";
import { findDirectCommand, runDirect, type CommandModules } from "./direct.ts";
import { reportFailure } from "./errors/funnel.ts";
import { unknownCommand } from "./errors/unknown-command.ts";
import { installGuards } from "./process-guards.ts";

export interface MainOptions {
  /** The package's directory. */
  root: string;
  /** The bundle's commands (scripts/build.mjs). Without them the sources are run, and the manifest is not trusted. */
  commands?: CommandModules;
}

/** Runs sbx with the arguments after the program's name. Ends the process. */
export async function main(argv: string[], options: MainOptions): Promise<void> {
  const report = async (error: unknown): Promise<number> =>
    reportFailure(error, {
      names: { program: "sbx", options: [] },
      json: isJson(argv),
      phase: "plain",
      interruptedBy: undefined,
      env: process.env,
      stderr: process.stderr,
    });
  const guards = installGuards(report);
  // Sources run as they are; oclif must not look for a compiler.
  settings.enableAutoTranspile = false;
  try {
    await runCommand(argv, options);
  } catch (error) {
    process.exitCode = await report(error);
  }
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  await guards.settled();
  process.exit();
}

async function runCommand(argv: string[], { root, commands }: MainOptions): Promise<void> {
  const development = commands === undefined;
  const pjson = readPackage(root, development);
  const direct = development ? undefined : findDirectCommand(argv, root);
  if (direct === undefined || commands === undefined) await runThroughOclif(argv, root, pjson, development);
  else await runDirect(direct, commands, root, pjson);
}

async function runThroughOclif(argv: string[], root: string, pjson: PJSON, development: boolean): Promise<void> {
  const rootPlugin = new Plugin({ root, pjson, isRoot: true, ignoreManifest: development });
  await rootPlugin.load();
  const help = new Plugin({ name: "@oclif/plugin-help", root, type: "core" });
  await help.load();
  const plugins = new Map([rootPlugin, help].map((plugin) => [plugin.name, plugin]));
  try {
    await run(argv, { root, pjson, plugins, userPlugins: false });
  } catch (error) {
    throw missingHelpTopic(error, [...plugins.values()]) ?? error;
  }
}

/** Where the commands are: the bundle's, or the sources'. */
function readPackage(root: string, development: boolean): PJSON {
  const pjson = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as PJSON;
  if (!development) return pjson;
  const oclif = {
    ...pjson.oclif,
    commands: "./src/commands",
    hooks: { command_not_found: "./src/cli/hooks/command-not-found.ts" },
  };
  return { ...pjson, oclif };
}

/** `sbx help nonsense`: the help class only says that it did not find it. */
function missingHelpTopic(error: unknown, plugins: readonly Plugin[]): SbxError | undefined {
  if (!(error instanceof Error) || error instanceof SbxError) return undefined;
  const subject = /^Command (.+) not found\.$/.exec(error.message)?.[1];
  if (subject === undefined) return undefined;
  return unknownCommand(subject.split(":"), commandNames({ commands: plugins.flatMap(({ commands }) => commands) }));
}

function isJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return (end === -1 ? argv : argv.slice(0, end)).includes("--json");
}

/** Resolves once everything written so far has been handed to the system, or can no longer be. */
async function flushed(stream: Writable): Promise<void> {
  if (stream.destroyed || stream.errored !== null) return;
  await new Promise<void>((resolve) => {
    stream.once("error", () => resolve());
    stream.write("", () => resolve());
  });
}
