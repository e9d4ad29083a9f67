/**
 * YAML with the line of each value, without what lets a file say something else than its reader sees: aliases, anchors,
 * tags, merge keys, repeated keys, several documents. Input may be hostile.
 */
import {
  isAlias,
  isCollection,
  isPair,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type YAMLError,
} from "yaml";
import { SbxError } from "../runtime/errors.ts";

export type YamlPath = readonly (string | number)[];

export interface YamlSource {
  value: unknown;
  /** Line of the value at a path, or of what is nearest above it. */
  lineOf(path: YamlPath): number;
}

/** @throws SbxError `config_invalid` with path and line */
export function readYaml(text: string, path: string): YamlSource {
  const lines = new LineCounter();
  const lineAt = (offset: number): number => Math.max(1, lines.linePos(offset).line);
  let document: Document.Parsed;
  try {
    document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false, merge: false });
    const [problem] = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0]);
    refuseReferences(document, (offset, why, hint) => {
      throw fileError(path, lineAt(offset), why, hint);
    });
    if (problem !== undefined) {
      throw fileError(
        path,
        lineAt(problem.pos[0]),
        explainProblem(problem),
        'quote what begins with * or [: "*.example.com"',
      );
    }
    return { value: document.toJS({ maxAliasCount: 0 }), lineOf: (at) => lineOf(document, at, lineAt) };
  } catch (error) {
    if (error instanceof SbxError) throw error;
    // Nesting deeper than the parser's stack ends here.
    throw new SbxError("config_invalid", `${path} cannot be read as YAML`, { cause: error });
  }
}

/** Anchors, aliases and tags have no use in a policy, and make one file say what no reader sees in it. */
function refuseReferences(
  document: Document.Parsed,
  refuse: (offset: number, why: string, hint?: string) => never,
): void {
  visit(document, {
    Alias: (_key, node) => {
      const [offset = 0] = node.range ?? [];
      const hint = node.source.startsWith(".") ? `quote a pattern with a star: "*${node.source}"` : undefined;
      return refuse(offset, `*${node.source} is an alias, which a policy file cannot have`, hint);
    },
    Pair: (_key, { key }) => {
      if (isScalar(key)) return;
      const [offset = 0] = (isCollection(key) ? key.range : undefined) ?? [];
      refuse(offset, "a key is not a text", "quote a host in brackets");
    },
    Node: (_key, node) => {
      if (isAlias(node)) return;
      const [offset = 0] = node.range ?? [];
      if (node.anchor !== undefined) refuse(offset, "a policy file cannot have anchors");
      if (node.tag !== undefined && !isPlainTag(node.tag)) refuse(offset, "a policy file cannot have tags");
    },
  });
}

function isPlainTag(tag: string): boolean {
  return ["str", "int", "float", "bool", "null", "seq", "map"].includes(tag.replace("tag:yaml.org,2002:", ""));
}

function lineOf(document: Document.Parsed, path: YamlPath, lineAt: (offset: number) => number): number {
  let line = 1;
  let node: unknown = document.contents;
  for (const step of path) {
    if (!isCollection(node)) return line;
    const item: unknown = node.items.find((candidate, at) =>
      isPair(candidate) ? isScalar(candidate.key) && candidate.key.value === step : at === step,
    );
    const key: unknown = isPair(item) ? item.key : item;
    const [offset] = (key as { range?: readonly number[] | null } | undefined)?.range ?? [];
    if (offset === undefined) return line;
    line = lineAt(offset);
    node = isPair(item) ? item.value : item;
  }
  return line;
}

export function valueAt(value: unknown, path: YamlPath): unknown {
  let found = value;
  for (const step of path) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, step)) return undefined;
    found = (found as Record<string | number, unknown>)[step];
  }
  return found;
}

export function fileError(path: string, line: number, why: string, hint?: string): SbxError {
  return new SbxError("config_invalid", `${path}:${line}: ${why}`, hint === undefined ? {} : { hint });
}

function explainProblem({ code, message }: Pick<YAMLError, "code" | "message">): string {
  if (code === "MULTIPLE_DOCS") return "a policy file is one document";
  if (code === "DUPLICATE_KEY") return "the key is there twice";
  if (message.includes("call stack")) return "it is nested too deeply";
  return message.split("\n", 1)[0] ?? message;
}
