/** The presets of `--net`, as text. */
import type { PresetGroup } from "../../policy/presets.ts";
import type { NetMode } from "../../policy/spec.ts";
import { escapeLine } from "../output/escape.ts";
import type { Palette } from "../output/palette.ts";

export const PRESETS: Readonly<Record<NetMode, string>> = {
  none: "nothing",
  balanced: "the hosts of a list for development",
  open: "every public host; private and local addresses stay closed",
};

/** The hosts below their titles, or what a preset without a list allows. */
export function presetText(name: NetMode, groups: readonly PresetGroup[], palette: Palette): string {
  if (groups.length === 0) return PRESETS[name];
  const texts = groups.map(({ title, hosts }) => [palette.strong(`# ${escapeLine(title)}`), ...hosts.map(escapeLine)]);
  return texts.map((lines) => lines.join("\n")).join("\n\n");
}
