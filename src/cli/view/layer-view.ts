/** Layers as text and JSON. */
import type { LayerInfo } from "../../runtime/apps.ts";
import { humanDuration } from "../output/human.ts";
import type { Column } from "../output/table.ts";

export const LAYER_COLUMNS: readonly Column[] = [
  ...[{ title: "NAME", minWidth: 8 }, { title: "APPS" }, { title: "VARIABLES" }, { title: "INCLUDES" }],
  ...[{ title: "CREATED" }, { title: "DESCRIPTION", minWidth: 12 }],
];

export function layerRow(layer: LayerInfo, nowMs: number): string[] {
  const { slug, appCount, env, layers, createdAt, description } = layer;
  const includes = layers.map((included) => included.slug).join(", ");
  return [
    ...[slug, String(appCount), String(env.length), includes === "" ? "-" : includes],
    ...[`${humanDuration(nowMs - createdAt)} ago`, description ?? "-"],
  ];
}

export function layerJson(layer: LayerInfo): Record<string, unknown> & { id: string } {
  const { createdAt, updatedAt } = layer;
  return { ...layer, createdAt: new Date(createdAt).toISOString(), updatedAt: new Date(updatedAt).toISOString() };
}
