/** A key as gpg lists it. */
export interface ListedKey {
  /** Whether this is a secret key, not a public key. */
  readonly secret: boolean;
  /** Of the primary key first, then of its subkeys; upper-case hexadecimal. */
  readonly fingerprints: readonly string[];
  /** Its first user ID; empty when it has none. */
  readonly name: string;
  readonly state: KeyState;
  /** Whether it can be used for encryption now. */
  readonly canEncrypt: boolean;
  /** When it expires or expired for encryption, in milliseconds since 1970; undefined when it does not expire. */
  readonly encryptsUntil: number | undefined;
  /** Whether the secret key for decryption is available, on disk or on a smartcard. */
  readonly canDecrypt: boolean;
}

type KeyState = "usable" | "expired" | "revoked" | "disabled" | "invalid";

interface KeyRecord {
  readonly type: string;
  readonly validity: string;
  readonly expires: number | undefined;
  readonly capabilities: string;
  readonly token: string;
}

/**
 * Parses the output of `gpg --with-colons` (gnupg, doc/DETAILS): one record per line, fields separated by colons. In
 * the record of a primary key, upper-case capabilities are those of the whole key with its subkeys.
 */
export function parseListing(text: string): ListedKey[] {
  const keys: ListedKey[] = [];
  let pieces: KeyRecord[] = [];
  let fingerprints: string[] = [];
  let names: string[] = [];
  const close = () => {
    if (pieces.length > 0) keys.push(keyOf(pieces, fingerprints, names[0] ?? ""));
    [pieces, fingerprints, names] = [[], [], []];
  };
  for (const line of text.split("\n")) {
    const fields = line.split(":");
    const type = fields[0]!;
    if (type === "pub" || type === "sec") close();
    if (["pub", "sec", "sub", "ssb"].includes(type)) pieces.push(pieceOf(fields));
    if (pieces.length === 0) continue;
    if (type === "fpr" && fields[9]) fingerprints.push(fields[9]);
    if (type === "uid") names.push(unescaped(fields[9] ?? ""));
  }
  close();
  return keys;
}

function keyOf(pieces: readonly KeyRecord[], fingerprints: readonly string[], name: string): ListedKey {
  const primary = pieces[0]!;
  const state = stateOf(primary);
  const encrypting = pieces.filter((piece) => piece.capabilities.includes("e"));
  const usable = encrypting.filter((piece) => stateOf(piece) === "usable");
  // The latest expiry of a subkey, but not later than that of the primary key.
  const ends = (usable.length > 0 ? usable : encrypting).map(({ expires }) => expires ?? Infinity);
  const until = Math.min(primary.expires ?? Infinity, ends.length === 0 ? Infinity : Math.max(...ends));
  return {
    secret: primary.type === "sec",
    fingerprints,
    name,
    // If the primary key is valid, the state of its encryption subkeys says why it cannot encrypt.
    state: state === "usable" && usable.length === 0 && encrypting[0] ? stateOf(encrypting[0]) : state,
    canEncrypt: state === "usable" && primary.capabilities.includes("E"),
    encryptsUntil: until === Infinity ? undefined : until,
    // "#": the secret key is not available.
    canDecrypt: encrypting.some(({ type, token }) => (type === "sec" || type === "ssb") && token !== "#"),
  };
}

const pieceOf = (fields: readonly string[]): KeyRecord => ({
  type: fields[0]!,
  validity: fields[1] ?? "",
  expires: momentOf(fields[6] ?? ""),
  capabilities: fields[11] ?? "",
  token: fields[14] ?? "",
});

function stateOf({ validity, capabilities }: KeyRecord): KeyState {
  if (validity === "r") return "revoked";
  if (validity === "e") return "expired";
  if (validity === "d" || capabilities.includes("D")) return "disabled";
  return validity === "i" || validity === "n" ? "invalid" : "usable";
}

/** Seconds since 1970, or "20260102T030405". */
function momentOf(text: string): number | undefined {
  if (text === "") return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  return Date.parse(text.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)$/, "$1-$2-$3T$4:$5:$6Z"));
}

/** As in C strings: "\x3a" is a colon. */
const unescaped = (text: string) =>
  text.replace(/\\x([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
