// Moves a real Synapse from "old" to "new" on this machine, and shows that the people who lived on it still live there.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { formatBytes, formatCount, formatDuration } from "../src/report/units.ts";
import { readWithOldDevice } from "../test/support/lab/encrypted-conversation.ts";
import { type Ran, resultOf, synliftWell } from "../test/support/synlift.ts";
import { type Hosts, makeHosts, onSqlite } from "./demo-hosts.ts";

const FOLDER = fileURLToPath(new URL("../.lab/demo", import.meta.url));
const bundle = join(FOLDER, "bundle");
const passphraseFile = `${bundle}.passphrase`;

const began = performance.now();
rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true, mode: 0o700 });

const sqlite = onSqlite(process.argv.slice(2));
const hosts = await step(
  `an old homeserver: ${sqlite ? "SQLite" : "PostgreSQL"}, Synapse, four people, rooms, media, an encrypted conversation`,
  () => makeHosts(sqlite),
);
try {
  await move(hosts);
} finally {
  await hosts.stop();
}
// Clients of the demo keep sockets for a while; there is nothing left to wait for.
process.exit(0);

async function move(hosts: Hosts): Promise<void> {
  const { old, target, database } = hosts;
  const { server, home, people, configPaths } = old;
  const { url } = target;
  const config = configPaths.flatMap((path) => ["--config", path]);
  const source = [...config, "--working-directory", home.dataFolder];
  const key = ["--passphrase-file", passphraseFile];
  console.log(
    `  ${server.baseUrl} is ${server.serverName}; ${people.media.length} uploads, ${people.encrypted.texts.length} encrypted messages`,
  );

  const down = performance.now();
  await step("the old server is stopped: the outage begins", () => server.stop());
  await step("synlift export", () => synliftWell(["export", ...source, "--out", bundle, "--json"]));
  await step("synlift verify", () => synliftWell(["verify", bundle, ...key, "--json"]));
  await step("synlift restore, into an empty database and two new folders", () =>
    synliftWell(["restore", bundle, ...key, ...target.restoreArgs, "--json"]),
  );
  const tokenFile = join(FOLDER, "alice.token");
  writeFileSync(tokenFile, people.alice.session.accessToken, { mode: 0o600 });
  const opened: Ran = await step("synlift open: every gate, then the new server starts", () =>
    synliftWell([
      ...["open", "--config-dir", target.configDir, ...key, "--token-file", tokenFile, "--json"],
      ...["--start-command", target.startCommand, "--stop-command", target.stopCommand],
    ]),
  );
  const outage = (performance.now() - down) / 1000;
  const { details, findings } = resultOf(opened);
  console.log(`  ${findings.length} gates passed, none accepted away; the new server answers at ${url}`);

  await step("bob, with the session he had on the old server, reads his old messages", async () => {
    const bob = people.bob.at(url);
    for (const room of Object.values(people.rooms)) same(await bob.messages(room.id), room.messages);
  });
  await step("his old media comes bit for bit", async () => {
    for (const { mxc, sha256 } of people.media) {
      same(
        createHash("sha256")
          .update((await people.bob.at(url).download(mxc)).bytes)
          .digest("hex"),
        sha256,
      );
    }
  });
  const texts = await step("alice's old device decrypts the encrypted conversation", () =>
    readWithOldDevice(url, people.alice.session, people.encrypted.roomId),
  );
  same(texts, people.encrypted.texts);
  for (const text of texts) console.log(`    ${text}`);

  // The new place is taken down with the demo; its report stays.
  const proof = join(FOLDER, "opened.html");
  copyFileSync(details["report"] as string, proof);
  const rows = [...(await hosts.rows()).values()].reduce((sum, count) => sum + count, 0);
  const bytes = people.media.reduce((sum, { size }) => sum + size, 0);
  console.log(`
the whole demo took ${formatDuration((performance.now() - began) / 1000)}

moved:   ${server.serverName}: 4 people, 4 rooms, ${formatCount(rows)} rows of ${database}, ${people.media.length} uploads (${formatBytes(bytes)}), its signing key
outage:  ${outage.toFixed(1)} seconds, from stopping the old server to the new one's first answers
bundle:  ${bundle}
report:  ${join(bundle, "report.html")} (what was packed)
         ${proof} (what was proven)`);
}

async function step<Result>(what: string, act: () => Promise<Result>): Promise<Result> {
  const from = performance.now();
  const result = await act();
  console.log(`${((performance.now() - from) / 1000).toFixed(1).padStart(5)} s  ${what}`);
  return result;
}

function same(found: unknown, expected: unknown): void {
  if (JSON.stringify(found) !== JSON.stringify(expected))
    throw new Error(`expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`);
}
