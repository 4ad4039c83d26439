import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type HomeserverFolder, makeHomeserverFolder } from "./lab/homeserver-folder.ts";
import { populate, type Population } from "./lab/populate.ts";
import { synapsePython, SynapseServer } from "./lab/synapse-server.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";

/** A homeserver that people lived on, with its database in a file. */
export interface OldSqlite {
  readonly home: HomeserverFolder;
  readonly server: SynapseServer;
  readonly people: Population;
  /** The address of an upload that an administrator quarantined. */
  readonly quarantined: string;
  /** The thumbnail of Alice's avatar that her server made. */
  readonly thumbnail: Uint8Array;
  /** Of the database. */
  readonly path: string;
  readonly configPaths: readonly string[];
}

/** Makes it, fills it through the client API, and leaves it running. It knows media of others and a preview. */
export async function makeOldSqlite(): Promise<OldSqlite> {
  const home = await makeHomeserverFolder();
  const server = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  await server.start();
  const people = await populate(server.baseUrl, home.registrationSharedSecret);
  const path = join(home.dataFolder, "homeserver.db");
  change(path, LEFT_BEHIND);
  const quarantined = await people.alice.upload(randomBytes(2000), "application/octet-stream", "bad.bin");
  const id = quarantined.slice("mxc://".length);
  await people.admin.call("POST", `/_synapse/admin/v1/media/quarantine/${id}`, {});
  const { bytes: thumbnail } = await people.alice.thumbnail(people.avatar, SMALL);
  return { home, server, people, quarantined, thumbnail, path, configPaths: [home.configFile] };
}

export const SMALL = { width: 96, height: 96 };

/** Rows of a server that answers, whose files are not exported, and one of quarantined media, which is. */
const LEFT_BEHIND = `
  INSERT INTO remote_media_cache (media_origin, media_id, media_type, created_ts, upload_name, media_length, filesystem_id, last_access_ts, quarantined_by)
    VALUES ('far.example', 'seen', 'image/png', 1, 'a', 3, 'aaaaaa', 1, NULL), ('far.example', 'bad', 'image/png', 1, 'b', 3, 'bbbbbb', 1, '@admin:old.example');
  INSERT INTO destinations (destination, retry_last_ts, retry_interval, failure_ts) VALUES ('far.example', 0, 0, NULL);
  INSERT INTO local_media_repository_url_cache (url, response_code, etag, expires_ts, og, media_id, download_ts)
    VALUES ('https://far.example/', 200, '', 1, '{}', 'preview', 1);
`;

/** Runs SQL on a database, also while a server uses it. */
export function change(path: string, sql: string): void {
  const database = new DatabaseSync(path, { timeout: 10_000 });
  try {
    database.exec(sql);
  } finally {
    database.close();
  }
}

/** Rows of every table of a file, without any code of the product. */
export function rowsIn(path: string): ReadonlyMap<string, number> {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const names = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1").all();
    return new Map(
      names.map(({ name }) => {
        const { count } = database.prepare(`SELECT count(*) AS count FROM "${String(name)}"`).get()!;
        return [String(name), Number(count)];
      }),
    );
  } finally {
    database.close();
  }
}

/** Where a bundle of SQLite is to be unpacked on the same machine. */
export interface SqlitePlace {
  readonly path: string;
  readonly configDir: string;
  readonly mediaDir: string;
  readonly url: string;
  /** Arguments of `restore` after the bundle and the passphrase. */
  readonly restoreArgs: readonly string[];
  readonly startCommand: string;
  readonly stopCommand: string;
}

export function makeSqlitePlace(port: number): SqlitePlace {
  const folder = temporaryFolder("new");
  const [configDir, mediaDir] = [join(folder, "config"), join(folder, "data/media")];
  const path = join(folder, "data/new.db");
  const config = join(configDir, "homeserver.yaml");
  return {
    ...{ path, configDir, mediaDir, url: `http://127.0.0.1:${port}` },
    restoreArgs: [
      ...["--database", `sqlite:${path}`, "--config-dir", configDir, "--media-dir", mediaDir],
      ...["--listen", `127.0.0.1:${port}`],
    ],
    startCommand: `cd ${folder} && ${synapsePython()} -m synapse.app.homeserver -c ${config} -D`,
    stopCommand: `kill $(cat ${join(configDir, "homeserver.pid")})`,
  };
}
