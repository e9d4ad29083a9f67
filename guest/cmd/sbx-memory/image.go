package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	// chunkPages is what is read and compared at a time: small enough to stay in a processor's cache in between.
	chunkPages = 64
	// maxWorkers is where memory, not processors, becomes the limit.
	maxWorkers = 8
	// madvPopulateRead is MADV_POPULATE_READ (Linux 5.14).
	madvPopulateRead = 22
	// minimumPage is the smallest page of any machine: what a mapping must be a multiple of.
	minimumPage = 4096
)

var (
	pageBytes = os.Getpagesize()
	zeros     = make([]byte, 64<<10)
)

// files are descriptors; see the package's comment.
type files struct{ mem, pagemap, base, target int }

// counts are pages: those that the guest has written since it was started, and those that were written to the file.
type counts struct{ private, written int64 }

// image is the file that is being filled.
type image struct {
	files
	source  source
	address uint64
	size    int64
	// data are the parts of the base that are no holes.
	data extents
	// Bits of the pages of each chunk: those that were read from the process, and those that the file has.
	private, written []uint64
	// view is the file, to compare with without copying. Only pages that were written are touched: looking at a hole
	// would make memory of it.
	view []byte
}

func openImage(f files, pid int, address uint64, size int64) (*image, error) {
	page := uint64(pageBytes)
	if address%page != 0 || size%minimumPage != 0 || size%int64(pageBytes) != 0 {
		return nil, errUsage
	}
	data, err := findData(f.base, size)
	if err != nil {
		return nil, fmt.Errorf("the base: %w", err)
	}
	view, err := syscall.Mmap(f.target, 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("the file: %w", err)
	}
	chunks := (size + chunkPages*int64(pageBytes) - 1) / (chunkPages * int64(pageBytes))
	return &image{
		files: f, source: source{pid: pid, mem: f.mem}, address: address, size: size, data: data, view: view,
		private: make([]uint64, chunks), written: make([]uint64, chunks),
	}, nil
}

// copy fills the file while the guest may change what is copied.
func (m *image) copy() (counts, error) {
	count, err := m.eachChunk(m.copyChunk)
	if err == nil {
		m.eachWrittenRun(func(part []byte) {
			// It only saves time later; an older kernel does not know it.
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, uintptr(unsafe.Pointer(&part[0])), uintptr(len(part)), madvPopulateRead)
		})
	}
	return count, err
}

// finish makes the file what the memory is now. The guest stands still.
func (m *image) finish() (counts, error) { return m.eachChunk(m.finishChunk) }

// eachChunk has work done for all chunks, on all processors.
func (m *image) eachChunk(work func(w *worker, chunk int) error) (counts, error) {
	var next atomic.Int64
	var group sync.WaitGroup
	workers := make([]worker, min(runtime.NumCPU(), maxWorkers))
	failures := make([]error, len(workers))
	for i := range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			w := &workers[i]
			w.buf = make([]byte, chunkPages*pageBytes)
			for failures[i] == nil {
				chunk := int(next.Add(1)) - 1
				if chunk >= len(m.private) {
					return
				}
				failures[i] = work(w, chunk)
			}
			// The others have nothing to go on for.
			next.Store(int64(len(m.private)))
		}()
	}
	group.Wait()
	var total counts
	for i := range workers {
		total.private += workers[i].private
		total.written += workers[i].written
	}
	if err := errors.Join(failures...); err != nil {
		return total, err
	}
	// A process that has ended may have left its number to another one, whose memory was read then.
	return total, m.source.isThere(m.address)
}

// worker is one goroutine's.
type worker struct {
	counts
	buf     []byte
	entries [chunkPages]uint64
}

// page returns the place of a page of the current chunk.
func (w *worker) page(i int) []byte { return w.buf[i*pageBytes : (i+1)*pageBytes] }

// pagesOf returns how many pages a chunk has, and where it begins.
func (m *image) pagesOf(chunk int) (pages int, begin int64) {
	begin = int64(chunk) * chunkPages * int64(pageBytes)
	return int(min(chunkPages, (m.size-begin)/int64(pageBytes))), begin
}

