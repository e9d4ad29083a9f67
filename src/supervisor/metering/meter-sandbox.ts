/** A sandbox's meter, with the database behind it. */
import { openDatabase } from "../../store/database.ts";
import { MeterStore, type SandboxSample } from "../../store/metering/meter-store.ts";
import { storageSizes } from "../../store/metering/storage-sizes.ts";
import { openUsageDatabase, usageDatabasePath } from "../../store/metering/usage-database.ts";
import type { SandboxLaunch } from "../../protocol/launch.ts";
import type { VirtualMachine } from "../../vm/virtual-machine.ts";
import { SandboxMeter, type SandboxMeterOptions } from "./sandbox-meter.ts";

export interface MeterSandboxOptions extends Pick<SandboxMeterOptions, "traffic" | "onExcess"> {
  launch: SandboxLaunch;
  vm: VirtualMachine;
  /** Whether its guest may have written to any. */
  hasVolumes: () => boolean;
  log: (message: string) => void;
}

export function meterSandbox({ launch, vm, log, hasVolumes, ...options }: MeterSandboxOptions): SandboxMeter {
  const { id, name, directory, spec } = launch;
  const meter = new SandboxMeter({
    ...options,
    subject: { id, name, labels: spec.labels, app: spec.app ?? null },
    ...{ directory, vmPid: vm.pid, memoryBytes: spec.memoryBytes, budget: spec.budget ?? [] },
    settle: (sample) => {
      try {
        settle(launch, sample, hasVolumes());
      } catch (error) {
        log(`what was used could not be recorded: ${String(error)}`);
      }
    },
  });
  // A guest that powers off: its machine is about to be gone.
  vm.qmp.onEvent(({ event }) => {
    if (event === "SHUTDOWN") meter.sample();
  });
  return meter;
}

function settle({ databasePath, layersPath }: SandboxLaunch, sample: SandboxSample, hasVolumes: boolean): void {
  using usage = openUsageDatabase(usageDatabasePath(databasePath));
  const meters = new MeterStore(usage);
  meters.settle(sample);
  if (!hasVolumes) return;
  using state = openDatabase(databasePath);
  meters.measureStorage(storageSizes(state, layersPath), sample.at);
}
