/**
 * Reads the settings: defaults, then the configuration file, then the environment. Both are the user's own; what does
 * not parse stops the command (exit status 2), since a limit that is silently not applied is worse than none.
 *
 * conf is not used for reading: it takes 50 ms to load, and this is on the path of every command.
 */
import { readFileSync } from "node:fs";
import { SbxError } from "../../runtime/errors.ts";
import { DEFAULT_SETTINGS, type Settings } from "../../runtime/defaults.ts";
import { findClosest } from "../errors/suggest.ts";
import { configPath } from "./config-path.ts";
import { isSettingName, SETTING_KEYS, SETTING_NAMES, type MutableSettings, type SettingName } from "./keys.ts";

export type SettingSource = "default" | "file" | "environment";

export interface LoadedSettings {
  settings: Settings;
  sources: Record<SettingName, SettingSource>;
  /** The configuration file, whether it exists or not. */
  path: string;
  /** The keys that the file sets, with their values as written. */
  file: Partial<Record<SettingName, string>>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Loads and checks everything.
 *
 * @throws SbxError `config_invalid` with the file and line, or the name of the variable
 */
export function loadSettings(env: Environment): LoadedSettings {
  const path = configPath(env);
  const settings: MutableSettings = { ...DEFAULT_SETTINGS };
  const sources = Object.fromEntries(SETTING_NAMES.map((name) => [name, "default"])) as Record<
    SettingName,
    SettingSource
  >;
  const text = readConfig(path);
  const file = text === undefined ? {} : parseConfig(text, path);
  for (const name of SETTING_NAMES) {
    const written = file[name];
    if (written !== undefined && text !== undefined) {
      attempt(() => SETTING_KEYS[name].apply(settings, written), `${path}:${lineOfKey(text, name)}: ${name}`);
      sources[name] = "file";
    }
    const variable = SETTING_KEYS[name].env;
    const value = env[variable];
    if (value !== undefined && value !== "") {
      attempt(() => SETTING_KEYS[name].apply(settings, value), `the environment variable ${variable}`);
      sources[name] = "environment";
    }
  }
  return { settings, sources, path, file };
}

function readConfig(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new SbxError("config_invalid", `the configuration ${path} cannot be read`, { cause: error });
  }
}

/**
 * Reads the text of a configuration: the keys it sets, with their values as written.
 *
 * @param path names the file in errors
 * @throws SbxError `config_invalid`, with path and line
 */
export function parseConfig(text: string, path: string): Partial<Record<SettingName, string>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(`${path}:${lineOfSyntaxError(error, text)}: not valid JSON`, error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(`${path}:1: the configuration must be a JSON object`);
  }
  const file: Partial<Record<SettingName, string>> = {};
  for (const [key, item] of Object.entries(value)) {
    const place = `${path}:${lineOfKey(text, key)}`;
    if (!isSettingName(key)) {
      const near = findClosest(key, SETTING_NAMES);
      const known = near === undefined ? `known are ${SETTING_NAMES.join(", ")}` : `did you mean ${near}?`;
      throw invalid(`${place}: ${JSON.stringify(key)} is not a setting; ${known}`);
    }
    if (typeof item !== "string" && !(typeof item === "number" && key === "cpus")) {
      throw invalid(`${place}: ${key} must be a string`);
    }
    file[key] = String(item);
  }
  return file;
}

function attempt(apply: () => void, place: string): void {
  try {
    apply();
  } catch (error) {
    if (!(error instanceof SbxError)) throw error;
    throw new SbxError(
      "config_invalid",
      `${place}: ${error.message}`,
      error.hint === undefined ? {} : { hint: error.hint },
    );
  }
}

function invalid(message: string, cause?: unknown): SbxError {
  return new SbxError("config_invalid", message, {
    cause,
    hint: "correct the file, or remove it to go back to the defaults",
  });
}

/** V8 says where it gave up, in one of two ways: `(line 3 column 5)`, or `at position 17`. */
function lineOfSyntaxError(error: unknown, text: string): number {
  const message = error instanceof Error ? error.message : "";
  const line = /\(line (\d+) column \d+\)/.exec(message)?.[1];
  if (line !== undefined) return Number(line);
  const position = /at position (\d+)/.exec(message)?.[1];
  return text.slice(0, position === undefined ? text.length : Number(position)).split("\n").length;
}

/** The line of a top-level key; values are no objects, so the first quoted occurrence before a colon is it. */
function lineOfKey(text: string, key: string): number {
  const quoted = JSON.stringify(key).replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const match = new RegExp(`${quoted}\\s*:`).exec(text);
  return text.slice(0, match?.index ?? 0).split("\n").length;
}
