import assert from "node:assert/strict";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Person } from "../../src/homeserver/people/person.ts";
import {
  type HomeserverFolder,
  makeHomeserverFolder,
  postgresDatabase,
} from "../support/lab/homeserver-folder.ts";
import type { MatrixClient } from "../support/lab/matrix-client.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { type ReadinessPopulation, readinessSettings, settleReadiness } from "../support/lab/readiness.ts";
import { SynapseServer } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { eventsOf, resultOf, type RunOptions, synlift } from "../support/synlift.ts";

// People with real keys and real backups on a real Synapse that goes on running: who would lose messages, and who is told.

interface Settled {
  readonly home: HomeserverFolder;
  readonly server: SynapseServer;
  readonly population: ReadinessPopulation;
}

let cluster: PostgresCluster;
const settled: Partial<Record<"PostgreSQL" | "SQLite", Settled>> = {};

before(async () => {
  cluster = await PostgresCluster.start();
  const database = await postgresDatabase(cluster, "users");
  // At the same time: both wait most of it for apps that take their time to back up.
  const [onPostgres, onSqlite] = await Promise.all([settle({ database }), settle({})]);
  settled.PostgreSQL = onPostgres;
  settled.SQLite = onSqlite;
});

after(async () => {
  for (const { server } of Object.values(settled)) await server.stop();
  await cluster.stop();
});

async function settle(options: Parameters<typeof makeHomeserverFolder>[0]): Promise<Settled> {
  const { settings, bridgeToken } = readinessSettings();
  const notices = { system_mxid_localpart: "notices", auto_join: true };
  const home = await makeHomeserverFolder({ ...options, settings: { ...settings, server_notices: notices } });
  const server = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  await server.start();
  return { home, server, population: await settleReadiness(server.baseUrl, home, bridgeToken) };
}

