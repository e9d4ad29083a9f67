/** Colours, where a terminal wants them. chalk is loaded only then: start-up time counts. */

/** What the colours mean; each returns its text, with or without escape sequences around it. */
export interface Palette {
  good(text: string): string;
  warning(text: string): string;
  bad(text: string): string;
  dim(text: string): string;
  strong(text: string): string;
}

const same = (text: string): string => text;

export const PLAIN: Palette = { good: same, warning: same, bad: same, dim: same, strong: same };

export interface ColorStream {
  isTTY?: boolean | undefined;
}

export type ColorEnvironment = Readonly<Record<string, string | undefined>>;

/**
 * How many colours to use on a stream: 0 none, 1 sixteen, 2 256, 3 all. `NO_COLOR` (no-color.org) wins over
 * `FORCE_COLOR` (0 to 3, or empty or `true` for 1), and this over what the stream is.
 */
export function colorLevel(stream: ColorStream, env: ColorEnvironment): 0 | 1 | 2 | 3 {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== "") return 0;
  switch (env.FORCE_COLOR) {
    case undefined:
      break;
    case "0":
    case "false":
      return 0;
    case "2":
      return 2;
    case "3":
      return 3;
    default:
      return 1;
  }
  if (stream.isTTY !== true || env.TERM === "dumb") return 0;
  if (env.COLORTERM === "truecolor" || env.COLORTERM === "24bit") return 3;
  return env.TERM?.includes("256") === true ? 2 : 1;
}

/** The palette for a stream. */
export async function openPalette(stream: ColorStream, env: ColorEnvironment): Promise<Palette> {
  const level = colorLevel(stream, env);
  if (level === 0) return PLAIN;
  const { Chalk } = await import("chalk");
  const chalk = new Chalk({ level });
  return {
    good: (text) => chalk.green(text),
    warning: (text) => chalk.yellow(text),
    bad: (text) => chalk.red(text),
    dim: (text) => chalk.dim(text),
    strong: (text) => chalk.bold(text),
  };
}
