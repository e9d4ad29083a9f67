/** Layers: variables that several apps have in common. */
import type { LayerApi, LayerChange, LayerInfo, LayerSpec, LayerUser } from "../../apps.ts";
import { throwIfAborted } from "../../abort.ts";
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../types.ts";
import { includes, requireLayer, resolveLayers, toolsFor, type AppContext, type LayerRecord } from "./app-context.ts";
import { slugInUse, usage } from "./app-faults.ts";
import { checkSlug } from "./slugs.ts";
import { mergeVariables, newVariables, toEnvVariable } from "./variables.ts";

const MAX_DESCRIPTION_CHARS = 1024;

export class LocalLayers implements LayerApi {
  readonly #context: AppContext;

  constructor(context: AppContext) {
    this.#context = context;
  }

  async create(spec: LayerSpec, { signal }: CallOptions = {}): Promise<LayerInfo> {
    throwIfAborted(signal, "making the layer");
    const { layers, now } = this.#context;
    const slug = checkSlug(spec.slug);
    const description = checkDescription(spec.description ?? null);
    const env = newVariables(spec.env ?? [], await toolsFor(this.#context, spec.env));
    const id = this.#context.ids.uuid();
    layers.atOnce(() => {
      if (layers.find(slug) !== undefined) throw slugInUse("layer", slug);
      const included = resolveLayers(this.#context, spec.layers ?? []).map((layer) => layer.id);
      layers.insert({ id, slug, createdAt: now(), document: { description, env }, layers: included });
    });
    return this.get(id);
  }

  async list({ search = "", signal }: CallOptions & { search?: string } = {}): Promise<LayerInfo[]> {
    throwIfAborted(signal, "listing the layers");
    const counts = this.#context.layerUsers.counts();
    const wanted = search.toLowerCase();
    const found = this.#context.layers
      .list()
      .filter(({ slug, document }) => `${slug}\n${document.description ?? ""}`.toLowerCase().includes(wanted));
    return found.map((layer) => toLayer(layer, counts)).sort((a, b) => b.createdAt - a.createdAt);
  }

  async get(ref: string, { signal }: CallOptions = {}): Promise<LayerInfo> {
    throwIfAborted(signal, "looking for the layer");
    return toLayer(requireLayer(this.#context, ref), this.#context.layerUsers.counts());
  }

  async update(ref: string, change: LayerChange, { signal }: CallOptions = {}): Promise<LayerInfo> {
    throwIfAborted(signal, "changing the layer");
    const { layers, now } = this.#context;
    const before = requireLayer(this.#context, ref);
    const tools = await toolsFor(this.#context, change.env);
    layers.atOnce(() => {
      const current = requireLayer(this.#context, before.id);
      const { id, document } = current;
      const slug = change.slug === undefined ? current.slug : checkSlug(change.slug);
      const description = checkDescription(change.description ?? document.description);
      const env = mergeVariables(document.env, change.env ?? [], tools);
      const other = layers.find(slug);
      if (other !== undefined && other.id !== id) throw slugInUse("layer", slug);
      const included = change.layers === undefined ? undefined : resolveLayers(this.#context, change.layers);
      const around = included?.find((layer) => includes(this.#context, layer, id));
      if (around !== undefined) throw usage(`the layer ${slug} would include itself, by way of ${around.slug}`);
      const refs = included ?? current.layers;
      layers.update(id, { slug, document: { description, env }, layers: refs.map((layer) => layer.id) }, now());
    });
    return this.get(before.id);
  }

  async remove(ref: string, { signal }: CallOptions = {}): Promise<LayerInfo> {
    throwIfAborted(signal, "removing the layer");
    const info = await this.get(ref);
    const { layers, layerUsers } = this.#context;
    layers.atOnce(() => {
      const users = [...layerUsers.apps(info.id).map(({ slug }) => slug), ...layerUsers.layers(info.id)];
      if (users.length > 0) {
        throw new SbxError("layer_in_use", `the layer ${info.slug} is used by ${users.slice(0, 5).join(", ")}`, {
          hint: "take it out of them first",
        });
      }
      layers.remove(info.id);
    });
    return info;
  }

  async users(ref: string, { signal }: CallOptions = {}): Promise<LayerUser[]> {
    throwIfAborted(signal, "looking for the layer's apps");
    return this.#context.layerUsers.apps(requireLayer(this.#context, ref).id);
  }
}

function toLayer({ id, slug, layers, document, ...times }: LayerRecord, counts: Map<string, number>): LayerInfo {
  return {
    ...{ id, slug, layers, description: document.description, env: document.env.map(toEnvVariable) },
    ...{ appCount: counts.get(id) ?? 0, createdAt: times.createdAt, updatedAt: times.updatedAt },
  };
}

function checkDescription(text: string | null): string | null {
  if (text === null || text.length <= MAX_DESCRIPTION_CHARS) return text;
  throw usage(`a description has at most ${MAX_DESCRIPTION_CHARS} characters`);
}
