package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Bits of an entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst).
const (
	pagePresent = 1 << 63
	pageSwapped = 1 << 62
	// pageOfFile is set where a page is still the file's.
	pageOfFile = 1 << 61
)

const (
	seekData = 3
	seekHole = 4
)

// errGone means that there is no such memory any more.
var errGone = errors.New("the machine has ended")

// source is the memory of a process. It is read by process_vm_readv(2) where this process may, which copies once, and by
// the descriptor that was handed over otherwise, which copies twice.
type source struct {
	pid     int
	mem     int
	refused atomic.Bool
}

func (s *source) read(part []byte, address uint64) error {
	for !s.refused.Load() && len(part) > 0 {
		local := syscall.Iovec{Base: &part[0], Len: uint64(len(part))}
		remote := struct{ base, length uint64 }{address, uint64(len(part))}
		n, _, e := syscall.Syscall6(sysProcessVMReadv, uintptr(s.pid), uintptr(unsafe.Pointer(&local)), 1,
			uintptr(unsafe.Pointer(&remote)), 1, 0)
		switch e {
		case 0:
			if n == 0 {
				return errGone
			}
			part, address = part[n:], address+uint64(n)
		case syscall.EPERM, syscall.ENOSYS:
			s.refused.Store(true)
		case syscall.ESRCH, syscall.EFAULT:
			return errGone
		case syscall.EINTR:
		default:
			return fmt.Errorf("the machine's memory: %w", e)
		}
	}
	n, err := preadFull(s.mem, part, int64(address))
	if err == syscall.EIO || err == nil && n < len(part) {
		return errGone
	}
	if err != nil {
		return fmt.Errorf("the machine's memory: %w", err)
	}
	return nil
}

// isThere reports whether the process that the descriptor was opened for still has the memory.
func (s *source) isThere(address uint64) error {
	var one [1]byte
	if n, err := preadFull(s.mem, one[:], int64(address)); err != nil || n == 0 {
		return errGone
	}
	return nil
}

// readEntries fills entries from a pagemap and returns a bit for each page that is the process's own.
func readEntries(pagemap int, address uint64, entries []uint64) (private uint64, err error) {
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&entries[0])), len(entries)*8)
	n, err := preadFull(pagemap, raw, int64(address/uint64(pageBytes))*8)
	if err != nil {
		return 0, fmt.Errorf("the machine's page map: %w", err)
	}
	if n < len(raw) {
		return 0, errGone
	}
	for i := range entries {
		entry := binary.NativeEndian.Uint64(raw[i*8:])
		// What was swapped out of a private mapping is the process's: the file's pages go back to the file.
		if entry&pageSwapped != 0 || entry&pagePresent != 0 && entry&pageOfFile == 0 {
			private |= 1 << i
		}
	}
	return private, nil
}

// preadFull reads until the buffer is full or the file ends.
func preadFull(fd int, part []byte, at int64) (int, error) {
	total := 0
	for total < len(part) {
		n, err := syscall.Pread(fd, part[total:], at+int64(total))
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return total, err
		}
		if n == 0 {
			break
		}
		total += n
	}
	return total, nil
}

// eachRun calls f with the runs of set bits, as long as that goes well.
func eachRun(set uint64, f func(first, count int) error) error {
	for set != 0 {
		first := bits.TrailingZeros64(set)
		count := bits.TrailingZeros64(^(set >> first))
		if err := f(first, count); err != nil {
			return err
		}
		if first+count >= 64 {
			return nil
		}
		set &^= (1<<count - 1) << first
	}
	return nil
}

// extents are the parts of a file that are no holes, in order.
type extents []struct{ begin, end int64 }

// findData looks for the data of a file's first size bytes. A file system that does not know holes has one extent.
func findData(fd int, size int64) (extents, error) {
	var found extents
	for at := int64(0); at < size; {
		begin, err := syscall.Seek(fd, at, seekData)
		if err == syscall.ENXIO || err == nil && begin >= size {
			break
		}
		if err != nil {
			return nil, err
		}
		end, err := syscall.Seek(fd, begin, seekHole)
		if err != nil {
			return nil, err
		}
		end = min(end, size)
		found = append(found, struct{ begin, end int64 }{begin, end})
		at = end
	}
	return found, nil
}

// pages returns a bit for each of the pages from begin on that has data.
func (x extents) pages(begin int64, count int) uint64 {
	end := begin + int64(count*pageBytes)
	low, high := 0, len(x)
	for low < high {
		middle := (low + high) / 2
		if x[middle].end <= begin {
			low = middle + 1
		} else {
			high = middle
		}
	}
	set := uint64(0)
	for ; low < len(x) && x[low].begin < end; low++ {
		first := max(0, int((x[low].begin-begin)/int64(pageBytes)))
		last := min(count-1, int((x[low].end-1-begin)/int64(pageBytes)))
		for i := first; i <= last; i++ {
			set |= 1 << i
		}
	}
	return set
}
