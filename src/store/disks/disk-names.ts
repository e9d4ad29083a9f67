/** Ids and names of disks. Names of volumes and snapshots are one namespace (deno-sandbox protocol, section on volumes). */
import { newResourceId } from "../../host/resource-id.ts";

const REGION = "loc";

/** 2 to 32 characters, no dash at an end, and none at the third and fourth place together (reserved for Punycode). */
export const DISK_NAME = /^(?!..--)[a-z0-9][a-z0-9-]{0,30}[a-z0-9]$/;
export const DISK_NAME_RULE =
  "a name has 2 to 32 lower-case letters, digits and dashes, no dash at an end, and not -- after the second character";

export const newLayerId = (): string => newResourceId("lyr", REGION);
export const newVolumeId = (): string => newResourceId("vol", REGION);
export const newSnapshotId = (): string => newResourceId("snp", REGION);
export const newCheckpointId = (): string => newResourceId("chk", REGION);
