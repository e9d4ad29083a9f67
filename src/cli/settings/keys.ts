/** The settings a user can give: key, environment variable, how its text is read and shown. Texts come from the user. */
import { ACCELERATORS, type Accelerator, type Settings } from "../../runtime/defaults.ts";
import { parseCount } from "../parsers/count.ts";
import { formatDuration, MAX_DURATION_MS, parseDuration } from "../parsers/duration.ts";
import { parseImageRef } from "../parsers/names.ts";
import { formatSize, parseSize } from "../parsers/size.ts";
import { quoteValue, usageError } from "../parsers/usage-error.ts";

const MIB = 1024 ** 2;
const TIB = 1024 ** 4;

/** What sbx takes for one sandbox at all; what the machine has is the runtime's to judge. */
export const MEMORY_LIMITS = { minBytes: 256 * MIB, maxBytes: 16 * TIB };
export const DISK_LIMITS = { minBytes: 1_000_000_000, maxBytes: 64 * TIB };
export const CPU_LIMITS = { min: 1, max: 255 };
export const LIFETIME_LIMITS = { minMs: 1000, maxMs: MAX_DURATION_MS };

/** What a setting is called when the default image is meant. */
const DEFAULT_IMAGE = "default";

type Writable<T> = { -readonly [K in keyof T]: T[K] };
export type MutableSettings = Writable<Settings>;

export interface SettingKey {
  /** Name of the environment variable that wins over the file. */
  env: string;
  summary: string;
  /** Sets what `text` says. @throws SbxError `usage` */
  apply(settings: MutableSettings, text: string): void;
  /** The value as a user would write it. */
  show(settings: Settings): string;
}

export const SETTING_KEYS = {
  memory: {
    env: "SBX_MEMORY",
    summary: "memory of a new sandbox",
    apply: (settings, text) => {
      settings.memoryBytes = parseSize(text, MEMORY_LIMITS);
    },
    show: (settings) => formatSize(settings.memoryBytes),
  },
  cpus: {
    env: "SBX_CPUS",
    summary: "virtual processors of a new sandbox",
    apply: (settings, text) => {
      settings.cpus = parseCount(text, CPU_LIMITS);
    },
    show: (settings) => String(settings.cpus),
  },
  disk: {
    env: "SBX_DISK",
    summary: "size of a new sandbox's copy-on-write disk",
    apply: (settings, text) => {
      settings.diskBytes = parseSize(text, DISK_LIMITS);
    },
    show: (settings) => formatSize(settings.diskBytes),
  },
  timeout: {
    env: "SBX_TIMEOUT",
    summary: "life of a sandbox that is left running",
    apply: (settings, text) => {
      settings.timeoutMs = parseDuration(text, LIFETIME_LIMITS);
    },
    show: (settings) => formatDuration(settings.timeoutMs),
  },
  image: {
    env: "SBX_IMAGE",
    summary: "image of a new sandbox",
    apply: (settings, text) => {
      settings.image = text === DEFAULT_IMAGE ? null : parseImageRef(text);
    },
    show: (settings) => settings.image ?? DEFAULT_IMAGE,
  },
  accel: {
    env: "SBX_ACCEL",
    summary: "accelerator: auto, kvm, hvf or tcg",
    apply: (settings, text) => {
      settings.accelerator = parseAccelerator(text);
    },
    show: (settings) => settings.accelerator,
  },
} as const satisfies Record<string, SettingKey>;

export type SettingName = keyof typeof SETTING_KEYS;

export const SETTING_NAMES = Object.keys(SETTING_KEYS) as SettingName[];

export function isSettingName(text: string): text is SettingName {
  return Object.hasOwn(SETTING_KEYS, text);
}

function parseAccelerator(text: string): Accelerator {
  const known = ACCELERATORS.find((name) => name === text);
  if (known === undefined) {
    throw usageError(`${quoteValue(text)} is not an accelerator`, `use one of ${ACCELERATORS.join(", ")}`);
  }
  return known;
}
