import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { BreakingProxy } from "../support/breaking-proxy.ts";
import { flipped } from "../support/bytes.ts";
import { type SshServer, startSshServer } from "../support/lab/ssh-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith } from "../support/real-world.ts";
import { scenario } from "../support/scenario.ts";
import { makeSmallBundle } from "../support/small-bundle.ts";
import { eventsOf, resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A bundle sent over a real ssh by the program as people run it, killed on the way, and fetched back.

const { step, check } = scenario();
const folder = temporaryFolder("bundle");
const there = join(temporaryFolder("there"), "move");
const out = join(temporaryFolder("back"), "move");
let server: SshServer;
let proxy: BreakingProxy;

const address = () => `sftp://far${there}`;
const options = () => ["--ssh-config", server.configFile, "--json"];
const partsIn = (path: string) => readdirSync(path).filter((name) => name.includes(".part-"));

before(async () => {
  server = await startSshServer();
  proxy = await BreakingProxy.to(server.port);
  const far = `Host far\n  HostName 127.0.0.1\n  Port ${proxy.port}\n  HostKeyAlias [127.0.0.1]:${server.port}\n`;
  writeFileSync(server.configFile, far + readFileSync(server.configFile, "utf8"));
  await makeSmallBundle({ folder, lock: lockWith(), partSize: 500_000, mediaSize: 4_000_000 });
});
after(async () => {
  await proxy.stop();
  await server.stop();
});

step(
  "killed in the middle, a part has its name only once it is complete, and there is no manifest",
  async () => {
    const killed = await synlift(
      ["send", folder, address(), ...options(), "--bandwidth", "1m", "--parallel", "1"],
      {
        killWhen: (said) =>
          said.includes('"type":"progress"') && existsSync(there) && partsIn(there).length > 2,
      },
    );
    assert.equal(killed.signal, "SIGKILL", killed.stderr);
    const names = readdirSync(there);
    assert.ok(names.length > 0 && !names.includes("manifest.json"));
    for (const name of names.filter((one) => !one.startsWith(".")))
      assert.ok(readFileSync(join(there, name)).equals(readFileSync(join(folder, name))), name);
  },
);

step(
  "run again it goes on: what has a receipt is neither sent nor read, and one part at most is compared",
  async () => {
    const before = partsIn(there).filter((name) => !name.startsWith("."));
    const ran = await synliftWell(["send", folder, address(), ...options()]);
    const { details, findings } = resultOf(ran);
    const spared = Number(details["files"]) - Number(details["filesDone"]);
    // A kill between the name and the receipt leaves one complete part without a receipt.
    assert.ok(spared === before.length || spared === before.length - 1, `${spared} of ${before.length}`);
    assert.deepEqual(
      findings.map(({ id, level }) => [id, level]),
      [["arrived", "ok"]],
    );
    assert.deepEqual(partsIn(there).sort(), partsIn(folder).sort());
    assert.equal(details["hashedThere"], details["files"]);
  },
);

check(
  "a connection that stays down ends with exit code 39, which says that trying again may help",
  async () => {
    const other = join(temporaryFolder("there"), "other");
    const sending = synlift(
      ["send", folder, `sftp://far${other}`, ...options(), "--attempts", "2", "--parallel", "1"],
      {
        started: () => {
          proxy.breakAfter(600_000);
        },
      },
    );
    const ran = await sending;
    proxy.mend();
    assert.equal(ran.code, 39, ran.stderr);
    const error = eventsOf(ran).at(-1)!;
    assert.equal(error.code, "transfer-failed");
    assert.ok(
      eventsOf(ran).some(({ type, why }) => type === "remark" && /trying again in 1 s/.test(why ?? "")),
    );
  },
);

step("a fetch that is killed leaves no file that is not whole, and no manifest", async () => {
  const killed = await synlift(
    ["fetch", address(), "--out", out, ...options(), "--bandwidth", "1m", "--parallel", "1"],
    {
      killWhen: (said) =>
        said.includes('"type":"progress"') &&
        existsSync(out) &&
        partsIn(out).filter((name) => !name.startsWith(".")).length > 1,
    },
  );
  assert.equal(killed.signal, "SIGKILL", killed.stderr);
  const names = readdirSync(out);
  assert.equal(names.includes("manifest.json"), false);
  for (const name of partsIn(out).filter((one) => !one.startsWith(".")))
    assert.ok(readFileSync(join(out, name)).equals(readFileSync(join(folder, name))), name);
});

step("fetched again it goes on, is the bundle that was sent, and verify agrees", async () => {
  const { details } = resultOf(await synliftWell(["fetch", address(), "--out", out, ...options()]));
  assert.ok(Number(details["filesDone"]) < Number(details["files"]), "what was here is not fetched again");
  for (const name of readdirSync(folder).filter((one) => !/^(sent\.json|lock)/.test(one)))
    assert.ok(readFileSync(join(out, name)).equals(readFileSync(join(folder, name))), name);
  await synliftWell(["verify", out, "--without-key"]);
});

check("what was damaged over there is not fetched: exit code 20, and it names the file", async () => {
  const name = partsIn(there)[1]!;
  writeFileSync(join(there, name), flipped(readFileSync(join(there, name)), 9));
  const ran = await synlift(["fetch", address(), "--out", `${out}-2`, ...options()]);
  assert.equal(ran.code, 20, ran.stderr);
  assert.ok(eventsOf(ran).at(-1)!.message!.includes(name));
});

check(
  "addresses that nobody could mean, and passwords in them, are refused without repeating the password",
  async () => {
    for (const wrong of [
      "new.example.org:/srv/move",
      "sftp://me:hunter2@host/x",
      "rclone:",
      "rclone::s3,secret_access_key=hunter2:b",
    ]) {
      const ran = await synlift(["send", folder, wrong]);
      assert.equal(ran.code, 2, wrong);
      assert.doesNotMatch(ran.stderr, /hunter2/);
    }
  },
);
