package sys

const (
	sysFinitModule   = 273
	sysRenameat2     = 276
	sysGetrandom     = 278
	sysCopyFileRange = 285
	sysStatx         = 291
	sysOpenat2       = 437
	sysFaccessat2    = 439
	sysClockSettime  = 112
	sysSyncfs        = 267
)
