import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  encodeFrame,
  FIRST_LINE,
  type Frame,
  type FrameKind,
  LIMITS,
  readFrames,
} from "../../src/pipeline/frames.ts";

const FIRST = Buffer.from(FIRST_LINE);

async function* cutInto(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

async function framesOf(bytes: Uint8Array, size = 65536): Promise<Frame[]> {
  const found: Frame[] = [];
  for await (const frame of readFrames(cutInto(bytes, size))) found.push(frame);
  return found;
}

/** Neighbouring pieces of streams as one: how they are cut is nobody's business. */
function joined(frames: readonly Frame[]): [FrameKind, string][] {
  const found: [FrameKind, string][] = [];
  for (const { kind, bytes } of frames) {
    const text = Buffer.from(bytes).toString("hex");
    const last = found.at(-1);
    if (kind === "data" && last?.[0] === "data") last[1] += text;
    else if (kind !== "data" || text !== "") found.push([kind, text]);
  }
  return found;
}

const frame = fc.record({
  kind: fc.constantFrom<FrameKind>("message", "data", "end", "failure"),
  bytes: fc.uint8Array({ maxLength: 600 }),
});

test("what was said is heard, however it was cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(frame, { maxLength: 8 }),
      fc.integer({ min: 1, max: 50 }),
      async (said, size) => {
        const bytes = Buffer.concat([FIRST, ...said.map(({ kind, bytes }) => encodeFrame(kind, bytes))]);
        assert.deepEqual(joined(await framesOf(bytes, size)), joined(said));
      },
    ),
  );
});

test("a piece of a stream that is longer than a frame is sent as several", async () => {
  const long = new Uint8Array(LIMITS.data * 2 + 1).fill(7);
  const heard = await framesOf(Buffer.concat([FIRST, encodeFrame("data", long)]));
  assert.ok(heard.every(({ bytes }) => bytes.length <= LIMITS.data));
  assert.ok(Buffer.concat(heard.map(({ bytes }) => bytes)).equals(long));
});

test("whatever is cut off in the middle of a frame is an error, and not an end", async () => {
  const whole = Buffer.concat([
    FIRST,
    encodeFrame("message", Buffer.from("{}")),
    encodeFrame("data", Buffer.from("xyz")),
  ]);
  const ends = new Set([whole.length, FIRST.length, FIRST.length + 7]);
  for (let length = 0; length <= whole.length; length += 1) {
    const reading = framesOf(whole.subarray(0, length), 3);
    if (ends.has(length)) await reading;
    else
      await assert.rejects(
        reading,
        { code: "connection-failed", message: /connection was lost/ },
        String(length),
      );
  }
});

test("a login shell that prints something is named by what it printed", async () => {
  const banner = Buffer.from("Welcome to Debian!\nLast login: never\n");
  await assert.rejects(framesOf(Buffer.concat([banner, FIRST]), 4), {
    code: "connection-failed",
    message: /it sent "Welc/,
    hint: /login script/,
  });
  await assert.rejects(framesOf(banner), { message: /it sent "Welcome to Debian!"/ });
});

test("a frame that claims to be huge is refused before anything of it is kept", async () => {
  for (const kind of [1, 2, 3, 4]) {
    const lie = Buffer.from([kind, 0xff, 0xff, 0xff, 0xff]);
    await assert.rejects(framesOf(Buffer.concat([FIRST, lie])), { message: /frame of 4294967295 bytes/ });
  }
});

test("garbage is an error, whatever it is", async () => {
  await assert.rejects(framesOf(Buffer.concat([FIRST, Buffer.from("GET / HTTP/1.1\r\n\r\n")])), {
    code: "connection-failed",
    message: /does not speak synlift's protocol/,
  });
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
      try {
        await framesOf(Buffer.concat([FIRST, bytes]), 7);
      } catch (error) {
        assert.equal((error as { code?: string }).code, "connection-failed");
      }
    }),
  );
});