func (m *image) copyChunk(w *worker, chunk int) error {
	pages, begin := m.pagesOf(chunk)
	private, err := m.readPagemap(w, begin, pages)
	if err != nil {
		return err
	}
	inBase := m.data.pages(begin, pages) &^ private
	if err := m.readPrivate(w, private, begin); err != nil {
		return err
	}
	if err := m.readBase(w, inBase, begin); err != nil {
		return err
	}
	m.private[chunk] = private
	wanted := uint64(0)
	eachRun(private|inBase, func(first, count int) error {
		for i := first; i < first+count; i++ {
			if !isZero(w.page(i)) {
				wanted |= 1 << i
			}
		}
		return nil
	})
	m.written[chunk] = wanted
	return m.write(w, wanted, begin)
}

func (m *image) finishChunk(w *worker, chunk int) error {
	pages, begin := m.pagesOf(chunk)
	private, err := m.readPagemap(w, begin, pages)
	if err != nil {
		return err
	}
	if err := m.readPrivate(w, private, begin); err != nil {
		return err
	}
	// A guest that gave memory back would see the base again.
	former := m.private[chunk] &^ private
	inBase := m.data.pages(begin, pages) & former
	if err := m.readBase(w, inBase, begin); err != nil {
		return err
	}
	for holes, i := former&^inBase, 0; holes != 0; holes, i = holes>>1, i+1 {
		if holes&1 != 0 {
			clear(w.page(i))
		}
	}
	m.private[chunk] = private
	changed := uint64(0)
	eachRun(private|former, func(first, count int) error {
		for i := first; i < first+count; i++ {
			if !m.isSame(w.page(i), chunk, i) {
				changed |= 1 << i
			}
		}
		return nil
	})
	m.written[chunk] |= changed
	return m.write(w, changed, begin)
}

// isSame reports whether the file has this content at a page.
func (m *image) isSame(page []byte, chunk, i int) bool {
	if m.written[chunk]>>i&1 == 0 {
		return isZero(page)
	}
	at := (chunk*chunkPages + i) * pageBytes
	return bytes.Equal(page, m.view[at:at+pageBytes])
}

func isZero(page []byte) bool { return bytes.Equal(page, zeros[:len(page)]) }

// readPagemap returns the pages that are the process's own.
func (m *image) readPagemap(w *worker, begin int64, pages int) (uint64, error) {
	private, err := readEntries(m.pagemap, m.address+uint64(begin), w.entries[:pages])
	for left := private; left != 0; left &= left - 1 {
		w.private++
	}
	return private, err
}

func (m *image) readPrivate(w *worker, pages uint64, begin int64) error {
	return eachRun(pages, func(first, count int) error {
		part := w.buf[first*pageBytes : (first+count)*pageBytes]
		return m.source.read(part, m.address+uint64(begin)+uint64(first*pageBytes))
	})
}

func (m *image) readBase(w *worker, pages uint64, begin int64) error {
	return eachRun(pages, func(first, count int) error {
		part := w.buf[first*pageBytes : (first+count)*pageBytes]
		n, err := preadFull(m.base, part, begin+int64(first*pageBytes))
		if err != nil {
			return fmt.Errorf("the base: %w", err)
		}
		// The end of the file may be within its last page.
		clear(part[n:])
		return nil
	})
}

func (m *image) write(w *worker, pages uint64, begin int64) error {
	return eachRun(pages, func(first, count int) error {
		part := w.buf[first*pageBytes : (first+count)*pageBytes]
		at := begin + int64(first*pageBytes)
		w.written += int64(count)
		for len(part) > 0 {
			n, err := syscall.Pwrite(m.target, part, at)
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				return fmt.Errorf("the file: %w", err)
			}
			part, at = part[n:], at+int64(n)
		}
		return nil
	})
}

// eachWrittenRun calls f with the parts of the view that the file has.
func (m *image) eachWrittenRun(f func(part []byte)) {
	begin, end := 0, 0
	for chunk, bits := range m.written {
		_ = eachRun(bits, func(first, count int) error {
			at := (chunk*chunkPages + first) * pageBytes
			if at != end {
				if end > begin {
					f(m.view[begin:end])
				}
				begin = at
			}
			end = at + count*pageBytes
			return nil
		})
	}
	if end > begin {
		f(m.view[begin:end])
	}
}
