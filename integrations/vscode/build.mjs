// Makes dist/: the extension in one file, and the grammar of the sources, of which there is no other copy.

import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
mkdirSync(dist, { recursive: true });
copyFileSync(join(here, "../../grammar/updo.tmLanguage.json"), join(dist, "updo.tmLanguage.json"));
copyFileSync(join(here, "../../LICENSE"), join(dist, "LICENSE.txt"));
await build({
  entryPoints: [join(here, "extension.ts")],
  outfile: join(dist, "extension.js"),
  bundle: true,
  platform: "node",
  target: "node18",
  format: "cjs",
  external: ["vscode"],
  minify: true,
  logLevel: "warning",
});
