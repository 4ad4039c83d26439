/** Account data by type, each as the JSON text that the client wrote. Clients may write anything. */
export type AccountData = Readonly<Record<string, string>>;

/** The secrets that a new device can restore with the recovery key alone. */
export interface SecretStorage {
  readonly backupUnlocks: boolean;
  readonly crossSigningStored: boolean;
}

const CROSS_SIGNING = ["master", "self_signing", "user_signing"].map((key) => `m.cross_signing.${key}`);

/** The account data that `secretStorageOf` and `hasOptedOut` read; a default key's own is `KEY_PREFIX` and its id. */
export const KEY_PREFIX = "m.secret_storage.key.";
export const ACCOUNT_DATA = [
  "m.secret_storage.default_key",
  "m.megolm_backup.v1",
  ...CROSS_SIGNING,
  "m.key_backup",
  "m.org.matrix.custom.backup_disabled",
];

/** The chain from the default key to each secret (Matrix specification, client-server API, Secrets). */
export function secretStorageOf(data: AccountData): SecretStorage {
  const { key: id } = contentOf(data, "m.secret_storage.default_key");
  const usable = typeof id === "string" && "algorithm" in contentOf(data, KEY_PREFIX + id);
  const holds = (secret: string) => usable && isEncryptedWith(id, contentOf(data, secret)["encrypted"]);
  return { backupUnlocks: holds("m.megolm_backup.v1"), crossSigningStored: CROSS_SIGNING.every(holds) };
}

/** `m.key_backup` is the specification's, and counts where it says something; the other is what Element wrote before. */
export function hasOptedOut(data: AccountData): boolean {
  const { enabled } = contentOf(data, "m.key_backup");
  if (typeof enabled === "boolean") return !enabled;
  return contentOf(data, "m.org.matrix.custom.backup_disabled")["disabled"] === true;
}

function isEncryptedWith(id: string, encrypted: unknown): boolean {
  if (!isObject(encrypted) || !Object.hasOwn(encrypted, id)) return false;
  const found = encrypted[id];
  return isObject(found) && ["iv", "ciphertext", "mac"].every((part) => typeof found[part] === "string");
}

/** Empty when there is none, when it was emptied (that is how account data is deleted), and when it is no object. */
function contentOf(data: AccountData, type: string): Readonly<Record<string, unknown>> {
  if (!Object.hasOwn(data, type)) return {};
  try {
    const content: unknown = JSON.parse(data[type]!);
    return isObject(content) ? content : {};
  } catch {
    return {};
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
