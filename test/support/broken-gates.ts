import assert from "node:assert/strict";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PostgresCluster } from "./lab/postgres-cluster.ts";
import type { NewPlace } from "./old-server.ts";
import { filesBelow } from "./secrets.ts";
import { resultOf, synlift } from "./synlift.ts";

/** Breaks what a gate looks at, and hands back what mends it. */
type Break = () => unknown;

/** What breaks each gate of `open`, by the gate's id, in groups whose members do not hide each other. */
export function breakableGates(cluster: PostgresCluster, place: NewPlace): Readonly<Record<string, Break>>[] {
  const config = join(place.configDir, "homeserver.yaml.fenced");
  const keyFile = join(place.configDir, "old.example.signing.key");
  let copies = 0;
  const edit = (path: string, from: RegExp, to: string) => () => {
    const copy = `${path}.kept${++copies}`;
    copyFileSync(path, copy);
    const text = readFileSync(path, "utf8");
    assert.match(text, from);
    writeFileSync(path, text.replace(from, to));
    return () => {
      renameSync(copy, path);
    };
  };
  const sql = (breaking: string, mending: string) => async () => {
    await cluster.sql(place.database, breaking);
    return () => cluster.sql(place.database, mending);
  };
  const mode = (path: () => string, wrong: number, right: number) => () => {
    chmodSync(path(), wrong);
    return () => {
      chmodSync(path(), right);
    };
  };
  const upload = (index: number) => filesBelow(join(place.mediaDir, "local_content"))[index]!;
  const stray = join(place.configDir, "conf.d", "zz.yaml");
  return [
    {
      "secret:password_config.pepper": edit(config, /pepper: .*/, "pepper: another"),
      "server-name": edit(config, /server_name: old.example/, "server_name: new.example"),
      "signing-key": edit(keyFile, / [A-Za-z0-9+/]{10}/, " AAAAAAAAAA"),
      "media-store": edit(config, /media_store_path: .*/, `media_store_path: ${place.folder}/elsewhere`),
      "config-removed:trust_identity_server_for_password_resets": edit(
        config,
        /^/,
        "trust_identity_server_for_password_resets: true\n",
      ),
      "file-owners": mode(() => keyFile, 0o644, 0o600),
      "config-files": () => {
        mkdirSync(join(place.configDir, "conf.d"), { recursive: true });
        writeFileSync(stray, "password_config: {enabled: true}\n");
        return () => {
          rmSync(stray);
        };
      },
    },
    {
      "row-counts": sql(
        "insert into blocked_rooms values ('!x:y', '@a:old.example')",
        "delete from blocked_rooms where room_id = '!x:y'",
      ),
      sequences: sql("select setval('events_stream_seq', 2)", "select setval('events_stream_seq', 100000)"),
      "stream-positions": sql(
        "insert into stream_positions values ('account_data', 'another', 999999)",
        "delete from stream_positions where instance_name = 'another'",
      ),
      schema: sql(
        "update schema_version set version = version + 1",
        "update schema_version set version = version - 1",
      ),
      "one-time-keys": sql(
        "insert into e2e_one_time_keys_json select user_id, device_id, 'signed_curve25519', 'x', 1, '{}' from devices limit 1",
        "truncate e2e_one_time_keys_json",
      ),
      "media-owners": mode(() => upload(0), 0o666, 0o640),
      media: () => {
        const path = upload(1);
        renameSync(path, `${path}.away`);
        return () => {
          renameSync(`${path}.away`, path);
        };
      },
      "remote-media": sql(
        "insert into remote_media_cache (media_origin, media_id, media_type, created_ts, upload_name, media_length, filesystem_id) values ('elsewhere.example', 'x', 'a/b', 1, 'x', 1, 'x')",
        "delete from remote_media_cache",
      ),
    },
  ];
}

/** Breaks all of them, asks `open`, whose arguments are given, and mends them, the last one first. */
export async function mustNameEach(
  gates: Readonly<Record<string, Break>>,
  args: readonly string[],
): Promise<void> {
  const mending: (() => unknown)[] = [];
  for (const breakIt of Object.values(gates)) mending.unshift((await breakIt()) as () => unknown);
  const ran = await synlift(["open", ...args, "--json"]);
  for (const mend of mending) await mend();
  const names = Object.keys(gates);
  assert.equal(ran.code, 43, `${names.join()}: ${ran.stderr}`);
  const blockers = resultOf(ran).findings.filter(({ level }) => level === "blocker");
  for (const name of names) {
    const found = blockers.find(({ id }) => id === name);
    assert.ok(found, `${name} is among ${blockers.map(({ id }) => id).join(", ")}`);
    // Other faults of the same group change rows, too.
    if (name === "row-counts") assert.match(JSON.stringify(found), /blocked_rooms/);
  }
}
