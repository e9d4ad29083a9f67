/** Types of launcher.js, for the tests and scripts that are written in TypeScript. */
export const MINIMUM_NODE_MAJOR: number;
export function isNodeRecentEnough(version: string): boolean;
export function findBundledNode(startDirectory?: string): { path: string; version: string } | undefined;
export function tooOldMessage(): string;
export function runOn(node: string, args: readonly string[], env?: Record<string, string>): Promise<void>;
export function rerunOnRecentNode(scriptPath: string, args: readonly string[]): Promise<void>;
