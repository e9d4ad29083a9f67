// Package hostclock measures the processor's time-stamp counter on the host. An emulated guest sees that counter but
// often fails to measure it against an emulated timer, and hangs; so the host tells it.
package hostclock

import (
	"syscall"
	"time"
	"unsafe"
)

const (
	clockMonotonicRaw = 4
	// span is long enough for an error of a few parts in a million.
	span = 50 * time.Millisecond
	// tries is how often a pair of readings is taken; the closest pair counts.
	tries = 32
)

// KHz measures the counter's frequency, in kHz; 0 where there is none.
func KHz() uint64 {
	if counter() == 0 {
		return 0
	}
	c0, t0 := reading()
	time.Sleep(span)
	c1, t1 := reading()
	if t1 <= t0 {
		return 0
	}
	return (c1 - c0) * 1_000_000 / uint64(t1-t0)
}

// reading pairs the counter with the clock. Being interrupted in between makes a pair wide: the narrowest is best.
func reading() (ticks uint64, ns int64) {
	best := ^uint64(0)
	for range tries {
		before := counter()
		now := monotonicRaw()
		after := counter()
		if width := after - before; width < best {
			best, ticks, ns = width, before+width/2, now
		}
	}
	return ticks, ns
}

func monotonicRaw() int64 {
	var ts syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonicRaw, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}
