import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { baseSystem } from "../support/hosts/base-system.ts";
import type { BesideAHost } from "../support/hosts/beside-a-host.ts";
import { NEW_DEBIAN, OLD_DEBIAN } from "../support/hosts/debian-hosts.ts";
import { Host, introduce, type Ran } from "../support/hosts/host.ts";
import { commandIn } from "../support/hosts/readme.ts";
import { runbookCommands } from "../support/hosts/runbook.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { scenario } from "../support/scenario.ts";
import { TestAuthority } from "../support/test-authority.ts";

// The runbook, command by command, as its page has them and in its order, on two Debian hosts that have no Node: synlift is the
// single file there, installed with the README's line. Where the page offers another way to the same end, the server goes back
// to the old host in between, with the page's own command for that.

const { step } = scenario();
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const ADDRESSES = ["10.77.0.2", "10.77.0.3"] as const;
/** Those of the page, and of the old host beside it. */
const [OLD_ADDRESS, NEW_ADDRESS] = ["192.0.2.6", "192.0.2.7"] as const;
const RESOLVERS = ["1.1.1.1", "8.8.8.8", "9.9.9.9"] as const;
const SYNAPSE = "http://127.0.0.1:8008";

/** Instead of those of Debian's package, one of which needs a certificate. */
const LISTENERS = [
  {
    ...{ port: 8008, type: "http", bind_addresses: ["127.0.0.1"], x_forwarded: true },
    resources: [{ names: ["client", "federation"] }],
  },
];

/** Counts the background updates that a server on SQLite has not finished. */
const PENDING = `import sqlite3
database = sqlite3.connect("/var/lib/matrix-synapse/homeserver.db", timeout=60)
print(database.execute("SELECT count(*) FROM background_updates").fetchone()[0])
`;

const commands = runbookCommands();
const authority = new TestAuthority();
const TRUSTED = "/root/authority.pem";

let old: Host;
let place: Host;
let token: string;

before(async () => {
  const work = temporaryFolder("runbook", undefined, "/var/tmp");
  execFileSync(process.execPath, [join(ROOT, "scripts/single.ts"), join(work, "built")], { stdio: "ignore" });
  old = new Host("old", baseSystem(OLD_DEBIAN), work);
  place = new Host("new", baseSystem(NEW_DEBIAN), work);
  introduce(old, place, ADDRESSES);
  introduce(place, old, [ADDRESSES[1], ADDRESSES[0]]);
  for (const host of [old, place]) {
    for (const program of ["node", "nodejs", "npm", "npx"])
      rmSync(join(host.folder, "usr/bin", program), { force: true });
    for (const file of ["synlift-linux-x64", "SHA256SUMS"])
      copyFileSync(join(work, "built", file), join(host.folder, "root", file));
    host.write(TRUSTED, authority.pem);
  }
  Host.connect(old, place, ADDRESSES);
  old.addAddress(OLD_ADDRESS, place);
  place.addAddress(NEW_ADDRESS, old);
  for (const resolver of RESOLVERS) old.addAddress(resolver, place, "lo");
  await old.boot();
  await place.boot();
  // systemd-nspawn has put in this machine's own
  await old.well("echo nameserver 1.1.1.1 > /etc/resolv.conf");
});

after(async () => {
  await old.stop();
  await place.stop();
});

const said = ({ stdout, stderr }: Ran) => `${stdout}\n${stderr}`;

/** Executes commands of the page, as somebody does who stops when one fails. */
async function execute(host: Host, command: string, input = ""): Promise<Ran> {
  return host.run(`export NODE_EXTRA_CA_CERTS=${TRUSTED}; set -e\n${command}`, input);
}

async function executeWell(host: Host, command: string, input = ""): Promise<string> {
  const ran = await execute(host, command, input);
  assert.equal(ran.code, 0, `${command}\n${said(ran)}`);
  return ran.stdout;
}

/** Executes commands of the page that ask before they act, and says yes. */
async function agreeTo(host: Host, command: string, question: RegExp): Promise<string> {
  const { code, stdout } = await host.typed(`export NODE_EXTRA_CA_CERTS=${TRUSTED}; set -e\n${command}`, [
    [question, "y"],
  ]);
  assert.equal(code, 0, `${command}\n${stdout}`);
  return stdout;
}

/** What stands for something of one's own in a command; throws when it is not there. */
function fill(command: string, placeholders: Readonly<Record<string, string>>): string {
  return Object.entries(placeholders).reduce((text, [placeholder, own]) => {
    assert.ok(text.includes(placeholder), `"${placeholder}" is not in: ${text}`);
    return text.replaceAll(placeholder, own);
  }, command);
}

