import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import { addressFamily } from "../../system/ip-address.ts";
import { parseServerName } from "../server-name.ts";
import type { PublicKey } from "../signed-json.ts";

/** How clients and servers should find the homeserver. What is undefined or empty is not compared with anything. */
export interface Expected {
  readonly clientUrl: string | undefined;
  /** As `m.server` has it: "matrix.example.org:443". */
  readonly federation: string | undefined;
  readonly keys: readonly PublicKey[];
  /** The addresses of the new host. */
  readonly addresses: readonly string[];
  /** By path below `/.well-known/`: "matrix/client". */
  readonly files: Readonly<Record<string, unknown>>;
  /** Who may use what was there before, and until when. */
  readonly caches: readonly { readonly what: string; readonly until: number }[];
}

export const NOTHING_EXPECTED: Expected = {
  clientUrl: undefined,
  federation: undefined,
  keys: [],
  addresses: [],
  files: {},
  caches: [],
};

/** "ed25519:a_EUHY BASE64", as `open` and the inventory write it. Throws `bad-usage`. */
export function parseKey(text: string): PublicKey {
  const [id = "", key = "", ...more] = text.trim().split(/\s+/);
  const publicKey = key.replace(/=+$/, "");
  if (/^ed25519:\w+$/.test(id) && Buffer.from(publicKey, "base64").length === 32 && more.length === 0)
    return { id, publicKey };
  // The text is not repeated: somebody may have given a line of the key file, which is secret.
  throw new MigrationError("bad-usage", "--signing-key: this is not a key id and a public key", {
    hint: "write both in quotes: 'ed25519:a_EUHY AbCd…', as /_matrix/key/v2/server shows them, not the line of the key file",
  });
}

/** "https://matrix.example.org", without a slash at its end. Throws `bad-usage`. */
export function parseClientUrl(text: string): string {
  const url = URL.parse(text);
  const plain = url?.username === "" && url.password === "" && url.search === "" && url.hash === "";
  if (plain && /^https?:$/.test(url.protocol)) return url.href.replace(/\/+$/, "");
  // The text is not repeated: there may be a password in it.
  throw new MigrationError("bad-usage", "--client-url: this is not the base address of a homeserver", {
    hint: "write it as clients get it: https://matrix.example.org",
  });
}

/** "matrix.example.org:443". Throws `bad-usage`. */
export function parseFederation(text: string): string {
  const name = parseServerName(text);
  if (name) return name.text;
  const ascii = URL.parse(`https://${text}/`)?.host;
  throw new MigrationError("bad-usage", `--federation: ${text} is not a host name with an optional port`, {
    hint:
      ascii !== undefined && ascii !== text && parseServerName(ascii) !== undefined
        ? `write it in ASCII: ${ascii}`
        : "write what m.server contains: matrix.example.org:443",
  });
}

/** An IP address. Throws `bad-usage`. */
export function parseAddress(text: string): string {
  if (addressFamily(text) !== 0) return text.toLowerCase();
  throw new MigrationError("bad-usage", `${text} is not an IP address`, {
    hint: "write 192.0.2.7 or 2001:db8::7",
  });
}

const fileSchema = z.object({
  format: z.literal(1),
  serverName: z.string(),
  clientUrl: z.string().transform(parseClientUrl).optional(),
  federation: z.string().transform(parseFederation).optional(),
  signingKeys: z.array(z.string().transform(parseKey)).default([]),
  addresses: z.array(z.string().transform(parseAddress)).default([]),
  wellKnown: z.record(z.string(), z.unknown()).default({}),
  caches: z
    .array(z.object({ what: z.string(), until: z.iso.datetime().transform((text) => Date.parse(text)) }))
    .default([]),
});

/** Reads what `expectedJson` wrote. Throws `bad-usage` for anything else, and for what is expected of another server. */
export function readExpected(
  text: string,
  { path, serverName }: { path: string; serverName: string },
): Expected {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new MigrationError("bad-usage", `${path} is not JSON`, { hint: WROTE });
  }
  const parsed = fileSchema.safeParse(value);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
    throw new MigrationError("bad-usage", `${path} does not say what to expect: ${faults.join("; ")}`, {
      hint: WROTE,
    });
  }
  const { data } = parsed;
  if (data.serverName !== serverName)
    throw new MigrationError("bad-usage", `${path} is for ${data.serverName}, not for ${serverName}`, {
      hint: "give the file that was written for this server name",
    });
  return {
    clientUrl: data.clientUrl,
    federation: data.federation,
    keys: data.signingKeys,
    addresses: data.addresses,
    files: data.wellKnown,
    caches: data.caches,
  };
}

const WROTE = "give the expected.json that synlift delegation files wrote";
/** The content of `expected.json`. */
export const expectedJson = (
  serverName: string,
  { clientUrl, federation, keys, addresses, files, caches }: Expected,
): string =>
  `${JSON.stringify(
    {
      format: 1,
      serverName,
      clientUrl,
      federation,
      signingKeys: keys.map(({ id, publicKey }) => `${id} ${publicKey}`),
      addresses,
      wellKnown: files,
      caches: caches.map(({ what, until }) => ({ what, until: new Date(until).toISOString() })),
    },
    undefined,
    2,
  )}\n`;
