/**
 * Policy files (`--net-file policy.yaml`), which several sandboxes may share:
 *
 *     version: 1
 *     net: none                       # or balanced, open
 *     allow:
 *       - api.example.com:443
 *       - host: api.example.com
 *         ports: 443                  # 443, "80,443", or a list
 *         methods: [GET, HEAD]
 *         paths: [/v1/**]
 *     deny:
 *       - "*.internal.example.com"
 *     rules:                          # in JavaScript
 *       - r.method === "GET" && r.host.endsWith(".example.com")
 *
 * A file may come with somebody's repository. It is refused as a whole where anything in it is not understood: a policy
 * that says less than its author meant must not run.
 */
import * as z from "zod/mini";
import { SbxError } from "../runtime/errors.ts";
import { checkExpression } from "./expression.ts";
import { parseHostPattern } from "./host-pattern.ts";
import { parsePathGlob } from "./path-glob.ts";
import { joinPorts, parsePorts, type PortRange } from "./ports.ts";
import type { ExpressionDraft, NetMode, RuleDraft, RuleSource, Verdict } from "./spec.ts";
import { quoteValue } from "./usage-error.ts";
import { fileError, readYaml, valueAt, type YamlPath, type YamlSource } from "./yaml-source.ts";

/** Longest file, characters. */
export const MAX_POLICY_FILE_LENGTH = 1024 * 1024;
/** Rules of one file, of each kind. */
const MAX_FILE_RULES = 5000;
const MAX_LIST = 64;
const MAX_TEXT_LENGTH = 1024;

export interface PolicyFile {
  /** `null` where the file does not say. */
  net: NetMode | null;
  /** Each with its line as source. */
  rules: RuleDraft[];
  expressions: ExpressionDraft[];
}

const portEntry = z.union([z.int(), z.string()]);
const texts = (error: string) =>
  z
    .array(z.string().check(z.minLength(1), z.maxLength(MAX_TEXT_LENGTH)))
    .check(z.minLength(1, { error }), z.maxLength(MAX_LIST));

const hostEntry = z.strictObject({
  host: z.string(),
  ports: z.optional(z.union([portEntry, z.array(portEntry).check(z.minLength(1), z.maxLength(MAX_LIST))])),
  methods: z.optional(texts("leave methods away for every method")),
  paths: z.optional(texts("leave paths away for every path")),
});
const hostEntries = z.array(z.union([z.string(), hostEntry])).check(z.maxLength(MAX_FILE_RULES));

const schema = z.strictObject({
  version: z.literal(1),
  net: z.optional(z.enum(["none", "balanced", "open"])),
  allow: z.optional(hostEntries),
  deny: z.optional(hostEntries),
  rules: z.optional(z.array(z.string()).check(z.maxLength(MAX_FILE_RULES))),
});

type HostEntry = z.output<typeof hostEntry>;

/**
 * Reads a policy file.
 *
 * @param path for messages and sources
 * @throws SbxError `config_invalid` with path and line
 */
export function parsePolicyFile(file: string, path: string): PolicyFile {
  if (file.length > MAX_POLICY_FILE_LENGTH) {
    throw new SbxError("config_invalid", `${path} is longer than ${MAX_POLICY_FILE_LENGTH / 1024} KiB`);
  }
  const source = readYaml(file, path);
  const parsed = schema.safeParse(source.value);
  if (!parsed.success) throw schemaError(parsed.error.issues, source, path);
  const { net, allow = [], deny = [], rules = [] } = parsed.data;
  const draftAll = (verdict: Verdict, entries: readonly (string | HostEntry)[]): RuleDraft[] =>
    entries.map((entry, at) => {
      const line = source.lineOf([verdict, at]);
      return atLine(path, line, () => draft(verdict, entry, { kind: "file", path, line }));
    });
  return {
    net: net ?? null,
    rules: [...draftAll("allow", allow), ...draftAll("deny", deny)],
    expressions: rules.map((text, at) => {
      const line = source.lineOf(["rules", at]);
      atLine(path, line, () => checkExpression(text));
      return { text, source: { kind: "file", path, line } };
    }),
  };
}

