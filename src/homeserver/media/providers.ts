import { resolve } from "node:path";
import type { Finding } from "../../report/finding.ts";
import { isMapping } from "../config/setting.ts";
import type { Homeserver } from "../homeserver.ts";
import type { StorageProvider } from "./facts.ts";

/** Names of Synapse's own provider, which keeps files in a folder (synapse/config/repository.py). */
const FOLDER_PROVIDERS = [
  "file_system",
  "synapse.rest.media.v1.storage_provider",
  "synapse.media.storage_provider.FileStorageProviderBackend",
];

/** Where Synapse keeps media besides the media store, in the order in which it asks them. What is no provider is left out. */
export function storageProviders({ settings, workingFolder }: Homeserver): StorageProvider[] {
  const { backup_media_store_path: backup, media_storage_providers: given } = settings;
  if (typeof backup === "string" && backup !== "")
    return [
      { module: "file_system", storeLocal: true, storeRemote: true, folder: resolve(workingFolder, backup) },
    ];
  if (!Array.isArray(given)) return [];
  return given.filter(isMapping).flatMap((provider) => {
    const { module, config } = provider;
    if (typeof module !== "string") return [];
    const folder =
      FOLDER_PROVIDERS.includes(module) && isMapping(config) && typeof config["directory"] === "string"
        ? resolve(workingFolder, config["directory"])
        : null;
    return [
      {
        module,
        storeLocal: Boolean(provider["store_local"]),
        storeRemote: Boolean(provider["store_remote"]),
        folder,
      },
    ];
  });
}

/** Whether an upload may lie where we cannot look: Synapse asks every provider for it, whatever was stored there first. */
export const mayBeElsewhere = (providers: readonly StorageProvider[]) =>
  providers.some(({ folder }) => folder === null);

/** What of their configuration is shown are the names alone: keys to a storage stand there too. */
export function providerFindings({ settings }: Homeserver, providers: readonly StorageProvider[]): Finding[] {
  const findings: Finding[] = [];
  if (providers.length > 0) {
    findings.push({
      id: "media-provider",
      level: "note",
      sentence: `media is kept in ${providers.length === 1 ? "a storage provider" : `${providers.length} storage providers`} too: ${providers.map(({ module, folder }) => folder ?? module).join(", ")}`,
      evidence: providers.map(
        ({ module, storeLocal, storeRemote }) =>
          `${module}: ${storeLocal ? "new uploads are stored" : "new uploads are not stored"} there, media of other servers ${storeRemote ? "too" : "not"}`,
      ),
      hint: "a bundle holds the media store's files only: the new host needs the same providers, with their Python modules, and must reach what they keep",
    });
  }
  if (settings["enable_local_media_storage"] === false) {
    findings.push({
      id: "media-elsewhere",
      level: "warning",
      sentence:
        "enable_local_media_storage is off: uploads are in the storage providers alone, and a bundle will not hold them",
      hint: "give the new host the same providers, and check that it reaches them before it is opened",
    });
  }
  return findings;
}
