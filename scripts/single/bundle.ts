// Joins the program and its packages into one script, and each of its threads into another.
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build as esbuild, type BuildOptions, type Plugin } from "esbuild";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface Joined {
  readonly script: string;
  /** By the address under which `startThread` asks for them. */
  readonly threads: ReadonlyMap<string, string>;
  /** Folders of the packages that are inside, below the project: "node_modules/zod". Sorted. */
  readonly packages: readonly string[];
}

export async function joinProgram(): Promise<Joined> {
  const starting = new Map<string, string>();
  const main = await joined("src/main.ts", starting);
  const threads = new Map<string, string>();
  const inputs = [...main.inputs];
  // Files are read at the same time, in another order each time.
  for (const [address, file] of [...starting].sort(([one], [other]) => (one < other ? -1 : 1))) {
    const thread = await joined(file, new Map());
    threads.set(address, thread.script);
    inputs.push(...thread.inputs);
  }
  if (threads.size === 0) throw new Error("found no file that starts a thread");
  const packages = inputs.flatMap(
    (path) => /(?:^|\/)(node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? [],
  );
  return { script: main.script, threads, packages: [...new Set(packages)].sort() };
}

/** `starting` gets every file that runs itself in a thread, by its address. */
async function joined(entry: string, starting: Map<string, string>) {
  const options: BuildOptions & { metafile: true; write: false } = {
    absWorkingDir: ROOT,
    entryPoints: [entry],
    bundle: true,
    platform: "node",
    // Node keeps compiled code of a script inside the executable, and none of a module.
    format: "cjs",
    target: "node26",
    minify: true,
    // Errors are told apart by their names.
    keepNames: true,
    legalComments: "none",
    metafile: true,
    write: false,
    logLevel: "silent",
    plugins: [addresses(starting)],
  };
  const { outputFiles, metafile } = await esbuild(options);
  const script = outputFiles[0]?.text;
  if (script === undefined) throw new Error(`esbuild made nothing of ${entry}`);
  return { script, inputs: Object.keys(metafile.inputs) };
}

/** Gives every file of ours the address it has in the executable, wherever this folder is: the result is the same everywhere. */
function addresses(starting: Map<string, string>): Plugin {
  return {
    name: "addresses",
    setup(build) {
      build.onLoad({ filter: /\/src\/.*\.ts$/, namespace: "file" }, ({ path }) => {
        const file = relative(ROOT, path);
        if (!file.startsWith("src/")) return undefined;
        const text = readFileSync(path, "utf8");
        const address = `synlift:${file}`;
        if (/\bstartThread\(import\.meta\.url\b/.test(text)) starting.set(address, file);
        return {
          contents: text.replaceAll("import.meta.url", JSON.stringify(address)),
          loader: "ts",
          resolveDir: join(path, ".."),
        };
      });
    },
  };
}
