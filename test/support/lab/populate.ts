import { createHash, randomBytes } from "node:crypto";
import { crc32, deflateSync } from "node:zlib";
import { type EncryptedConversation, holdEncryptedConversation } from "./encrypted-conversation.ts";
import { type MatrixClient, register } from "./matrix-client.ts";

/** A homeserver worth moving, and all that a test needs to know about it later. */
export interface Population {
  readonly admin: MatrixClient;
  readonly alice: MatrixClient;
  readonly bob: MatrixClient;
  readonly carol: MatrixClient;
  /** Everybody's password, by localpart. */
  readonly passwords: Readonly<Record<string, string>>;
  readonly rooms: { readonly public: PlainRoom; readonly private: PlainRoom; readonly direct: PlainRoom };
  readonly publicAlias: string;
  readonly encrypted: EncryptedConversation;
  readonly media: readonly KnownMedia[];
  /** One of `media`, shown as alice's avatar. */
  readonly avatar: string;
}

interface PlainRoom {
  readonly id: string;
  /** Those that were sent, in order; bob is in each of these rooms and can read them. */
  readonly messages: readonly string[];
}

interface KnownMedia {
  readonly mxc: string;
  /** As it was given; Synapse keeps it in its database only. */
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly sha256: string;
}

const SAYINGS = [
  "hello",
  "ünïcödé ✓ — 日本語, العربية, עברית",
  "a family of one character: 👩‍👩‍👧‍👦",
  "quotes ' \" ` and a back\\slash; -- drop table events",
  "two\nlines\tand a tab",
  "long: " + "word ".repeat(400).trim(),
];

/** Fills a running Synapse through its client API, as people and their clients would. */
export async function populate(baseUrl: string, sharedSecret: string): Promise<Population> {
  const passwords = {
    admin: "pw-admin",
    alice: "pw alice ü",
    bob: "pw'bob\"",
    carol: "pw-carol-" + "x".repeat(40),
  };
  const person = (name: keyof typeof passwords) =>
    register(baseUrl, sharedSecret, { name, password: passwords[name], admin: name === "admin" });
  const [admin, alice, bob, carol] = [
    await person("admin"),
    await person("alice"),
    await person("bob"),
    await person("carol"),
  ];

  const publicRoom = await makeRoom(alice, [bob, carol], {
    name: "Market",
    preset: "public_chat",
    room_alias_name: "market",
  });
  const privateRoom = await makeRoom(bob, [alice], { name: "Back room ‹ü›", preset: "private_chat" });
  const direct = await makeRoom(carol, [bob], { preset: "trusted_private_chat", is_direct: true });

  const media: KnownMedia[] = [];
  for (const file of files()) {
    const known = await upload(alice, file);
    media.push(known);
    await alice.send(publicRoom.id, {
      msgtype: known.type === "image/png" ? "m.image" : "m.file",
      body: known.name,
      url: known.mxc,
    });
  }
  const avatar = media[0]!.mxc;
  await alice.call(
    "PUT",
    `/_matrix/client/v3/profile/${encodeURIComponent(alice.session.userId)}/avatar_url`,
    {
      avatar_url: avatar,
    },
  );

  return {
    admin,
    alice,
    bob,
    carol,
    passwords,
    rooms: { public: withNames(publicRoom, media), private: privateRoom, direct },
    publicAlias: `#market:${alice.session.userId.split(":").slice(1).join(":")}`,
    encrypted: await holdEncryptedConversation(alice, bob),
    media,
    avatar,
  };
}

async function makeRoom(
  owner: MatrixClient,
  others: readonly MatrixClient[],
  options: object,
): Promise<PlainRoom> {
  const invite = others.map(({ session }) => session.userId);
  const id = await owner.createRoom({ ...options, invite });
  for (const other of others) await other.join(id);
  const speakers = [owner, ...others];
  for (const [turn, saying] of SAYINGS.entries()) await speakers[turn % speakers.length]!.send(id, saying);
  return { id, messages: SAYINGS };
}

/** A message with a file in it has the file's name as its body. */
function withNames(room: PlainRoom, media: readonly KnownMedia[]): PlainRoom {
  return { id: room.id, messages: [...room.messages, ...media.map(({ name }) => name)] };
}

interface File {
  readonly name: string;
  readonly type: string;
  readonly bytes: Uint8Array;
}

async function upload(client: MatrixClient, { name, type, bytes }: File): Promise<KnownMedia> {
  const mxc = await client.upload(bytes, type, name);
  return { mxc, name, type, size: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
}

/** Several kinds, with the names that break careless archives. */
function files(): File[] {
  const binary = "application/octet-stream";
  return [
    { name: "face.png", type: "image/png", bytes: smallPicture(640, 480) },
    { name: "報告 – vidéo №1.bin", type: binary, bytes: randomBytes(300_000) },
    {
      name: "notes.txt",
      type: "text/plain",
      bytes: new TextEncoder().encode("a line of a log file\n".repeat(2_000)),
    },
    { name: `a "quoted" 'name'.bin`, type: binary, bytes: randomBytes(1_000) },
    { name: "../../etc/passwd", type: binary, bytes: randomBytes(10) },
  ];
}

/** A real PNG with a slope of colours, big enough for Synapse to make thumbnails of it. */
export function smallPicture(width: number, height: number): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8); // eight bits each of red, green and blue
  const rows = Array.from({ length: height }, (_, y) => {
    const row = Buffer.alloc(1 + 3 * width); // the first byte: this row is not filtered
    for (let x = 0; x < width; x++) row.set([x & 255, y & 255, (x + y) & 255], 1 + 3 * x);
    return row;
  });
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const pixels = deflateSync(Buffer.concat(rows));
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", pixels),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(type: string, body: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, "latin1"), body]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(named));
  return Buffer.concat([length, named, sum]);
}
