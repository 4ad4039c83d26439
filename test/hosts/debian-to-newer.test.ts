import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before } from "node:test";
import { baseSystem } from "../support/hosts/base-system.ts";
import { NEW_DEBIAN, OLD_DEBIAN } from "../support/hosts/debian-hosts.ts";
import { Host, introduce } from "../support/hosts/host.ts";
import { commandIn, getTheCommand } from "../support/hosts/readme.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { scenario } from "../support/scenario.ts";

// Debian's own Synapse, with a worker, from one machine to another of a newer release: with the README's commands as they
// stand, a reboot of both while the server is fenced, and its package installed again in the meantime.

const { step, check } = scenario();
const ADDRESSES = ["10.77.0.2", "10.77.0.3"] as const;
const SYNAPSE = "http://127.0.0.1:8008";
/** Found in the README by what it does; everything else of a command is as it stands there. */
const README = {
  plan: commandIn("README.md", "synlift plan --html"),
  export: commandIn("README.md", "--out /srv/move\n"),
  send: commandIn("README.md", "synlift send /srv/move"),
  restore: commandIn("README.md", "synlift restore /srv/move"),
  open: commandIn("README.md", "--start-command 'systemctl start matrix-synapse'"),
};
const REINSTALL = "apt-get install --yes --no-download --reinstall matrix-synapse";

let old: Host;
let place: Host;
let token: string;
let media: string;
let room: string;

