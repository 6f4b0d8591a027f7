// Starts `updo lsp` for plans, and nothing else: everything that an editor shows of a plan is made there.

import * as vscode from "vscode";
import { LanguageClient, type LanguageClientOptions, type ServerOptions } from "vscode-languageclient/node";

let client: LanguageClient | undefined;

function server(): ServerOptions {
  const settings = vscode.workspace.getConfiguration("updo");
  const target = settings.get<string>("target", "");
  const args = ["lsp", ...settings.get<string[]>("arguments", [])];
  if (target !== "") {
    args.push("--target", target);
  }
  const cwd = vscode.workspace.workspaceFolders?.find((folder) => folder.uri.scheme === "file")?.uri.fsPath;
  return { command: settings.get<string>("path", "updo"), args, options: { cwd } };
}

async function start(): Promise<void> {
  const options: LanguageClientOptions = { documentSelector: [{ language: "updo" }] };
  client = new LanguageClient("updo", "updo", server(), options);
  try {
    await client.start();
  } catch (why) {
    const shown = "Settings";
    const text = `The language server of updo does not start (${String(why)}). Is updo installed, and updo.path right?`;
    if ((await vscode.window.showErrorMessage(text, shown)) === shown) {
      await vscode.commands.executeCommand("workbench.action.openSettings", "updo.path");
    }
  }
}

async function stop(): Promise<void> {
  const old = client;
  client = undefined;
  // One that has not started cannot be stopped.
  if (old?.isRunning()) {
    await old.stop();
  }
}

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const restart = async () => {
    await stop();
    await start();
  };
  context.subscriptions.push(
    vscode.commands.registerCommand("updo.restart", restart),
    vscode.workspace.onDidChangeConfiguration(async (event) => {
      if (["path", "target", "arguments"].some((key) => event.affectsConfiguration(`updo.${key}`))) {
        await restart();
      }
    }),
  );
  await start();
}

export async function deactivate(): Promise<void> {
  await stop();
}
