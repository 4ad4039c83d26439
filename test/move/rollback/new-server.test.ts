import assert from "node:assert/strict";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type RestoreRecord, writeRecord } from "../../../src/move/restore/record.ts";
import { findNewServer } from "../../../src/move/rollback/new-server.ts";
import { realFiles as files } from "../../../src/system/files/files.ts";
import type { System } from "../../../src/system/system.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

const OLD = { serverName: "old.example", homeserver: undefined };
const TARGET = "https://new.example";

/** A new server that answers with `body`, or nobody. */
function systemWith(body?: string): System {
  const get = () =>
    body === undefined
      ? Promise.reject(new Error("nobody"))
      : Promise.resolve({ status: 200, body: Buffer.from(body) });
  return { files, http: { get } } as unknown as System;
}

async function restored(changed: Partial<RestoreRecord> = {}): Promise<string> {
  const folder = temporaryFolder("restored");
  writeFileSync(join(folder, "homeserver.yaml.fenced"), "");
  const record: RestoreRecord = {
    ...{ format: "synlift-restored", version: 1, bundle: "b", serverName: "old.example", rehearsal: false },
    ...{ mediaStore: "/media", configPaths: [], fencedPaths: [], dropIns: [], outageSince: null },
    fence: { folder, names: ["homeserver.yaml"], suffix: ".fenced" },
    ...{ restored: "2026-11-01T00:00:00.000Z", opening: null, started: null, opened: null, accepted: [] },
    ...changed,
  };
  await writeRecord(folder, record, files);
  return folder;
}

const asked = async (configFolder: string | undefined, target?: string, body?: string) =>
  findNewServer({ configFolder, target }, OLD, systemWith(body));

test("a restore on this host that nobody began to open is closed; one that was opened says when", async () => {
  assert.deepEqual(await asked(await restored()), { state: "closed" });
  const opened = await asked(await restored({ opened: "2026-11-02T00:00:00.000Z" }));
  assert.equal(opened.state, "opened");
});

test("an open that was cut off is open once the fence was lifted, and not known before", async () => {
  const folder = await restored({ opening: "2026-11-02T00:00:00.000Z" });
  const before = await asked(folder);
  assert.deepEqual(
    [before.state, "why" in before ? before.why : []],
    ["unknown", [`an open of ${folder} was started and did not finish`]],
  );
  renameSync(join(folder, "homeserver.yaml.fenced"), join(folder, "homeserver.yaml"));
  const after = await asked(folder);
  assert.equal(after.state, "opened");
  assert.match("how" in after ? after.how : "", /was started on 2026-11-02.*its fence is lifted/);
});

test("a rehearsal, another server and a record that cannot be read tell nothing", async () => {
  const broken = await restored();
  writeFileSync(join(broken, ".synlift", "restored.json"), "{");
  const folders = [
    await restored({ rehearsal: true, opened: "2026-11-02T00:00:00.000Z" }),
    await restored({ serverName: "other.example", opened: "2026-11-02T00:00:00.000Z" }),
    broken,
  ];
  for (const folder of folders) {
    const answer = await asked(folder);
    assert.deepEqual(
      [answer.state, "why" in answer ? answer.why : []],
      ["unknown", [`${folder} has no record of a restore of old.example`]],
    );
  }
});

test("without the old configuration, whoever answers by its name is taken for the new server", async () => {
  const same = await asked(undefined, TARGET, '{"server_name":"old.example","verify_keys":{}}');
  assert.equal(same.state, "opened");
  for (const body of ['{"server_name":"other.example"}', "<html>", undefined])
    assert.equal((await asked(undefined, TARGET, body)).state, "unknown");
});
