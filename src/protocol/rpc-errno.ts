/**
 * Linux errno names as the sandbox RPC shows them: the guest is always Linux, so the host's own numbers do not count.
 * Classes follow section 2.3 of the protocol document; whatever is not listed is a plain `Error`.
 */

interface Errno {
  number: number;
  text: string;
  constructorName?: string;
}

const ERRNOS: Record<string, Errno> = {
  EPERM: { number: 1, text: "Operation not permitted", constructorName: "PermissionDenied" },
  ENOENT: { number: 2, text: "No such file or directory", constructorName: "NotFound" },
  ESRCH: { number: 3, text: "No such process" },
  EINTR: { number: 4, text: "Interrupted system call", constructorName: "Interrupted" },
  EIO: { number: 5, text: "Input/output error" },
  ENXIO: { number: 6, text: "No such device or address" },
  E2BIG: { number: 7, text: "Argument list too long" },
  ENOEXEC: { number: 8, text: "Exec format error" },
  EBADF: { number: 9, text: "Bad file descriptor", constructorName: "BadResource" },
  EAGAIN: { number: 11, text: "Resource temporarily unavailable", constructorName: "WouldBlock" },
  ENOMEM: { number: 12, text: "Cannot allocate memory" },
  EACCES: { number: 13, text: "Permission denied", constructorName: "PermissionDenied" },
  EBUSY: { number: 16, text: "Device or resource busy", constructorName: "Busy" },
  EEXIST: { number: 17, text: "File exists", constructorName: "AlreadyExists" },
  EXDEV: { number: 18, text: "Invalid cross-device link" },
  ENODEV: { number: 19, text: "No such device" },
  ENOTDIR: { number: 20, text: "Not a directory", constructorName: "NotADirectory" },
  EISDIR: { number: 21, text: "Is a directory", constructorName: "IsADirectory" },
  EINVAL: { number: 22, text: "Invalid argument", constructorName: "TypeError" },
  ENFILE: { number: 23, text: "Too many open files in system" },
  EMFILE: { number: 24, text: "Too many open files" },
  ETXTBSY: { number: 26, text: "Text file busy", constructorName: "Busy" },
  EFBIG: { number: 27, text: "File too large" },
  ENOSPC: { number: 28, text: "No space left on device" },
  ESPIPE: { number: 29, text: "Illegal seek" },
  EROFS: { number: 30, text: "Read-only file system" },
  EMLINK: { number: 31, text: "Too many links" },
  EPIPE: { number: 32, text: "Broken pipe", constructorName: "BrokenPipe" },
  ENAMETOOLONG: { number: 36, text: "File name too long" },
  ENOTEMPTY: { number: 39, text: "Directory not empty" },
  ELOOP: { number: 40, text: "Too many levels of symbolic links", constructorName: "FilesystemLoop" },
  EOVERFLOW: { number: 75, text: "Value too large for defined data type" },
  EADDRINUSE: { number: 98, text: "Address already in use", constructorName: "AddrInUse" },
  EADDRNOTAVAIL: { number: 99, text: "Cannot assign requested address", constructorName: "AddrNotAvailable" },
  ENETUNREACH: { number: 101, text: "Network is unreachable", constructorName: "NetworkUnreachable" },
  ECONNABORTED: { number: 103, text: "Software caused connection abort", constructorName: "ConnectionAborted" },
  ECONNRESET: { number: 104, text: "Connection reset by peer", constructorName: "ConnectionReset" },
  ENOTCONN: { number: 107, text: "Transport endpoint is not connected", constructorName: "NotConnected" },
  ETIMEDOUT: { number: 110, text: "Connection timed out", constructorName: "TimedOut" },
  ECONNREFUSED: { number: 111, text: "Connection refused", constructorName: "ConnectionRefused" },
  EHOSTUNREACH: { number: 113, text: "No route to host" },
  EDQUOT: { number: 122, text: "Disk quota exceeded" },
  EOPNOTSUPP: { number: 95, text: "Operation not supported", constructorName: "NotSupported" },
  EUNSUPPORTED: { number: 95, text: "Operation not supported", constructorName: "NotSupported" },
};

/** `No such file or directory (os error 2)`, or the bare name of an errno that is not listed. */
export function errnoText(code: string): string {
  const known = findErrno(code);
  return known === undefined ? code : `${known.text} (os error ${known.number})`;
}

/** The class that a client gives an errno, `Error` if none is meant for it. */
export function errnoConstructorName(code: string): string {
  return findErrno(code)?.constructorName ?? "Error";
}

/** Whether `code` is an errno name that this table knows. */
export function isErrno(code: string): boolean {
  return findErrno(code) !== undefined;
}

function findErrno(code: string): Errno | undefined {
  return Object.hasOwn(ERRNOS, code) ? ERRNOS[code] : undefined;
}
