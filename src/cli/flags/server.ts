/** Options of the commands around a control plane. */
import * as Flags from "@oclif/core/flags";

export const serverDataFlag = Flags.string({
  summary: "Directory of the server's records; one beside your sandboxes' if absent.",
  helpValue: "DIR",
});
