import assert from "node:assert/strict";
import { chownSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { copySequences, waitForApplied } from "../../src/homeserver/database/follow/logical/applied.ts";
import { type ContentsOfTables, copyDatabase } from "../../src/homeserver/database/follow/logical/copy.ts";
import {
  type IdentityChange,
  resetIdentity,
  setIdentities,
} from "../../src/homeserver/database/follow/logical/identities.ts";
import { createPublication, dropPublication } from "../../src/homeserver/database/follow/logical/publication.ts";
import { schemaChanges } from "../../src/homeserver/database/follow/logical/schema.ts";
import { createSlot, dropSlot, slotState } from "../../src/homeserver/database/follow/logical/slot.ts";
import {
  assertMaySubscribe,
  detachSubscription,
  subscribe,
  subscriptionState,
} from "../../src/homeserver/database/follow/logical/subscription.ts";
import { planPublication } from "../../src/homeserver/database/follow/logical/tables.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { realMachine } from "../../src/system/machine.ts";
import { type PostgresAddress, realPostgres } from "../../src/system/postgres/postgres.ts";
import { noProgress } from "../../src/system/progress.ts";
import { PostgresCluster, serverMajors, unprivilegedAccount } from "../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeOldServer, type OldServer } from "../support/old-server.ts";
import { programsWith } from "../support/real-world.ts";

const programs = programsWith();
const postgres = realPostgres(programs);
const machine = realMachine(process.pid, process.cwd());
const signal = new AbortController().signal;
const reach = { postgres, programs, files: realFiles, machine, progress: noProgress, signal };

const FOLLOWER = "synlift_follow";
const SLOT = "synlift_0123456789abcdef";
const PUBLICATION = "synlift_0123456789abcdef";
const PASSWORD = "follow me: 'if' \\you can";

let old: OldServer;
/** As PostgreSQL's administrator there. */
let owner: PostgresAddress;
/** As the new host reaches it. */
let source: PostgresAddress;
let passfile: string;

const TARGET = Math.max(...serverMajors());

before(async () => {
  old = await makeOldServer({
    stopped: true,
    settings: { wal_level: "logical" },
    access: [`local all ${FOLLOWER} scram-sha-256`],
  });
  const { socketFolder: host, port } = old.cluster.address;
  const place = { host, port: `${port}`, dbname: "old" };
  owner = { parameters: { ...place, user: "postgres" } };
  source = { parameters: { ...place, user: FOLLOWER }, password: PASSWORD };
  await old.cluster.sql(
    "old",
    `create role ${FOLLOWER} login replication password '${PASSWORD.replaceAll("'", "''")}' in role pg_monitor, pg_read_all_data`,
  );
  passfile = join(temporaryFolder("passfile", unprivilegedAccount()), "passfile");
  writeFileSync(passfile, `*:*:*:*:${PASSWORD.replaceAll(/[\\:]/g, "\\$&")}\n`, { mode: 0o600 });
  const account = unprivilegedAccount();
  if (account) chownSync(passfile, account.uid, account.gid);
});
after(async () => { await old.cluster.stop(); setTimeout(() => process.exit(0), 500); });

test("a database of Synapse follows another version's, and is the same at the cut", async () => {
  const target = await PostgresCluster.start({ major: TARGET, settings: { wal_level: "replica" } });
  try {
    await target.sql("postgres", "create role new login");
    await target.createDatabase("new", { owner: "new" });
    const { socketFolder: host, port } = target.address;
    const place = { host, port: `${port}`, dbname: "new" };
    const here = { parameters: { ...place, user: "new" } };

    const changes: IdentityChange[] = [];
    const admin = () => postgres.connect(owner, { writes: true });
    const session = await admin();
    const plan = await planPublication(session);
    console.log(plan.tables.length, Object.entries(Object.groupBy(plan.tables, (t) => t.wanted.kind)).map(([k, v]) => [k, v!.length]), plan.left, plan.tables.filter((t) => t.incomparable.length > 0));
    const changing = { connect: admin, machine, progress: noProgress };
    const record = (change: IdentityChange) => Promise.resolve(void changes.push(change));
    console.time("identities");
    await setIdentities(plan, { ...changing, record });
    console.timeEnd("identities");
    await createPublication(session, { name: PUBLICATION, slot: SLOT });
    const serverVersion = 150000;
    const slot = await createSlot({ address: source, slot: SLOT, serverVersion, psql: "psql" }, programs);
    console.log(slot.position, slot.snapshot);
    await old.cluster.sql("old", "insert into device_inbox (user_id, device_id, stream_id, message_json) values ('@after:x', 'D', 900001, '{}')");
    const folder = temporaryFolder("definitions");
    console.time("copy");
    const contents: ContentsOfTables = await copyDatabase(
      {
        source,
        sourceVersion: serverVersion,
        target: here,
        tables: plan.tables,
        snapshot: slot.snapshot,
        folder,
        programs: { pgDump: "pg_dump", pgRestore: "pg_restore", psql: "psql" },
        jobs: 2,
        snapshotRead: () => slot.close(),
      },
      reach,
    );
    console.timeEnd("copy");
    console.log(contents["public.events"], contents["public.device_inbox"]);
    const root = await postgres.connect({ parameters: { ...place, user: "postgres" } }, { writes: true });
    await assertMaySubscribe(root);
    const { dbname, user, host: h, port: p } = source.parameters as Record<string, string>;
    await subscribe(root, { name: SLOT, publication: PUBLICATION, slot: SLOT, publisher: { host: h!, port: p!, user: user!, dbname: dbname! }, passfile });
    await old.cluster.sql("old", "delete from device_inbox where user_id = '@after:x'; update users set admin = 1 - admin; update presence_stream set state='x'; insert into device_inbox (user_id, device_id, stream_id, message_json) values ('@again:x', 'D', 900002, '{}')");
    const follower = await postgres.connect(source);
    const at = await old.cluster.sql("old", "select pg_current_wal_insert_lsn()");
    console.time("applied");
    await waitForApplied(follower, { slot: SLOT, position: at, patience: 60_000, machine, signal });
    console.timeEnd("applied");
    console.log(await slotState(follower, SLOT), await subscriptionState(root, SLOT));
    console.log(await target.sql("new", "select user_id, stream_id from device_inbox where user_id like '%:x'"));
    const writer = await postgres.connect(here, { writes: true });
    console.log(await copySequences(follower, writer));
    console.log(await schemaChanges(follower, root));
    await detachSubscription(root, SLOT);
    console.log(await target.sql("new", "select count(*) from pg_class where relreplident in ('f','i') and relnamespace='public'::regnamespace"), await target.sql("new","select subconninfo from pg_subscription"));
    await dropSlot(await postgres.connect(source, {writes: true}), SLOT, machine);
    await dropPublication(session, PUBLICATION);
    for (const change of changes) await resetIdentity(change, changing);
    console.log(await old.cluster.sql("old", "select relreplident, count(*) from pg_class where relnamespace='public'::regnamespace and relkind='r' group by 1"));
  } finally {
    await target.stop();
  }
});
