/** Images as text and JSON. */
import type { ImageInfo } from "../../runtime/types.ts";
import { humanDuration, humanSize, humanTime } from "../output/human.ts";
import type { Column } from "../output/table.ts";

const SHORT_ID = 12;

export const IMAGE_COLUMNS: readonly Column[] = [
  { title: "ID" },
  { title: "NAMES", minWidth: 10 },
  { title: "CREATED" },
  { title: "SIZE" },
  { title: "DISTRIBUTION", minWidth: 8 },
  { title: "ARCH" },
];

export function imageRow(image: ImageInfo, nowMs: number): string[] {
  return [
    image.id.slice(0, SHORT_ID),
    imageNames(image),
    `${humanDuration(nowMs - image.createdAt)} ago`,
    humanSize(image.sizeBytes),
    image.distribution,
    image.architecture,
  ];
}

/** All names of an image, the default one marked. */
function imageNames(image: ImageInfo): string {
  const names = image.names.join(", ");
  if (!image.isDefault) return names === "" ? "-" : names;
  return names === "" ? "(default)" : `${names} (default)`;
}

export function imageFields(image: ImageInfo, nowMs: number): [string, string][] {
  return [
    ["ID", image.id],
    ["Names", imageNames(image)],
    ["Created", humanTime(image.createdAt, nowMs)],
    ["Size", humanSize(image.sizeBytes)],
    ["Distribution", image.distribution],
    ["Architecture", image.architecture],
    ["Kernel", image.kernel],
    ["Packages", `${image.packages.length} (--json lists them)`],
  ];
}

export function imageJson(image: ImageInfo): Record<string, unknown> {
  return { ...image, createdAt: new Date(image.createdAt).toISOString() };
}
