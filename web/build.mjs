// Builds the page: TypeScript and CSS in src/ to the static files that gnomon serve sends.
//
// node build.mjs [--watch] [FOLDER]: FOLDER is ../src/gnomon/serve/page unless another is named. Names of scripts and
// styles carry a hash of what they hold, so that a browser may keep them for good; index.html names the present ones.
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { context } from "esbuild";

const web = path.dirname(fileURLToPath(import.meta.url));
const args = process.argv.slice(2);
const watch = args.includes("--watch");
const folder = path.resolve(args.find((arg) => !arg.startsWith("--")) ?? path.join(web, "../src/gnomon/serve/page"));

// A digest of all that the page is built from; tests/serve/test_page_build.py computes the same.
async function sourceDigest() {
  const found = (await readdir(path.join(web, "src"), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(web, path.join(entry.parentPath, entry.name)).split(path.sep).join("/"));
  const digest = createHash("sha256");
  for (const name of [...found, "build.mjs", "package-lock.json"].sort()) {
    digest.update(`${name}\0`).update(await readFile(path.join(web, name))).update("\0");
  }
  return digest.digest("hex");
}

// index.html is written once the names are known.
const page = {
  name: "page",
  setup(build) {
    build.onEnd(async ({ errors, metafile, outputFiles }) => {
      if (errors.length > 0) return;
      const named = new Map();
      for (const [output, { entryPoint, cssBundle, imports }] of Object.entries(metafile.outputs)) {
        const relative = (file) => path.relative(folder, path.resolve(web, file)).split(path.sep).join("/");
        if (entryPoint === "src/main.tsx") {
          const first = imports.filter(({ kind }) => kind === "import-statement");
          const preloads = first.map(({ path }) => `<link rel="modulepreload" href="${relative(path)}">`);
          named.set("SCRIPT", relative(output)).set("STYLES", relative(cssBundle)).set("PRELOADS", preloads.join("\n"));
        }
        if (entryPoint === "src/shell/theme.ts") named.set("THEME", relative(output));
      }
      const template = await readFile(path.join(web, "src/index.html"), "utf8");
      await rm(folder, { recursive: true, force: true });
      await mkdir(path.join(folder, "assets"), { recursive: true });
      for (const { path: file, contents } of outputFiles) await writeFile(file, contents);
      await writeFile(path.join(folder, "index.html"), template.replace(/\{\{(\w+)\}\}/g, (_, name) => named.get(name)));
      await writeFile(path.join(folder, "built-from.txt"), `${await sourceDigest()}\n`);
      await writeFile(path.join(folder, "favicon.svg"), await readFile(path.join(web, "src/favicon.svg")));
    });
  },
};

const builder = await context({
  absWorkingDir: web,
  entryPoints: ["src/main.tsx", "src/shell/theme.ts"],
  outdir: folder,
  entryNames: "assets/[name]-[hash]",
  chunkNames: "assets/[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  minify: true,
  legalComments: "none",
  metafile: true,
  write: false,
  logLevel: "info",
  plugins: [page],
});
if (watch) {
  await builder.watch();
} else {
  await builder.rebuild();
  await builder.dispose();
}
