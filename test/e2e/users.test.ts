import assert from "node:assert/strict";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Person } from "../../src/homeserver/people/person.ts";
import { EncryptedClient } from "../support/lab/encrypted-conversation.ts";
import {
  type HomeserverFolder,
  makeHomeserverFolder,
  postgresDatabase,
} from "../support/lab/homeserver-folder.ts";
import { MatrixClient } from "../support/lab/matrix-client.ts";
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
  readonly bridgeToken: string;
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
  const population = await settleReadiness(server.baseUrl, home, bridgeToken);
  return { home, server, population, bridgeToken };
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

    const expire = (...args: string[]) => {
      const { configFile, dataFolder } = homeserver.home;
      return synlift([
        ...["sign-out", "expire", "--config", configFile, "--working-directory", dataFolder, "--json"],
        ...args,
      ]);
    };

    test("sessions are not ended inside a database while the server runs", async () => {
      const ran = await expire("--soft", "--yes", "--no-survey");
      assert.equal(ran.code, 14, ran.stderr);
      assert.equal((await homeserver.population.people.bob.whoami()).user_id, "@bob:old.example");
    });

    test("without an answer nobody is signed out: the question says who would lose messages", async () => {
      refreshing = await logInWithRefresh(homeserver.server.baseUrl);
      await setPusher(homeserver.population.people.bob);
      devicesBefore = await devicesOf(homeserver.population.people.alice);
      await homeserver.server.stop();
      const ran = await expire("--soft");
      assert.equal(ran.code, 2, ran.stderr);
      assert.match(
        eventsOf(ran).at(-1)!.message!,
        /; 4 of 7 people would lose encrypted messages, 4 of them/,
      );
      const dry = await expire("--hard", "--dry-run", "--keep", "@robot:old.example");
      assert.equal(dry.code, 0, dry.stderr);
      const { accounts, accessTokens, refreshTokens, left, dryRun } = resultOf(dry).details;
      assert.deepEqual(
        { accounts, accessTokens, refreshTokens, left, dryRun },
        {
          accounts: 7,
          accessTokens: 8,
          refreshTokens: 1,
          left: { appservices: 1, guests: 0, kept: 1 },
          dryRun: true,
        },
      );
      const undo = await expire("--undo");
      assert.equal(undo.code, 64, undo.stderr);
      const unknown = await expire("--soft", "--yes", "--no-survey", "--keep", "@nobody:old.example");
      assert.match(eventsOf(unknown).at(-1)!.message!, /there is no account @nobody:old\.example/);
    });

    // What is changed is the same on both; a server's part takes its time, so each shows one of the two ways.
    if (engine === "PostgreSQL")
      test("soft: every client is told to sign in again, with its device, its keys and its old messages", async () => {
        const ran = await expire("--soft", "--yes", "--keep", "@robot:old.example");
        assert.equal(ran.code, 0, ran.stderr);
        assert.equal(resultOf(ran).details["accessTokens"], 8);
        assert.equal((await expire("--hard", "--yes", "--no-survey")).code, 64);
        await homeserver.server.start();
        const { baseUrl } = homeserver.server;
        const { alice, bob } = homeserver.population.people;
        for (const person of everybody())
          assert.deepEqual(await refusal(person), { errcode: "M_UNKNOWN_TOKEN", soft_logout: true });
        assert.deepEqual(await refusal(refreshing.client), { errcode: "M_UNKNOWN_TOKEN", soft_logout: true });
        // Otherwise such a client would go on with the next access token.
        const refresh = await fetch(`${baseUrl}/_matrix/client/v3/refresh`, {
          method: "POST",
          body: JSON.stringify({ refresh_token: refreshing.refreshToken }),
        });
        assert.equal(refresh.status, 403);
        const bridge = await asBridge(baseUrl, homeserver.bridgeToken);
        assert.equal(bridge, 200);
        const again = await signInAgain(baseUrl, alice);
        assert.deepEqual(await devicesOf(again), devicesBefore);
        const device = await EncryptedClient.start(baseUrl, again.session);
        try {
          for (const text of ["one", "two", "three"]) await device.hears(homeserver.population.roomId, text);
        } finally {
          device.stop();
        }
        assert.deepEqual(await refusal(bob), { errcode: "M_UNKNOWN_TOKEN", soft_logout: true });
      });

    if (engine === "PostgreSQL")
      test("it can be undone: whoever was not told yet goes on with the same session", async () => {
        await homeserver.server.stop();
        const ran = await expire("--undo");
        assert.equal(ran.code, 0, ran.stderr);
        assert.equal(resultOf(ran).details["restorable"], 8);
        await homeserver.server.start();
        for (const person of everybody()) await person.whoami();
        await refreshing.client.whoami();
      });

    if (engine === "SQLite")
      test("hard: every client is told to discard its keys; devices stay until they are deleted, and that can be undone as well", async () => {
        const ran = await expire("--hard", "--yes", "--no-survey");
        assert.equal(ran.code, 0, ran.stderr);
        const { accessTokens, refreshTokens, pushers } = resultOf(ran).details;
        assert.deepEqual(
          { accessTokens, refreshTokens, pushers },
          { accessTokens: 9, refreshTokens: 1, pushers: 1 },
        );
        await homeserver.server.start();
        const { baseUrl } = homeserver.server;
        const { bob } = homeserver.population.people;
        for (const person of everybody())
          assert.deepEqual(await refusal(person), { errcode: "M_UNKNOWN_TOKEN", soft_logout: false });
        assert.equal(await asBridge(baseUrl, homeserver.bridgeToken), 200);
        const again = await signInAgain(baseUrl, bob);
        await homeserver.server.stop();
        assert.equal((await expire("--undo")).code, 0);
        assert.equal(resultOf(await expire("--hard", "--dry-run", "--no-survey")).details["pushers"], 1);
        await homeserver.server.start();
        for (const person of everybody()) await person.whoami();
        await again.whoami();
      });

    let refreshing: { readonly client: MatrixClient; readonly refreshToken: string };
    let devicesBefore: readonly string[];

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

