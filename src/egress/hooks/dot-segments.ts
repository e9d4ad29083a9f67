/**
 * Paths with `.` or `..` segments, in clear or encoded. Servers resolve them or do not, before or after decoding, so
 * nobody can say what such a target names. The target is the guest's.
 */

/** Whether the target's path has one in any reading. */
export function hasDotSegments(target: string): boolean {
  let path = target.split("?", 1)[0] ?? "";
  while (path.includes("%25")) path = path.replaceAll("%25", "%"); // shorter each time
  return path.split(/\/|\\|%2f|%5c/i).some((segment) => /^(?:\.|%2e){1,2}$/i.test(segment));
}
