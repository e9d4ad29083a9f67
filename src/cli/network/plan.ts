/** What a new sandbox may reach, from the options of `create` and `run`. The user wrote all of it. */
import { resolve } from "node:path";
import { buildPolicy, draftRule } from "../../policy/build-policy.ts";
import { checkExpression } from "../../policy/expression.ts";
import type { PolicyFile } from "../../policy/policy-file.ts";
import type { ExpressionDraft, RuleDraft, RuleSource, Verdict } from "../../policy/spec.ts";
import { MAX_SECRETS } from "../../protocol/net-calls.ts";
import { SbxError } from "../../runtime/errors.ts";
import type { NetworkSpec, SecretRequest } from "../../runtime/types.ts";
import { splitPatterns } from "../parsers/pattern-list.ts";
import { parseResolveOverride } from "../parsers/resolve-override.ts";
import { parseSecretRequests } from "../parsers/secret-request.ts";
import { usageError } from "../parsers/usage-error.ts";
import type { NetworkFlagValues, NetworkPlace } from "./flag-values.ts";
import { readCaFile } from "./ca-file.ts";
import { checkUserFile, readUserFile } from "./user-file.ts";

const MAX_POLICY_FILE_BYTES = 4 * 1024 * 1024;
const EMPTY_FILE: PolicyFile = { net: null, rules: [], expressions: [] };

/** @throws SbxError `usage`, `config_invalid` for a policy file */
export async function planNetwork(flags: NetworkFlagValues, { cwd, variables }: NetworkPlace): Promise<NetworkSpec> {
  const inCwd = (path: string): string => resolve(cwd, path);
  const file = flags["net-file"] === undefined ? EMPTY_FILE : await readPolicyFile(flags["net-file"], cwd);
  const expressions = (flags.rule ?? []).map((text): ExpressionDraft => ({ text, source: option("--rule") }));
  const rules = [
    ...draftRules("allow", flags["allow-net"], "--allow-net"),
    ...draftRules("deny", flags["deny-net"], "--deny-net"),
    ...file.rules,
  ];
  const hookPath = flags.hook === undefined ? null : inCwd(flags.hook);
  if (hookPath !== null) checkUserFile(hookPath, "--hook");
  return {
    policy: buildPolicy({
      mode: flags.net ?? file.net ?? "none",
      rules,
      expressions: [...expressions, ...file.expressions].map(checked),
    }),
    secrets: readSecrets(flags.secret ?? [], variables),
    onLeak: flags["on-leak"] ?? "block",
    inspect: flags.inspect === true,
    hookPath,
    resolve: (flags.resolve ?? []).map(parseResolveOverride),
    extraRootsPem: (flags["ca-file"] ?? []).map(inCwd).flatMap(readCaFile),
  };
}

async function readPolicyFile(path: string, cwd: string): Promise<PolicyFile> {
  const text = readUserFile(resolve(cwd, path), { option: "--net-file", maxBytes: MAX_POLICY_FILE_BYTES });
  const { parsePolicyFile } = await import("../../policy/policy-file.ts");
  return parsePolicyFile(text, path);
}

function draftRules(verdict: Verdict, texts: readonly string[] | undefined, name: string): RuleDraft[] {
  return (texts ?? []).flatMap(splitPatterns).map((pattern) => draftRule(verdict, pattern, option(name)));
}

function option(name: string): RuleSource {
  return { kind: "option", option: name };
}

/** @throws SbxError with the file and line, where there is one */
function checked(expression: ExpressionDraft): ExpressionDraft {
  const { source, text } = expression;
  try {
    checkExpression(text);
    return expression;
  } catch (error) {
    if (source.kind !== "file" || !(error instanceof SbxError)) throw error;
    const { message, hint } = error;
    const place = `${source.path}:${source.line}`;
    throw new SbxError("config_invalid", `${place}: ${message}`, hint === undefined ? {} : { hint });
  }
}

function readSecrets(texts: readonly string[], variables: Readonly<Record<string, string>>): SecretRequest[] {
  const requests = parseSecretRequests(texts);
  if (requests.length > MAX_SECRETS) throw usageError(`a sandbox has up to ${MAX_SECRETS} secrets`);
  const twice = requests.find(({ name }) => Object.hasOwn(variables, name));
  if (twice === undefined) return requests;
  throw usageError(
    `${twice.name} is both a secret and a variable of the sandbox`,
    "leave out --env (or its line in --env-file): with the secret the variable holds a placeholder",
  );
}
