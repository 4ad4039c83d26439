import { readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";
import type { HomeserverFolder } from "./homeserver-folder.ts";
import { keptKeys, restoreKeys } from "./kept-keys.ts";
import { copyFolder, madeOnce } from "./made-once.ts";
import { MatrixClient } from "./matrix-client.ts";
import type { Population } from "./populate.ts";
import { freePort } from "./server-process.ts";
import { removeFolder, temporaryFolder } from "./temporary-folder.ts";

interface Kept {
  readonly home: HomeserverFolder;
  readonly people: Population;
}

const PEOPLE = ["admin", "alice", "bob", "carol"] as const;

/** What every filled homeserver is made of. */
const SOURCES = ["populate", "encrypted-conversation", "homeserver-folder", "matrix-client", "kept-keys"];

/**
 * The folder of a filled homeserver that is stopped: what `keepHomeserver` writes, and what else `fill` puts beside it. Made once for each
 * recipe; a part that is the path of a file stands for its content. Made anew each day, as people have used it today.
 */
export async function keptHomeserver(
  name: string,
  recipe: readonly string[],
  fill: (folder: string) => Promise<void>,
): Promise<string> {
  const sources = SOURCES.map((source) => fileURLToPath(new URL(`${source}.ts`, import.meta.url)));
  const parts = [...sources, ...recipe].map((part) =>
    part.startsWith("/") ? readFileSync(part, "utf8") : part,
  );
  return madeOnce(name, [...parts, new Date().toISOString().slice(0, "2026-01-01".length)], fill);
}

/** Keeps the folder of a stopped homeserver, its people, and the keys of their devices; its own folder goes away. */
export async function keepHomeserver(
  folder: string,
  home: HomeserverFolder,
  people: Population,
): Promise<void> {
  await copyFolder(home.folder, join(folder, "homeserver"));
  writeFileSync(join(folder, "homeserver.json"), JSON.stringify({ home, people } satisfies Kept));
  writeFileSync(join(folder, "keys"), await keptKeys());
  removeFolder(home.folder);
}

/** A copy of its own, with a free port, whose database is at `port`. Its people need the address where it runs then. */
export async function copyHomeserver(
  kept: string,
  { port }: { readonly port: number },
): Promise<{ home: HomeserverFolder; people: (baseUrl: string) => Population }> {
  const folder = temporaryFolder("hs");
  const text = readFileSync(join(kept, "homeserver.json"), "utf8");
  const made = (JSON.parse(text) as Kept).home.folder;
  const { home, people } = JSON.parse(text.replaceAll(made, folder)) as Kept;
  rmdirSync(folder);
  await copyFolder(join(kept, "homeserver"), folder);
  for (const file of [home.configFile, join(home.configFile, "../log.yaml")])
    writeFileSync(file, readFileSync(file, "utf8").replaceAll(made, folder));
  const settings = parse(readFileSync(home.configFile, "utf8")) as Settings;
  const [listener] = settings.listeners;
  listener.port = await freePort();
  const database = { ...home.database, args: { ...home.database.args, port } };
  writeFileSync(home.configFile, stringify({ ...settings, database }));
  await restoreKeys(readFileSync(join(kept, "keys")));
  const at = (baseUrl: string) => {
    const clients = PEOPLE.map((name) => [name, new MatrixClient(baseUrl, people[name].session)] as const);
    return { ...people, ...(Object.fromEntries(clients) as Pick<Population, (typeof PEOPLE)[number]>) };
  };
  return { home: { ...home, database }, people: at };
}

interface Settings {
  readonly listeners: [{ port: number }];
}
