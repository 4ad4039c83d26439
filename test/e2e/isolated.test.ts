import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { logIn } from "../support/lab/matrix-client.ts";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import {
  exportTo,
  makeNewPlace,
  makeOldServer,
  type NewPlace,
  type OldServer,
} from "../support/old-server.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";

// A rehearsal of a running server, used in a trial beside it, without any effect on users.

let old: OldServer;
let place: NewPlace;
let key: string[];
let stop: string | undefined;

before(async () => {
  old = await makeOldServer();
  place = await makeNewPlace(old.cluster, "trial", await freePort());
  const bundle = join(temporaryFolder("isolated"), "bundle");
  key = ["--passphrase-file", `${bundle}.passphrase`];
  await synliftWell([...exportTo(old, bundle), "--rehearse"]);
  await synliftWell(["restore", bundle, ...key, ...place.restoreArgs]);
});

after(async () => {
  if (stop !== undefined) execFileSync("sh", ["-c", stop]);
  await old.server.stop();
  await old.cluster.stop();
});

test("a rehearsal is not opened for users, and the error says what to do instead", async () => {
  const ran = await synlift(["open", ...place.openArgs, ...key]);
  assert.equal(ran.code, 25, ran.stderr);
  assert.match(ran.stderr, /--isolated/);
});

test("isolated, users can log in to it, and it reaches no other server", async () => {
  let requests = 0;
  const world = createServer((_, answer) => {
    requests += 1;
    answer.end("{}");
  });
  const port = await freePort();
  await new Promise<void>((resolve) => world.listen(port, "127.0.0.1", resolve));
  try {
    const open = ["open", ...place.openArgs, ...key, "--isolated", "--port", String(place.port), "--json"];
    const { details, findings } = resultOf(await synliftWell(open));
    stop = details["stop"] as string;
    assert.ok(findings.every(({ level }) => level !== "blocker"));
    assert.ok(existsSync(join(place.configDir, "homeserver.yaml.fenced")), "the fence stays");
    assert.equal(existsSync(join(place.configDir, "homeserver.yaml")), false);

    const url = details["url"] as string;
    const carol = await logIn(url, { name: "carol", password: old.people.passwords["carol"]! });
    const room = await carol.createRoom({ name: "only here" });
    await carol.send(room, "nobody hears this");
    const joined = await fetch(
      `${url}/_matrix/client/v3/join/%23x:127.0.0.1:${port}?server_name=127.0.0.1:${port}`,
      {
        method: "POST",
        headers: { authorization: `Bearer ${carol.session.accessToken}` },
        body: "{}",
      },
    );
    assert.ok(joined.status >= 400);
    assert.equal(requests, 0, "it sent no request");
    assert.equal((await fetch(`${url}/_matrix/federation/v1/version`)).status, 404);
  } finally {
    world.close();
  }
});

test("what was used in a trial is not opened any more, as people wrote to it", async () => {
  execFileSync("sh", ["-c", stop!]);
  stop = undefined;
  const ran = await synlift(["open", ...place.openArgs, ...key, "--rehearsal-ok"]);
  assert.equal(ran.code, 43, ran.stderr);
  assert.match(ran.stderr, /was used in a trial on/);
});
