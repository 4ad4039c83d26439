// Packs a folder as media is packed, in a process of its own whose memory can be seen.
//   node pack-folder.ts FOLDER BUNDLE: prints the most memory that it had, in MiB, and how many files there were.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BundleWriter } from "../../src/bundle/writer.ts";
import { packTar, type TarEntry } from "../../src/pipeline/tar.ts";
import { realFiles as files } from "../../src/system/files/files.ts";
import { ownGpg } from "../../src/system/gpg/gpg.ts";
import { realPrograms } from "../../src/system/programs/programs.ts";
import { noProgress } from "../../src/system/progress.ts";

const [folder, bundle] = process.argv.slice(2) as [string, string];
const programs = realPrograms(process.env, new AbortController().signal);
const own = ownGpg(programs, process.env["TMPDIR"]!);
const lock = { gpg: own.gpg, passphrase: "x" };
const writer = new BundleWriter({ folder: bundle, keys: lock, files, progress: noProgress, cores: 2 });
let count = 0;

async function* entries(): AsyncIterable<TarEntry> {
  for await (const batch of files.walk(folder)) {
    for (const { name, size, mode, mtimeMs } of batch) {
      const path = join(folder, name);
      count += 1;
      yield { name, size, mode, mtimeMs, content: () => files.read(path) };
    }
  }
}

const plan = { name: "media.tar.gz", format: "tar", level: 0, label: "media" } as const;
await writer.add(plan, packTar(entries()));
own.close();
const status = readFileSync("/proc/self/status", "utf8");
console.log(JSON.stringify({ peak: Number(/^VmHWM:\s+(\d+)/m.exec(status)![1]) / 1024, count }));
