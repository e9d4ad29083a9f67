/**
 * Fuzzes what the command line reads of a user: every parser of src/cli/parsers, the configuration file, the splitter of
 * commands and of lines to complete, and the output that has to make any text harmless. Fails when anything but an
 * SbxError for a usage or configuration fault comes out, when a value breaks its own rules, or when an escape is missed.
 */
import assert from "node:assert/strict";
import { complete } from "../src/cli/completion/candidates.ts";
import { splitLine } from "../src/cli/completion/split-line.ts";
import { findClosest } from "../src/cli/errors/suggest.ts";
import { displayWidth, truncate } from "../src/cli/output/display-width.ts";
import { escapeLine } from "../src/cli/output/escape.ts";
import { renderTable } from "../src/cli/output/table.ts";
import { splitCommandLine } from "../src/cli/parsers/command-line.ts";
import { parseCopyOperand } from "../src/cli/parsers/copy-operand.ts";
import { parseCount } from "../src/cli/parsers/count.ts";
import { formatDuration, MAX_DURATION_MS, parseDuration } from "../src/cli/parsers/duration.ts";
import { parseEnvFile } from "../src/cli/parsers/env-file.ts";
import { parseEnvPair } from "../src/cli/parsers/env-pair.ts";
import { parseLabel } from "../src/cli/parsers/label.ts";
import { parseFolderOperand } from "../src/cli/parsers/folder-operand.ts";
import { parseImageRef, parseSandboxName, parseSandboxRef } from "../src/cli/parsers/names.ts";
import { parsePackageName } from "../src/cli/parsers/package-name.ts";
import { formatSize, parseSize } from "../src/cli/parsers/size.ts";
import { parseDiskName, parseVolumeMount } from "../src/cli/parsers/volume-mount.ts";
import { parseConfig } from "../src/cli/settings/load.ts";
import { SbxError } from "../src/runtime/errors.ts";
import { type FuzzOptions, fuzzFailure, readCorpus } from "./corpus-files.ts";
import { SeededRandom } from "./seeded-random.ts";

/** Pieces that are near to something valid, and those that are dangerous to someone. */
const PIECES = [
  ..."0123456789.:/=-_,;|&$'\"\\ \t\n\r".split(""),
  ...[
    "--",
    "-e",
    "-t",
    "--env",
    "--env=A=1",
    "--json",
    "box",
    "web:/app",
    "sbx_loc_0",
    "A=1",
    "export ",
    "#",
    "__proto__",
    "data:/data",
    ":ro",
    ":rw",
    "xn--",
  ],
  ...[
    "kB",
    "MiB",
    "G",
    "ms",
    "1h30m",
    "10m",
    "2GiB",
    "1.5",
    "9".repeat(17),
    "{",
    "}",
    "[",
    '"memory"',
    '"cpus"',
    ": ",
    "null",
  ],
  ...["\0", "\u001b[2J", "\u009b", "\u202e", "\u2028", "\ud800", "\ufeff", "日本", "e\u0301", "👩‍💻", "ä"],
];

const DANGEROUS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

const SHAPE = {
  program: "sbx exec",
  operands: 1,
  options: { tty: { type: "boolean", char: "t" }, env: { type: "option", char: "e" } },
} as const;

const COMMANDS = [
  { id: "exec", aliases: [], flags: { env: { type: "option", char: "e" } } },
  { id: "copy", aliases: ["cp"], flags: {} },
  { id: "config:set", aliases: [], flags: {} },
] as const;

type Check = (text: string, words: string[]) => void;

