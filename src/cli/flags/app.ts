/** Options of commands that make or change apps, and what comes of them. */
import * as Args from "@oclif/core/args";
import * as Flags from "@oclif/core/flags";
import { FRAMEWORKS, INSTANCE_BOUNDS, type AppConfig, type InstanceSettings } from "../../runtime/apps.ts";
import { parseCount } from "../parsers/count.ts";
import { usageError } from "../parsers/usage-error.ts";
import { durationFlag, labelFlag, switchFlag } from "./common.ts";

const repeated = { multiple: true, multipleNonGreedy: true } as const;

export const appArg = Args.string({ description: "Name or id of an app.", required: true, ignoreStdin: true });

export const appLabelFlag = labelFlag("Label of the app.");

export const layerFlag = Flags.string({ summary: "Layer whose variables it has.", helpValue: "LAYER", ...repeated });

/** How it is built and started. */
export const configFlags = {
  entrypoint: Flags.string({ summary: "Program to run, relative to the files.", helpValue: "FILE" }),
  arg: Flags.string({ summary: "Argument of the program.", helpValue: "WORD", ...repeated }),
  static: Flags.string({ summary: "Directory to serve as it is, in place of a program.", helpValue: "DIR" }),
  spa: switchFlag({ summary: "With --static: what is not there is index.html." }),
  framework: Flags.option({ summary: "Framework whose usual commands are meant.", options: FRAMEWORKS.slice(1) })(),
  "install-command": Flags.string({ summary: "Command that installs what it needs.", helpValue: "LINE" }),
  "build-command": Flags.string({ summary: "Command that builds it.", helpValue: "LINE" }),
  "predeploy-command": Flags.string({ summary: "Command to run before each deployment.", helpValue: "LINE" }),
};

/** How its instances are kept. */
export const instanceFlags = {
  idle: durationFlag({
    summary: "How long an instance lives beyond its last request (5m).",
    ...{ minMs: INSTANCE_BOUNDS.idleMs.min, maxMs: INSTANCE_BOUNDS.idleMs.max },
  }),
  concurrency: Flags.custom<number>({
    summary: "Requests at one time for an instance, before another one is started (50).",
    helpValue: "NUMBER",
    parse: async (text) => parseCount(text, INSTANCE_BOUNDS.concurrency),
  })(),
  instances: Flags.custom<number>({
    summary: "Most instances of a revision at one time (3).",
    helpValue: "NUMBER",
    parse: async (text) => parseCount(text, INSTANCE_BOUNDS.instances),
  })(),
};

/** What was said; undefined where nothing was. */
export function readInstances(flags: {
  idle?: number | undefined;
  concurrency?: number | undefined;
  instances?: number | undefined;
}): Partial<InstanceSettings> | undefined {
  const { idle: idleMs, concurrency, instances } = flags;
  const said = {
    ...(idleMs !== undefined && { idleMs }),
    ...(concurrency !== undefined && { concurrency }),
    ...(instances !== undefined && { instances }),
  };
  return Object.keys(said).length === 0 ? undefined : said;
}

export interface ConfigFlagValues {
  entrypoint?: string | undefined;
  arg?: string[] | undefined;
  static?: string | undefined;
  spa: boolean;
  framework?: string | undefined;
  "install-command"?: string | undefined;
  "build-command"?: string | undefined;
  "predeploy-command"?: string | undefined;
}

/** Undefined where no option says anything. @throws SbxError `usage` for options that exclude each other */
export function readConfig(flags: ConfigFlagValues): AppConfig | undefined {
  const { entrypoint, arg: args, static: cwd, spa, framework: name } = flags;
  if (cwd !== undefined && (entrypoint !== undefined || args !== undefined)) {
    throw usageError("a static site has no program", "leave out --static, or --entrypoint and --arg");
  }
  if (spa && cwd === undefined) throw usageError("--spa is for a static site", "name its directory with --static");
  const framework = FRAMEWORKS.find((known) => known === name);
  if (framework !== undefined && (cwd ?? entrypoint ?? args) !== undefined) {
    throw usageError("a framework has a program of its own", "leave out --framework, or --entrypoint and --static");
  }
  const program =
    entrypoint === undefined && args === undefined
      ? undefined
      : { type: "dynamic" as const, ...(entrypoint && { entrypoint }), ...(args && { args }) };
  const runtime = cwd === undefined ? program : { type: "static" as const, cwd, spa };
  const [install, build] = [flags["install-command"], flags["build-command"]];
  const predeploy = flags["predeploy-command"];
  const config: AppConfig = {
    ...(framework !== undefined && { framework }),
    ...(runtime !== undefined && { runtime }),
    ...(install !== undefined && { install }),
    ...(build !== undefined && { build }),
    ...(predeploy !== undefined && { predeploy }),
  };
  return Object.keys(config).length === 0 ? undefined : config;
}
