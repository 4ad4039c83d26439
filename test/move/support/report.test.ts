import assert from "node:assert/strict";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { resultOf, synlift, synliftWell } from "../../support/synlift.ts";

// What is planted below must not come out again: neither as it is nor in any form in which programs write such values.

const SECRETS = {
  pepper: `a "pepper" with ü, 100% & 'quotes'/slashes`,
  macaroon: "m4car00n-K3y_of~the.server:with@signs",
  database: "p4ss/w0rd+of=the-database",
  registration: "registration secret of four words",
  smtp: "hunter2hunter2",
  appservice: "as_tok_0123456789abcdefABCDEF",
  inUrl: "in-an-address-9",
  commentedOut: "an-old-pepper-kept-as-a-comment",
  signingKey: "b8oFxrWEHVmyTb1dXYBz7vTQnJZ0Jm5sYy2fJk0Vq3g",
  passphrase: "kV7wq3Zt5yXo2mB9rLc4nHs8dJf6gPa1",
  masSecret: "0123456789abcdef0123456789abcdef-of-mas",
} as const;

const NAMES = {
  server: "geheim-verein.example",
  unicode: "müller-chat.example",
  person: "ottilie.wurstmeier",
  other: "nachbarin",
  mail: "vorstand@geheim-verein.example",
  host: "turm7.rechenzentrum.example",
  folder: "kundin-schmidt",
  role: "vereinsrolle",
  room: "!abcdefgRaum:geheim-verein.example",
  ip: "198.51.100.77",
  ip6: "2001:db8:dead:beef::77",
} as const;

const folder = temporaryFolder("report");
const out = join(folder, "srv", NAMES.folder, "move");
const config = join(folder, "etc");
const file = join(folder, "report.txt");
let report: string;

