/**
 * The fields of `/proc/PID/stat` behind the program's name, which may hold spaces and parentheses: the first is the state,
 * the field 3 of proc_pid_stat(5).
 */
export function statFields(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}
