/** Layers: variables that several apps have in common. */
import { z } from "zod";
import { createLayerBody, defined, updateLayerBody } from "./app-bodies.ts";
import { layerAppObject, layerObject, toLayerObject } from "./app-objects.ts";
import { answerPage, pageQuery } from "./pagination.ts";
import { route, type Answer, type Call, type Route } from "./route.ts";

type PageCall = Call<z.output<typeof pageQuery>, unknown>;

async function create({ tenant, body, signal }: Call<unknown, z.output<typeof createLayerBody>>): Promise<Answer> {
  const { env_vars: env, ...rest } = body;
  const spec = { ...defined({ ...rest, env }), slug: body.slug };
  const layer = await tenant.admitApp("layers", async () => tenant.runtime.apps.layers.create(spec, { signal }));
  return { status: 201, body: toLayerObject(layer) };
}

async function list({ tenant, query, url, signal }: PageCall): Promise<Answer> {
  const { search } = query;
  const layers = await tenant.runtime.apps.layers.list({ signal, ...(search === undefined ? {} : { search }) });
  return answerPage(layers, query, url, toLayerObject);
}

async function get({ tenant, params, signal }: Call<unknown, unknown>): Promise<Answer> {
  return { status: 200, body: toLayerObject(await tenant.runtime.apps.layers.get(params.layer ?? "", { signal })) };
}

async function update(call: Call<unknown, z.output<typeof updateLayerBody>>): Promise<Answer> {
  const { env_vars: env, ...rest } = call.body;
  const { layers } = call.tenant.runtime.apps;
  const layer = await layers.update(call.params.layer ?? "", defined({ ...rest, env }), { signal: call.signal });
  return { status: 200, body: toLayerObject(layer) };
}

async function remove({ tenant, params }: Call<unknown, unknown>): Promise<Answer> {
  await tenant.runtime.apps.layers.remove(params.layer ?? "");
  return { status: 204 };
}

async function apps({ tenant, params, query, url }: PageCall): Promise<Answer> {
  const users = await tenant.runtime.apps.layers.users(params.layer ?? "");
  // By slug: none of them is newer than another one.
  const items = users.map((user) => ({ id: user.slug, createdAt: 0, user }));
  return answerPage(items, query, url, ({ user }) => ({
    ...{ id: user.id, slug: user.slug, layer_position: user.position },
  }));
}

export const LAYER_ROUTES: readonly Route[] = [
  route({
    ...{ method: "GET", path: "/api/v2/layers", summary: "Layers, the newest first", scope: "read" },
    query: pageQuery,
    success: { status: 200, schema: z.array(layerObject) },
    errors: [],
    handle: list,
  }),
  route({
    ...{ method: "POST", path: "/api/v2/layers", summary: "Make a layer", scope: "apps" },
    body: createLayerBody,
    success: { status: 201, schema: layerObject },
    errors: ["SLUG_ALREADY_IN_USE", "LAYER_NOT_FOUND", "QUOTA_EXCEEDED"],
    handle: create,
  }),
  route({
    ...{ method: "GET", path: "/api/v2/layers/:layer", summary: "One layer, by id or slug", scope: "read" },
    success: { status: 200, schema: layerObject },
    errors: ["LAYER_NOT_FOUND"],
    handle: get,
  }),
  route({
    ...{ method: "PATCH", path: "/api/v2/layers/:layer", summary: "Change a layer", scope: "apps" },
    body: updateLayerBody,
    success: { status: 200, schema: layerObject },
    errors: ["LAYER_NOT_FOUND", "SLUG_ALREADY_IN_USE"],
    handle: update,
  }),
  route({
    ...{ method: "DELETE", path: "/api/v2/layers/:layer", summary: "Remove a layer", scope: "apps" },
    success: { status: 204, schema: null },
    errors: ["LAYER_NOT_FOUND", "LAYER_IN_USE"],
    handle: remove,
  }),
  route({
    ...{ method: "GET", path: "/api/v2/layers/:layer/apps", summary: "Apps of a layer, by slug", scope: "read" },
    query: pageQuery,
    success: { status: 200, schema: z.array(layerAppObject) },
    errors: ["LAYER_NOT_FOUND"],
    handle: apps,
  }),
];
