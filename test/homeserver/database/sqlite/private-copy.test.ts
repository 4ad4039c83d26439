import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { ArtifactWriter } from "../../../../src/bundle/artifact-writer.ts";
import { Inventory } from "../../../../src/bundle/inventory.ts";
import { exportSqlite } from "../../../../src/homeserver/database/sqlite/export.ts";
import {
  privateCopyBytes,
  privateCopyFolder,
  removePrivateCopy,
} from "../../../../src/homeserver/database/sqlite/private-copy.ts";
import { realFiles as files } from "../../../../src/system/files/files.ts";
import { noProgress } from "../../../../src/system/progress.ts";
import { realSqlite } from "../../../../src/system/sqlite/sqlite.ts";
import { collect } from "../../../support/bytes.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import { programsWith } from "../../../support/real-world.ts";
import { still } from "../../../support/small-bundle.ts";

const sqlite = realSqlite(files, new AbortController().signal);

/** A database of a running server, of more than two steps of the backup API. */
function runningServer(): { path: string; server: DatabaseSync } {
  const path = join(temporaryFolder("live"), "homeserver.db");
  const server = new DatabaseSync(path);
  server.exec(`
    PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
    CREATE TABLE schema_version (version INTEGER); INSERT INTO schema_version VALUES (94);
    CREATE TABLE schema_compat_version (compat_version INTEGER); INSERT INTO schema_compat_version VALUES (84);
    CREATE TABLE stream_positions (stream_name TEXT, instance_name TEXT, stream_id BIGINT);
    CREATE TABLE users (name TEXT);
    CREATE TABLE e2e_one_time_keys_json (user_id TEXT, key_json TEXT);
    CREATE TABLE remote_media_cache (media_origin TEXT, media_id TEXT, quarantined_by TEXT);
    CREATE TABLE remote_media_cache_thumbnails (media_origin TEXT, media_id TEXT);
    CREATE TABLE local_media_repository (media_id TEXT, media_length INTEGER, url_cache TEXT);
    CREATE TABLE local_media_repository_thumbnails (media_id TEXT);
    CREATE TABLE local_media_repository_url_cache (url TEXT);
    WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 5000)
      INSERT INTO users SELECT 'only in the clear ' || hex(randomblob(1000)) FROM c`);
  return { path, server };
}

test("while a running server's database is packed, its copy has no name, and afterwards nothing is left", async () => {
  const { path, server } = runningServer();
  const bundle = join(temporaryFolder("packing"), "bundle");
  mkdirSync(bundle);
  const copying: string[] = [];
  const failing = new Error("the disk of the bundle is full");
  for (const fails of [true, false]) {
    const seen: string[] = [];
    const add: ArtifactWriter["add"] = async ({ name, format }, source) => {
      seen.push(...readdirSync(privateCopyFolder(bundle)), "packing");
      if (fails) throw failing;
      const { length: size } = await collect(source);
      const plain = { size, sha256: "" };
      return { name: `${name}.gpg`, format, parts: [], ...plain, plain };
    };
    const inventory = Inventory.begin(still, true);
    const step = exportSqlite({
      path,
      folder: bundle,
      marker: "",
      inputs: {},
      into: {
        usesCompressionProgram: false,
        add,
        addCompressed: add as never,
        remove: () => Promise.resolve(),
      },
      inventory,
      sqlite,
      files,
      programs: programsWith(),
      machine: still,
      progress: {
        ...noProgress,
        advance() {
          const [name] = readdirSync(privateCopyFolder(bundle));
          const modes = [privateCopyFolder(bundle), join(privateCopyFolder(bundle), name!)];
          copying.push(modes.map((one) => (statSync(one).mode & 0o777).toString(8)).join());
          server.exec("INSERT INTO users VALUES ('late')");
        },
      },
      saved: () => Promise.resolve(),
      findFault: () => Promise.resolve(undefined),
    });
    if (fails) await assert.rejects(step.run(), failing);
    else {
      const before = server.prepare("SELECT count(*) AS n FROM users").get()!["n"];
      await step.run();
      const { rows } = inventory.section("database") as { rows: Record<string, number> };
      assert.equal(Object.entries(rows).find(([name]) => /users$/.test(name))?.[1], before);
    }
    assert.deepEqual(seen, ["packing"]);
    assert.equal(existsSync(privateCopyFolder(bundle)), false);
  }
  assert.ok(copying.length >= 2 && copying.every((modes) => modes === "700,600"), copying.join());
  server.close();
});

test("what a kill in the middle of the copying leaves is counted, and removed", async () => {
  const { path, server } = runningServer();
  const bundle = join(temporaryFolder("killed"), "bundle");
  mkdirSync(privateCopyFolder(bundle), { mode: 0o700 });
  const target = join(privateCopyFolder(bundle), "homeserver.db");
  const script = `
    const { realSqlite } = await import(${JSON.stringify(import.meta.resolve("../../../../src/system/sqlite/sqlite.ts"))});
    const { realFiles } = await import(${JSON.stringify(import.meta.resolve("../../../../src/system/files/files.ts"))});
    await realSqlite(realFiles, new AbortController().signal).copy(process.argv[1], process.argv[2], () => {
      process.kill(process.pid, "SIGKILL");
    });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, path, target], {
    stdio: "ignore",
  });
  const [, signal] = (await once(child, "close")) as [unknown, string];
  assert.equal(signal, "SIGKILL");
  assert.ok(readFileSync(target).includes("only in the clear"));
  assert.ok((await privateCopyBytes(bundle, files)) > 1_000_000);
  await removePrivateCopy(bundle, files);
  await removePrivateCopy(bundle, files);
  assert.deepEqual(readdirSync(join(bundle, "..")), []);
  assert.equal(await privateCopyBytes(bundle, files), 0);
  server.close();
});
