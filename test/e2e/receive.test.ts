import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith } from "../support/real-world.ts";
import { scenario } from "../support/scenario.ts";
import { makeSmallBundle } from "../support/small-bundle.ts";
import { eventsOf, type Ran, resultOf, synlift, synliftWell } from "../support/synlift.ts";
import { TestAuthority } from "../support/test-authority.ts";

// A provider and a customer, both with the program as people run it, over TLS. The provider's is killed, and then the customer's.

const { step, check } = scenario();
const folder = temporaryFolder("bundle");
const incoming = join(temporaryFolder("provider"), "incoming");
const there = join(incoming, "example.org");
const invitation = join(temporaryFolder("customer"), "invitation");
const said = join(temporaryFolder("hook"), "said");
const out = join(temporaryFolder("back"), "move");
const tls = temporaryFolder("tls");
let port = 0;
let provider: Provider | undefined;
/** Everything that any of these programs has said. */
const words: string[] = [];

interface Provider {
  kill(signal: NodeJS.Signals): boolean;
  readonly ended: Promise<Ran>;
}

const url = () => `https://127.0.0.1:${port}`;
const options = () => ["--invitation", invitation, "--ca", join(tls, "ca.pem"), "--json"];
const partsIn = (path: string) => readdirSync(path).filter((name) => name.includes(".part-"));

async function startProvider(): Promise<void> {
  let begun: () => void = () => undefined;
  const listening = new Promise<void>((resolve) => (begun = resolve));
  let child: Pick<Provider, "kill"> | undefined;
  const ended = synlift(
    [
      ...["receive", "--dir", incoming, "--listen", `127.0.0.1:${port}`, "--json"],
      ...["--certificate", join(tls, "cert.pem"), "--key", join(tls, "key.pem")],
      ...["--hook", `echo "$SYNLIFT_CUSTOMER $SYNLIFT_FOLDER" >> ${said}`],
    ],
    {
      started: (started) => {
        child = started;
      },
      killWhen: (text) => {
        if (text.includes("listening on")) begun();
        return false;
      },
    },
  );
  provider = { kill: (signal) => child!.kill(signal), ended };
  await Promise.race([
    listening,
    ended.then((ran) => {
      throw new Error(`the provider's program has ended: ${ran.stderr}`);
    }),
  ]);
}

async function end(signal: NodeJS.Signals): Promise<Ran> {
  provider!.kill(signal);
  const ran = await provider!.ended;
  words.push(ran.stdout, ran.stderr);
  provider = undefined;
  return ran;
}

before(async () => {
  port = await freePort();
  const authority = new TestAuthority();
  const { key, cert } = authority.sign(["127.0.0.1"]);
  for (const [name, text] of [
    ["ca.pem", authority.pem],
    ["key.pem", key],
    ["cert.pem", cert],
  ] as const)
    writeFileSync(join(tls, name), text);
  await makeSmallBundle({ folder, lock: lockWith(), partSize: 500_000, mediaSize: 4_000_000 });
});
after(async () => {
  if (provider) await end("SIGKILL");
});

step("the provider invites a customer; the token is in the invitation only", async () => {
  const ran = await synliftWell([
    ...["invite", "example.org", "--dir", incoming, "--url", url(), "--limit", "100m"],
    ...["--out", invitation, "--json"],
  ]);
  const { token } = JSON.parse(readFileSync(invitation, "utf8")) as { token: string };
  assert.equal(statSync(invitation).mode & 0o777, 0o600);
  assert.equal(`${ran.stdout}${ran.stderr}`.includes(token), false);
  assert.equal(resultOf(ran).details["limit"], 100 * 1024 * 1024);
  await startProvider();
});

