import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { parse, stringify } from "yaml";
import { type HomeserverFolder, makeHomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { type MatrixClient, register } from "../support/lab/matrix-client.ts";
import { freePort } from "../support/lab/server-process.ts";
import { SynapseServer, synapsePython } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeSqlitePlace } from "../support/old-sqlite.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";
import { TestAuthority } from "../support/test-authority.ts";

// Servers that nobody can ask at an unencrypted port: looked at while they run, moved, and proven by what they answer.

const SERVER_NAME = "old.example";

let home: HomeserverFolder;
let work: string;
let alice: MatrixClient;
let room: string;
let tokenFile: string;

before(async () => {
  home = await makeHomeserverFolder({ serverName: SERVER_NAME });
  work = temporaryFolder("listeners");
  const server = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  await server.start();
  const person = { name: "alice", password: "pw alice" };
  alice = await register(server.baseUrl, home.registrationSharedSecret, person);
  room = await alice.createRoom({ name: "Market" });
  await alice.upload(randomBytes(3000), "application/octet-stream", "a.bin");
  await server.stop();
  tokenFile = join(work, "token");
  writeFileSync(tokenFile, alice.session.accessToken, { mode: 0o600 });
});

/** Gives it other listeners, and what else these need. */
function changeSettings(changed: Readonly<Record<string, unknown>>): void {
  const settings = parse(readFileSync(home.configFile, "utf8")) as Record<string, unknown>;
  writeFileSync(home.configFile, stringify({ ...settings, ...changed }));
}

const resources = [{ names: ["client", "federation"], compress: false }];

interface Case {
  readonly name: string;
  /** How `plan` says where it will be asked. */
  readonly told: readonly [level: string, sentence: string];
  /** Makes the settings; and how a person asks this server with curl, without believing a certificate. */
  readonly prepare: () => Promise<{ settings: Record<string, unknown>; curl: readonly string[] }>;
}

const CASES: readonly Case[] = [
  {
    name: "with TLS only, by an authority that this host does not know",
    told: [
      "note",
      "Synapse has one listener, with a certificate of its own; open asks it at this host's address, and knows it by its signing key",
    ],
    async prepare() {
      const port = await freePort();
      const { key, cert } = new TestAuthority().sign([SERVER_NAME]);
      const paths = { key: join(home.configFile, "../tls.key"), cert: join(home.configFile, "../tls.crt") };
      writeFileSync(paths.key, key, { mode: 0o600 });
      writeFileSync(paths.cert, cert);
      return {
        settings: {
          tls_certificate_path: paths.cert,
          tls_private_key_path: paths.key,
          listeners: [{ port, type: "http", tls: true, bind_addresses: ["127.0.0.1"], resources }],
        },
        curl: ["--insecure", `https://127.0.0.1:${port}`],
      };
    },
  },
  {
    name: "at a unix socket only",
    told: ["ok", "Synapse has one listener; open asks it at its unix socket"],
    prepare() {
      const path = join(temporaryFolder("socket"), "main.sock");
      return Promise.resolve({
        settings: {
          tls_certificate_path: undefined,
          tls_private_key_path: undefined,
          listeners: [{ path, type: "http", resources }],
        },
        curl: ["--unix-socket", path, "http://localhost"],
      });
    },
  },
];

for (const [index, { name, told, prepare }] of CASES.entries())
  test(`a server that answers ${name} is looked at, moved and opened, and its identity proven`, async (t) => {
    const { settings, curl } = await prepare();
    changeSettings(settings);
    const config = ["--config", home.configFile, "--working-directory", home.dataFolder];
    const ask = (path: string) =>
      execFileSync(
        "curl",
        [
          "-fsS",
          "-H",
          `Authorization: Bearer ${alice.session.accessToken}`,
          ...curl.slice(0, -1),
          curl.at(-1)! + path,
        ],
        {
          encoding: "utf8",
        },
      );

    // While it runs, it is found, and not taken for one that is down.
    const start = `cd ${home.dataFolder} && ${synapsePython()} -m synapse.app.homeserver -c ${home.configFile} -D`;
    const stop = `kill $(cat ${join(home.dataFolder, "homeserver.pid")})`;
    execFileSync("sh", ["-c", start]);
    const plan = await synlift(["plan", ...config, "--json"]).finally(() => execFileSync("sh", ["-c", stop]));
    assert.ok([0, 60].includes(plan.code ?? -1), plan.stderr);
    const seen = resultOf(plan).findings;
    const foretold = seen.find(({ id }) => id === "listeners");
    assert.deepEqual([foretold?.level, foretold?.sentence], told);
    for (const id of ["service", "signing-key-published", "source-version"])
      assert.equal(seen.find((one) => one.id === id)?.level, "ok", id);

    const bundle = join(work, `bundle${index}`);
    await synliftWell(["export", ...config, "--out", bundle, "--json"]);
    const place = makeSqlitePlace(await freePort());
    const key = ["--passphrase-file", `${bundle}.passphrase`];
    // Its listener stays as it is: another host's is free, and so is this one's, now that the old server is down.
    const listen = place.restoreArgs.indexOf("--listen");
    await synliftWell(["restore", bundle, ...key, ...place.restoreArgs.toSpliced(listen, 2), "--json"]);

    t.after(() => execFileSync("sh", ["-c", place.stopCommand]));
    const opened = await synliftWell([
      ...[
        "open",
        "--config-dir",
        place.configDir,
        "--synapse",
        synapsePython(),
        ...key,
        "--token-file",
        tokenFile,
      ],
      ...["--start-command", place.startCommand, "--stop-command", place.stopCommand, "--json"],
    ]);
    const { findings } = resultOf(opened);
    for (const id of ["answers", "answers-name", "old-session", "signing-key-published", "answers-media"])
      assert.equal(findings.find((one) => one.id === id)?.level, "ok", id);
    assert.match(ask("/_matrix/client/v3/account/whoami"), /@alice:old\.example/);
    assert.match(ask(`/_matrix/client/v3/rooms/${encodeURIComponent(room)}/state/m.room.name`), /Market/);
  });
