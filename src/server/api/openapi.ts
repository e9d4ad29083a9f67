/** The OpenAPI document, made of the schemas that requests are parsed with and that answers are made by. */
import { z } from "zod";
import { IMPORT_UPGRADE } from "../../protocol/import-upgrade.ts";
import { SSH_UPGRADE } from "../../protocol/ssh-upgrade.ts";
import { API_CODES, type ApiCode } from "../api-error.ts";
import { CONFIG_HEADER } from "../sandbox-config.ts";
import { ORG_HEADER } from "../tokens/authenticate.ts";
import { LINES } from "./event-answer.ts";
import { errorObject } from "./objects.ts";
import { ROUTES, UPGRADES } from "./routes.ts";
import type { Route } from "./route.ts";

type Json = Record<string, unknown>;

/** What any route may answer with. */
const COMMON: readonly ApiCode[] = [
  ...(["INVALID_REQUEST", "MISSING_ORG", "INVALID_TOKEN", "TOKEN_EXPIRED", "ORG_FORBIDDEN"] as const),
  ...(["INSUFFICIENT_SCOPE", "BODY_TOO_LARGE", "HEADERS_TOO_LARGE", "INTERNAL", "SHUTTING_DOWN"] as const),
];
const UPGRADE_ERRORS: Readonly<Record<keyof typeof UPGRADES, readonly ApiCode[]>> = {
  create: [
    ...(["INVALID_CONFIG", "VOLUME_NOT_FOUND", "VOLUME_IN_USE", "TOO_MANY_SANDBOXES", "QUOTA_EXCEEDED"] as const),
    ...(["RATE_LIMITED", "INSUFFICIENT_RESOURCES", "START_FAILED", "UPGRADE_REQUIRED"] as const),
  ],
  connect: ["SANDBOX_NOT_FOUND", "SANDBOX_NOT_RUNNING", "UPGRADE_REQUIRED"],
  ssh: ["SANDBOX_NOT_FOUND", "SANDBOX_NOT_RUNNING", "UPGRADE_REQUIRED"],
  import: ["NOT_FOUND", "RATE_LIMITED", "UPGRADE_REQUIRED"],
};

/** Kept: to make it takes tens of milliseconds, and anybody may ask for it. */
let made: { version: string; document: Json } | undefined;

/** Always the same one: nobody may change it. */
export function openApiDocument(version: string): Json {
  if (made?.version !== version) made = { version, document: makeDocument(version) };
  return made.document;
}

function makeDocument(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const route of ROUTES) {
    const path = braced(route.path);
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route) };
  }
  for (const name of ["create", "connect", "ssh", "import"] as const) {
    const path = braced(UPGRADES[name].path);
    paths[path] = { ...paths[path], get: upgradeOperation(name) };
  }
  return {
    openapi: "3.1.0",
    info: { title: "sbx", version, description: "The published Deno Sandbox API, as far as this server has it." },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      // There may be more in it than a client knows.
      schemas: { Error: schemaOf(errorObject, "input") },
    },
  };
}

function operation(route: Route): Json {
  const { success, body } = route;
  const parameters = [...pathParameters(route.path), ...queryParameters(route.query), orgParameter()];
  return {
    ...{ summary: route.summary, "x-scope": route.scope, parameters },
    ...(body === null ? {} : { requestBody: { required: true, content: jsonOf(schemaOf(body, "input")) } }),
    responses: {
      [success.status]: {
        description: "success",
        ...(success.schema === null ? {} : { content: contentOf(success.schema, success) }),
      },
      ...failures([...COMMON, ...route.errors]),
    },
  };
}

const UPGRADED: Partial<Record<keyof typeof UPGRADES, string>> = {
  ssh: `An upgrade to ${SSH_UPGRADE}.`,
  import: `An upgrade to ${IMPORT_UPGRADE}.`,
};

function upgradeOperation(name: keyof typeof UPGRADES): Json {
  const { path, summary } = UPGRADES[name];
  const config = { name: CONFIG_HEADER, in: "header", required: true, schema: { type: "string" } };
  return {
    ...{ summary, "x-scope": name === "import" ? "volumes" : "sandboxes" },
    description: UPGRADED[name] ?? "The handshake of a WebSocket.",
    parameters: [...pathParameters(path), ...(name === "create" ? [config] : []), orgParameter()],
    responses: { 101: { description: "connected" }, ...failures([...COMMON, ...UPGRADE_ERRORS[name]]) },
  };
}

/** The codes of each status, in words: a client matches on `code`. */
function failures(codes: readonly ApiCode[]): Json {
  const byStatus = new Map<number, ApiCode[]>();
  for (const code of new Set(codes)) {
    byStatus.set(API_CODES[code], [...(byStatus.get(API_CODES[code]) ?? []), code]);
  }
  const content = jsonOf({ $ref: "#/components/schemas/Error" });
  return Object.fromEntries([...byStatus].map(([status, of]) => [status, { description: of.join(", "), content }]));
}

function pathParameters(path: string): Json[] {
  const names = path.split("/").filter((part) => part.startsWith(":"));
  return names.map((part) => ({ name: part.slice(1), in: "path", required: true, schema: { type: "string" } }));
}

function queryParameters(query: z.core.$ZodType | null): Json[] {
  if (query === null) return [];
  const { properties = {} } = schemaOf(query, "input") as { properties?: Record<string, Json> };
  return Object.entries(properties).map(([name, schema]) => ({
    ...{ name, in: "query", required: false, schema },
    ...(schema.type === "object" ? { style: "deepObject", explode: true } : {}),
  }));
}

function orgParameter(): Json {
  return { name: ORG_HEADER, in: "header", required: false, schema: { type: "string" } };
}

function schemaOf(schema: z.core.$ZodType, io: "input" | "output"): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any", reused: "inline" });
  return inlined(rest);
}

/** A schema with an id refers to its definition in the schema itself; each here stands alone. */
function inlined(schema: Json): Json {
  const { $defs, ...rest } = schema as { $defs?: Record<string, Json> };
  const replace = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(replace);
    if (typeof value !== "object" || value === null) return value;
    const { $ref } = value as { $ref?: unknown };
    const name = typeof $ref === "string" ? /^#\/\$defs\/(.+)$/.exec($ref)?.[1] : undefined;
    if (name !== undefined && $defs?.[name] !== undefined) return replace($defs[name]);
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replace(item)]));
  };
  const { id: _id, ...whole } = replace(rest) as Json;
  return whole;
}

/** Of a stream it is each item that has the schema, and no more is said of it. */
function contentOf(schema: z.core.$ZodType, { types = [], lines }: Route["success"]): Json {
  const also = lines === undefined ? {} : { [LINES]: { "x-item": schemaOf(lines, "output") } };
  if (types.length === 0) return { ...jsonOf(schemaOf(schema, "output")), ...also };
  return Object.fromEntries(types.map((type) => [type, { "x-item": schemaOf(schema, "output") }]));
}

function braced(path: string): string {
  return path.replaceAll(/:(\w+)/g, "{$1}");
}

function jsonOf(schema: Json): Json {
  return { "application/json": { schema } };
}
