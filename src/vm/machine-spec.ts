/** What a virtual machine is made of, as plain data: the input of the QEMU arguments and of the template key. */

export type AcceleratorName = "kvm" | "tcg";

/** How this host runs guests, found out once by booting (accelerator-probe.ts). */
export interface Accelerator {
  name: AcceleratorName;
  /** QEMU's `-cpu`. */
  cpuModel: string;
  /** Frequency of the time-stamp counter that the guest sees, `kHz`; needed where the guest cannot measure it. */
  tscKhz: number | null;
}

export interface MachineSpec {
  accelerator: Accelerator;
  memoryBytes: number;
  cpus: number;
}

/** Where the kernel and its initial file system are; only a cold boot reads them. */
export interface BootFiles {
  kernelPath: string;
  initrdPath: string;
}

/** The layers of the root disk, the writable one last. All but the last are opened read-only. */
export interface DiskLayer {
  path: string;
  format: "raw" | "qcow2";
}
