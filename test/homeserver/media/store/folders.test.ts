import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { findLostOrigins, keptFindings } from "../../../../src/homeserver/media/remote/origins.ts";
import { keptFolders } from "../../../../src/homeserver/media/store/folders.ts";
import { isStorePath } from "../../../../src/homeserver/media/store/layout.ts";
import {
  excludedRows,
  type Kept,
  NOTHING_KEPT,
  removeExcludedRows,
} from "../../../../src/homeserver/scope.ts";
import type { Http } from "../../../../src/system/http/http.ts";
import { NoAnswer, type NoAnswerReason } from "../../../../src/system/http/no-answer.ts";
import { PostgresCluster } from "../../../support/lab/postgres-cluster.ts";
import {
  emptied,
  insert,
  type MediaDatabase,
  mediaInPostgres,
  mediaInSqlite,
} from "../../../support/media-database.ts";
import { NOW } from "../inspected-media.ts";

let cluster: PostgresCluster;
const databases = new Map<string, MediaDatabase>();

before(async () => {
  cluster = await PostgresCluster.start();
  databases.set("postgres", await mediaInPostgres(cluster, "kept", "new"));
  databases.set("sqlite", mediaInSqlite("new"));
});
after(() => cluster.stop());

const { signal } = new AbortController();
const DAY = 86_400_000;

/** Hosts, and what becomes of a question to them; all others answer. */
function httpWhere(silent: Readonly<Record<string, NoAnswerReason>>): { http: Http; asked: string[] } {
  const asked: string[] = [];
  const get: Http["get"] = (url) => {
    const { host } = new URL(url);
    asked.push(url);
    const kind = silent[host];
    return kind
      ? Promise.reject(new NoAnswer(kind, "nothing"))
      : Promise.resolve({ status: 404, headers: new Headers(), body: new Uint8Array() });
  };
  return { http: { get } as Http, asked };
}

const remote = (origin: string, id: string, more: Record<string, string | number | null> = {}) =>
  insert("remote_media_cache", [
    {
      media_origin: origin,
      media_id: id,
      filesystem_id: `${id}fs`,
      media_length: 10,
      created_ts: 1,
      ...more,
    },
  ]);

const thumbnail = (origin: string, id: string) =>
  insert("remote_media_cache_thumbnails", [
    {
      ...{ media_origin: origin, media_id: id, filesystem_id: `${id}fs`, thumbnail_length: 9 },
      ...{ thumbnail_width: 32, thumbnail_height: 32, thumbnail_type: "image/png", thumbnail_method: "crop" },
    },
  ]);

const failing = (destination: string, failure: number | null, interval: number) =>
  insert("destinations", [
    {
      destination,
      retry_last_ts: 0,
      retry_interval: interval,
      failure_ts: failure,
      last_successful_stream_ordering: null,
    },
  ]);