/** What a client learns of its session. */
async function refusal({
  baseUrl,
  session,
}: MatrixClient): Promise<{ errcode: string; soft_logout: boolean }> {
  const answer = await fetch(`${baseUrl}/_matrix/client/v3/sync?timeout=0`, {
    headers: { Authorization: `Bearer ${session.accessToken}` },
  });
  assert.equal(answer.status, 401);
  const { errcode, soft_logout } = (await answer.json()) as { errcode: string; soft_logout: boolean };
  return { errcode, soft_logout };
}

interface LoginAnswer {
  readonly user_id: string;
  readonly device_id: string;
  readonly access_token: string;
  readonly refresh_token?: string;
}

async function logInAt(baseUrl: string, user: string, more: object): Promise<LoginAnswer> {
  const answer = await fetch(`${baseUrl}/_matrix/client/v3/login`, {
    method: "POST",
    body: JSON.stringify({
      type: "m.login.password",
      identifier: { type: "m.id.user", user },
      password: `pw-${user}`,
      ...more,
    }),
  });
  assert.equal(answer.status, 200);
  return (await answer.json()) as LoginAnswer;
}

/** Signs in as a client that refreshes its access token. */
async function logInWithRefresh(baseUrl: string) {
  const { user_id, device_id, access_token, refresh_token } = await logInAt(baseUrl, "dave", {
    refresh_token: true,
  });
  const session = { userId: user_id, deviceId: device_id, accessToken: access_token };
  return { client: new MatrixClient(baseUrl, session), refreshToken: refresh_token! };
}

/** Signs in with the same device, as a client does after a soft sign-out. */
async function signInAgain(baseUrl: string, { session }: MatrixClient): Promise<MatrixClient> {
  const { userId, deviceId } = session;
  const name = userId.slice(1).split(":")[0]!;
  const { device_id, access_token } = await logInAt(baseUrl, name, { device_id: deviceId });
  assert.equal(device_id, deviceId);
  assert.notEqual(access_token, session.accessToken);
  return new MatrixClient(baseUrl, { userId, deviceId, accessToken: access_token });
}

/** The devices with keys, as other people's clients see them. */
async function devicesOf(person: MatrixClient): Promise<string[]> {
  const { userId } = person.session;
  const { device_keys: keys } = await person.call<{ device_keys: Record<string, Record<string, unknown>> }>(
    "POST",
    "/_matrix/client/v3/keys/query",
    { device_keys: { [userId]: [] } },
  );
  return Object.entries(keys[userId] ?? {})
    .map(([name, one]) => `${name} ${JSON.stringify((one as { keys: unknown }).keys)}`)
    .toSorted();
}

async function asBridge(baseUrl: string, token: string): Promise<number> {
  const { status } = await fetch(
    `${baseUrl}/_matrix/client/v3/account/whoami?user_id=@_bridge_ghost:old.example`,
    {
      headers: { Authorization: `Bearer ${token}` },
    },
  );
  return status;
}

const setPusher = (person: MatrixClient) =>
  person.call("POST", "/_matrix/client/v3/pushers/set", {
    kind: "http",
    app_id: "org.example.phone",
    app_display_name: "phone",
    device_display_name: "phone",
    pushkey: "a-key",
    lang: "en",
    data: { url: "http://127.0.0.1:9/_matrix/push/v1/notify" },
  });
