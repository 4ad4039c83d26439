import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { MigrationError } from "../../src/errors.ts";
import type { Attempt, Destination, LocalFile, Remote } from "../../src/transfer/remote.ts";
import { flipped, noise } from "../support/bytes.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";

/** A kind of remote, with what a test needs to hurt it. */
export interface Place {
  readonly destination: Destination;
  /** Whether a partial file is continued, and not begun anew. */
  readonly appends: boolean;
  /** Everything that is stored there, partial files too. */
  names(): Promise<string[]> | string[];
  read(name: string): Promise<Uint8Array> | Uint8Array;
  write(name: string, bytes: Uint8Array): Promise<void> | void;
  /** The connection, which a test breaks; left out where there is none, and the attempt itself is ended. */
  readonly connection?: { breakAfter(bytes: number): void; mend(): void };
  /** A place with room for 1 MiB. */
  small?(t: TestContext): Promise<Destination>;
  /** At which tenths of a file the connection is cut; at each when left out. */
  readonly tenths?: readonly number[];
  /** Whether files can be fetched from there. */
  readonly gives?: boolean;
}

/** What a test looks at, where the files are in a folder of this host. */
export const storedIn = (folder: string): Pick<Place, "names" | "read" | "write"> => ({
  names: () => readdirSync(folder),
  read: (name) => readFileSync(join(folder, name)),
  write(name, bytes) {
    writeFileSync(join(folder, name), bytes);
  },
});

const PART = 400_000;
const NEVER = new AbortController().signal;