/** Each throws an SbxError for a text that it refuses, and an AssertionError where it is wrong. */
const CHECKS: Record<string, Check> = {
  size: (text) => {
    const bytes = parseSize(text, { minBytes: 1, maxBytes: 2 ** 50 });
    assert.ok(Number.isSafeInteger(bytes) && bytes >= 1 && bytes <= 2 ** 50);
    assert.equal(parseSize(formatSize(bytes), { minBytes: 1, maxBytes: 2 ** 50 }), bytes);
  },
  duration: (text) => {
    const ms = parseDuration(text);
    assert.ok(Number.isSafeInteger(ms) && ms >= 1 && ms <= MAX_DURATION_MS);
    assert.equal(parseDuration(formatDuration(ms)), ms);
  },
  count: (text) => {
    const value = parseCount(text, { min: 1, max: 9 });
    assert.ok(value >= 1 && value <= 9);
  },
  environment: (text) => {
    const [name, value] = parseEnvPair(text, {});
    assert.equal(`${name}=${value}`, text);
    assert.doesNotMatch(name, DANGEROUS);
    assert.ok(!value.includes("\0"));
  },
  "environment file": (text) => {
    for (const [name, value] of Object.entries(parseEnvFile(text, "file", {}))) {
      assert.ok(name !== "" && !name.includes("=") && !value.includes("\0") && !value.includes("\n"));
    }
  },
  label: (text) => {
    const [key, value] = parseLabel(text);
    assert.equal(`${key}=${value}`, text);
    assert.ok(key.length <= 64 && Buffer.byteLength(value) <= 128);
  },
  name: (text) => assert.match(parseSandboxName(text), /^(?!sbx_)[\w.-]{1,63}$/),
  reference: (text) => assert.match(parseSandboxRef(text), /^[\w.-]{1,63}$/),
  image: (text) => assert.match(parseImageRef(text), /^[\w.-]{1,128}$/),
  "name of a disk": (text) => assert.match(parseDiskName(text), /^[a-z0-9-]{2,32}$/),
  "volume and its place": (text) => {
    const { volume, path, access } = parseVolumeMount(text);
    assert.match(volume, /^[\w-]{1,63}$/);
    assert.match(path, /^(?:\/[^/]+)+$/);
    assert.doesNotMatch(path, DANGEROUS);
    assert.ok(!path.split("/").some((step) => step === "." || step === ".."));
    const again = parseVolumeMount(`${volume}:${path}:${access === "read-only" ? "ro" : "rw"}`);
    assert.deepEqual(again, { volume, path, access });
  },
  package: (text) => assert.match(parsePackageName(text), /^[a-z0-9][a-z0-9+.-]+$/),
  operand: (text) => {
    const operand = parseCopyOperand(text);
    if (operand.kind === "host") assert.equal(operand.path, text);
    else assert.ok(text === `${operand.sandbox}:${operand.path}` || text === `${operand.sandbox}:`);
  },
  "folder and its place": (text) => {
    const { hostPath, guestPath, access } = parseFolderOperand(text);
    assert.ok(hostPath !== "" && !hostPath.includes("\0"));
    if (guestPath === null) assert.deepEqual({ hostPath, access }, { hostPath: text, access: "copy" });
    else assert.ok(guestPath.startsWith("/") && text.startsWith(`${hostPath}:${guestPath}`));
    const suffix = { copy: "", "read-only": ":ro", "read-write": ":rw" }[access];
    assert.equal(`${hostPath}${guestPath === null ? "" : `:${guestPath}`}${suffix}`, text);
  },
  configuration: (text) => {
    for (const value of Object.values(parseConfig(text, "file"))) assert.equal(typeof value, "string");
  },
  "command line": (_text, words) => {
    const { own, operands, command } = splitCommandLine(words, SHAPE);
    assert.ok(operands.length <= 1);
    const first = words.indexOf("--");
    if (first !== -1 && !own.includes("--")) {
      const after = words.slice(first + 1);
      assert.deepEqual(command, after.slice(after.length - command.length));
    }
  },
  completion: (text, words) => {
    complete(words, COMMANDS);
    assert.ok(splitLine(text).length > 0);
    findClosest(text, ["create", "exec", "list"]);
  },
  output: (text) => {
    assert.doesNotMatch(escapeLine(text), DANGEROUS);
    assert.ok(displayWidth(truncate(escapeLine(text), 10)) <= 10);
    const table = renderTable([{ title: "A" }, { title: "B", minWidth: 4 }], [["x", text]], { width: 20 });
    assert.doesNotMatch(table.replaceAll("\n", ""), DANGEROUS);
  },
};

/** Runs the corpus, then `iterations` made-up texts. */
export async function fuzz({ seed, iterations }: FuzzOptions): Promise<void> {
  const corpus = readCorpus("cli-parsers");
  for (const [at, input] of corpus.entries()) tryInput(input, seed, -1 - at);
  for (let iteration = 0; iteration < iterations; iteration++) {
    tryInput(makeInput(new SeededRandom(seed * 1_000_003 + iteration), corpus), seed, iteration);
  }
}

function makeInput(random: SeededRandom, corpus: Buffer[]): Buffer {
  switch (random.below(3)) {
    case 0:
      return random.mutate(random.pick(corpus));
    case 1:
      return random.bytes(random.below(40));
    default:
      return Buffer.from(Array.from({ length: random.below(8) }, () => random.pick(PIECES)).join(""), "utf16le");
  }
}

function tryInput(input: Buffer, seed: number, iteration: number): void {
  // Two readings of the bytes: as a user's terminal sends text, and one that has halves of surrogate pairs.
  for (const text of [input.toString("utf8"), input.toString("utf16le")]) {
    const words = text.split(" ");
    for (const [name, check] of Object.entries(CHECKS)) {
      try {
        check(text, words);
      } catch (error) {
        if (error instanceof SbxError && (error.code === "usage" || error.code === "config_invalid")) continue;
        throw fuzzFailure(`cli-parsers (${name})`, seed, iteration, input, error);
      }
    }
  }
}
