import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  type HomeserverFolder,
  type HomeserverFolderOptions,
  makeHomeserverFolder,
} from "./lab/homeserver-folder.ts";
import { uploadBytes, UPLOADS } from "./mini-synapse.ts";

/** What belongs on disk to a database of `makeMiniSynapse`: a homeserver that nobody starts, and that can be moved. */
export async function makeSmallHomeserver(options: HomeserverFolderOptions): Promise<HomeserverFolder> {
  const home = await makeHomeserverFolder({ serverName: "example.org", ...options });
  for (const [index, id] of UPLOADS.entries()) {
    const path = join(home.mediaStorePath, "local_content", id.slice(0, 2), id.slice(2, 4), id.slice(4));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, uploadBytes(index));
  }
  const thumbnail = join(home.mediaStorePath, "local_thumbnails/AA/aa/FirstUpload/32-32-image-png-scale");
  mkdirSync(dirname(thumbnail), { recursive: true });
  writeFileSync(thumbnail, "a small picture");
  return home;
}

/** Arguments of `export` for it, for a bundle in that folder. */
export const exportOf = ({ configFile, dataFolder }: HomeserverFolder, out: string): string[] => [
  ...["export", "--config", configFile, "--working-directory", dataFolder, "--out", out, "--json"],
];
