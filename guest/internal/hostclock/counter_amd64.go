package hostclock

// counter reads the time-stamp counter (RDTSC).
func counter() uint64