const entity = (text: string) => Array.from(text, (one) => `&#${one.codePointAt(0)!};`).join("");
const escapes = (text: string) =>
  Array.from(text, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");
const percent = (text: string) =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");

/** The forms in which a value may stand in a log or a record. */
const formsOf = (value: string): Record<string, string> => ({
  plain: value,
  JSON: JSON.stringify(value).slice(1, -1),
  "JSON in JSON": JSON.stringify(JSON.stringify(value)).slice(1, -1),
  "escapes of JSON": escapes(value),
  "part of a URL": encodeURIComponent(value),
  "part of a form": new URLSearchParams({ a: value }).toString().slice(2),
  "percent-encoded": percent(value),
  "percent-encoded twice": encodeURIComponent(encodeURIComponent(value)),
  "HTML entities": entity(value),
  base64: Buffer.from(value).toString("base64"),
  base64url: Buffer.from(value).toString("base64url"),
  "base64 behind another letter": Buffer.from(`x${value}`).toString("base64"),
  "Basic authentication": Buffer.from(`me:${value}`).toString("base64"),
  "base64 of JSON": Buffer.from(JSON.stringify({ a: value })).toString("base64"),
  "base64 in a URL": encodeURIComponent(Buffer.from(value).toString("base64")),
  hexadecimal: Buffer.from(value).toString("hex"),
});

const ALL = { ...SECRETS, ...NAMES };

function planted(): string {
  const lines: string[] = [];
  for (const [name, value] of Object.entries(ALL))
    for (const [form, text] of Object.entries(formsOf(value)))
      lines.push(
        `2026-11-30 ${name} ${form}: before ${text} after`,
        `{"${form}":"${text}"}`,
        `GET /_matrix/client/v3/x/${text}?from=${text}&to=b 200`,
        `key=${text};`,
      );
  lines.push(
    `Processed request: @${NAMES.person}:${NAMES.server} from ${NAMES.ip} and [${NAMES.ip6}]:443`,
    `${NAMES.other} alone, as in @${NAMES.other}:${NAMES.server.toUpperCase()}`,
    `syt_${Buffer.from(NAMES.person).toString("base64url")}_AbCdEfGhIjKlMnOp_1x2y3z`,
    `postgresql://${NAMES.role}:${encodeURIComponent(SECRETS.database)}@${NAMES.host}:5432/x`,
    `Authorization: Bearer ${SECRETS.appservice}`,
    `xn--mller-chat-9db.example is the same host as ${NAMES.unicode}`,
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAA\n-----END PRIVATE KEY-----",
    `/home/${NAMES.person}/${NAMES.folder}/dump.sql.gz`,
  );
  return `${lines.join("\n")}\n`;
}

before(async () => {
  mkdirSync(out, { recursive: true });
  mkdirSync(join(config, "conf.d"), { recursive: true });
  mkdirSync(join(config, ".synlift"));
  const yaml = (value: string) => JSON.stringify(value);
  writeFileSync(
    join(config, "homeserver.yaml.fenced"),
    `server_name: ${NAMES.server}
public_baseurl: https://${NAMES.unicode}/
# pepper: ${SECRETS.commentedOut}
password_config: {pepper: ${yaml(SECRETS.pepper)}}
macaroon_secret_key: ${yaml(SECRETS.macaroon)}
registration_shared_secret: ${yaml(SECRETS.registration)}
database: {name: psycopg2, args: {user: ${NAMES.role}, password: ${yaml(SECRETS.database)}, host: ${NAMES.host}}}
email: {smtp_host: localhost, smtp_pass: ${SECRETS.smtp}, notif_from: "Verein <${NAMES.mail}>"}
some_module: {url: "https://bot:${SECRETS.inUrl}@${NAMES.host}/"}
matrix_authentication_service: {secret: ${SECRETS.masSecret}}
`,
  );
  // With a fault: its lines are read nevertheless.
  writeFileSync(join(config, "conf.d/bridge.yaml"), `id: [bridge\nas_token: ${SECRETS.appservice}\n`);
  writeFileSync(join(config, "server.signing.key"), `ed25519 a_AbCd ${SECRETS.signingKey}\n`);
  writeFileSync(`${out}.passphrase`, `${SECRETS.passphrase}\n`);
  for (const name of ["journal.json", "fence.json", "manifest.json", "progress.json", "port.log"])
    writeFileSync(join(out, name), planted());
  writeFileSync(join(config, ".synlift/journal.json"), planted());
  writeFileSync(
    join(config, ".synlift/report.html"),
    `<html><style>p{}</style><p>gate for ${NAMES.server}</p>${planted()}</html>`,
  );
  writeFileSync(join(out, `${NAMES.person}-${NAMES.server}.txt`), "a name of a file");
  writeFileSync(join(folder, "output.log"), planted());
  const ran = await synliftWell([
    ...["report", "--redact", "--no-look", "--out", out, "--config-dir", config],
    // Else it is that of a Synapse that happens to run on this host.
    ...["--config", join(config, "homeserver.yaml.fenced")],
    ...["--log", join(folder, "output.log"), "--file", file, "--json"],
  ]);
  report = readFileSync(file, "utf8");
  const { details } = resultOf(ran);
  assert.equal(details["bytes"], Buffer.byteLength(report));
  assert.equal(details["secrets"], Object.keys(SECRETS).length);
  for (const value of Object.values(ALL)) assert.ok(!ran.stdout.includes(value), `${value} in ${ran.stdout}`);
});

for (const [name, value] of Object.entries(ALL))
  test(`the ${name in SECRETS ? "secret" : "name"} "${name}" is nowhere in the report, in no form`, () => {
    const inSmall = report.toLowerCase();
    for (const [form, text] of Object.entries(formsOf(value)))
      assert.ok(!inSmall.includes(text.toLowerCase()), `as ${form}: ${around(inSmall, text.toLowerCase())}`);
  });

test("parts of names do not betray them either", () => {
  for (const part of ["geheim-verein", "müller-chat", "mller-chat", "wurstmeier", "rechenzentrum", "kundin"])
    assert.ok(!report.toLowerCase().includes(part), around(report.toLowerCase(), part));
  assert.ok(!new RegExp(`(?<![a-z-])${hostname()}(?![a-z-])`).test(report) || hostname().length < 3);
});

test("the same name has the same stand-in everywhere, and another name another one", () => {
  const lines = report.split("\n");
  const inLog = lines.filter((line) => line.startsWith("2026-11-30 server plain: before"));
  assert.ok(inLog.length >= 5);
  assert.deepEqual([...new Set(inLog)], ["2026-11-30 server plain: before this-server after"]);
  const stood = (what: string) => lines.find((line) => line.startsWith(`2026-11-30 ${what} plain: before`));
  assert.notEqual(stood("person")?.split(" ").at(-2), stood("other")?.split(" ").at(-2));
});

test("a person can read it: what it is, what is in it, versions, records and logs by name", () => {
  assert.match(report, /^A report for support, made by synlift \S+ on 20/);
  assert.match(report, /Read it before you send it/);
  for (const heading of [
    "versions",
    "where this host stands",
    "files in ",
    "port.log ===",
    "journal.json ===",
  ])
    assert.ok(report.includes(heading), heading);
  assert.match(report, /with Node v\d/);
  assert.match(report, /^gpg: gpg \(GnuPG\)/m);
  assert.match(report, /gate for this-server/);
  assert.doesNotMatch(report, /<p>|<style>/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test("without --redact names are in it, and says so; secrets are not", async () => {
  const named = join(folder, "named.txt");
  await synliftWell([
    ...["report", "--no-look", "--out", out, "--config-dir", config, "--file", named],
    ...["--config", join(config, "homeserver.yaml.fenced")],
    ...["--log", join(folder, "output.log")],
  ]);
  const text = readFileSync(named, "utf8");
  assert.match(text, /NAMES AND ADDRESSES ARE IN IT/);
  assert.ok(text.includes(NAMES.server));
  for (const [name, value] of Object.entries(SECRETS))
    for (const [form, written] of Object.entries(formsOf(value)))
      assert.ok(!text.includes(written), `${name} as ${form}`);
});

test("a report is not written over a file that exists, and a log that does not exist is named", async () => {
  const again = await synlift(["report", "--no-look", "--file", file]);
  assert.equal(again.code, 40, again.stderr);
  assert.equal(readFileSync(file, "utf8"), report);
  const missing = await synlift([
    "report",
    "--no-look",
    "--file",
    join(folder, "b.txt"),
    "--log",
    "/nowhere.log",
  ]);
  assert.equal(missing.code, 17);
  assert.match(missing.stderr, /\/nowhere\.log/);
});

function around(text: string, part: string): string {
  const at = text.indexOf(part);
  return at < 0 ? "" : text.slice(Math.max(0, at - 60), at + part.length + 40);
}
