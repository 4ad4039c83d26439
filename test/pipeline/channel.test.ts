import assert from "node:assert/strict";
import { PassThrough, Transform } from "node:stream";
import { test } from "node:test";
import { MigrationError } from "../../src/errors.ts";
import { Channel } from "../../src/pipeline/channel.ts";
import { encodeFrame, FIRST_LINE } from "../../src/pipeline/frames.ts";
import type { Bytes } from "../../src/pipeline/transform.ts";
import { parentPeer } from "../../src/system/programs/peer.ts";

const NEVER = new AbortController().signal;

/** Copies, as a pipe of the kernel does: what was written may be overwritten. */
const pipe = () =>
  new Transform({
    transform: (chunk: Buffer, _, done) => {
      done(null, Buffer.from(chunk));
    },
  });

/** Two that talk with each other, and the pipes between them. */
async function pair(options: { timeout?: number; keepAliveInterval?: number } = {}) {
  const [there, back] = [pipe(), pipe()];
  const here = await Channel.open(parentPeer(back, there, NEVER), {
    peerLocation: "on the old host",
    ...options,
  });
  const other = await Channel.open(parentPeer(there, back, NEVER), {
    peerLocation: "on the new host",
    ...options,
  });
  const leave = () => {
    here.close();
    other.close();
  };
  return { here, other, there, back, leave };
}

async function* chunks(...texts: string[]): Bytes {
  for (const text of texts) yield await Promise.resolve(Buffer.from(text));
}

async function textOf(source: Bytes): Promise<string> {
  let text = "";
  for await (const chunk of source) text += Buffer.from(chunk).toString();
  return text;
}

test("messages and streams arrive in turn, and a message may come in a stream before its end", async () => {
  const { here, other, leave } = await pair();
  const heard: unknown[] = [];
  const receiving = (async () => {
    heard.push(await other.receiveMessage());
    const text = await textOf(other.receiveStream((message) => Promise.resolve(void heard.push(message))));
    return [text, await other.receiveMessage()];
  })();
  await here.sendMessage({ type: "first" });
  await here.sendStream(chunks("a", "", "bc"), () => here.sendMessage({ counted: 3 }));
  await here.sendMessage({ type: "last" });
  assert.deepEqual(await receiving, ["abc", { type: "last" }]);
  assert.deepEqual(heard, [{ type: "first" }, { counted: 3 }]);
  leave();
});

test("a stream whose source breaks never ends well on the other side", async () => {
  const { here, other, there, leave } = await pair();
  const receiving = textOf(other.receiveStream());
  const broken = async function* (): Bytes {
    yield* chunks("half");
    throw new MigrationError("program-failed", "pg_dump failed with exit code 1", { hint: "see its log" });
  };
  await here.sendStream(broken()).catch((error: unknown) => here.sendError(error));
  await assert.rejects(receiving, {
    code: "program-failed",
    message: "on the new host: pg_dump failed with exit code 1",
    hint: "on the new host: see its log",
  });
  there.end();
  leave();
});

test("a stream that is not what was sent is an error, and so is one that just ends", async () => {
  const lie = encodeFrame("end", Buffer.from(JSON.stringify({ size: 3, sha256: "0".repeat(64) })));
  for (const [last, words] of [
    [lie, /do not match the size and hash that it announced/],
    [new Uint8Array(), /ended too early/],
    [encodeFrame("end", Buffer.from("null")), /do not match the size and hash that it announced/],
    [encodeFrame("end", Buffer.from("{")), /not JSON/],
    [encodeFrame("message", Buffer.from("{}")), /a message in a stream/],
  ] as const) {
    const { other, there, leave } = await pair();
    there.write(encodeFrame("data", Buffer.from("abc")));
    there.end(last);
    await assert.rejects(textOf(other.receiveStream()), { code: "connection-failed", message: words });
    leave();
  }
});

test("an unexpected error is reported without its message, and an unknown code is still a failure", async () => {
  const { here, other, there, leave } = await pair();
  await here.sendError(new Error("secret in here"));
  await assert.rejects(other.receiveMessage(), { code: "program-failed", message: /unexpected error/ });
  there.write(encodeFrame("failure", Buffer.from('{"code":"__proto__","message":7}')));
  await assert.rejects(other.receiveMessage(), {
    code: "program-failed",
    message: /failed without a message/,
  });
  leave();
});

test("a peer that is silent for too long is given up, and one that is only slow is not", async () => {
  const { other, leave } = await pair({ timeout: 40, keepAliveInterval: 100_000 });
  await assert.rejects(other.receiveMessage(), {
    code: "connection-failed",
    message: /no data from .* for 0.04 seconds/,
  });
  leave();
  const slow = await pair({ timeout: 1200, keepAliveInterval: 20 });
  // The timers alone keep nothing alive: that is what they are for here.
  const keep = setInterval(() => undefined, 10);
  const hearing = slow.other.receiveMessage();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await slow.here.sendMessage({ late: true });
  assert.deepEqual(await hearing, { late: true });
  clearInterval(keep);
  slow.leave();
});

test("whoever talks to nobody is told", async () => {
  const gone = new PassThrough();
  gone.destroy();
  const peer = parentPeer(new PassThrough(), gone, NEVER);
  await assert.rejects(peer.write(Buffer.from(FIRST_LINE)), { code: "connection-failed" });
});

test("a run that is to stop stops waiting for the other side", async () => {
  const stop = new AbortController();
  const [input, output] = [new PassThrough(), new PassThrough({ highWaterMark: 1 })];
  const channel = await Channel.open(parentPeer(input, output.resume(), stop.signal), {
    peerLocation: "there",
  });
  const hearing = channel.receiveMessage();
  stop.abort(new Error("stop"));
  await assert.rejects(hearing, /stop/);
  channel.close();
});
