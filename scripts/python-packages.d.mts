export const PYTHON_LISTS: readonly string[];
export function pythonPackages(list: string): Promise<string>;
