import assert from "node:assert/strict";
import { chmodSync, existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { EXIT_CODES } from "../../src/errors.ts";
import {
  type FoundProcess,
  childrenOf,
  killAtOnce,
  processesWith,
  untilProcess,
  untilServerProcess,
} from "../support/follow/found-processes.ts";
import { mustBeWholeAt } from "../support/follow/moves.ts";
import { type RunningFollow, startFollow, untilFollows } from "../support/follow/running-follow.ts";
import { makeNewSide, makeTwoSides, type NewSide, type TwoSides } from "../support/follow/two-sides.ts";
import type { Writer } from "../support/follow/writer.ts";
import { until } from "../support/processes.ts";
import { eventsOf, synlift, synliftWell } from "../support/synlift.ts";
import { UNIT } from "../support/unit-server.ts";

// What can go wrong while a standby follows, and in the cut-over, between two hosts over a real sshd, while people write all the
// time. The tests are steps of one move, in order.

let two: TwoSides;
let place: NewSide;
let writer: Writer;
let running: RunningFollow;

before(async () => {
  // More than a standby has by itself: it must be given as much.
  two = await makeTwoSides({ settings: { max_connections: "150", max_worker_processes: "12" } });
  place = await makeNewSide(two.to);
  writer = await two.write({ perSecond: 10 });
});

after(async () => {
  await place.close();
  await two.close();
});

/** Waits until what is acknowledged from now on is in the copy too. */
async function goesOn(): Promise<void> {
  await writer.more(5);
  await untilFollows(place, await two.position(), running);
}

test("a first copy that is killed begins anew with the same command", async () => {
  running = startFollow(place);
  await untilProcess("pg_basebackup", place.folder);
  await running.kill();
  running = startFollow(place);
  await goesOn();
});

test("a second run beside the one that follows is refused, and harms nothing", async () => {
  const ran = await synlift(place.follow);
  assert.equal(ran.code, EXIT_CODES["bundle-in-use"], ran.stderr);
  await goesOn();
});

test("a connection that is cut for a while is made again, and people notice nothing", async () => {
  const refused = writer.refusals.length;
  two.to.way.cut();
  await writer.more(50);
  assert.equal(running.hasEnded(), false);
  two.to.way.mend();
  await goesOn();
  writer.nobodyMustBeRefused(refused);
});

test("a connection that falls silent is noticed, and made again", async () => {
  const { pid } = await untilProcess(`ssh -F ${two.to.ssh.configFile} -N`);
  two.to.way.fallSilent();
  await until("ssh gives up", () => !existsSync(`/proc/${pid}`), 300);
  two.to.way.mend();
  await goesOn();
});

const NONE: FoundProcess = { pid: -1, line: "" };
const KILLED: Readonly<Record<string, () => Promise<FoundProcess>>> = {
  "synlift on the new host": () => Promise.resolve({ pid: running.pid, line: "" }),
  "ssh on the new host": () => untilProcess(`ssh -F ${two.to.ssh.configFile} -N`),
  "PostgreSQL on the new host": () => untilProcess("/postgres", place.data),
  "the new PostgreSQL's receiver of the log": () => untilServerProcess(place.data, "walreceiver"),
  "the process of the new PostgreSQL that replays the log": () => untilServerProcess(place.data, "startup"),
  "sshd's process on the old host": () => {
    const [server] = processesWith("/sshd ", two.to.ssh.folder);
    return Promise.resolve(childrenOf(server!)[0] ?? NONE);
  },
  "the old PostgreSQL's sender of the log": () =>
    untilServerProcess(two.server.old.cluster.dataFolder, "walsender", "synlift_follow"),
};

for (const [name, find] of Object.entries(KILLED))
  test(`a copy goes on after SIGKILL for ${name}`, async () => {
    const found = await find();
    assert.ok(found.pid > 0, `${name} runs`);
    killAtOnce(found);
    if (found.pid === running.pid) {
      await running.ended;
      running = startFollow(place);
    }
    await goesOn();
  });

test("a copy goes on after the old PostgreSQL has crashed, and so do people", async () => {
  const { cluster } = two.server.old;
  await cluster.crash();
  await cluster.startAgain();
  await goesOn();
});

test("a copy goes on after the old Synapse was started again", async () => {
  two.server.systemctl.run("stop", UNIT);
  two.server.systemctl.run("start", UNIT);
  await two.server.untilAnswers();
  await goesOn();
});

test("a slot that is lost is told with an exit code of its own, and another copy is made", async () => {
  const { cluster } = two.server.old;
  await running.interrupt();
  await cluster.sql("postgres", "alter system set max_slot_wal_keep_size = '16MB'");
  await cluster.sql("postgres", "select pg_reload_conf()");
  for (let count = 0; count < 8; count += 1) {
    await writer.more(2);
    await cluster.sql("postgres", "select pg_switch_wal()");
    await cluster.sql("postgres", "checkpoint");
  }
  assert.equal(await cluster.sql("postgres", "select wal_status from pg_replication_slots"), "lost");
  const lost = await synlift([...place.follow, "--until-caught-up"]);
  assert.equal(lost.code, EXIT_CODES["follow-lost"], lost.stderr);
  assert.match(lost.stderr, /--begin-again/);
  const again = await synlift(place.follow);
  assert.equal(again.code, EXIT_CODES["follow-lost"], again.stderr);
  await cluster.sql("postgres", "alter system set max_slot_wal_keep_size = '1GB'");
  await cluster.sql("postgres", "select pg_reload_conf()");
  running = startFollow(place, "--begin-again");
  await goesOn();
  assert.equal(await cluster.sql("postgres", "select count(*) from pg_replication_slots"), "1");
});

test("what was compared beforehand stays of use when the schema changes after it", async () => {
  await running.interrupt();
  await synliftWell(place.rehearse);
  assert.equal(two.server.systemctl.isActive(UNIT), true);
  await two.server.old.cluster.sql(
    "old",
    `set role old;
     create table of_a_later_synapse (id bigserial primary key, words text not null);
     insert into of_a_later_synapse (words) select md5(n::text) from generate_series(1, 1000) n;
     alter table rooms add column of_later text default 'x';
     create index of_a_later_synapse_words on of_a_later_synapse (words)`,
  );
  running = startFollow(place);
  await goesOn();
  await running.interrupt();
});

test("a promotion that fails leaves the old server fenced and the copy whole; a rollback lets both go on", async () => {
  chmodSync(place.data, 0o500);
  const failed = await synlift(place.cutOver);
  chmodSync(place.data, 0o700);
  assert.equal(failed.code, EXIT_CODES["restore-failed"], failed.stderr);
  assert.equal(two.server.systemctl.isActive(UNIT), false);
  assert.equal(await place.sql("select pg_is_in_recovery()"), "t");
  await synliftWell(
    ["rollback", "--out", two.to.exportFolder, "--keep-following", "--yes", "--json"],
    two.server,
  );
  await two.server.untilAnswers();
  await writer.more(20);
  await synliftWell([...place.follow, "--until-caught-up"]);
});

test("the cut-over, killed again and again, brings everything in the end", async () => {
  const seen = new Set<string>();
  for (;;) {
    const ran = await synlift(place.cutOver, {
      killWhen: (said) => {
        const begun = eventsOf({ stderr: said.slice(0, said.lastIndexOf("\n") + 1) } as never)
          .filter(({ type }) => type === "begin")
          .map(({ id }) => id ?? "");
        const next = begun.find((id) => !seen.has(id));
        if (next === undefined) return false;
        seen.add(next);
        return true;
      },
    });
    if (ran.signal === "SIGKILL") continue;
    assert.equal(ran.code, 0, ran.stderr);
    break;
  }
  assert.ok(seen.size >= 3, [...seen].join());
  await writer.stop();
  assert.equal(two.server.systemctl.isActive(UNIT), false);
  await synliftWell(place.open);
  await mustBeWholeAt(place, two, writer);
  assert.equal(await place.sql("select count(*) from of_a_later_synapse"), "1000");
});
