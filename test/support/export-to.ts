import assert from "node:assert/strict";
import { createWriteStream, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { noise } from "./bytes.ts";
import { PostgresCluster } from "./lab/postgres-cluster.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";
import { makeMiniSynapse } from "./mini-synapse.ts";
import { startReceiver } from "./receiver.ts";
import { smallDisk } from "./small-disk.ts";
import { exportOf, makeSmallHomeserver } from "./small-homeserver.ts";
import { eventsOf, resultOf, synlift, synliftWell } from "./synlift.ts";

const MIB = 1024 * 1024;

interface ExportSizes {
  readonly media: number;
  readonly disk: number;
  readonly part: number;
  /** Sends to a `synlift receive`, and otherwise to a folder. */
  readonly provider?: boolean;
}

/**
 * Exports a homeserver with so much media from a disk that is much too small for the bundle, killed twice on the way, and
 * checks what has arrived. Sizes in MiB.
 */
export async function exportFromSmallDisk(
  t: TestContext,
  { media, disk, part, provider = false }: ExportSizes,
): Promise<void> {
  const cluster = await PostgresCluster.start();
  t.after(() => cluster.stop());
  await makeMiniSynapse(cluster, "synapse");
  const { host, port } = cluster.address;
  const home = await makeSmallHomeserver({
    database: { name: "psycopg2", args: { host, port, dbname: "synapse", user: "mover", cp_min: 1 } },
  });
  const each = Math.min(8, media);
  for (let index = 0; index < media / each; index += 1)
    await addUpload(cluster, home.mediaStorePath, `LARGE${String(index).padStart(5, "0")}`, each * MIB);

  const out = join(await smallDisk(t, `${disk}m`), "move");
  const { there, address, to } = provider ? await atProvider(t) : inFolder();
  const exporting = [...exportOf(home, out), "--to", ...to, "--split", `${part}m`];
  let most = 0;
  const look = () => {
    try {
      most = Math.max(most, readdirSync(out).filter((name) => name.includes(".part-")).length);
    } catch {
      // It is not there yet.
    }
  };
  const timer = setInterval(look, 20);
  t.after(() => {
    clearInterval(timer);
  });

  for (const sent of [1, 3]) {
    const killed = await synlift(exporting, {
      killWhen: (said) =>
        said.split('"end"').filter((event) => /^[^}]*"id":"send\/customer_backup/.test(event)).length > sent,
    });
    assert.equal(killed.signal, "SIGKILL", killed.stderr);
    assert.equal(readdirSync(there).includes("manifest.json"), false, "an incomplete bundle has no manifest");
  }
  const ran = await synliftWell(exporting);
  clearInterval(timer);
  assert.ok(most > 0 && most <= 2, `at most two parts are on the disk: ${most}`);
  const begun = eventsOf(ran).flatMap(({ type, id = "" }) =>
    type === "begin" && id.startsWith("write/") ? [id] : [],
  );
  assert.equal(
    begun.includes("write/customer_config_export.tar.gz.gpg"),
    false,
    "what was sent is not packed again",
  );
  const { details, findings } = resultOf(ran);
  assert.equal(details["sentTo"], address);
  assert.ok(findings.some(({ id }) => id === "arrived"));
  assert.equal(
    readdirSync(out).some((name) => name.includes(".part-")),
    false,
    "no part is left on this disk",
  );

  await synliftWell(["verify", there, "--passphrase-file", `${out}.passphrase`]);
  const again = await synliftWell(exporting);
  assert.deepEqual(
    eventsOf(again).flatMap(({ type, id = "" }) => (type === "begin" && id.startsWith("write/") ? [id] : [])),
    [],
    "a finished export packs nothing again",
  );
  await synliftWell(["verify", there, "--passphrase-file", `${out}.passphrase`]);
  const journal = readFileSync(join(out, "journal.json"), "utf8");
  assert.ok(journal.includes(address), "the journal knows where the parts are");
}

function inFolder() {
  const there = join(temporaryFolder("there"), "move");
  return { there, address: there, to: [there] };
}

async function atProvider(t: TestContext) {
  const server = await startReceiver({}, t);
  const { name, file } = await server.invite("moved");
  const to = [server.origin, "--invitation", file];
  return { there: join(server.folder, name), address: `${server.origin} (${name})`, to };
}

async function addUpload(cluster: PostgresCluster, store: string, id: string, size: number): Promise<void> {
  const path = join(store, "local_content", id.slice(0, 2), id.slice(2, 4), id.slice(4));
  mkdirSync(dirname(path), { recursive: true });
  const block = noise(MIB, id.length + size);
  if (size <= MIB) writeFileSync(path, block.subarray(0, size));
  else {
    const file = createWriteStream(path);
    for (let left = size; left > 0; left -= MIB) if (!file.write(block)) await once(file, "drain");
    file.end();
    await once(file, "close");
  }
  await cluster.sql(
    "synapse",
    `insert into local_media_repository (media_id, media_type, media_length) values ('${id}', 'image/png', ${size})`,
  );
}
