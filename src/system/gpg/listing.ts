/** A key as gpg lists it. */
export interface ListedKey {
  /** What was listed is a secret key, not the public one. */
  readonly secret: boolean;
  /** Of the key itself first, then of its subkeys; upper-case hexadecimal. */
  readonly fingerprints: readonly string[];
  /** Its first user id, as its owner wrote it; empty when it has none. */
  readonly name: string;
  readonly state: KeyState;
  /** Whether anything can be encrypted to it now. */
  readonly encrypts: boolean;
  /** When that ends or ended, in milliseconds since 1970; undefined when it never does. */
  readonly encryptsUntil: number | undefined;
  /** Whether the secret half that opens what is encrypted to it is at hand: on the disk or on a token. */
  readonly opens: boolean;
}

export type KeyState = "usable" | "expired" | "revoked" | "disabled" | "invalid";

interface Piece {
  readonly type: string;
  readonly validity: string;
  readonly expires: number | undefined;
  readonly capabilities: string;
  readonly token: string;
}

/**
 * The keys in what `gpg --with-colons` prints (gnupg, doc/DETAILS): a record a line, its fields divided by colons. Of
 * a key's own record, capital letters among the capabilities say what the key with all its subkeys can do now.
 */
export function parseListing(text: string): ListedKey[] {
  const keys: ListedKey[] = [];
  let pieces: Piece[] = [];
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

function keyOf(pieces: readonly Piece[], fingerprints: readonly string[], name: string): ListedKey {
  const primary = pieces[0]!;
  const state = stateOf(primary);
  const encrypting = pieces.filter((piece) => piece.capabilities.includes("e"));
  const usable = encrypting.filter((piece) => stateOf(piece) === "usable");
  // The subkey that lasts longest, but no longer than the key itself.
  const ends = (usable.length > 0 ? usable : encrypting).map(({ expires }) => expires ?? Infinity);
  const until = Math.min(primary.expires ?? Infinity, ends.length === 0 ? Infinity : Math.max(...ends));
  return {
    secret: primary.type === "sec",
    fingerprints,
    name,
    // Of a key that is well itself, what happened to its only subkeys for encryption says why it cannot encrypt.
    state: state === "usable" && usable.length === 0 && encrypting[0] ? stateOf(encrypting[0]) : state,
    encrypts: state === "usable" && primary.capabilities.includes("E"),
    encryptsUntil: until === Infinity ? undefined : until,
    // "#": the secret part is not there.
    opens: encrypting.some(({ type, token }) => (type === "sec" || type === "ssb") && token !== "#"),
  };
}

const pieceOf = (fields: readonly string[]): Piece => ({
  type: fields[0]!,
  validity: fields[1] ?? "",
  expires: momentOf(fields[6] ?? ""),
  capabilities: fields[11] ?? "",
  token: fields[14] ?? "",
});

function stateOf({ validity, capabilities }: Piece): KeyState {
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