/** Starts what is around a host, and returns what ends it. */
async function surround(host: Host, what: BesideAHost): Promise<() => Promise<void>> {
  const script = fileURLToPath(new URL("../support/hosts/beside-a-host.ts", import.meta.url));
  const child = host.inItsNetwork(process.execPath, [script, JSON.stringify(what)]);
  await new Promise((resolve, reject) => {
    child.stdout!.once("data", resolve);
    child.once("exit", (code) => {
      reject(new Error(`${script} ended with ${code}`));
    });
  });
  return async () => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill();
    await ended;
  };
}

const served = (host: Host) =>
  host.well(`timeout 300 sh -c 'until curl -fs ${SYNAPSE}/health; do sleep 1; done'`);

/** The old server serves again, and nothing is left of the attempt on either host; the database role is for restore to create. */
async function goBack(command: string): Promise<void> {
  await agreeTo(old, command, /\?/);
  await served(old);
  await old.well("rm -rf /srv/move /srv/move.passphrase synlift-move");
  await place.well(`
    systemctl stop matrix-synapse
    su postgres -c 'cd /; dropdb --if-exists synapse; dropdb --if-exists trial; dropuser --if-exists synapse'
    rm -rf /etc/matrix-synapse /var/lib/matrix-synapse/media /srv/move /root/move.passphrase /root/db.password
    install -d -m 0700 -o matrix-synapse /etc/matrix-synapse`);
}

async function moveByTheBundle(): Promise<void> {
  await agreeTo(old, commands.export, /\?/);
  await carryAndRestore();
}

async function carryAndRestore(): Promise<void> {
  await executeWell(old, commands.send);
  await executeWell(place, commands.passphrase, await old.well("cat /srv/move.passphrase"));
  await executeWell(place, commands.restore);
}

step("the README's line installs the single file on both, and an old server has a person", async () => {
  for (const host of [old, place]) {
    await executeWell(host, commandIn("README.md", "sha256sum --check"));
    assert.notEqual((await host.run("command -v node")).code, 0);
  }
  await old.well(`
    systemctl stop matrix-synapse
    su postgres -c 'cd /; createuser matrix-synapse'
    su postgres -c 'cd /; createdb --encoding=UTF8 --locale=C --template=template0 --owner=matrix-synapse synapse'
    install -d /etc/matrix-synapse/conf.d`);
  old.write("/etc/matrix-synapse/conf.d/server_name.yaml", "server_name: example.org\n");
  const settings = {
    database: {
      name: "psycopg2",
      args: { user: "matrix-synapse", dbname: "synapse", host: "/var/run/postgresql" },
    },
    public_baseurl: "https://matrix.example.org/",
    registration_shared_secret: "of the old host",
    report_stats: false,
    suppress_key_server_warning: true,
    trusted_key_servers: [],
    listeners: LISTENERS,
  };
  old.write("/etc/matrix-synapse/conf.d/own.yaml", JSON.stringify(settings));
  await old.well("systemctl enable matrix-synapse; systemctl start matrix-synapse");
  await served(old);
  await old.well(
    `python3 -m synapse._scripts.register_new_matrix_user -u alice -p 'alice password' --no-admin -k 'of the old host' ${SYNAPSE}`,
  );
  const login = {
    type: "m.login.password",
    identifier: { type: "m.id.user", user: "alice" },
    password: "alice password",
  };
  const answer = await old.well(
    `curl -fsS -X POST --data-binary @- ${SYNAPSE}/_matrix/client/v3/login`,
    JSON.stringify(login),
  );
  token = (JSON.parse(answer) as { access_token: string }).access_token;
  await old.well(
    `curl -fsS -X POST -H 'Authorization: Bearer ${token}' -H 'Content-Type: text/plain' --data-binary @- '${SYNAPSE}/_matrix/media/v3/upload?filename=a.txt'`,
    "an upload",
  );
});

step("before: the plan finds the server, without a blocker", async () => {
  const ran = await execute(old, commands.plan);
  assert.ok(ran.code === 0 || ran.code === 60, said(ran));
  assert.match(ran.stdout, /the move will work/);
  await old.well("test -s /root/plan.html");
});

step(
  "before: the new host has the package's configuration out of the way, a role and its password",
  async () => {
    await place.well("systemctl disable --now matrix-synapse");
    await executeWell(place, commands["set aside"]);
    await executeWell(place, commands.role);
    await place.well(
      'PGPASSWORD=$(cat /root/db.password) psql -h 127.0.0.1 -U synapse -d postgres -c "select 1"',
    );
  },
);

step("before: the unit shows how Synapse is started", async () => {
  assert.match(await executeWell(old, commands.unit), /--config-path=\/etc\/matrix-synapse\/conf\.d/);
});

