/**
 * The most memory that each command takes, compiled as it is published, for a homeserver with so many uploads: a real
 * Synapse's database, a file and a row for each upload.
 *
 *     node scripts/node.mjs bench/memory.ts [UPLOADS] [BYTES] [COMMAND ...]
 *
 * 150,000 uploads of 1,024 bytes when left out. Of the commands "check", "plan", "export", "both" (the backup and the
 * archive for matrix-media-repo), "restore" and "open", all are run in turn unless some are named; "restore" needs an
 * export before it, and "open" a restore.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { uploadPath } from "../src/homeserver/media/store/layout.ts";
import type { HomeserverFolder } from "../test/support/lab/homeserver-folder.ts";
import type { PostgresCluster } from "../test/support/lab/postgres-cluster.ts";
import { synapsePython } from "../test/support/lab/synapse-server.ts";
import { temporaryFolder } from "../test/support/lab/temporary-folder.ts";
import { compiledProgram } from "./compiled.ts";
import { filledHomeserver } from "./filled-homeserver.ts";
import { upload } from "./many-uploads.ts";
import { timed } from "./processes.ts";

/** Rows in one statement. */
const STEP = 10_000;

async function bench(uploads: number, bytes: number, commands: readonly string[]): Promise<void> {
  process.on("SIGINT", () => process.exit(130));
  const { home, cluster, close } = await filledHomeserver(1, 0);
  try {
    await addUploads(home, cluster, uploads, bytes);
    console.log(`${uploads} uploads of ${bytes} bytes, Node ${process.version}`);
    const all = commandLines(compiledProgram(), home, cluster);
    for (const [name, args] of Object.entries(all)) {
      if (commands.length > 0 && !commands.includes(name)) continue;
      const { peak, peakOfAll, processor, seconds } = await timed(
        `${quoted(args)} > /dev/null || [ $? = 60 ]`,
        {
          env: {
            ...process.env,
            ...(process.env["BENCH_NODE_OPTIONS"] === undefined
              ? {}
              : { NODE_OPTIONS: process.env["BENCH_NODE_OPTIONS"] }),
          },
          tell: (line) => {
            if (!line.startsWith("{") || line.includes('"type":"error"')) console.log(line);
          },
        },
      );
      console.log(
        `${name.padEnd(8)} ${peak.toFixed(0)} MiB, with all that it started ${peakOfAll.toFixed(0)} MiB; ${seconds.toFixed(1)} s, processor ${processor.toFixed(1)} s`,
      );
    }
  } finally {
    await close();
  }
}

/** Arguments of each command, by a name. */
function commandLines(
  main: string,
  home: HomeserverFolder,
  cluster: PostgresCluster,
): Readonly<Record<string, string[]>> {
  const folder = temporaryFolder("memory");
  const passphrase = join(folder, "passphrase");
  writeFileSync(passphrase, "bench\n", { mode: 0o600 });
  const source = ["--config", home.configFile, "--working-directory", home.dataFolder];
  const key = ["--passphrase-file", passphrase];
  const { host, port } = cluster.address;
  const database = `host=${host} port=${port} user=postgres dbname=restored`;
  const [config, media] = [join(folder, "config"), join(folder, "media")];
  const bundle = join(folder, "bundle");
  const exported = ["export", ...source, ...key, "--json", "--already-stopped", "--no-fence"];
  const commands: Record<string, string[]> = {
    check: ["media", "check", ...source, "--json"],
    plan: ["plan", ...source, "--json"],
    both: [...exported, "--out", join(folder, "both"), "--media", "archive,backup"],
    export: [...exported, "--out", bundle],
    restore: [
      ...["restore", bundle, ...key, "--database", database, "--config-dir", config, "--media-dir", media],
      ...["--listen", "127.0.0.1:1", "--json"],
    ],
    open: ["open", ...key, "--config-dir", config, "--synapse", synapsePython(), "--dry-run", "--json"],
  };
  return Object.fromEntries(Object.entries(commands).map(([name, args]) => [name, [main, ...args]]));
}

const quoted = (args: readonly string[]) => [process.execPath, ...args].map((word) => `'${word}'`).join(" ");

async function addUploads(
  { mediaStorePath }: HomeserverFolder,
  cluster: PostgresCluster,
  uploads: number,
  bytes: number,
): Promise<void> {
  for (let first = 0; first < uploads; first += STEP) {
    const rows: string[] = [];
    for (let number = first; number < Math.min(uploads, first + STEP); number += 1) {
      const { id } = upload(number);
      const path = join(mediaStorePath, uploadPath(id)!);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, randomBytes(bytes));
      rows.push(`('${id}', 'image/png', ${bytes}, ${number}, 'picture.png', '@ann:large.example')`);
    }
    await cluster.sql(
      "large",
      `insert into local_media_repository (media_id, media_type, media_length, created_ts, upload_name, user_id)
       values ${rows.join(", ")}`,
    );
  }
  await cluster.sql("large", "analyze");
}

const [uploads = "150000", bytes = "1024", ...commands] = process.argv.slice(2);
await bench(Number(uploads), Number(bytes), commands);