for (const engine of ["PostgreSQL", "SQLite"] as const) {
  describe(`on ${engine}`, () => {
    let homeserver: Settled;
    let work: string;
    let tokenFile: string;

    before(() => {
      homeserver = settled[engine]!;
      work = temporaryFolder("users");
      tokenFile = join(work, "token");
      writeFileSync(tokenFile, `${homeserver.population.admin.session.accessToken}\n`, { mode: 0o600 });
    });

    const always = () => {
      const { configFile, dataFolder } = homeserver.home;
      return ["users", "--config", configFile, "--working-directory", dataFolder, "--json"];
    };
    const accepted = ["--accept", "people-at-risk"];
    const users = (args: readonly string[], options: RunOptions = {}) =>
      synlift([...always(), ...accepted, ...args], options);
    // Without accepting anything: whoever is at risk is told, and that is no failure.
    const notify = (args: readonly string[], options: RunOptions = {}) =>
      synlift([...always(), "--notify", "--token-file", tokenFile, "--rate", "20", ...args], options);

    test("everybody is told as they are, and keys are counted as they lie", async () => {
      const ran = await users(["--all"]);
      assert.equal(ran.code, 0, ran.stderr);
      const { people, counts } = resultOf(ran).details as {
        people: (Person & { coverage: { sessions: number; saved: number; percent: number } })[];
        counts: Record<string, number>;
      };
      const short = people.map(({ userId, kind, readiness, coverage }) => [
        userId.replace(":old.example", ""),
        kind,
        readiness,
        ...((coverage as unknown) === null ? [] : [`${coverage.saved} of ${coverage.sessions}`]),
      ]);
      assert.deepEqual(short, [
        ["@1", "guest", "not-needed"],
        ["@_bridge_ghost", "appservice", "not-needed"],
        ["@admin", "person", "not-needed"],
        ["@alice", "person", "ready", "3 of 3"],
        ["@bob", "person", "none"],
        ["@carol", "person", "opted-out"],
        ["@dave", "person", "not-needed"],
        ["@erin", "person", "partial", "2 of 3"],
        ["@frank", "person", "partial", "3 of 3"],
        ["@robot", "bot", "not-needed"],
      ]);
      const alice = people.find(({ userId }) => userId.startsWith("@alice"))!;
      assert.deepEqual(
        [
          alice.backupUnlocks,
          alice.crossSigning,
          alice.crossSigningStored,
          alice.active,
          alice.encryptingDevices,
        ],
        [true, true, true, true, 1],
      );
      assert.deepEqual(alice.backup, {
        version: 1,
        algorithm: "m.megolm_backup.v1.curve25519-aes-sha2",
        keys: 3,
      });
      const { people: persons, atRisk, bots, guests, appservice, deactivated } = counts;
      assert.deepEqual(
        { persons, atRisk, bots, guests, appservice, deactivated },
        { persons: 7, atRisk: 4, bots: 1, guests: 1, appservice: 1, deactivated: 1 },
      );
    });

    test("without being accepted the risk is a warning with an exit code of its own", async () => {
      const { configFile, dataFolder } = homeserver.home;
      const ran = await synlift(["users", "--config", configFile, "--working-directory", dataFolder]);
      assert.equal(ran.code, 60);
      assert.match(ran.stdout, /@erin:old\.example: key backup: holds 66% of the keys/);
      assert.match(ran.stdout, /@frank:old\.example: key backup: no new device can open it/);
    });

    test("a table for spreadsheets has every account", async () => {
      const csv = join(work, "people.csv");
      assert.equal((await users(["--csv", csv])).code, 0);
      assert.equal(statSync(csv).mode & 0o777, 0o600);
      const rows = readFileSync(csv, "utf8").trimEnd().split("\r\n");
      assert.equal(rows.length, 1 + 10);
      assert.match(
        rows.find((row) => row.includes("@erin"))!,
        /^'@erin:old\.example,person,partial,true,true,/,
      );
    });

    test("a dry run tells what would be sent, and sends nothing", async () => {
      const folder = join(work, "dry");
      const ran = await notify(["--announce", folder, "--dry-run", ...accepted]);
      assert.equal(ran.code, 0, ran.stderr);
      assert.deepEqual(noticesOf(ran), { recipients: 4, before: 0, sent: 0, unsent: 0, dryRun: true });
      for (const person of everybody()) assert.deepEqual(await noticesTo(person), []);
    });

    test("each of those at risk gets one notice, and nobody else", async () => {
      const ran = await notify(["--announce", join(work, "move"), "--when", "2026-12-01 02:00 UTC"]);
      assert.equal(ran.code, 0, ran.stderr);
      assert.deepEqual(noticesOf(ran), { recipients: 4, before: 0, sent: 4, unsent: 0, dryRun: false });
      assert.ok(!ran.stdout.includes(homeserver.population.admin.session.accessToken));
      await eachHas(1, /When: 2026-12-01 02:00 UTC\.[\s\S]*do not press "reset"/);
    });

    test("nobody gets a second one when it is run again, nor when the record is lost and the server was restarted", async () => {
      const again = await notify(["--announce", join(work, "move")]);
      assert.deepEqual(noticesOf(again), { recipients: 4, before: 4, sent: 0, unsent: 0, dryRun: false });
      await homeserver.server.stop();
      await homeserver.server.start();
      rmSync(join(work, "move", "notices-sent.json"));
      const third = await notify(["--announce", join(work, "move")]);
      assert.equal(third.code, 0, third.stderr);
      assert.deepEqual(noticesOf(third), { recipients: 4, before: 4, sent: 0, unsent: 0, dryRun: false });
      await eachHas(1, /When: 2026-12-01/);
    });

    test("a run that is killed half way is finished by the next, and nobody gets a second copy", async () => {
      const text = join(work, "text.txt");
      writeFileSync(text, "an hour earlier than we said: midnight\n");
      const record = join(work, "record.json");
      const args = ["--text", text, "--record", record];
      const killed = await notify([...args, "--rate", "1"], {
        killWhen: (stderr) => /"id":"users\/notices".*"done":[12],/.test(stderr),
      });
      assert.equal(killed.signal, "SIGKILL");
      assert.ok(eventsOf(killed).some(({ id }) => id === "users/notices"));
      const ran = await notify(args);
      assert.equal(ran.code, 0, ran.stderr);
      const { before, sent } = noticesOf(ran);
      assert.ok(before > 0 && sent > 0, `${before} before, ${sent} sent`);
      assert.equal(before + sent, 4);
      await eachHas(1, /an hour earlier/);
    });

    test("somebody who is no administrator sends nothing", async () => {
      const own = join(work, "bobs-token");
      writeFileSync(own, homeserver.population.people.bob.session.accessToken);
      const ran = await users(["--notify", "--token-file", own, "--announce", join(work, "other")]);
      assert.equal(ran.code, 62);
      assert.match(
        eventsOf(ran).at(-1)!.message!,
        /the token belongs to @bob:old\.example, who is not an administrator/,
      );
    });

    const everybody = (): MatrixClient[] => Object.values(homeserver.population.people);

    async function eachHas(times: number, text: RegExp): Promise<void> {
      const { people } = homeserver.population;
      for (const [name, person] of Object.entries(people)) {
        const found = (await noticesTo(person)).filter((body) => text.test(body));
        assert.equal(found.length, ["bob", "carol", "erin", "frank"].includes(name) ? times : 0, name);
      }
    }

    /** The bodies of what the account for notices said to somebody, as their own app reads them. */
    async function noticesTo(person: MatrixClient): Promise<string[]> {
      const { joined_rooms: rooms } = await person.call<{ joined_rooms: string[] }>(
        "GET",
        "/_matrix/client/v3/joined_rooms",
      );
      const events = (await Promise.all(rooms.map((room) => person.events(room)))).flat();
      return events
        .filter(({ type, sender }) => type === "m.room.message" && sender === "@notices:old.example")
        .map(({ content }) => String(content["body"]));
    }
  });
}

function noticesOf(ran: Parameters<typeof resultOf>[0]) {
  const {
    recipients,
    before: earlier,
    sent,
    unsent,
    dryRun,
  } = resultOf(ran).details["notices"] as Record<string, number> & { dryRun: boolean };
  return { recipients, before: earlier!, sent: sent!, unsent, dryRun };
}
