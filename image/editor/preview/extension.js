/** Opens the page that whoever started VS Code asked for, beside the folder. */
"use strict";
const vscode = require("vscode");

exports.activate = async () => {
  const url = process.env.SBX_CODE_PREVIEW;
  if (url === undefined || url === "") return;
  const options = { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true };
  await vscode.commands.executeCommand("simpleBrowser.api.open", vscode.Uri.parse(url), options);
};