before(async () => {
  const work = temporaryFolder("hosts", undefined, "/var/tmp");
  old = new Host("old", baseSystem(OLD_DEBIAN), work);
  place = new Host("new", baseSystem(NEW_DEBIAN), work);
  introduce(old, place, ADDRESSES);
  getTheCommand(old.folder);
  getTheCommand(place.folder);
  // What Debian's own package lacks for Redis, and what txredisapi needs itself
  const wheels = join(work, "wheels");
  execFileSync("python3", [
    ...["-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels],
    ...["txredisapi==1.4.11", "six==1.17.0"],
  ]);
  for (const host of [old, place])
    execFileSync("cp", ["--recursive", wheels, join(host.folder, "root/wheels")]);
  Host.connect(old, place, ADDRESSES);
  await old.boot();
  await place.boot();
});

after(async () => {
  await old.stop();
  await place.stop();
});

const installRedisPart = (host: Host) =>
  host.well(
    'for wheel in wheels/*.whl; do python3 -m zipfile --extract "$wheel" /usr/lib/python3/dist-packages/; done',
  );

step("the old server runs with a worker, and people use it", async () => {
  await installRedisPart(old);
  await old.well(`
    systemctl stop matrix-synapse
    su postgres -c 'createuser matrix-synapse'
    su postgres -c 'createdb --encoding=UTF8 --locale=C --template=template0 --owner=matrix-synapse synapse'
    install -d /etc/matrix-synapse/conf.d /etc/matrix-synapse/workers`);
  old.write("/etc/matrix-synapse/conf.d/server_name.yaml", "server_name: old.example.org\n");
  old.write(
    "/etc/matrix-synapse/conf.d/lab.yaml",
    `database:
  name: psycopg2
  args: {user: matrix-synapse, dbname: synapse, host: /var/run/postgresql}
registration_shared_secret: of the old host
report_stats: false
suppress_key_server_warning: true
trusted_key_servers: []
redis: {enabled: true}
instance_map:
  main: {host: 127.0.0.1, port: 9093}
listeners:
  - {port: 8008, type: http, bind_addresses: [127.0.0.1], resources: [{names: [client, federation]}]}
  - {port: 9093, type: http, bind_addresses: [127.0.0.1], resources: [{names: [replication]}]}
`,
  );
  old.write(
    "/etc/matrix-synapse/workers/reader.yaml",
    `worker_app: synapse.app.generic_worker
worker_name: reader
worker_listeners:
  - {port: 8083, type: http, bind_addresses: [127.0.0.1], resources: [{names: [client]}]}
`,
  );
  old.write(
    "/etc/systemd/system/matrix-synapse-reader.service",
    `[Unit]
After=matrix-synapse.service
PartOf=matrix-synapse.service
[Service]
Type=notify
User=matrix-synapse
WorkingDirectory=/var/lib/matrix-synapse
ExecStart=/usr/bin/python3 -m synapse.app.generic_worker --config-path=/etc/matrix-synapse/homeserver.yaml --config-path=/etc/matrix-synapse/conf.d/ --config-path=/etc/matrix-synapse/workers/reader.yaml
Restart=always
[Install]
WantedBy=matrix-synapse.service multi-user.target
`,
  );
  await old.well(`
    systemctl daemon-reload
    systemctl enable --now redis-server
    systemctl enable matrix-synapse matrix-synapse-reader
    systemctl start --no-block matrix-synapse matrix-synapse-reader
    timeout 300 sh -c 'until curl -fs ${SYNAPSE}/health && curl -fs http://127.0.0.1:8083/health; do sleep 1; done'
    python3 -m synapse._scripts.register_new_matrix_user -u alice -p 'alice password' --no-admin -k 'of the old host' ${SYNAPSE}`);
  const api = async (method: string, path: string, body: string, type = "application/json") =>
    JSON.parse(
      await old.well(
        `curl -fsS -X ${method} -H 'Authorization: Bearer ${token}' -H 'Content-Type: ${type}' --data-binary @- '${SYNAPSE}${path}'`,
        body,
      ),
    ) as Record<string, string>;
  token = "";
  const login = {
    type: "m.login.password",
    identifier: { type: "m.id.user", user: "alice" },
    password: "alice password",
  };
  token = (await api("POST", "/_matrix/client/v3/login", JSON.stringify(login)))["access_token"]!;
  room = (await api("POST", "/_matrix/client/v3/createRoom", '{"name":"before the move"}'))["room_id"]!;
  const send = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/m.room.message/1`;
  await api("PUT", send, '{"msgtype":"m.text","body":"sent before the move"}');
  media = (await api("POST", "/_matrix/media/v3/upload?filename=a.txt", "an upload", "text/plain"))[
    "content_uri"
  ]!;
});

step("the plan finds the server, its worker and its database, and no blocker", async () => {
  const { code, stdout, stderr } = await old.run(README.plan);
  assert.ok(code === 0 || code === 60, `${stdout}\n${stderr}`);
  assert.match(stdout, /matrix-synapse-reader/);
});

step(
  "the export stops server and worker, and both stay down when the host is rebooted and the package installed again",
  async () => {
    const { code, stdout, stderr } = await old.run(README.export.trimEnd() + " --yes");
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    const isDown = async () => {
      for (const unit of ["matrix-synapse", "matrix-synapse-reader"])
        assert.equal(await old.runs(unit), false, unit);
      assert.notEqual((await old.run(`curl -fs ${SYNAPSE}/health`)).code, 0);
    };
    await isDown();
    await old.reboot();
    await isDown();
    await old.well(REINSTALL);
    await isDown();
    const status = await old.run("synlift status --out /srv/move");
    assert.equal(status.code, 0, `${status.stdout}\n${status.stderr}`);
    assert.match(status.stdout, /fenced on this host/);
  },
);

step("the bundle is sent, and the new host prepared, with the commands of README and runbook", async () => {
  await old.well(README.send);
  await old.well("scp /srv/move.passphrase root@new.example.org:/root/move.passphrase");
  await place.well(`
    systemctl disable --now matrix-synapse
    ${commandIn("docs/runbook.md", "mv /etc/matrix-synapse /etc/matrix-synapse.from-package\ninstall")}`);
});

step("the restored server does not start, neither by a reboot nor by its package", async () => {
  const { code, stdout, stderr } = await place.run(README.restore);
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  await place.well("systemctl enable matrix-synapse");
  assert.equal(await place.runs("matrix-synapse"), false);
  await place.reboot();
  assert.equal(await place.runs("matrix-synapse"), false);
  await place.well(REINSTALL);
  await place.run("systemctl start matrix-synapse");
  assert.equal(await place.runs("matrix-synapse"), false);
});

step("open names what Debian's package lacks for this configuration, before it starts anything", async () => {
  const { code, stdout, stderr } = await place.run(`${README.open.trimEnd()} --synapse /usr`);
  assert.equal(code, 43, `${stdout}\n${stderr}`);
  assert.match(stdout, /lacks what Synapse needs to start: redis/);
  assert.equal(await place.runs("matrix-synapse"), false);
});

step("with it, the server is opened, and the old session, messages and media are there", async () => {
  await installRedisPart(place);
  const { code, stdout, stderr } = await place.run(README.open);
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  assert.ok(await place.runs("matrix-synapse"));
  const ask = (path: string) =>
    place.well(`curl -fsS -H 'Authorization: Bearer ${token}' '${SYNAPSE}${path}'`);
  assert.match(await ask("/_matrix/client/v3/account/whoami"), /@alice:old\.example\.org/);
  const messages = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages?dir=b`;
  assert.match(await ask(messages), /sent before the move/);
  assert.equal(await ask(`/_matrix/client/v1/media/download/${media.replace("mxc://", "")}`), "an upload");
});

check("it starts again when the new host is rebooted", async () => {
  await place.reboot();
  await place.well(`timeout 300 sh -c 'until curl -fs ${SYNAPSE}/health; do sleep 1; done'`);
});

check("on the new host, the old host's record is not acted on", async () => {
  const { code } = await place.run("synlift rollback --out /srv/move --yes");
  assert.notEqual(code, 0);
  assert.ok(await place.runs("matrix-synapse"));
});
