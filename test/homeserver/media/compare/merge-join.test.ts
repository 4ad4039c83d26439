import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { mergeJoin } from "../../../../src/homeserver/media/compare/merge-join.ts";
import { UPLOAD_KEYS, uploadPath } from "../../../../src/homeserver/media/store/layout.ts";
import type { WalkEntry } from "../../../../src/system/files/files.ts";

const entry = (name: string, kind: WalkEntry["kind"] = "file"): WalkEntry => ({
  ...{ name, kind, size: 1, mode: 0o640, mtimeMs: 0 },
});

async function* given<T>(...all: T[]): AsyncIterable<T> {
  for (const one of all) yield await Promise.resolve(one);
}

/** What became of each, in order: "= id" met, "? id" a row alone, "?? id" unseen, "+ name" a file alone. */
async function met(ids: readonly string[], ...batches: (readonly WalkEntry[])[]): Promise<string[]> {
  const told: string[] = [];
  await mergeJoin(given(...ids.map((key) => ({ key }))), given(...batches), {
    ...UPLOAD_KEYS,
    both({ key }, { name }) {
      assert.equal(uploadPath(key), `local_content/${name}`);
      told.push(`= ${key}`);
      return undefined;
    },
    rowOnly({ key }, unseen) {
      told.push(`${unseen ? "??" : "?"} ${key}`);
      return undefined;
    },
    fileOnly: ({ name }) => told.push(`+ ${name}`),
  });
  return told;
}

test("rows and files that belong together meet, however the files are cut into batches", async () => {
  const ids = fc.uniqueArray(fc.stringMatching(/^[aZ.]{4}[aA._[]{1,2}$/), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(ids, ids, fc.integer({ min: 1, max: 7 }), async (rows, stored, size) => {
      const files = stored.filter((id) => uploadPath(id) !== undefined).sort();
      const entries = files.map((id) => entry(uploadPath(id)!.slice("local_content/".length)));
      const batches = Array.from({ length: Math.ceil(entries.length / size) }, (_, index) =>
        entries.slice(index * size, (index + 1) * size),
      );
      const told = await met([...rows].sort(), ...batches, []);
      const wanted = [
        ...rows.map((id) => `${files.includes(id) ? "=" : "?"} ${id}`),
        ...entries
          .filter(({ name }) => !rows.includes(name.replaceAll("/", "")))
          .map(({ name }) => `+ ${name}`),
      ];
      assert.deepEqual([...told].sort(), wanted.sort());
    }),
    { numRuns: 300 },
  );
});

test("what no row can have stands outside the order and keeps nobody from meeting", async () => {
  const odd = ["aa/bb", "aa/bb/c/d", "aaa/b/c", "é/aa/b"].map((name) => entry(name));
  const told = await met(
    ["aabbc", "ffggh", "🦊fox"],
    [odd[0]!, entry("aa/bb/c"), odd[1]!],
    [odd[2]!, entry("ff/gg/h"), odd[3]!],
  );
  assert.deepEqual(told, [
    "+ aa/bb",
    "= aabbc",
    "+ aa/bb/c/d",
    "+ aaa/b/c",
    "= ffggh",
    "+ é/aa/b",
    "? 🦊fox",
  ]);
});

test("a link in an upload's place is no file of it", async () => {
  assert.deepEqual(await met(["aabbc"], [entry("aa/bb/c", "link")]), ["+ aa/bb/c", "? aabbc"]);
});

test("rows below a closed folder are unseen, and those beside it missing", async () => {
  const closed = [entry("aa/bb", "closed"), entry("cc", "closed"), entry("dd/dd/d")];
  assert.deepEqual(await met(["aaaaa", "aabbc", "aabbd", "aabcc", "ccccc", "cdddd", "ddddd"], closed), [
    ...["? aaaaa", "+ aa/bb", "?? aabbc", "?? aabbd", "? aabcc", "+ cc", "?? ccccc", "? cdddd", "= ddddd"],
  ]);
  assert.deepEqual(await met(["aaaaa", "zzzzz"], [entry("", "closed")]), ["+ ", "?? aaaaa", "?? zzzzz"]);
});

test("the walk ends with the meeting, also when the rows break off", async () => {
  let ended = 0;
  async function* walk(): AsyncIterable<readonly WalkEntry[]> {
    try {
      for (;;) yield await Promise.resolve([entry("zz/zz/z")]);
    } finally {
      ended += 1;
    }
  }
  async function* broken(): AsyncIterable<{ key: string }> {
    yield await Promise.resolve({ key: "aabbc" });
    throw new Error("the connection went away");
  }
  const nothing = { both: () => undefined, rowOnly: () => undefined, fileOnly: () => undefined };
  await assert.rejects(mergeJoin(broken(), walk(), { ...UPLOAD_KEYS, ...nothing }), /went away/);
  assert.equal(ended, 1);
});