step("before: a rehearsal is packed and intact, and its gates pass elsewhere without a start", async () => {
  await executeWell(old, commands.rehearse);
  assert.ok(await old.runs("matrix-synapse"));
  await old.well("scp -rq /srv/rehearsal root@new.example.org:/srv/");
  await old.well("scp -q /srv/rehearsal.passphrase root@new.example.org:/root/");
  await place.well(`synlift restore /srv/rehearsal --passphrase-file /root/rehearsal.passphrase \
    --database 'host=127.0.0.1 user=synapse dbname=trial' --database-password-file /root/db.password \
    --config-dir /srv/trial/config --media-dir /srv/trial/media --owner matrix-synapse`);
  assert.match(await executeWell(place, commands.trial), /every gate passes/);
});

step("before: a dry run of the export leaves nothing", async () => {
  await executeWell(old, commands["dry run"]);
  assert.equal((await old.run("test -e /srv/move")).code, 1);
});

const CTRL_C = "\u0003";

step("move: Ctrl-C at the question leaves the server as it was, and says so", async () => {
  const { code, stdout } = await old.typed(commands.export, [[/\?/, CTRL_C]]);
  assert.equal(code, 130, stdout);
  assert.match(stdout, /the old server was left as it was/);
  assert.ok(await old.runs("matrix-synapse"));
});

step("move: Ctrl-C after the stop says that the server is stopped, and how to go on or back", async () => {
  const { code, stdout } = await old.typed(commands.export, [
    [/\?/, "y"],
    [/outage so far 0 min 0[1-9]/, CTRL_C],
  ]);
  assert.equal(code, 130, stdout);
  assert.match(stdout, /the old server is stopped, and stays\s+stopped/);
  assert.match(stdout, /synlift rollback --out\s+\/srv\/move/);
  assert.equal(await old.runs("matrix-synapse"), false);
});

step("move: run again it goes on without a question; sent, and restored on the new host", async () => {
  await executeWell(old, commands.export);
  await carryAndRestore();
  assert.equal(await old.runs("matrix-synapse"), false);
  await place.run("systemctl start matrix-synapse");
  assert.equal(await place.runs("matrix-synapse"), false);
});

step("move: back on the old host, it goes through a disk without room for it", async () => {
  await goBack(commands.rollback);
  await agreeTo(old, commands["export to"], /\?/);
  assert.equal(await old.runs("matrix-synapse"), false);
  await executeWell(place, commands.passphrase, await old.well("cat /srv/move.passphrase"));
  await place.well("synlift verify /srv/move --passphrase-file /root/move.passphrase");
});

step("move: back again, it goes straight from host to host", async () => {
  await goBack(commands.rollback);
  await agreeTo(place, commands.pull, /\?/);
  assert.equal(await old.runs("matrix-synapse"), false);
  await executeWell(place, "synlift open --config-dir /etc/matrix-synapse --dry-run");
});

let signingKey: string;
let endOfOld: () => Promise<void>;

step(
  "the address: while the old server serves it is shown, and what the change needs is written",
  async () => {
    await goBack("synlift rollback --out synlift-move --target https://new.example.org");
    endOfOld = await surround(old, { ...aroundAt(OLD_ADDRESS), https: webAt(OLD_ADDRESS) });
    assert.match(await executeWell(old, commands.show), /matrix\.example\.org/);
    const when = `${new Date(Date.now() + 5 * 86_400_000).toISOString().slice(0, 10)} 02:00 UTC`;
    const files = await execute(old, fill(commands.files, { "2026-12-01 02:00 UTC": when }));
    assert.ok(files.code === 0, said(files));
    await old.well("test -s /root/delegation/expected.json");
    const keys = JSON.parse(await old.well(`curl -fsS ${SYNAPSE}/_matrix/key/v2/server`)) as {
      verify_keys: Record<string, { key: string }>;
    };
    const [[id, { key }]] = Object.entries(keys.verify_keys) as [[string, { key: string }]];
    signingKey = `${id} ${key}`;
  },
);

step("check: moved once more, every gate passes", async () => {
  await moveByTheBundle();
  assert.match(await executeWell(place, commands.gates), /every gate passes/);
});

step("switch: opened and enabled, and the session from before the move is there", async () => {
  await executeWell(place, commands.open);
  await executeWell(place, commands["at boot"]);
  const who = await place.well(
    `curl -fsS -H 'Authorization: Bearer ${token}' ${SYNAPSE}/_matrix/client/v3/account/whoami`,
  );
  assert.match(who, /@alice:example\.org/);
});

step("switch: the new host is as expected before the DNS is changed, and by name afterwards", async () => {
  await surround(place, { https: webAt("0.0.0.0") });
  const key = { "ed25519:a_EUHY A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg": signingKey };
  await executeWell(old, fill(commands["check before"], key));
  await endOfOld();
  await surround(old, aroundAt(NEW_ADDRESS));
  await executeWell(old, fill(commands["check afterwards"], key));
});

