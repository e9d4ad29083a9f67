/**
 * The commands of a revision: what its config says, and where that is silent what is usual for its framework. A command
 * that is `null` or empty is left out.
 */
import type { AppConfig } from "../../../protocol/app-values.ts";

export type Argv = [string, ...string[]];

/** How a built one is started: a command, or the directory of a site. */
export type Start = { argv: Argv } | { site: string };

interface Preset {
  install: string;
  build: string;
  start: Start;
}

const NPM = { install: "npm install", build: "npm run build" };
const NITRO: Start = { argv: ["node", ".output/server/index.mjs"] };

const PRESETS: Readonly<Record<string, Preset>> = {
  nextjs: { ...NPM, start: { argv: ["npm", "start"] } },
  astro: { ...NPM, start: { site: "dist" } },
  nuxt: { ...NPM, start: NITRO },
  remix: { ...NPM, start: { argv: ["npm", "start"] } },
  solidstart: { ...NPM, start: NITRO },
  tanstackstart: { ...NPM, start: NITRO },
  sveltekit: { ...NPM, start: { argv: ["node", "build/index.js"] } },
  fresh: { install: "deno install", build: "deno task build", start: { argv: ["deno", "task", "start"] } },
  lume: { install: "deno install", build: "deno task build", start: { site: "_site" } },
};

export function buildCommands({ framework = "", install, build }: AppConfig): { install?: string; build?: string } {
  const preset = PRESETS[framework];
  const commands = {
    install: commandOf(install === undefined ? preset?.install : install),
    build: commandOf(build === undefined ? preset?.build : build),
  };
  return {
    ...(commands.install === undefined ? {} : { install: commands.install }),
    ...(commands.build === undefined ? {} : { build: commands.build }),
  };
}

/** Of a framework. */
export function startOf(framework: string): Start {
  return PRESETS[framework]?.start ?? { argv: ["npm", "start"] };
}

export function commandOf(command: string | null | undefined): string | undefined {
  return command === null || command === undefined || command.trim() === "" ? undefined : command;
}