export const localFile = (name: string, bytes: Uint8Array): LocalFile => {
  const path = join(temporaryFolder("source"), name);
  writeFileSync(path, bytes);
  return { path, name, size: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
};

/** Counts what it is told, and ends the attempt after so many bytes. */
function attempt(limit = Infinity): Attempt & { readonly bytes: () => number; readonly read: () => number } {
  const stop = new AbortController();
  let [moved, checked] = [0, 0];
  return {
    signal: stop.signal,
    resumed: () => undefined,
    moved: (bytes) => {
      moved += bytes;
      if (moved >= limit) stop.abort(new MigrationError("transfer-failed", "cut"));
    },
    checked: (bytes) => void (checked += bytes),
    bytes: () => moved,
    read: () => checked,
  };
}

async function using<T>({ open }: Destination, act: (remote: Remote) => Promise<T>): Promise<T> {
  const remote = await open(NEVER, { create: true });
  try {
    return await act(remote);
  } finally {
    await remote.close();
  }
}

/**
 * What every kind of remote promises: see `Remote`. `make` gives a new, empty place. With `fills` false no full one can be had here, and
 * that is not tested.
 */
export function remoteContract(
  kind: string,
  make: (t: TestContext) => Promise<Place>,
  { fills = true } = {},
): void {
  const of = (title: string, act: (place: Place, t: TestContext) => Promise<void>): void => {
    void test(`${kind}: ${title}`, async (t) => {
      await act(await make(t), t);
    });
  };

  of(
    "a file arrives with its size and hash, under its name only, and nothing is said to be there before",
    async (place) => {
      const bytes = noise(PART);
      const file = localFile("x.part-aa", bytes);
      await using(place.destination, async (remote) => {
        assert.deepEqual([...(await remote.have(NEVER))], []);
        assert.equal(await remote.prove(file, attempt()), undefined);
        const run = attempt();
        assert.match(await remote.put(file, run), /^(hashed-there|read-back)$/);
        assert.equal(run.bytes(), PART, "every byte is reported once");
        assert.deepEqual([...(await remote.have(NEVER))], [["x.part-aa", PART]]);
        assert.notEqual(await remote.prove(file, attempt()), undefined);
      });
      assert.deepEqual(await place.names(), ["x.part-aa"]);
      assert.ok(Buffer.from(await place.read("x.part-aa")).equals(bytes));
    },
  );

  of("an empty file, and one of a single byte, arrive too", async (place) => {
    for (const size of [0, 1]) {
      const file = localFile(`of-${size}`, noise(size));
      await using(place.destination, (remote) => remote.put(file, attempt()));
      assert.equal((await place.read(file.name)).length, size);
    }
    assert.deepEqual([...(await place.names())].sort(), ["of-0", "of-1"]);
  });

  of("sending it again sends nothing, and compares what is there", async (place) => {
    const file = localFile("x", noise(PART));
    await using(place.destination, async (remote) => {
      await remote.put(file, attempt());
      const again = attempt();
      await remote.put(file, again);
      assert.equal(again.bytes(), 0);
    });
  });

  of("cut at every tenth of a file, it is continued or begun again, and arrives intact", async (place) => {
    const { tenths = [1, 2, 3, 4, 5, 6, 7, 8, 9] } = place;
    for (const tenth of tenths) {
      const bytes = noise(PART, tenth);
      const file = localFile(`cut-${tenth}`, bytes);
      const limit = (PART * tenth) / 10;
      const cut = attempt(place.connection ? Infinity : limit);
      await assert.rejects(
        using(place.destination, (remote) => {
          place.connection?.breakAfter(limit);
          return remote.put(file, cut);
        }),
        { code: "transfer-failed" },
        `cut at ${tenth} tenths`,
      );
      place.connection?.mend();
      assert.equal((await place.names()).includes(file.name), false, "no incomplete file has the final name");
      const begun = (await place.names()).find((name) => name.startsWith(`.${file.name}.`));
      const saved = begun === undefined ? 0 : (await place.read(begun)).length;
      const rest = attempt();
      await using(place.destination, (remote) => remote.put(file, rest));
      // The far end may still have been writing what was on its way when it was looked at, so that less than this can be left.
      if (place.appends)
        assert.ok(
          rest.bytes() <= PART - saved,
          `continued at ${tenth} tenths: ${rest.bytes()} of ${PART - saved} bytes`,
        );
      assert.ok(Buffer.from(await place.read(file.name)).equals(bytes));
    }
    assert.equal((await place.names()).length, tenths.length, "nothing partial is left");
  });

  of("a byte that flips at rest in a complete file is noticed, and the file is sent again", async (place) => {
    const bytes = noise(PART);
    const file = localFile("x", bytes);
    await using(place.destination, (remote) => remote.put(file, attempt()));
    await place.write("x", flipped(bytes, PART - 7));
    await using(place.destination, async (remote) => {
      assert.equal(await remote.prove(file, attempt()), undefined);
      await remote.put(file, attempt());
    });
    assert.ok(Buffer.from(await place.read("x")).equals(bytes));
    assert.deepEqual(await place.names(), ["x"]);
  });

  of("a file of the same name and size but another content is replaced", async (place) => {
    await using(place.destination, (remote) => remote.put(localFile("x", noise(PART, 1)), attempt()));
    await using(place.destination, (remote) => remote.put(localFile("x", noise(PART, 2)), attempt()));
    assert.ok(Buffer.from(await place.read("x")).equals(noise(PART, 2)));
  });

  of("a file that changed here is refused with its path, and gets no name there", async (place) => {
    const file = localFile("x", noise(PART));
    writeFileSync(file.path, flipped(noise(PART), 5));
    await assert.rejects(
      using(place.destination, (remote) => remote.put(file, attempt())),
      (error: MigrationError) => error.code === "bundle-damaged" && error.message.includes(file.path),
    );
    writeFileSync(file.path, noise(PART - 1));
    await assert.rejects(
      using(place.destination, (remote) => remote.put(file, attempt())),
      { code: "bundle-damaged" },
    );
    assert.deepEqual(await place.names(), []);
  });

  of("names that lead out of the folder are refused", async (place) => {
    await using(place.destination, async (remote) => {
      for (const name of ["../x", "a/b", "/etc/x", ".hidden", "-rf", "", "x\n", "ü"]) {
        const file = { ...localFile("x", noise(9)), name };
        await assert.rejects(remote.put(file, attempt()), { code: "bundle-damaged" }, name);
        await assert.rejects(remote.remove(name, NEVER), { code: "bundle-damaged" }, name);
        await assert.rejects(remote.read(name, 100, NEVER), { code: "bundle-damaged" }, name);
      }
    });
  });

  of("removing takes a file and what is partial of it, and nothing else", async (place) => {
    await using(place.destination, async (remote) => {
      for (const name of ["x", "x.y", "y"]) await remote.put(localFile(name, noise(99)), attempt());
      await remote.remove("x", NEVER);
      await remote.remove("never-there", NEVER);
      assert.deepEqual([...(await remote.have(NEVER)).keys()].sort(), ["x.y", "y"]);
    });
  });

  if (fills)
    of("a full place is a final error that says so, and a smaller file still fits", async (place, t) => {
      const destination = await place.small!(t);
      const large = localFile("large", noise(3_000_000));
      await assert.rejects(
        using(destination, (remote) => remote.put(large, attempt())),
        { code: "disk-full" },
      );
      await using(destination, async (remote) => {
        await remote.remove("large", NEVER);
        await remote.put(localFile("small", noise(100_000)), attempt());
        assert.deepEqual([...(await remote.have(NEVER)).keys()], ["small"]);
      });
    });

  of("what was sent can be fetched, from where an earlier attempt stopped, and is private", async (place) => {
    if (place.gives === false) return;
    const bytes = noise(PART, 3);
    const file = localFile("x", bytes);
    const folder = temporaryFolder("fetched");
    await using(place.destination, async (remote) => {
      await remote.put(file, attempt());
      assert.equal(Buffer.from((await remote.read("x", PART, NEVER)) ?? []).equals(bytes), true);
      assert.equal(await remote.read("missing", 9, NEVER), undefined);
      await assert.rejects(remote.read("x", PART - 1, NEVER), { code: "bundle-damaged" });
      await assert.rejects(remote.get(file, folder, attempt(PART / 3)), { code: "transfer-failed" });
    });
    assert.equal(existsSync(join(folder, "x")), false);
    await using(place.destination, async (remote) => {
      const rest = attempt();
      await remote.get(file, folder, rest);
      assert.equal(rest.bytes() + rest.read(), PART, "the bytes that were here are hashed, the others come");
      await assert.rejects(remote.get({ ...file, name: "missing" }, folder, attempt()), {
        code: "file-missing",
      });
    });
    assert.deepEqual(readdirSync(folder), ["x"]);
    assert.ok(readFileSync(join(folder, "x")).equals(bytes));
    assert.equal(statSync(join(folder, "x")).mode & 0o777, 0o600);
  });

  of("a file that is damaged over there is not fetched", async (place) => {
    if (place.gives === false) return;
    const bytes = noise(PART, 4);
    const file = localFile("x", bytes);
    const folder = temporaryFolder("fetched");
    await using(place.destination, (remote) => remote.put(file, attempt()));
    for (const damaged of [flipped(bytes, 0), bytes.subarray(1), Buffer.concat([bytes, bytes])]) {
      await place.write("x", damaged);
      await assert.rejects(
        using(place.destination, (remote) => remote.get(file, folder, attempt())),
        { code: "bundle-damaged" },
      );
      assert.deepEqual(readdirSync(folder), []);
    }
  });
}
