import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { EXIT_CODES } from "../../src/errors.ts";
import { killAtOnce, untilProcess, untilServerProcess } from "../support/follow/found-processes.ts";
import { startedUpdatesAreDone, untilInCopy } from "../support/follow/logical-sides.ts";
import { mustBeWholeAt } from "../support/follow/moves.ts";
import { startFollow } from "../support/follow/running-follow.ts";
import { makeNewSide, makeTwoSides, type NewSide, type TwoSides } from "../support/follow/two-sides.ts";
import type { Writer } from "../support/follow/writer.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { until } from "../support/processes.ts";
import { synlift, synliftWell } from "../support/synlift.ts";

// A move to a newer PostgreSQL by logical replication, while people write all the time and one thing after the other is killed. The
// tests are its steps, in order.

const TARGET = 16;

let two: TwoSides;
let target: PostgresCluster;
let place: NewSide;
let writer: Writer;

before(async () => {
  two = await makeTwoSides({ settings: { wal_level: "logical" } });
  target = await PostgresCluster.start({ major: TARGET, settings: { synchronous_commit: "on" } });
  place = await makeNewSide(two.to, { target });
  writer = await two.write({ perSecond: 10 });
  await startedUpdatesAreDone(two);
});

after(async () => {
  await place.close();
  await target.stop();
  await two.close();
});

test("a first copy whose connection is cut ends with the reason, and people notice nothing", async () => {
  const refused = writer.refusals.length;
  let isCut = false;
  const ran = await synlift([...place.follow, "--until-caught-up"], {
    killWhen: (said) => {
      if (isCut || !said.includes("follow/rows")) return false;
      two.to.way.cut();
      isCut = true;
      return false;
    },
  });
  two.to.way.mend();
  assert.ok(isCut);
  const codes: readonly number[] = [EXIT_CODES["connection-failed"], EXIT_CODES["database-unreachable"]];
  assert.ok(codes.includes(ran.code ?? 0), `${ran.code ?? "killed"} ${ran.stderr}`);
  await writer.more(5);
  writer.nobodyMustBeRefused(refused);
});

test("a copy is made while people write, and has all of it", async () => {
  const refused = writer.refusals.length;
  await synliftWell([...place.follow, "--until-caught-up"]);
  writer.nobodyMustBeRefused(refused);
  const running = startFollow(place);
  await untilInCopy(place, writer, running);
  await running.interrupt();
});

test("a connection that falls silent is noticed, and made again", async () => {
  const refused = writer.refusals.length;
  const running = startFollow(place);
  await untilInCopy(place, writer, running);
  const { pid } = await untilProcess(`ssh -F ${two.to.ssh.configFile} -N`);
  two.to.way.fallSilent();
  await until("ssh gives up", () => !existsSync(`/proc/${pid}`), 300);
  two.to.way.mend();
  await untilInCopy(place, writer, running);
  await running.interrupt();
  writer.nobodyMustBeRefused(refused);
});

test("it goes on after the connection was cut, and after SIGKILL for ssh, the apply worker, and either PostgreSQL", async () => {
  const { cluster } = two.server.old;
  const running = startFollow(place);
  await untilInCopy(place, writer, running);
  two.to.way.cut();
  await writer.more(20);
  two.to.way.mend();
  await untilInCopy(place, writer, running);
  killAtOnce(await untilProcess(`ssh -F ${two.to.ssh.configFile} -N`));
  await untilInCopy(place, writer, running);
  killAtOnce(await untilServerProcess(target.dataFolder, "logical replication", "apply worker"));
  await untilInCopy(place, writer, running);
  await target.crash();
  await target.startAgain();
  await untilInCopy(place, writer, running);
  await cluster.crash();
  await cluster.startAgain();
  await untilInCopy(place, writer, running);
  const ended = await running.interrupt();
  assert.equal(ended.code, 0, ended.stderr);
});

test("the cut-over and the new server have every message, people write in every room, and old devices decrypt", async () => {
  await synliftWell([...place.follow, "--until-caught-up"]);
  await synliftWell(place.cutOver);
  await writer.stop();
  await synliftWell(place.open);
  await mustBeWholeAt(place, two, writer);
  assert.equal(await place.sql("select count(*) from pg_subscription"), "0");
});
