import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { inspectAppservices } from "../../../../src/homeserver/config/checks/appservices.ts";
import { readHomeserver } from "../../../../src/homeserver/read.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import { folderWith, MINIMUM } from "../../../support/folder-with.ts";

const registration = (id: string, url: string, more = "") => `id: ${id}
url: ${url}
as_token: as-geheim-${id}
hs_token: hs-geheim-${id}
sender_localpart: ${id}bot
namespaces:
  users: [{exclusive: true, regex: '@${id}_.*:example\\.org'}]
  aliases: []
${more}`;

async function inspected(t: TestContext, registrations: Record<string, string>) {
  const names = Object.keys(registrations).map((name) => `as/${name}`);
  const folder = folderWith(t, {
    "a.yaml": `${MINIMUM}app_service_config_files: [${[...names, "as/gone.yaml"].join(", ")}]\n`,
    ...Object.fromEntries(Object.entries(registrations).map(([name, text]) => [`as/${name}`, text])),
  });
  const homeserver = await readHomeserver({ configPaths: ["a.yaml"], workingFolder: folder }, realFiles);
  const found = await inspectAppservices(homeserver, realFiles);
  assert.doesNotMatch(JSON.stringify(found), /geheim/);
  return { ...found, told: found.findings.map(({ id, level }) => `${id} ${level}`) };
}

test("bridges are listed with their addresses and whom they write for", async (t) => {
  const { appservices, told, findings } = await inspected(t, {
    "irc.yaml": registration("irc", "https://irc.example.org"),
    "bot.yaml": registration("bot", "null"),
  });
  assert.deepEqual(told, ["appservices note"]);
  assert.deepEqual(
    appservices.map(({ id, url, namespaces }) => [id, url, namespaces]),
    [
      ["irc", "https://irc.example.org", ["users @irc_.*:example\\.org"]],
      ["bot", undefined, ["users @bot_.*:example\\.org"]],
    ],
  );
  assert.match(findings[0]!.evidence![0]!, /^irc: https:\/\/irc\.example\.org \(.*irc\.yaml\)$/);
  assert.match(findings[0]!.evidence![1]!, /^bot: receives no events/);
});

test("bridges that only this host reaches are warned of", async (t) => {
  for (const url of [
    "http://localhost:9993",
    "http://127.0.0.1:9/x",
    "'http://[::1]:9'",
    "http://mautrix-telegram:29317",
  ]) {
    const { told, findings } = await inspected(t, {
      "a.yaml": registration("a", url),
      "b.yaml": registration("b", "http://10.0.0.5:80"),
    });
    assert.deepEqual(told, ["appservices note", "appservices-local-address warning"], url);
    assert.match(findings[1]!.sentence, /cannot reach a at/);
  }
});

test("a password in an address is not shown", async (t) => {
  const { findings } = await inspected(t, {
    "a.yaml": registration("a", "http://me:geheim@localhost:80/path?token=geheim"),
  });
  assert.match(findings[1]!.evidence![0]!, /^a: http:\/\/localhost\/path \(/);
});

test("a registration with which Synapse does not start is a blocker that says why", async (t) => {
  const good = registration("a", "http://a.example");
  const broken: Record<string, RegExp> = {
    [good.replace(/as_token.*\n/, "")]: /as_token is missing/,
    [good.replace(/hs_token: .*\n/, "hs_token: 17\n")]: /hs_token is missing or not a string/,
    [good.replace(/url.*\n/, "")]: /url is missing/,
    [good.replace(/namespaces[^]*/, "")]: /namespaces is missing/,
    [good.replace("exclusive: true", "exclusive: maybe")]: /an entry of namespaces\.users lacks/,
    [good.replace("aliases: []", "aliases: {}")]: /namespaces\.aliases is not a list/,
    "- geheim": /not a mapping/,
    "a: 'geheim": /line 1, column/,
  };
  for (const [text, problem] of Object.entries(broken)) {
    const { told, findings } = await inspected(t, { "a.yaml": text });
    assert.deepEqual(told, ["appservice-broken:app_service_config_files[0] blocker"], text);
    assert.match(findings[0]!.sentence, problem);
  }
});

test("two with the same id or token are a blocker", async (t) => {
  const one = registration("a", "http://a.example");
  const { told } = await inspected(t, {
    "a.yaml": one,
    "b.yaml": registration("b", "http://b.example").replace("id: b", "id: a"),
  });
  assert.deepEqual(told, ["appservices note", "appservice-duplicate:a blocker"]);
  const token = registration("b", "http://b.example").replace("as-geheim-b", "as-geheim-a");
  const { told: same, findings } = await inspected(t, { "a.yaml": one, "b.yaml": token });
  assert.deepEqual(same, ["appservices note", "appservice-duplicate:b blocker"]);
  assert.match(findings[1]!.sentence, /same as_token, .*a\.yaml and .*b\.yaml/);
});
