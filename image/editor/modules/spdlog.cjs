/** In place of @vscode/spdlog, which would have to be compiled: log files, written as plainly as can be. In the guest. */
const { appendFile } = require("node:fs");

const LEVELS = ["trace", "debug", "info", "warning", "error", "critical"];

class Logger {
  #file;
  #level = 2;

  constructor(file) {
    this.#file = file;
    for (const [level, method] of ["trace", "debug", "info", "warn", "error", "critical"].entries()) {
      this[method] = (message) => this.#write(level, message);
    }
  }

  setLevel(level) {
    this.#level = level;
  }

  #write(level, message) {
    if (level < this.#level) return;
    const time = new Date().toISOString().replace("T", " ").replace("Z", "");
    // A log that cannot be written is no reason to stop.
    appendFile(this.#file, `${time} [${LEVELS[level]}] ${message}\n`, () => undefined);
  }

  clearFormatters() {}
  drop() {}
  flush() {}
  setPattern() {}
}

exports.setFlushOn = () => undefined;
exports.setLevel = () => undefined;
exports.shutdown = () => undefined;
exports.createAsyncRotatingLogger = async (_name, file) => new Logger(file);
exports.createRotatingLogger = exports.createAsyncRotatingLogger;
