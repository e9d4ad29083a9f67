/** In place of @vscode/fs-copyfile, which would have to be compiled: Node copies files as well. */
const fs = require("node:fs");

exports.copyFile = fs.promises.copyFile;
exports.copyFileSync = fs.copyFileSync;
exports.constants = fs.constants;
exports.cp = fs.promises.cp;
exports.isCloneSupported = () => false;
