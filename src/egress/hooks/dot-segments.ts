/**
 * Paths that servers read in several ways: they resolve `.` and `..` or do not, before or after decoding, with or without
 * parameters (`..;x=1`), and some take as a dot or a slash what is none (`%u002e`, `%c0%af`). The target is the guest's.
 */

/** What some server takes for a dot: one that is encoded, in IIS's way, in UTF-8 that is too long, or full-width. */
const DOTS = /%(?:2e|u002e|uff0e|c0%ae|e0%80%ae|ef%bc%8e)/gi;
const SEPARATORS = /\\|%(?:2f|5c|u002f|u005c|uff0f|uff3c|c0%af|c1%9c|e0%80%af|ef%bc%8f|ef%bc%bc)/gi;
/** Dots, behind which there are blanks that some cut off, or what ends the name. */
const DOT_SEGMENT = /^\.{1,2}(?:%(?:20|[01][0-9a-f]|7f)|[\0- ])*(?:$|[;#]|%(?:3b|23|3f|00|u003b))/i;
const CONTROLS_AND_ENDS = /[;#]|%(?:[01][0-9a-f]|7f|3b|23|3f|u003b)/i;

/** Whether the target's path has one in any reading. */
export function hasDotSegments(target: string): boolean {
  return readSegments(target).some((segment) => DOT_SEGMENT.test(segment));
}

/**
 * Whether its segments are a matter of opinion, though none of them is a dot segment: separators in them that are encoded,
 * parameters, controls, and empty ones, which many servers leave out.
 */
export function hasUnclearSegments(target: string): boolean {
  if (target === "*") return false;
  const path = pathOf(target);
  const [, ...segments] = readSegments(target);
  const emptyAt = segments.indexOf("");
  return (
    path.search(SEPARATORS) >= 0 || CONTROLS_AND_ENDS.test(path) || (emptyAt >= 0 && emptyAt < segments.length - 1)
  );
}

function readSegments(target: string): string[] {
  return pathOf(target).replace(SEPARATORS, "/").replace(DOTS, ".").split("/");
}

/** Decoded as often as anybody could, as far as percent signs go. */
function pathOf(target: string): string {
  return (target.split("?", 1)[0] ?? "").replace(/%(?:25)+/g, "%");
}
