import { resolve } from "node:path";
import type { Finding } from "../../../report/finding.ts";
import type { ObjectStoreAddress } from "../../../system/s3/object-store.ts";
import type { Homeserver } from "../../homeserver.ts";
import { isMapping } from "../../settings.ts";
import type { StorageProvider } from "../facts.ts";

/** Names of Synapse's own provider, which keeps files in a folder (synapse/config/repository.py). */
const FOLDER_PROVIDERS = [
  "file_system",
  "synapse.rest.media.v1.storage_provider",
  "synapse.media.storage_provider.FileStorageProviderBackend",
];

/** Names of the provider that keeps files in a bucket (synapse-s3-storage-provider, README.md). */
const BUCKET_PROVIDER = "s3_storage_provider.S3StorageProviderBackend";

/** A provider with its own settings, which may hold keys. */
export interface ConfiguredProvider extends StorageProvider {
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Where Synapse keeps media besides the media store, in the order in which it asks them. What is no provider is left out. */
export function storageProviders({ settings, workingFolder }: Homeserver): ConfiguredProvider[] {
  const { backup_media_store_path: backup, media_storage_providers: given } = settings;
  if (typeof backup === "string" && backup !== "")
    return [
      {
        module: "file_system",
        storeLocal: true,
        storeRemote: true,
        folder: resolve(workingFolder, backup),
        bucket: null,
        settings: {},
      },
    ];
  if (!Array.isArray(given)) return [];
  return given.filter(isMapping).flatMap((provider) => {
    const { module, config } = provider;
    if (typeof module !== "string") return [];
    const own = isMapping(config) ? config : {};
    const folder =
      FOLDER_PROVIDERS.includes(module) && typeof own["directory"] === "string"
        ? resolve(workingFolder, own["directory"])
        : null;
    return [
      {
        module,
        storeLocal: Boolean(provider["store_local"]),
        storeRemote: Boolean(provider["store_remote"]),
        folder,
        bucket: (module === BUCKET_PROVIDER && bucketOf(own)?.bucket) || null,
        settings: module === BUCKET_PROVIDER ? own : {},
      },
    ];
  });
}

/** What of it is told of: never its own settings. */
export const withoutSettings = ({ module, storeLocal, storeRemote, folder, bucket }: StorageProvider) => ({
  module,
  storeLocal,
  storeRemote,
  folder,
  bucket,
});

/** The bucket that a provider's settings name, as s3_storage_provider.py reads them; undefined when they name none. */
export function bucketOf(settings: ConfiguredProvider["settings"]): ObjectStoreAddress | undefined {
  const text = (name: string) => {
    const value = settings[name];
    return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
  };
  const bucket = text("bucket");
  if (bucket === undefined || bucket === "") return undefined;
  const [endpoint, region, accessKeyId, secretAccessKey] = [
    ...[text("endpoint_url"), text("region_name"), text("access_key_id"), text("secret_access_key")],
  ];
  const [sessionToken, key] = [text("session_token"), text("sse_customer_key")];
  return {
    bucket,
    prefix: text("prefix") ?? "",
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(accessKeyId !== undefined && secretAccessKey !== undefined
      ? {
          credentials: {
            accessKeyId,
            secretAccessKey,
            ...(sessionToken === undefined ? {} : { sessionToken }),
          },
        }
      : {}),
    ...(key === undefined ? {} : { customerKey: { key, algorithm: text("sse_customer_algo") ?? "AES256" } }),
  };
}

/** Whether an upload may lie where we cannot look: Synapse asks every provider for it, whatever was stored there first. */
export const hasUnreadableProvider = (providers: readonly StorageProvider[]) =>
  providers.some(({ folder, bucket }) => folder === null && bucket === null);

/** What of their configuration is shown are the names alone: keys to a storage stand there too. */
export function providerFindings({ settings }: Homeserver, providers: readonly StorageProvider[]): Finding[] {
  const findings: Finding[] = [];
  const named = providers.map(({ module, folder, bucket }) => folder ?? bucket ?? module).join(", ");
  if (providers.length > 0) {
    findings.push({
      id: "media-provider",
      level: "note",
      sentence: `media is kept in ${providers.length === 1 ? "a storage provider" : `${providers.length} storage providers`} too: ${named}`,
      evidence: providers.map(
        ({ module, storeLocal, storeRemote }) =>
          `${module}: ${storeLocal ? "new uploads are stored" : "new uploads are not stored"} there, media of other servers ${storeRemote ? "too" : "not"}`,
      ),
      hint: hasUnreadableProvider(providers)
        ? "files that only such a provider has are not packed: the new host needs the same provider, with its Python module, and access to its storage"
        : "uploads that are only there are packed from there; the new host keeps the setting, so it needs the same Python modules, or remove the setting",
    });
  }
  if (settings["enable_local_media_storage"] === false) {
    findings.push({
      id: "media-external",
      level: "warning",
      sentence: "enable_local_media_storage is off: Synapse looks for uploads in the storage providers alone",
      hint: "configure the same providers on the new host, and check that it reaches them before it is opened; or remove the setting there, so that it uses the restored files",
    });
  }
  return findings;
}