for (const kind of ["postgres", "sqlite"]) {
  describe(kind, () => {
    const database = () => databases.get(kind)!;

    async function lost(http: Http) {
      const session = await database().connect();
      return findLostOrigins({ session, http, now: NOW, signal }).finally(() => session.close());
    }

    test("servers that are known to be gone are not asked, nor are those that answer; the others are", async () => {
      await database().run(
        [
          emptied,
          ...["gone", "well", "shaky", "shaky-back", "never", "never-there", "port:8450"].map((name) =>
            remote(`${name.split(":")[0]!}.example${name.includes(":") ? ":8450" : ""}`, name),
          ),
          remote("gone.example", "two", { media_length: 90 }),
          remote("gone.example", "blocked", { quarantined_by: "@admin:example.org" }),
          remote("blocked.example", "only", { quarantined_by: "@admin:example.org" }),
          failing("gone.example", NOW - 31 * DAY, 1000),
          failing("well.example", null, 0),
          failing("shaky.example", NOW - DAY, 1000),
          failing("shaky-back.example", NOW - DAY, 1000),
        ].join("\n"),
      );
      const nobody = { "shaky.example": "refused", "shaky.example:8448": "timed-out" } as const;
      const never = { "never-there.example": "no-name", "never-there.example:8448": "no-name" } as const;
      const { http, asked } = httpWhere({
        ...{ ...nobody, ...never, "port.example:8450": "refused" },
        // port.example and one address of shaky-back.example refuse; never.example is alive, with a bad certificate.
        ...{ "never.example": "certificate", "shaky-back.example": "refused" },
      });
      const found = await lost(http);
      assert.deepEqual(found, [
        { origin: "gone.example", files: 2, bytes: 100 },
        { origin: "never-there.example", files: 1, bytes: 10 },
        { origin: "port.example:8450", files: 1, bytes: 10 },
        { origin: "shaky.example", files: 1, bytes: 10 },
      ]);
      const hosts = [...new Set(asked.map((url) => new URL(url).hostname))].sort();
      assert.deepEqual(
        hosts,
        ["never-there", "never", "port", "shaky-back", "shaky"].map((name) => `${name}.example`).sort(),
      );
      const [finding] = keptFindings(found);
      assert.equal(finding?.evidence?.[0], "gone.example: 2 files, 100 B");
      const offline = httpWhere(
        Object.fromEntries(asked.map((url) => [new URL(url).host, "no-route" as const])),
      );
      assert.deepEqual(
        (await lost(offline.http)).map(({ origin }) => origin),
        ["gone.example"],
        "a host without a network knows nothing new",
      );
    });

    test("very many servers are asked up to a number, those with the most media first", async () => {
      const names = Array.from({ length: 320 }, (_, index) => `s${index}.example`);
      const rows = names.map((name, index) => remote(name, `id${index}`, { media_length: 1000 - index }));
      await database().run([emptied, ...rows].join("\n"));
      const { http, asked } = httpWhere(
        Object.fromEntries(
          names.slice(1).flatMap((name) => [
            [name, "refused"],
            [`${name}:8448`, "refused"],
          ]),
        ),
      );
      const found = await lost(http);
      assert.deepEqual([found.length, asked.length], [299, 600]);
      assert.ok(!found.some(({ origin }) => origin === "s319.example"));
      const nobody = httpWhere(
        Object.fromEntries(
          names.flatMap((name) => [
            [name, "no-name"],
            [`${name}:8448`, "no-name"],
          ]),
        ),
      );
      assert.deepEqual(await lost(nobody.http), [], "a host whose resolver is away finds nobody gone");
    });

    for (const [what, kept, stay] of [
      ["nothing", NOTHING_KEPT, { remote: ["c3"], thumbnails: [], local: ["AAaaUpload"], previews: 0 }],
      [
        "servers that are gone",
        { ...NOTHING_KEPT, origins: ["it's.example", "b.example"] },
        { remote: ["b2", "c3", "q4"], thumbnails: ["b2"], local: ["AAaaUpload"], previews: 0 },
      ],
      [
        "remote media",
        { ...NOTHING_KEPT, remote: true },
        { remote: ["a1", "b2", "c3", "q4"], thumbnails: ["a1", "b2"], local: ["AAaaUpload"], previews: 0 },
      ],
      [
        "previews",
        { ...NOTHING_KEPT, previews: true },
        { remote: ["c3"], thumbnails: [], local: ["2026-01-01_preview", "AAaaUpload"], previews: 1 },
      ],
    ] as const satisfies readonly (readonly [string, Kept, object])[]) {
      test(`with ${what} kept, the rows that were counted stay, and no other`, async () => {
        await database().run(
          [
            emptied,
            ...[remote("a.example", "a1"), remote("b.example", "b2"), remote("it's.example", "q4")],
            remote("a.example", "c3", { quarantined_by: "@admin:example.org" }),
            ...[thumbnail("a.example", "a1"), thumbnail("b.example", "b2")],
            insert("local_media_repository", [
              { media_id: "AAaaUpload", media_length: 5 },
              { media_id: "2026-01-01_preview", media_length: 5, url_cache: "https://example.com" },
            ]),
            insert("local_media_repository_url_cache", [
              {
                url: "https://example.com",
                response_code: 200,
                expires_ts: 0,
                og: "",
                media_id: "x",
                download_ts: 0,
              },
            ]),
          ].join("\n"),
        );
        const session = await database().connect();
        const counted = new Map<string, number>();
        for (const { table, keep } of excludedRows(kept)) {
          const { count } = await session.one<{ count: number }>(
            `SELECT count(*) AS count FROM ${table} WHERE ${keep}`,
          );
          counted.set(table, count);
        }
        await session.close();
        await database().run(removeExcludedRows(kind as "postgres" | "sqlite", kept).join("\n"));
        const now = await database().connect();
        for (const [table, count] of counted)
          assert.deepEqual(await now.one(`SELECT count(*) AS count FROM ${table}`), { count }, table);
        const ids = async (table: string) =>
          (await now.all<{ id: string }>(`SELECT media_id AS id FROM ${table} ORDER BY 1`)).map(
            ({ id }) => id,
          );
        assert.deepEqual(await ids("remote_media_cache"), stay.remote);
        assert.deepEqual(await ids("remote_media_cache_thumbnails"), stay.thumbnails);
        assert.deepEqual(await ids("local_media_repository"), stay.local);
        assert.equal((await ids("local_media_repository_url_cache")).length, stay.previews);
        await now.close();
      });
    }
  });
}

test("what is unpacked is what is kept, and a server's name leads nowhere", () => {
  const kept = { remote: false, origins: ["b.example", "../../etc", "..", "[::1]:8448", ""], previews: true };
  const folders = keptFolders(kept);
  assert.deepEqual(folders, [
    ...["local_content", "local_thumbnails", "url_cache", "url_cache_thumbnails"],
    ...["remote_content/[::1]:8448", "remote_content/b.example"],
    ...["remote_thumbnail/[::1]:8448", "remote_thumbnail/b.example"],
  ]);
  assert.equal(isStorePath("remote_content/b.example/aa/bb/cc", folders), true);
  for (const name of [
    "remote_content/a.example/aa/bb/cc",
    "remote_content/b.example/../x",
    "remote_content/b.examples/x",
    "remote_content/b.example",
  ])
    assert.equal(isStorePath(name, folders), false, name);
  assert.equal(isStorePath("remote_content/b.example/aa/bb/cc"), false);
  assert.deepEqual(keptFolders({ ...NOTHING_KEPT, remote: true }).slice(2), [
    "remote_content",
    "remote_thumbnail",
  ]);
});