step("the provider's program is killed in the middle and started again: the customer's goes on", async () => {
  let killed: Promise<void> | undefined;
  const ran = await synliftWell(
    ["send", folder, url(), ...options(), "--bandwidth", "2m", "--parallel", "2"],
    {
      killWhen: (text) => {
        words.push(text.slice(-500));
        if (killed === undefined && /"id":"check\/\w/.test(text)) killed = end("SIGKILL").then(startProvider);
        return false;
      },
    },
  );
  await killed;
  assert.ok(killed, "it was killed on the way");
  assert.ok(
    eventsOf(ran).some(({ type, why }) => type === "remark" && /trying again/.test(why ?? "")),
    "the customer saw it",
  );
  const { details, findings } = resultOf(ran);
  assert.equal(details["hashedThere"], details["files"]);
  assert.deepEqual(
    findings.map(({ id, level }) => [id, level]),
    [["arrived", "ok"]],
  );
  for (const name of [...partsIn(folder), "manifest.json"])
    assert.ok(readFileSync(join(there, name)).equals(readFileSync(join(folder, name))), name);
  words.push(ran.stdout, ran.stderr);
});

step("the bundle is complete: the hook ran, and verify agrees", async () => {
  await synliftWell(["verify", there, "--without-key"]);
  while (!readdirSync(join(incoming, ".receive", "complete")).includes("example.org.json"))
    await new Promise((resolve) => setTimeout(resolve, 10));
  await end("SIGTERM").then(({ code, stderr }) => {
    assert.equal(code, 0, stderr);
  });
  assert.equal(readFileSync(said, "utf8"), `example.org ${there}\n`);
  await startProvider();
});

step("sent again with a customer's program that is killed, it goes on where it stopped", async () => {
  const again = join(temporaryFolder("customer"), "again");
  await synliftWell(["invite", "again", "--dir", incoming, "--url", url(), "--out", again]);
  const sending = ["send", folder, url(), ...options().with(1, again), "--parallel", "1"];
  const killed = await synlift([...sending, "--bandwidth", "1m"], {
    killWhen: (text) => text.split('"id":"check/').length > 4,
  });
  assert.equal(killed.signal, "SIGKILL");
  assert.equal(readdirSync(join(incoming, "again")).includes("manifest.json"), false);
  const { details } = resultOf(await synliftWell(sending));
  assert.ok(Number(details["filesDone"]) < Number(details["files"]), "what has a receipt is spared");
});

step("fetched back, it is the bundle that was sent", async () => {
  await synliftWell(["fetch", url(), "--out", out, ...options()]);
  for (const name of readdirSync(folder).filter((one) => !/^(sent\.json|lock)/.test(one)))
    assert.ok(readFileSync(join(out, name)).equals(readFileSync(join(folder, name))), name);
});

check("an invitation that was taken back is refused: exit code 46, with what to do", async () => {
  await synliftWell(["invite", "again", "--dir", incoming, "--revoke"]);
  const again = join(temporaryFolder("customer"), "again");
  writeFileSync(
    again,
    readFileSync(invitation, "utf8").replace(/"token": "[^"]*"/, `"token": "again.${"A".repeat(43)}"`),
  );
  const ran = await synlift(["send", folder, url(), ...options().with(1, again)]);
  assert.equal(ran.code, 46, ran.stderr);
  const error = eventsOf(ran).at(-1)!;
  assert.equal(error.code, "invitation-refused");
  assert.match(error.hint ?? "", /new invitation/);
});

check("a bundle that is larger than the invitation allows is refused before its bytes", async () => {
  const small = join(temporaryFolder("customer"), "small");
  await synliftWell(["invite", "small", "--dir", incoming, "--url", url(), "--limit", "1m", "--out", small]);
  const ran = await synlift(["send", folder, url(), ...options().with(1, small)]);
  assert.equal(ran.code, 46, ran.stderr);
  assert.match(eventsOf(ran).at(-1)!.message ?? "", /the invitation is for 1\.0 MiB/);
});

check(
  "the token goes to no other address, over no plain network, and to no server that is not trusted",
  async () => {
    for (const [address, more, code] of [
      ["https://127.0.0.1:9", [], 2],
      ["http://upload.example.org", [], 2],
      [`${url()}?token=x`, [], 2],
      [url(), ["--without-ca"], 37],
    ] as const) {
      const given = more.length > 0 ? ["--invitation", invitation, "--json"] : options();
      const ran = await synlift(["send", folder, address, ...given]);
      assert.equal(ran.code, code, `${address}: ${ran.stderr}`);
    }
    const asked = await synlift(["send", folder, url(), "--ca", join(tls, "ca.pem")]);
    assert.equal(asked.code, 2, "without a terminal nobody can be asked");
  },
);

check("no program has said the token, and none had it on its command line", () => {
  const { token } = JSON.parse(readFileSync(invitation, "utf8")) as { token: string };
  assert.equal(words.join("\n").includes(token.split(".").at(-1)!), false);
  assert.equal(readFileSync(join(folder, "sent.json"), "utf8").includes(token), false);
});
