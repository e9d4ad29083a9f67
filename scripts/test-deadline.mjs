/**
 * Loaded into each test file's process: ends it when its time is over. The test runner's own time limit ends tests, but
 * waits for ever for a process that something else keeps alive.
 */
const deadlineMs = Number(process.env.SBX_TEST_FILE_DEADLINE_MS);

if (process.env.NODE_TEST_CONTEXT !== undefined && deadlineMs > 0) {
  setTimeout(() => {
    process.stderr.write(`${process.argv[1]} was still running after ${deadlineMs / 1000} s\n`);
    process.exit(1);
  }, deadlineMs).unref();
}
