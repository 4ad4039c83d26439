import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Homeserver } from "../../../src/homeserver/homeserver.ts";
import {
  inspectMedia,
  type MediaInspection,
  type MediaTools,
} from "../../../src/homeserver/media/inspect.ts";
import type { MediaRepo } from "../../../src/homeserver/media/media-repo/usage.ts";
import { uploadPath } from "../../../src/homeserver/media/store/layout.ts";
import { readHomeserver } from "../../../src/homeserver/read.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { realHttp } from "../../../src/system/http/http.ts";
import { noProgress, type Progress } from "../../../src/system/progress.ts";
import { realObjectStores } from "../../../src/system/s3/s3.ts";
import { MINIMUM } from "../../support/folder-with.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { emptied, insert, type MediaDatabase } from "../../support/media-database.ts";

export const NOW = Date.UTC(2026, 4, 20);

export interface Asked {
  readonly deep?: boolean;
  readonly uploadLimit?: number;
  readonly mediaRepo?: MediaRepo;
  readonly tools?: Partial<MediaTools>;
  readonly progress?: Progress;
  /** Further lines of the configuration. */
  readonly settings?: string;
}

/** A media store and the rows that belong to it. What is put in is there in both, unless a test says otherwise. */
export class MediaHome {
  readonly folder = temporaryFolder("media-home");
  readonly store = join(this.folder, "media_store");
  readonly database: MediaDatabase;
  readonly hashes: boolean;
  #rows = "";

  constructor(database: MediaDatabase, hashes = true) {
    this.database = database;
    this.hashes = hashes;
    mkdirSync(this.store);
  }

  row(table: string, values: Parameters<typeof insert>[1][number]): this {
    this.#rows += `${insert(table, [values])}\n`;
    return this;
  }

  file(path: string, content: string | Uint8Array): this {
    mkdirSync(dirname(join(this.store, path)), { recursive: true });
    writeFileSync(join(this.store, path), content);
    return this;
  }

  upload(id: string, content: string, more: Parameters<typeof insert>[1][number] = {}): this {
    const path = uploadPath(id);
    if (path !== undefined) this.file(path, content);
    const sha256 = createHash("sha256").update(content).digest("hex");
    return this.row("local_media_repository", {
      media_id: id,
      media_type: "image/png",
      media_length: Buffer.byteLength(content),
      created_ts: Date.UTC(2026, 1, 3),
      user_id: "@alice:example.org",
      ...(this.hashes ? { sha256 } : {}),
      ...more,
    });
  }

  remote(origin: string, id: string, more: Parameters<typeof insert>[1][number] = {}): this {
    return this.row("remote_media_cache", {
      media_origin: origin,
      media_id: id,
      filesystem_id: `${id}fs`,
      media_length: 10,
      created_ts: Date.UTC(2024, 1, 3),
      ...more,
    });
  }

  /** Puts its rows into the database, in the place of all others, and reads its configuration. */
  async homeserver(settings: string): Promise<Homeserver> {
    await this.database.run(`${emptied} ${this.#rows}`);
    writeFileSync(
      join(this.folder, "homeserver.yaml"),
      `${MINIMUM}media_store_path: media_store\n${settings}`,
    );
    return readHomeserver({ configPaths: ["homeserver.yaml"], workingFolder: this.folder }, realFiles);
  }

  async inspect({
    settings = "",
    tools = {},
    progress = noProgress,
    ...asked
  }: Asked = {}): Promise<MediaInspection> {
    const homeserver = await this.homeserver(settings);
    const session = await this.database.connect();
    try {
      const machine = { now: () => NOW };
      const { signal } = new AbortController();
      return await inspectMedia(
        { homeserver, deep: false, ...asked },
        {
          session,
          files: realFiles,
          http: realHttp,
          objects: realObjectStores(signal),
          machine,
          signal,
          ...tools,
        },
        progress,
      );
    } finally {
      await session.close();
    }
  }
}

export const told = ({ findings }: MediaInspection) => findings.map(({ id, level }) => `${id} ${level}`);

export const findingOf = ({ findings }: MediaInspection, id: string) => findings.find((one) => one.id === id);
