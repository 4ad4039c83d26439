import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { type BaseSystem, baseSystem } from "../support/hosts/base-system.ts";
import { Host, introduce } from "../support/hosts/host.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { MINI_TABLES } from "../support/mini-synapse.ts";
import { scenario } from "../support/scenario.ts";

// A copy that follows between two Debian hosts with systemd, as its page has it: a cluster of its own, a unit, restarts of both.

const { step } = scenario();
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const ADDRESSES = ["10.78.0.2", "10.78.0.3"] as const;
/** Both sides of a standby have the same PostgreSQL. */
const DEBIAN: BaseSystem = { suite: "bookworm", packages: ["postgresql", "libatomic1"] };

const CONFIG = `server_name: example.org
database:
  name: psycopg2
  args: { user: synapse, password: an old password, dbname: synapse, host: 127.0.0.1 }
signing_key_path: /etc/matrix-synapse/homeserver.signing.key
media_store_path: /var/lib/matrix-synapse/media
listeners: []
report_stats: false
macaroon_secret_key: not a secret
form_secret: not a secret
`;

let old: Host;
let place: Host;

const SQL = "runuser -u postgres -- psql -v ON_ERROR_STOP=1 -XAtq";
const onOld = (sql: string, database = "synapse") => old.well(`${SQL} -d ${database}`, sql);
const onNew = (sql: string, database = "synapse") => place.well(`${SQL} -p 5433 -d ${database}`, sql);

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (const limit = performance.now() + 180_000; !(await isSo());) {
    if (performance.now() > limit) throw new Error(`not in three minutes: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

before(async () => {
  const work = temporaryFolder("follow-hosts", undefined, "/var/tmp");
  execFileSync(process.execPath, [join(ROOT, "scripts/single.ts"), join(work, "built")], { stdio: "ignore" });
  old = new Host("old", baseSystem(DEBIAN), work);
  place = new Host("new", baseSystem(DEBIAN), work);
  introduce(old, place, ADDRESSES);
  introduce(place, old, [ADDRESSES[1], ADDRESSES[0]]);
  for (const host of [old, place])
    copyFileSync(join(work, "built/synlift-linux-x64"), join(host.folder, "usr/local/bin/synlift"));
  old.write("/etc/matrix-synapse/homeserver.yaml", CONFIG);
  old.write(
    "/etc/matrix-synapse/homeserver.signing.key",
    "ed25519 a_test AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
    0o600,
  );
  old.write("/var/lib/matrix-synapse/media/.keep", "");
  Host.connect(old, place, ADDRESSES);
  await old.boot();
  await place.boot();
});

after(async () => {
  await old.stop();
  await place.stop();
});

step(
  "the old server is one of Debian, a little larger than its default, with a password in the older form",
  async () => {
    await old.well(
      "echo 'max_connections = 123' > /etc/postgresql/15/main/conf.d/local.conf; sed -i 's/scram-sha-256$/md5/' /etc/postgresql/15/main/pg_hba.conf; systemctl restart postgresql",
    );
    await onOld(
      "set password_encryption to md5; create role synapse login password 'an old password'",
      "postgres",
    );
    await onOld(
      "create database synapse owner synapse template template0 lc_collate 'C' lc_ctype 'C'",
      "postgres",
    );
    await onOld(`set role synapse;\n${MINI_TABLES}`);
  },
);

step("a dry run says what would be done, and does nothing", async () => {
  const said = await place.well("synlift follow ssh://root@old.example.org --without-media --dry-run");
  assert.match(said, /cluster 15\/synapse, port 5433/);
  assert.equal((await place.run("test -e /etc/postgresql/15/synapse -o -e /etc/matrix-synapse")).code, 1);
});

/** Something that is no PostgreSQL has a port of the new host, until it is stopped. */
const listen = (port: number) =>
  place.well(
    `systemd-run --quiet --unit other perl -MIO::Socket::INET -e 'push @kept, (IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1", LocalPort => ${port}, ReuseAddr => 1) or die); sleep 3600'; for n in $(seq 100); do ss -tln | grep -q :${port} && break; sleep 0.1; done`,
  );

step("a port that something else has is passed over, and refused where it is given", async () => {
  await listen(5433);
  const dry = "synlift follow ssh://root@old.example.org --without-media --dry-run";
  assert.match(await place.well(dry), /cluster 15\/synapse, port 5434/);
  const taken = await place.run(`${dry} --port 5433`);
  assert.equal(taken.code, 41, taken.stderr);
  assert.match(taken.stderr, /in use by perl/);
  await place.well("systemctl stop other; pg_ctlcluster 15 main stop");
  const ofOther = await place.run(`${dry} --port 5432`);
  assert.equal(ofOther.code, 41, ofOther.stderr);
  assert.match(ofOther.stderr, /PostgreSQL cluster\s+15\/main/);
  await place.well("pg_ctlcluster 15 main start");
});

step(
  "asked to stop while it copies, the unit has not failed; what pg_dropcluster leaves is in nobody's way",
  async () => {
    await place.well(
      "install -d /etc/postgresql/15/synapse/conf.d; touch /etc/postgresql/15/synapse/conf.d/own.conf",
    );
    await place.well(
      "synlift follow ssh://root@old.example.org --without-media --service --yes --checkpoint fast --max-rate 32k",
    );
    await until("it copies", async () => (await place.run("pgrep pg_basebackup")).code === 0);
    await place.well("systemctl stop synlift-follow");
    assert.match(
      await place.well("systemctl show -p ActiveState -p Result synlift-follow"),
      /^(?=[^]*Result=success)(?=[^]*ActiveState=inactive)/,
    );
    assert.match(
      await place.well("stat -c %a /etc/matrix-synapse /etc/matrix-synapse/.synlift"),
      /^755\n700\n$/,
    );
  },
);

step("as a unit it copies, and follows", async () => {
  const said = await place.well("synlift follow --service --yes --checkpoint fast");
  assert.match(said, /synlift-follow\.service/);
  await until("it follows", async () => {
    const { stdout } = await place.run("synlift follow status --json");
    return stdout.includes('"connected":true');
  });
  assert.match(await place.well("pg_lsclusters -h"), /^15\s+synapse\s+5433\s+online,recovery\s+postgres/m);
  await onOld("create table said_later as select generate_series(1, 100) n");
  await until("what was said arrives", async () => {
    return (await onNew("select count(*) from pg_class where relname = 'said_later'")).trim() === "1";
  });
});

step("Synapse's role logs in to the copy with the password that it has", async () => {
  const sql =
    "PGPASSWORD='an old password' psql -h 127.0.0.1 -p 5433 -U synapse -Atc 'select count(*) from events' synapse";
  assert.equal((await place.well(sql)).trim(), "500");
});

step("after a restart of the new host it follows again by itself", async () => {
  await place.reboot();
  await onOld("insert into said_later select generate_series(101, 200)");
  await until("it follows again", async () => {
    const { stdout } = await place.run(`${SQL} -p 5433 -d synapse -c 'select count(*) from said_later'`);
    return stdout.trim() === "200";
  });
});

step("after a restart of the old host, too", async () => {
  await old.reboot();
  await onOld("insert into said_later select generate_series(201, 300)");
  await until("it follows again", async () => {
    const { stdout } = await place.run(`${SQL} -p 5433 -d synapse -c 'select count(*) from said_later'`);
    return stdout.trim() === "300";
  });
});

step("killed, the unit goes on; and its server is started again when it was stopped", async () => {
  await place.well("systemctl kill -s KILL synlift-follow; pg_ctlcluster 15 synapse stop -m immediate");
  await onOld("insert into said_later select generate_series(301, 400)");
  await until("it follows again", async () => {
    const { stdout } = await place.run(`${SQL} -p 5433 -d synapse -c 'select count(*) from said_later'`);
    return stdout.trim() === "400";
  });
});

step(
  "a copy whose port something else has got meanwhile is given another one, and is not made again",
  async () => {
    const made = await place.well("stat -c %Z /var/lib/postgresql/15/synapse/backup_manifest");
    await place.well("systemctl stop synlift-follow; pg_ctlcluster 15 synapse stop");
    await listen(5433);
    const refused = await place.run("synlift follow --until-caught-up");
    assert.equal(refused.code, 44, refused.stderr);
    assert.match(refused.stderr, /synlift follow --port 5434/);
    await place.well("synlift follow --service --port 5434");
    await onOld("insert into said_later select generate_series(401, 500)");
    await until("it follows again", async () => {
      const { stdout } = await place.run(`${SQL} -p 5434 -d synapse -c 'select count(*) from said_later'`);
      return stdout.trim() === "500";
    });
    assert.match(await place.well("pg_lsclusters -h"), /^15\s+synapse\s+5434\s+online,recovery/m);
    await place.well("systemctl stop synlift-follow other; synlift follow --service --port 5433");
    await until("it follows at its first port", async () => {
      const { stdout } = await place.run(`${SQL} -p 5433 -d synapse -c 'select count(*) from said_later'`);
      return stdout.trim() === "500";
    });
    assert.equal(await place.well("stat -c %Z /var/lib/postgresql/15/synapse/backup_manifest"), made);
  },
);

step("ended, nothing is left on either host", async () => {
  await place.well("rm /etc/postgresql/15/synapse/conf.d/own.conf");
  assert.equal((await place.run("synlift follow stop < /dev/null")).code, 2);
  assert.equal(await place.runs("synlift-follow"), true, "nothing is stopped before the answer");
  await place.well("synlift follow stop --yes");
  assert.equal((await place.run("test -e /etc/systemd/system/synlift-follow.service")).code, 1);
  assert.doesNotMatch(await place.well("pg_lsclusters -h"), /synapse/);
  assert.equal((await place.run("ls /run/synlift-* /var/lib/postgresql/15/synapse")).code, 2);
  assert.equal((await place.run("ls /etc/postgresql/15/synapse")).code, 2);
  assert.equal((await onOld("select count(*) from pg_replication_slots", "postgres")).trim(), "0");
  assert.equal(
    (await onOld("select count(*) from pg_roles where rolname ~ 'synlift'", "postgres")).trim(),
    "0",
  );
  assert.equal((await onOld("show max_slot_wal_keep_size", "postgres")).trim(), "-1");
});
