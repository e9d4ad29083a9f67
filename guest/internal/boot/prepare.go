package boot

import (
	"os"
	"runtime/debug"
	"syscall"
	"unsafe"

	"sbx.dev/agent/internal/errno"
	"sbx.dev/agent/internal/sys"
)

// warmUps are run before a template is saved, so that its clones find in memory what most sandboxes run first.
var warmUps = [][]string{
	{"true"},
	{"/bin/sh", "-c", "ls /; cat /etc/hostname; env; uname -a; id"},
	{"/bin/bash", "-c", "true | cat; mkdir -p /tmp/.sbx-warm && rm -r /tmp/.sbx-warm"},
	{"/usr/bin/python3", "-c", "import os, sys, json, re, subprocess, socket"},
	{"/usr/bin/env", "node", "-e", "require('fs')"},
	{"/usr/bin/env", "deno", "--version"},
	{"/usr/bin/env", "git", "--version"},
	{"/usr/bin/env", "sudo", "--version"},
}

// WarmUps returns the commands that a template runs once. Those that are not in the image are left out.
func WarmUps() [][]string {
	var there [][]string
	for _, argv := range warmUps {
		if _, err := os.Stat(argv[0]); err == nil || argv[0] == "true" {
			there = append(there, argv)
		}
	}
	return there
}

// GrowRoot makes the root file system as large as its disk, or as diskBytes if that is less.
func GrowRoot(diskBytes uint64) error {
	const blkGetSize64, ext4ResizeFS = 0x80081272, 0x40086610
	disk, err := os.Open(rootDevice)
	if err != nil {
		return errno.From(err)
	}
	defer disk.Close()
	var size uint64
	if err := sys.IoctlPointer(int(disk.Fd()), blkGetSize64, unsafe.Pointer(&size)); err != nil {
		return errno.At(err, rootDevice)
	}
	if diskBytes > 0 {
		size = min(size, diskBytes)
	}
	root, err := os.Open("/")
	if err != nil {
		return errno.From(err)
	}
	defer root.Close()
	var fs syscall.Statfs_t
	if err := syscall.Fstatfs(int(root.Fd()), &fs); err != nil {
		return errno.At(err, "/")
	}
	blocks := size / uint64(fs.Bsize)
	if blocks <= fs.Blocks {
		return nil
	}
	return errno.At(sys.IoctlPointer(int(root.Fd()), ext4ResizeFS, unsafe.Pointer(&blocks)), "/")
}

// DropCaches forgets what the boot has read, so that a template holds what its clones will read instead.
func DropCaches() {
	syscall.Sync()
	_ = os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// Settle leaves nothing to be done after the template was saved.
func Settle() error {
	if err := settleIdentity(); err != nil {
		return err
	}
	debug.FreeOSMemory()
	syscall.Sync()
	return nil
}
