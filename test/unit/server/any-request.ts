/**
 * Requests for any route, drawn from the very schemas that the server parses with: what a new route is sent needs no
 * word here. Strings are, wherever a schema lets them be, one of the names that a test is about.
 */
import fc from "fast-check";
import { z } from "zod";
import type { Route } from "../../../src/server/api/route.ts";

export interface AnyRequest {
  method: string;
  target: string;
  body?: unknown;
}

interface Schema {
  type?: string | string[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  const?: unknown;
  enum?: unknown[];
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  propertyNames?: Schema;
}

/** Properties that would have an answer go on for ever. */
const ENDLESS = new Set(["follow"]);
const MAX_DRAWN = 1_000_000_000_000;

export function anyRequest(route: Route, names: readonly string[]): fc.Arbitrary<AnyRequest> {
  const name = fc.constantFrom(...names);
  const params = route.path
    .split("/")
    .map((part) => (part.startsWith(":") ? name.map(encodeURIComponent) : fc.constant(part)));
  const path = fc.tuple(...params).map((parts) => parts.join("/"));
  const query = route.query === null ? fc.constant("") : fromSchema(schemaOf(route.query), name).map(toQuery);
  const body = route.body === null ? fc.constant(undefined) : fromSchema(schemaOf(route.body), name);
  return fc.record({ path, query, body }).map((drawn) => ({
    method: route.method,
    target: drawn.query === "" ? drawn.path : `${drawn.path}?${drawn.query}`,
    ...(drawn.body === undefined ? {} : { body: drawn.body }),
  }));
}

function schemaOf(schema: z.core.$ZodType): Schema {
  return z.toJSONSchema(schema, { io: "input", unrepresentable: "any", reused: "inline" }) as Schema;
}

function toQuery(value: unknown): string {
  const query = new URLSearchParams();
  for (const [key, item] of Object.entries(value as object)) {
    if (typeof item !== "object" || item === null) query.append(key, String(item));
    else for (const [inner, one] of Object.entries(item as object)) query.append(`${key}[${inner}]`, String(one));
  }
  return query.toString();
}

function fromSchema(schema: Schema, name: fc.Arbitrary<string>): fc.Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map((choice) => fromSchema(choice, name)));
  if (schema.allOf !== undefined) {
    return fc
      .tuple(...schema.allOf.map((part) => fromSchema(part, name)))
      .map((parts) => Object.fromEntries(parts.flatMap((part) => Object.entries(part as object))));
  }
  switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
    case "string":
      return fromString(schema, name);
    case "integer":
    case "number":
      return fromNumber(schema);
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    case "array":
      return fc.array(fromSchema(schema.items ?? {}, name), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.max(schema.minItems ?? 0, Math.min(schema.maxItems ?? 2, 2)),
      });
    case "object":
      return fromObject(schema, name);
    default:
      // What a schema does not say: a number, a text, nothing.
      return fc.oneof(name, fc.constant(1_000_000_000), fc.constant(null));
  }
}

function fromString(
  { pattern, minLength = 0, maxLength = 64 }: Schema,
  name: fc.Arbitrary<string>,
): fc.Arbitrary<string> {
  const form = pattern === undefined ? undefined : new RegExp(pattern, "u");
  const fits = (text: string): boolean =>
    text.length >= minLength && text.length <= maxLength && (form === undefined || form.test(text));
  const other =
    pattern === undefined
      ? fc.string({ minLength, maxLength: Math.min(Math.max(minLength, 8), maxLength) })
      : fc.stringMatching(new RegExp(pattern), { maxLength: Math.min(maxLength, 64) });
  return fc
    .oneof({ weight: 4, arbitrary: fc.option(name, { nil: "" }) }, { weight: 1, arbitrary: other })
    .chain((text) => (fits(text) ? fc.constant(text) : other));
}

function fromNumber({ type, minimum, exclusiveMinimum, maximum }: Schema): fc.Arbitrary<number> {
  const min = Math.max(minimum ?? 0, exclusiveMinimum === undefined ? -MAX_DRAWN : exclusiveMinimum + 1, -MAX_DRAWN);
  const max = Math.max(min, Math.min(maximum ?? MAX_DRAWN, MAX_DRAWN));
  return type === "integer"
    ? fc.integer({ min: Math.ceil(Math.max(min, -(2 ** 31))), max: Math.floor(Math.min(max, 2 ** 31 - 1)) })
    : fc.oneof(fc.constant(min), fc.constant(max), fc.integer({ min: 0, max: 10_000 }));
}

function fromObject(
  { properties = {}, required = [], additionalProperties }: Schema,
  name: fc.Arbitrary<string>,
): fc.Arbitrary<unknown> {
  if (Object.keys(properties).length === 0 && typeof additionalProperties === "object") {
    const key = fc.constantFrom("team", "A_1", "/data");
    return fc.dictionary(key, fromSchema(additionalProperties, name), { maxKeys: 2 });
  }
  const fields = Object.entries(properties).filter(([key]) => !ENDLESS.has(key));
  return fc.record(Object.fromEntries(fields.map(([key, property]) => [key, fromSchema(property, name)])), {
    requiredKeys: fields.map(([key]) => key).filter((key) => required.includes(key)),
  });
}
