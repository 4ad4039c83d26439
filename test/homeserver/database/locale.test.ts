import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { localeFindings } from "../../../src/homeserver/database/checks/postgres-findings.ts";
import { type DatabaseFacts, databaseFacts } from "../../../src/homeserver/database/facts.ts";
import { createDatabase, inspectTarget } from "../../../src/homeserver/database/fill/inspect-target.ts";
import { createOptions, isAsSynapseRequires } from "../../../src/homeserver/database/locale.ts";
import { verifyLocale } from "../../../src/homeserver/database/verify.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { addressIn } from "../../support/mini-synapse.ts";
import { postgres } from "../../support/moved-database.ts";

let cluster: PostgresCluster;

before(async () => {
  cluster = await PostgresCluster.start({ icuLocale: "en-US" });
  await cluster.sql("postgres", "create role mover login createdb");
});
after(() => cluster.stop());

const look = (dbname: string) =>
  inspectTarget({ address: addressIn(cluster, dbname), section: { serverVersion: 150_000 } }, postgres);

const inDatabase = async <T>(
  dbname: string,
  ask: (session: Awaited<ReturnType<typeof postgres.connect>>) => Promise<T>,
) => {
  const session = await postgres.connect(addressIn(cluster, dbname));
  return ask(session).finally(() => session.close());
};

/** The order that tells C, where capitals come first, from that of a language. */
const sorted = (dbname: string) =>
  cluster.sql(dbname, "select string_agg(word, ' ' order by word) from unnest(array['a', 'B']) word");

test("on a cluster that sorts by ICU, the database that restore creates sorts by C", async () => {
  await createDatabase(addressIn(cluster, "made"), postgres);
  assert.equal(await sorted("made"), "B a");
  assert.equal(await look("made"), true);
  const [gate] = await inDatabase("made", (session) => verifyLocale(session));
  assert.equal(gate?.level, "ok");
});

test("an empty database that is called C and sorts by ICU is unsuitable, and the command printed makes a right one", async () => {
  await cluster.createDatabase("icu", { owner: "mover" });
  assert.equal(await sorted("icu"), "a B", "the collation is named C all the same");
  await assert.rejects(look("icu"), {
    code: "target-unsuitable",
    message:
      "database icu has encoding UTF8, collation C and character type C, and sorts by ICU, with locale en-US; Synapse requires UTF8, C and C",
    hint: /createdb --encoding=UTF8 --locale=C --locale-provider=libc --template=template0 --owner=OWNER icu/,
  });
});

test("plan warns of a source that sorts by ICU, and open refuses such a database", async () => {
  await cluster.createDatabase("sorted", { owner: "mover" });
  const [warned] = localeFindings(await inDatabase("sorted", databaseFacts), false);
  assert.equal(warned?.level, "warning");
  assert.match(warned.sentence, /^the database's locale is that of ICU, with locale en-US, not C/);
  const [gate] = await inDatabase("sorted", (session) => verifyLocale(session));
  assert.equal(gate?.level, "blocker");
  assert.match(gate.sentence, /^the database has .* sorts by ICU, with locale en-US/);
});

test("PostgreSQL's own C counts as C, its other locales do not", () => {
  const facts = (providerLocale: string): DatabaseFacts => ({
    serverVersion: 170_000,
    serverVersionText: "17.0",
    encoding: "UTF8",
    collate: "C",
    ctype: "C",
    provider: "builtin",
    providerLocale,
    size: 0,
  });
  assert.equal(isAsSynapseRequires(facts("C")), true);
  assert.equal(isAsSynapseRequires(facts("C.UTF-8")), false);
});

test("a server that knows no locale providers is not asked for one", () => {
  assert.equal(createOptions(150_000).endsWith(" LOCALE_PROVIDER libc"), true);
  assert.equal(createOptions(140_011).includes("LOCALE_PROVIDER"), false);
});
