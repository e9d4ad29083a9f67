/** Layers of an organisation through a control plane, by the published API. */
import type { LayerApi, LayerChange, LayerInfo, LayerSpec, LayerUser } from "../../apps.ts";
import type { CallOptions } from "../../types.ts";
import { layerAnswer, layerAnswers, layerUserAnswers } from "./app-answers.ts";
import { layerBody } from "./app-bodies.ts";
import type { PublishedObjects } from "./published-objects.ts";

export class RemoteLayers implements LayerApi {
  readonly #objects: PublishedObjects;

  constructor(objects: PublishedObjects) {
    this.#objects = objects;
  }

  async create(spec: LayerSpec, options: CallOptions = {}): Promise<LayerInfo> {
    return this.#objects.send("POST", layerAnswer(), ["layers"], layerBody(spec), options);
  }

  async list({ search, ...call }: CallOptions & { search?: string } = {}): Promise<LayerInfo[]> {
    return this.#objects.list(layerAnswers(), this.#objects.at(["layers"], { search }), call);
  }

  async get(ref: string, options: CallOptions = {}): Promise<LayerInfo> {
    return this.#objects.get(layerAnswer(), ["layers", ref], options);
  }

  async update(ref: string, change: LayerChange, options: CallOptions = {}): Promise<LayerInfo> {
    return this.#objects.send("PATCH", layerAnswer(), ["layers", ref], layerBody(change), options);
  }

  async remove(ref: string, options: CallOptions = {}): Promise<LayerInfo> {
    const layer = await this.get(ref, options);
    await this.#objects.remove(["layers", layer.id], options);
    return layer;
  }

  async users(ref: string, options: CallOptions = {}): Promise<LayerUser[]> {
    return this.#objects.list(layerUserAnswers(), this.#objects.at(["layers", ref, "apps"]), options);
  }
}
