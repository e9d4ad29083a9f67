/** Deploying: assets that a client sends, or a directory of a sandbox. */
import path from "node:path";
import { z } from "zod";
import { DEFAULT_SETTINGS } from "../../runtime/defaults.ts";
import { FRAMEWORKS, type AppConfig } from "../../protocol/app-values.ts";
import type { Admission, DeployAsset, DeploySpec, RevisionInfo } from "../../runtime/apps.ts";
import { ApiError } from "../api-error.ts";
import type { Quotas } from "../config.ts";
import { findSandbox } from "../organisations/find-exactly.ts";
import type { Tenant } from "../organisations/tenant.ts";
import { requireScope } from "../tokens/authenticate.ts";
import { defined, deployBody, deploySandboxBody } from "./app-bodies.ts";
import { revisionObject, toRevisionObject } from "./app-objects.ts";
import { route, type Answer, type Call, type Route } from "./route.ts";

/** Relative paths of a sandbox begin here. */
const HOME = "/home/app";
/** Beside the assets in base64: their paths, and what else a body holds, `bytes`. */
const BODY_ROOM_BYTES = 2 * 1024 ** 2;

type AssetsCall = Call<unknown, z.output<typeof deployBody>>;
type SandboxCall = Call<unknown, z.output<typeof deploySandboxBody>>;

async function deployAssets({ tenant, params, body, signal }: AssetsCall): Promise<Answer> {
  const assets = readAssets(body.assets, tenant.quotas);
  const { config, layers, env_vars: env, labels, production, preview, retention } = body;
  const spec = {
    ...{ source: { kind: "assets" as const, assets }, production, preview, isKept: retention === "indefinite" },
    ...defined({ config, layers, env, labels }),
  };
  return { status: 202, body: toRevisionObject(await deploy(tenant, params.app ?? "", spec, signal)) };
}

async function deploySandbox({ tenant, caller, params, body, signal }: SandboxCall): Promise<Answer> {
  // What the app answers may be all of the sandbox's files.
  requireScope(caller, "sandboxes");
  const { id } = await findSandbox(tenant.runtime, params.id ?? "");
  const { production, preview, buildDirectory: root } = body;
  const source = { kind: "sandbox" as const, sandbox: id, path: path.posix.resolve(HOME, body.path) };
  const spec = { source: { ...source, ...defined({ root }) }, config: configOf(body), production, preview };
  const revision = await deploy(tenant, body.app, spec, signal);
  return { status: 200, body: { revision_id: revision.id } };
}

/**
 * Instances are sandboxes like others: there has to be room for those that the revision starts with, now, and when they
 * are made.
 */
async function deploy(tenant: Tenant, app: string, spec: DeploySpec, signal: AbortSignal): Promise<RevisionInfo> {
  const { quotas, runtime } = tenant;
  const demand = { memoryBytes: DEFAULT_SETTINGS.memoryBytes, cpus: Math.min(DEFAULT_SETTINGS.cpus, quotas.cpus) };
  const instances = Number(spec.production) + Number(spec.preview);
  const { id } = await runtime.apps.get(app);
  const admit: Admission = async (one, make) => tenant.admit(one, make, false);
  return tenant.admit(
    Array.from({ length: instances }, () => demand),
    async () => runtime.apps.deploy(id, { ...spec, maxBytes: quotas.revision }, { signal, admit }),
  );
}

/** As the SDK means it: `none` takes the files as they are, `local` has the commands run in the sandbox first. */
function configOf(body: z.output<typeof deploySandboxBody>): AppConfig {
  const { entrypoint, args, mode, frameworkPreset, installCommand, buildCommand } = body;
  const runtime = { type: "dynamic" as const, entrypoint, ...defined({ args }) };
  if (mode === "none") return { install: null, build: null, runtime };
  const framework = FRAMEWORKS.find((name) => name === frameworkPreset);
  if (framework === undefined) {
    throw new ApiError("INVALID_REQUEST", `frameworkPreset must be one of ${FRAMEWORKS.slice(1).join(", ")}`);
  }
  const commands = defined({ install: installCommand, build: buildCommand });
  return framework === "" ? { ...commands, runtime } : { ...commands, framework };
}

function readAssets(given: z.output<typeof deployBody>["assets"], { assets: max }: Quotas): Map<string, DeployAsset> {
  const assets = new Map<string, DeployAsset>();
  let bytes = 0;
  for (const [name, asset] of Object.entries(given)) {
    if (asset.kind === "symlink") {
      assets.set(name, asset);
      continue;
    }
    const content = readContent(name, asset.content, asset.encoding ?? "utf-8");
    bytes += content.length;
    assets.set(name, { kind: "file", content });
  }
  if (bytes <= max) return assets;
  throw new ApiError("QUOTA_EXCEEDED", `the assets of a revision have at most ${max} bytes, not ${bytes}`);
}

function readContent(name: string, content: string, encoding: "utf-8" | "base64"): Uint8Array {
  if (encoding === "utf-8") return Buffer.from(content);
  if (/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(content)) return Buffer.from(content, "base64");
  throw new ApiError("INVALID_REQUEST", `assets.${name.slice(0, 128)}: content is not base64`);
}

/** Base64 takes four characters for three bytes. */
function maxBodyBytes({ assets }: Quotas): number {
  return Math.ceil(assets / 3) * 4 + BODY_ROOM_BYTES;
}

export const DEPLOY_ROUTES: readonly Route[] = [
  route({
    ...{ method: "POST", path: "/api/v2/apps/:app/deploy", summary: "Deploy assets", scope: "apps" },
    ...{ body: deployBody, maxBodyBytes },
    success: { status: 202, schema: revisionObject },
    errors: ["APP_NOT_FOUND", "LAYER_NOT_FOUND", "TOO_MANY_SANDBOXES", "QUOTA_EXCEEDED", "RATE_LIMITED"],
    handle: deployAssets,
  }),
  route({
    ...{ method: "POST", path: "/api/v2/sandboxes/:id/deploy", summary: "Deploy a sandbox's files", scope: "apps" },
    body: deploySandboxBody,
    success: { status: 200, schema: z.object({ revision_id: z.string() }) },
    errors: ["SANDBOX_NOT_FOUND", "APP_NOT_FOUND", "TOO_MANY_SANDBOXES", "QUOTA_EXCEEDED", "RATE_LIMITED"],
    handle: deploySandbox,
  }),
];