function draft(verdict: Verdict, entry: string | HostEntry, source: RuleSource): RuleDraft {
  const fields: HostEntry = typeof entry === "string" ? { host: entry } : entry;
  const pattern = parseHostPattern(
    fields.ports === undefined ? fields.host : withPorts(fields.host, fields.ports),
    verdict,
  );
  const paths = fields.paths ?? null;
  for (const path of paths ?? []) parsePathGlob(path);
  return { verdict, ...pattern, methods: fields.methods?.map(parseMethod) ?? null, paths, source };
}

/** The pattern with the ports that are written beside it. */
function withPorts(host: string, ports: NonNullable<HostEntry["ports"]>): string {
  const alone = parseHostPattern(host, "deny");
  if (alone.ports !== null)
    throw new SbxError("usage", `${quoteValue(host)} has a port, and there are ports beside it`);
  const list = (Array.isArray(ports) ? ports : [ports]).flatMap((port): PortRange[] => parsePorts(String(port)));
  const text = joinPorts(list).map(({ first, last }) => `${first}-${last}`);
  return `${alone.host.includes(":") ? `[${alone.host}]` : alone.host}:${text.join(",")}`;
}

function parseMethod(text: string): string {
  if (/^[A-Za-z][A-Za-z0-9-]{0,31}$/.test(text)) return text.toUpperCase();
  throw new SbxError("usage", `${quoteValue(text)} is not an HTTP method`, { hint: "write GET, HEAD or POST" });
}

/** What is wrong with a value is wrong with the file. */
function atLine<T>(path: string, line: number, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof SbxError) throw fileError(path, line, error.message, error.hint);
    throw error;
  }
}

function schemaError(issues: readonly z.core.$ZodIssue[], source: YamlSource, path: string): SbxError {
  const issue = deepest(issues);
  const at = issue.path.filter((step) => typeof step !== "symbol");
  const unknownKey = issue.code === "unrecognized_keys" ? issue.keys[0] : undefined;
  const line = source.lineOf(unknownKey === undefined ? at : [...at, unknownKey]);
  const where = at.length === 0 ? "" : ` in ${renderPath(at)}`;
  if (unknownKey !== undefined)
    return fileError(path, line, `${quoteValue(unknownKey)} is not known${where}`, KEYS_HINT);
  const value = valueAt(source.value, at);
  const hint =
    value === null && at.length > 0 && issue.code === "invalid_type" ? "write [] for an empty list" : undefined;
  return fileError(path, line, `${explain(issue, value === undefined)}${where}`, hint);
}

const KEYS_HINT = "keys are version, net, allow, deny and rules; those of a rule are host, ports, methods and paths";

/** The issue that is furthest inside: of the forms that a value may have, the one that it comes nearest to. */
function deepest(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  const [first] = issues;
  if (first === undefined) throw new TypeError("no issue");
  if (first.code !== "invalid_union") return first;
  const inner = first.errors.flatMap((branch) => (branch.length === 0 ? [] : [deepest(branch)]));
  const best = inner.toSorted((a, b) => rank(b) - rank(a))[0];
  if (best === undefined || rank(best) === 0) return first;
  return { ...best, path: [...first.path, ...best.path] };
}

function rank(issue: z.core.$ZodIssue): number {
  return issue.path.length * 2 + (issue.code === "unrecognized_keys" ? 1 : 0);
}

function explain(issue: z.core.$ZodIssue, missing: boolean): string {
  switch (issue.code) {
    case "invalid_union":
      return "a value of the wrong type";
    case "invalid_value":
      return `one of ${issue.values.map(String).join(", ")} is expected`;
    case "invalid_type":
      return missing ? "a value is missing" : `${article(issue.expected)} is expected`;
    case "too_big":
      return "too much";
    case "too_small":
      return issue.message === "" ? "too little" : issue.message;
    default:
      return issue.message === "" ? "an unexpected value" : issue.message;
  }
}

function article(type: string): string {
  if (type === "array") return "a list";
  if (type === "object") return "a mapping with version: 1";
  return `${/^[aeiou]/.test(type) ? "an" : "a"} ${type}`;
}

function renderPath(path: YamlPath): string {
  return path.map((step, at) => (typeof step === "number" ? `[${step}]` : `${at === 0 ? "" : "."}${step}`)).join("");
}
