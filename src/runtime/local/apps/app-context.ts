/** What all parts of the apps share: their records, and how layers are referred to. */
import type { DatabaseSync } from "node:sqlite";
import { MAX_LAYER_REFS, type InstanceSettings } from "../../../protocol/app-values.ts";
import {
  appDocumentSchema,
  layerDocumentSchema,
  type AppDocument,
  type LayerDocument,
  type StoredVariable,
} from "../../../store/apps/app-documents.ts";
import { LayerUsers, NamedRecordStore, type NamedRecord } from "../../../store/apps/named-records.ts";
import { RevisionStore } from "../../../store/apps/revision-store.ts";
import type { SealedValues } from "../../../store/apps/sealed-values.ts";
import { appNotFound, layerNotFound, usage } from "./app-faults.ts";
import type { Identifiers } from "./slugs.ts";
import type { VariableTools } from "./variables.ts";

export type AppRecord = NamedRecord<AppDocument>;
export type LayerRecord = NamedRecord<LayerDocument>;

export interface AppContext {
  apps: NamedRecordStore<AppDocument>;
  layers: NamedRecordStore<LayerDocument>;
  layerUsers: LayerUsers;
  revisions: RevisionStore;
  sealed: SealedValues;
  ids: Identifiers;
  /** Epoch `ms`. */
  now: () => number;
}

export function openAppContext(
  database: DatabaseSync,
  { sealed, ids, now }: Pick<AppContext, "sealed" | "ids" | "now">,
): AppContext {
  return {
    apps: new NamedRecordStore(database, "apps", appDocumentSchema),
    layers: new NamedRecordStore(database, "app_layers", layerDocumentSchema),
    layerUsers: new LayerUsers(database),
    revisions: new RevisionStore(database),
    ...{ sealed, ids, now },
  };
}

/** What was said of an app's instances. */
export function settingsOf({ instances = {} }: AppDocument): Partial<InstanceSettings> {
  return Object.fromEntries(Object.entries(instances).filter(([, value]) => value !== undefined));
}

/** @throws SbxError `app_not_found` */
export function requireApp({ apps }: AppContext, ref: string): AppRecord {
  const found = apps.find(ref);
  if (found === undefined) throw appNotFound(ref);
  return found;
}

/** @throws SbxError `layer_not_found` */
export function requireLayer({ layers }: AppContext, ref: string): LayerRecord {
  const found = layers.find(ref);
  if (found === undefined) throw layerNotFound(ref);
  return found;
}

/** What seals the values of a change; a change without variables needs no key. */
export async function toolsFor(
  { sealed, ids }: AppContext,
  changes: readonly unknown[] | undefined,
): Promise<VariableTools> {
  if (changes !== undefined && changes.length > 0) return { seal: await sealed.sealer(), newId: ids.uuid };
  const seal = (): never => {
    throw new Error("nothing was to be sealed");
  };
  return { seal, newId: ids.uuid };
}

/** Ids of the layers that are meant, in their order. @throws SbxError `layer_not_found`, `usage` */
export function resolveLayers(context: AppContext, refs: readonly string[]): LayerRecord[] {
  if (refs.length > MAX_LAYER_REFS) throw usage(`there can be ${MAX_LAYER_REFS} layers, not ${refs.length}`);
  const found = refs.map((ref) => requireLayer(context, ref));
  const twice = found.find(({ id }, at) => found.findIndex((other) => other.id === id) < at);
  if (twice !== undefined) throw usage(`the layer ${twice.slug} is named twice`);
  return found;
}

/** Whether `layer` includes `wanted`, itself included. */
export function includes(context: AppContext, layer: LayerRecord, wanted: string): boolean {
  if (layer.id === wanted) return true;
  return layer.layers.some(({ id }) => includes(context, requireLayer(context, id), wanted));
}

/** Variables of layers and what they include; those with precedence come last. */
export function layerVariables(context: AppContext, refs: readonly { id: string }[]): StoredVariable[] {
  const seen = new Set<string>();
  const collect = (id: string): StoredVariable[] => {
    if (seen.has(id)) return [];
    seen.add(id);
    const layer = context.layers.find(id);
    if (layer === undefined) return [];
    return [...layer.document.env, ...layer.layers.flatMap((included) => collect(included.id))];
  };
  return refs.flatMap(({ id }) => collect(id)).reverse();
}
