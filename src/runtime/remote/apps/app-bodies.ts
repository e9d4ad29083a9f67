/** What the published API is sent for apps. */
import type {
  AppChange,
  AppSpec,
  DeployAsset,
  DeploySpec,
  EnvVariableChange,
  EnvVariableSpec,
  LayerChange,
  LayerSpec,
} from "../../apps.ts";
import { unsupported } from "../unsupported.ts";

type Changes = readonly (EnvVariableSpec | EnvVariableChange)[];

/** But for what the published API has no words for. */
export function appBody({ env, ...rest }: Omit<AppSpec | AppChange, "instances">): object {
  return { ...rest, ...(env === undefined ? {} : { env_vars: env.map(variableBody) }) };
}

export function layerBody({ env, ...rest }: LayerSpec | LayerChange): object {
  return { ...rest, ...(env === undefined ? {} : { env_vars: env.map(variableBody) }) };
}

function variableBody({ isSecret, ...change }: Changes[number]): object {
  const { remove, ...rest } = change as EnvVariableChange;
  return { ...rest, ...(isSecret === undefined ? {} : { secret: isSecret }), ...(remove === true && { delete: true }) };
}

/** Of assets. */
export function deployBody(assets: ReadonlyMap<string, DeployAsset>, spec: DeploySpec): object {
  const { config, layers, env, labels, production, preview, isKept } = spec;
  return {
    assets: Object.fromEntries([...assets].map(([name, asset]) => [name, assetBody(asset)])),
    ...{ config, layers, env_vars: env, labels, production, preview },
    ...(isKept === true && { retention: "indefinite" }),
  };
}

function assetBody(asset: DeployAsset): object {
  if (asset.kind === "symlink") return asset;
  return { kind: "file", encoding: "base64", content: Buffer.from(asset.content).toString("base64") };
}

/** Of a sandbox, whose words are fewer. @throws SbxError `unsupported` for what it has none for */
export function deploySandboxBody(
  app: string,
  { path, root }: { path: string; root?: string },
  { config = {}, production, preview, layers, env, labels, isKept }: DeploySpec,
): object {
  const { framework, install, build, predeploy, runtime } = config;
  if (runtime?.type === "static" || (predeploy ?? "") !== "" || (layers ?? env ?? labels ?? isKept) !== undefined) {
    throw unsupported(
      "a server deploys from a sandbox no static site, no predeploy command, and nothing of its own layers, variables or labels",
      "set them at the app: sbx app update; or deploy a directory",
    );
  }
  const isBuilt = (install ?? "") !== "" || (build ?? "") !== "" || (framework ?? "") !== "";
  return {
    ...{ app, path, production, preview, mode: isBuilt ? "local" : "none", frameworkPreset: framework ?? "" },
    ...{ entrypoint: runtime?.entrypoint, args: runtime?.args, buildDirectory: root },
    ...{ installCommand: install ?? undefined, buildCommand: build ?? undefined },
  };
}