step("roll back: refused once the new server is open", async () => {
  const ran = await execute(old, commands.rollback);
  assert.equal(ran.code, 45, said(ran));
  assert.equal(await old.runs("matrix-synapse"), false);
});

step("when a command fails: a report for somebody else names no person and no server", async () => {
  await executeWell(old, commands.report);
  const report = await old.well("cat /root/report.txt");
  assert.match(report, /synlift/);
  assert.doesNotMatch(report, /alice|example\.org/);
});

step("afterwards: what could be removed is listed on either host, and nothing is yet", async () => {
  const [onNew, onOld, ...others] = commands.cleanup.trim().split("\n");
  assert.deepEqual(others, []);
  for (const [host, command] of [
    [place, onNew],
    [old, onOld],
  ] as const)
    assert.match(await executeWell(host, command!), /days/);
  await old.well("test -e /srv/move/manifest.json");
  await place.well("test -e /srv/move/manifest.json");
});

step("from SQLite to PostgreSQL: a server on SQLite, rehearsed while it runs", async () => {
  // Another server, where the old one was.
  await place.well("systemctl disable --now matrix-synapse");
  await place.well(`
    rm -rf /etc/matrix-synapse /var/lib/matrix-synapse /srv/move /srv/move.passphrase
    cp -a /etc/matrix-synapse.from-package /etc/matrix-synapse
    install -d -o matrix-synapse /var/lib/matrix-synapse
    find /etc/systemd/system -name '*synlift*' -delete
    su postgres -c 'cd /; dropdb synapse; dropuser synapse'
    install -d /etc/matrix-synapse/conf.d
    systemctl daemon-reload`);
  await executeWell(place, commands.role);
  place.write("/etc/matrix-synapse/conf.d/server_name.yaml", "server_name: example.org\n");
  const settings = {
    report_stats: false,
    registration_shared_secret: "of another",
    trusted_key_servers: [],
    listeners: LISTENERS,
  };
  place.write("/etc/matrix-synapse/conf.d/own.yaml", JSON.stringify(settings));
  await place.well("systemctl enable matrix-synapse; systemctl start matrix-synapse");
  await served(place);
  // A port waits for what takes a new server its first minutes.
  place.write("/root/pending.py", PENDING);
  await place.well("timeout 900 sh -c 'until [ \"$(python3 /root/pending.py)\" = 0 ]; do sleep 2; done'");
  await executeWell(place, commands.port);
  assert.ok(await place.runs("matrix-synapse"));
});

step("media for matrix-media-repo: packed as an archive too", async () => {
  await agreeTo(place, commands.archives, /\?/);
  await place.well(
    "ls /srv/move/customer_media_export.tar.gz.gpg* /srv/move/customer_backup_media_export.tar.gz.gpg*",
  );
});

step("media from matrix-media-repo: fetched, without the images of its previews", async () => {
  await surround(place, {
    mediaRepo: { serverName: "example.org", token: "syt_of_an_administrator", upload: "an upload" },
  });
  place.write("/root/media.token", "syt_of_an_administrator\n", 0o600);
  await executeWell(place, commands["media repo"]);
  await place.well("rm -rf /srv/media-archive; su postgres -c 'cd /; createdb mmr'");
  await place.well("su postgres -c 'cd /; psql mmr'", "create table url_previews (image_mxc text);\n");
  const database = '"host=/var/run/postgresql user=postgres dbname=mmr"';
  await place.well(
    "cp /etc/postgresql/*/main/pg_hba.conf /root/; sed -i 's/peer/trust/' /etc/postgresql/*/main/pg_hba.conf; systemctl reload postgresql",
  );
  await executeWell(place, fill(commands["leave out"], { DATABASE_OF_MATRIX_MEDIA_REPO: database }));
});

const certificate = authority.sign(["example.org", "*.example.org"]);

function webAt(address: string): NonNullable<BesideAHost["https"]> {
  return {
    address,
    certificate,
    pages: {
      "/.well-known/matrix/server": '{"m.server": "matrix.example.org:443"}',
      "/.well-known/matrix/client": '{"m.homeserver": {"base_url": "https://matrix.example.org"}}',
    },
  };
}

function aroundAt(address: string): BesideAHost {
  const server = ["example.org 3600 NS ns.example.org", "ns.example.org 3600 A 1.1.1.1"];
  return {
    dns: {
      addresses: RESOLVERS,
      zones: {
        "example.org": [`example.org 300 A ${address}`, `matrix.example.org 300 A ${address}`, ...server],
      },
    },
  };
}
