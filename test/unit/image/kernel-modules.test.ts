import assert from "node:assert/strict";
import { test } from "node:test";
import { loadOrder, moduleName, parseModuleIndex } from "../../../src/vm/image/kernel-modules.ts";

const DEP = `kernel/drivers/scsi/scsi_common.ko.xz:
kernel/drivers/scsi/scsi_mod.ko.xz: kernel/drivers/scsi/scsi_common.ko.xz
kernel/drivers/scsi/virtio_scsi.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz kernel/drivers/scsi/scsi_common.ko.xz
kernel/drivers/scsi/sd_mod.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz kernel/drivers/scsi/scsi_common.ko.xz
kernel/drivers/char/hw_random/virtio-rng.ko.xz:
`;
const BUILTIN = "kernel/fs/ext4/ext4.ko\nkernel/drivers/char/virtio_console.ko\n";

test("each module is loaded once, and after what it needs", () => {
  const order = loadOrder(parseModuleIndex(DEP, BUILTIN), ["virtio_scsi", "sd_mod", "virtio_rng"]);
  assert.deepEqual(order.map(moduleName), ["scsi_common", "scsi_mod", "virtio_scsi", "sd_mod", "virtio_rng"]);
});

test("what the kernel has built in needs no loading", () => {
  assert.deepEqual(loadOrder(parseModuleIndex(DEP, BUILTIN), ["ext4", "virtio_console"]), []);
});

test("a module that the kernel does not have at all is an error, not a guest without a disk", () => {
  assert.throws(() => loadOrder(parseModuleIndex(DEP, BUILTIN), ["virtio_blk"]), /no module virtio_blk/);
});

test("a module's name has underscores and no suffix, however the file is packed", () => {
  for (const file of ["a/virtio-rng.ko", "virtio-rng.ko.xz", "b/c/virtio_rng.ko.zst", "virtio-rng.ko.gz"]) {
    assert.equal(moduleName(file), "virtio_rng");
  }
});

test("an index that is cut short is an error", () => {
  assert.throws(() => parseModuleIndex("kernel/fs/x.ko.xz: \nkernel/fs/y.k", ""), /without a colon/);
});
