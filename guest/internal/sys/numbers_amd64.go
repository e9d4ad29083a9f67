package sys

const (
	sysFinitModule   = 313
	sysRenameat2     = 316
	sysGetrandom     = 318
	sysCopyFileRange = 326
	sysStatx         = 332
	sysOpenat2       = 437
	sysFaccessat2    = 439
	sysClockSettime  = 227
	sysSyncfs        = 306
)
