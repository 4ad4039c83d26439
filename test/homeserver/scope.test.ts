import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { excludedRows, NOTHING_KEPT, removeExcludedRows } from "../../src/homeserver/scope.ts";

// Each row is kept or removed, by two conditions that people and programs read: they must never disagree.

const TABLES = `
create table remote_media_cache (media_origin text, media_id text, quarantined_by text);
insert into remote_media_cache values ('far.example', 'a', null), ('far.example', 'b', '@x:y'), ('gone.example', 'c', null);
create table remote_media_cache_thumbnails (media_origin text, media_id text);
insert into remote_media_cache_thumbnails values ('far.example', 'a'), ('far.example', 'b'), ('gone.example', 'c'), ('none', 'd');
create table local_media_repository (media_id text, url_cache text);
insert into local_media_repository values ('up', null), ('preview', 'https://example.com');
create table local_media_repository_thumbnails (media_id text);
insert into local_media_repository_thumbnails values ('up'), ('preview'), ('none');
create table local_media_repository_url_cache (url text);
insert into local_media_repository_url_cache values ('https://example.com');
create table e2e_one_time_keys_json (key_json text);
insert into e2e_one_time_keys_json values ('{}');`;

for (const [what, kept] of Object.entries({
  "only local media": NOTHING_KEPT,
  "the media of a server that is gone": { ...NOTHING_KEPT, origins: ["gone.example", "it's.example"] },
  previews: { ...NOTHING_KEPT, previews: true },
  everything: { remote: true, origins: [], previews: true },
})) {
  test(`with ${what} in the bundle, what is removed is what is not kept`, () => {
    const database = new DatabaseSync(":memory:");
    database.exec(TABLES);
    for (const { table, keep, remove = "TRUE" } of excludedRows(kept)) {
      const both = `select count(*) as n from ${table} where (${keep}) is (${remove})`;
      assert.equal(database.prepare(both).get()!["n"], 0, `${table}: ${keep}; ${remove}`);
    }
    for (const statement of removeExcludedRows("sqlite", kept)) {
      assert.doesNotMatch(statement, /NOT \(|FALSE/);
      database.exec(statement);
    }
    for (const { table, keep } of excludedRows(kept))
      assert.equal(database.prepare(`select count(*) as n from ${table} where not (${keep})`).get()!["n"], 0);
    assert.equal(
      database.prepare("select count(*) as n from local_media_repository where media_id = 'up'").get()!["n"],
      1,
    );
    database.close();
  });
}
