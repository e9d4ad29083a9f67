/**
 * Variables of apps and layers: how a change is merged with those that are there. A key may be there several times, if
 * no context has two of them. The value of a secret goes in and never comes out.
 */
import { variableKeySchema, variableValueSchema } from "../../../protocol/app-records.ts";
import { MAX_VARIABLES, type Contexts } from "../../../protocol/app-values.ts";
import type { StoredVariable } from "../../../store/apps/app-documents.ts";
import type { EnvVariable, EnvVariableChange, EnvVariableSpec } from "../../apps.ts";
import { requireValid, usage } from "./app-faults.ts";

/** Makes a value unreadable to whoever reads the database. */
export type Seal = (value: string) => string;

export interface VariableTools {
  seal: Seal;
  newId: () => string;
}

/** @throws SbxError `usage` */
export function newVariables(specs: readonly EnvVariableSpec[], tools: VariableTools): StoredVariable[] {
  return checkTogether(specs.map((spec) => newVariable(spec, tools)));
}

/** @throws SbxError `usage` */
export function mergeVariables(
  before: readonly StoredVariable[],
  changes: readonly EnvVariableChange[],
  tools: VariableTools,
): StoredVariable[] {
  let variables = [...before];
  for (const change of changes) {
    const found = findVariable(variables, change);
    if (change.remove === true) {
      variables = variables.filter((variable) => variable !== found);
      continue;
    }
    const next = found === undefined ? addedVariable(change, tools) : changedVariable(found, change, tools);
    if (found === undefined) variables.push(next);
    else variables[variables.indexOf(found)] = next;
  }
  return checkTogether(variables);
}

export function toEnvVariable({ id, key, value, contexts }: StoredVariable): EnvVariable {
  return { id, key, value, isSecret: value === null, contexts };
}

/** Whether a variable is there in a context. */
export function isIn({ contexts }: Pick<StoredVariable, "contexts">, context: string): boolean {
  return contexts === "all" || contexts.some((name) => name.toLowerCase() === context);
}

function findVariable(variables: readonly StoredVariable[], change: EnvVariableChange): StoredVariable | undefined {
  const { id, key, contexts } = change;
  if (id !== undefined) {
    const found = variables.find((variable) => variable.id === id);
    if (found === undefined) throw usage(`there is no variable with the id ${JSON.stringify(id.slice(0, 128))}`);
    return found;
  }
  if (key === undefined) throw usage("a variable is named by its id or its key");
  const same = variables.filter((variable) => variable.key === key);
  if (same.length < 2) return same[0];
  const found = contexts && same.find((variable) => JSON.stringify(variable.contexts) === JSON.stringify(contexts));
  if (found === undefined) throw usage(`there are several variables ${key}: say which by its id`);
  return found;
}

function newVariable(
  { key, value, isSecret = false, contexts = "all" }: EnvVariableSpec,
  tools: VariableTools,
): StoredVariable {
  requireValid(variableKeySchema, key, "key");
  return { id: tools.newId(), key, contexts, ...storedValue(value, isSecret, tools) };
}

function addedVariable({ key, value, ...rest }: EnvVariableChange, tools: VariableTools): StoredVariable {
  if (key === undefined || value === undefined) throw usage(`the variable ${key ?? ""} needs a value`);
  return newVariable({ key, value, ...rest }, tools);
}

function changedVariable(
  before: StoredVariable,
  { key = before.key, value, isSecret, contexts = before.contexts }: EnvVariableChange,
  tools: VariableTools,
): StoredVariable {
  requireValid(variableKeySchema, key, "key");
  const wasSecret = before.sealed !== null;
  const becomesSecret = isSecret ?? wasSecret;
  if (wasSecret && !becomesSecret && value === undefined) {
    throw usage(`${key} is a secret, whose value is not shown again: give it a new one to make it plain`);
  }
  const { id } = before;
  const given = value ?? (becomesSecret === wasSecret ? undefined : (before.value ?? ""));
  const kept = { value: before.value, sealed: before.sealed };
  return { id, key, contexts, ...(given === undefined ? kept : storedValue(given, becomesSecret, tools)) };
}

function storedValue(
  value: string,
  isSecret: boolean,
  { seal }: VariableTools,
): Pick<StoredVariable, "value" | "sealed"> {
  requireValid(variableValueSchema, value, "value");
  return isSecret ? { value: null, sealed: seal(value) } : { value, sealed: null };
}

function checkTogether(variables: StoredVariable[]): StoredVariable[] {
  if (variables.length > MAX_VARIABLES) throw usage(`there can be ${MAX_VARIABLES} variables, not ${variables.length}`);
  for (const [at, variable] of variables.entries()) {
    const other = variables.slice(0, at).find(({ key }) => key === variable.key);
    if (other !== undefined && overlap(other.contexts, variable.contexts)) {
      throw usage(`the variable ${variable.key} would be there twice in one context`);
    }
  }
  return variables;
}

function overlap(a: Contexts, b: Contexts): boolean {
  return a === "all" || b === "all" || a.some((name) => b.some((one) => one.toLowerCase() === name.toLowerCase()));
}
