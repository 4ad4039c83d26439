import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { listExistingMedia, type MediaCount } from "../../../homeserver/media/pack/existing.ts";
import { restoreMedia } from "../../../homeserver/media/restore.ts";
import { isStorePath } from "../../../homeserver/media/store/layout.ts";
import type { Channel } from "../../../pipeline/channel.ts";
import { limitRate } from "../../../pipeline/limit-rate.ts";
import type { Bytes } from "../../../pipeline/transform.ts";
import type { Finding } from "../../../report/finding.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import { answerOf, withSource } from "../ask-source.ts";
import type { OldHost } from "../../connect.ts";
import { type FollowAnswers, type FollowRequests, parseFollowAnswer } from "../protocol.ts";
import type { MediaRecord } from "./record.ts";
import { assertRoomForMedia, whileRoom } from "./room.ts";
import { openWritten, type WrittenList } from "./written.ts";

/** What one pass has brought. */
export interface PassResult {
  /** What is here now, of the old server's media. */
  readonly here: MediaCount;
  readonly came: MediaCount;
  /** What the old server has. */
  readonly all: MediaCount;
  readonly findings: readonly Finding[];
  readonly changed: readonly string[];
  readonly changedCount: number;
}

/** Told while a pass runs. */
export interface PassWatch {
  /** What there is to come is known, or as good as known. */
  found(toCome: MediaCount): void;
  /** Bytes of the stream came. */
  received(bytes: number): void;
  /** A file is about to be written. */
  began(): void;
}

/** Bytes of the key that names are hashed with: each pass has one of its own. */
const KEY_BYTES = 32;

/**
 * One pass: the old host is told what is here, and sends the rest, which is written as `pull` does it. Nothing that is there is read. May be
 * broken off at any moment and repeated; what is on disk by then is not sent again. Throws `disk-full`, `connection-failed`, what the old
 * host reports, and what writing files does.
 */
export async function runMediaPass(
  { record, configDir, old }: { record: MediaRecord; configDir: string; old: OldHost },
  system: System,
  progress: Pick<Progress, "note">,
  watch: PassWatch,
): Promise<PassResult> {
  const { files, machine, signal } = system;
  const written = await openWritten(configDir, files, machine);
  let working: Promise<PassResult> | undefined;
  const stopped = Promise.withResolvers<never>();
  stopped.promise.catch(() => undefined);
  const stop = () => {
    stopped.reject(signal.reason as Error);
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    signal.throwIfAborted();
    return await withSource(
      old,
      (channel) => {
        working = new Pass(channel, record, written, system, progress, watch).run();
        // Once this is left, the program that carries the connection is ended, and with it what reads from it.
        return Promise.race([working, stopped.promise]);
      },
      system,
      progress,
    );
  } finally {
    signal.removeEventListener("abort", stop);
    await Promise.allSettled([working]);
    await written.close();
  }
}

class Pass {
  readonly #channel: Channel;
  readonly #record: MediaRecord;
  readonly #written: WrittenList;
  readonly #system: System;
  readonly #progress: Pick<Progress, "note">;
  readonly #watch: PassWatch;

  constructor(
    channel: Channel,
    record: MediaRecord,
    written: WrittenList,
    system: System,
    progress: Pick<Progress, "note">,
    watch: PassWatch,
  ) {
    this.#channel = channel;
    this.#record = record;
    this.#written = written;
    this.#system = system;
    this.#progress = progress;
    this.#watch = watch;
  }

  async run(): Promise<PassResult> {
    const channel = this.#channel;
    const { dir } = this.#record;
    const { files, machine } = this.#system;
    const key = machine.random(KEY_BYTES);
    await channel.sendMessage({
      type: "media",
      key: Buffer.from(key).toString("base64"),
    } satisfies FollowRequests["media"]);
    const here: MediaCount = { files: 0, bytes: 0 };
    await channel.sendStream(listExistingMedia(dir, key, files, { count: here }));
    this.#assertIsHere(here);
    const found = await answerOf(channel, "media-found", this.#progress);
    const { all } = found;
    const toCome = found.toCome ?? difference(all, here);
    await assertRoomForMedia(dir, toCome.bytes, files);
    this.#watch.found(toCome);
    await channel.sendMessage({ type: "media-go" } satisfies FollowRequests["media-go"]);
    const came = { files: 0, bytes: 0 };
    let said = await this.#next();
    if (said.type === "artifact") {
      const restored = await this.#receive();
      came.files = restored.written;
      came.bytes = restored.bytes;
      said = await this.#next();
    }
    if (said.type !== "media-sent")
      throw new MigrationError("connection-failed", `the old host sent "${said.type}" at the wrong time`, {
        hint: "use the same version of synlift on both hosts, and run the same command again",
      });
    // What was read of them is not what they are: the next pass, or `pull`, has them sent again.
    for (const name of said.broken) if (isStorePath(name)) await files.remove(join(dir, name));
    await this.#written.sync();
    if (came.files > 0) await files.syncAll(dir);
    return {
      here: { files: here.files + came.files, bytes: here.bytes + came.bytes },
      came,
      all,
      findings: found.findings as Finding[],
      changed: said.changed,
      changedCount: said.changedCount,
    };
  }

  /** Otherwise all of it would be copied once more, to another disk than it was meant for. */
  #assertIsHere(here: MediaCount): void {
    const { dir, last } = this.#record;
    if (here.files > 0 || !last || last.here.files === 0) return;
    throw new MigrationError("file-missing", `the media that were copied to ${dir} are not there any more`, {
      hint: `mount the disk that they are on; if they were deleted on purpose, remove follow-media.json and follow-media.txt in the folder .synlift, and run synlift follow again with --media-dir ${dir}`,
    });
  }

  async #next(): Promise<FollowAnswers[keyof FollowAnswers]> {
    for (;;) {
      const said = parseFollowAnswer(await this.#channel.receiveMessage());
      if (said.type !== "note") return said;
      this.#note(said);
    }
  }

  #note({ sentence }: FollowAnswers["note"]): void {
    this.#progress.note(`on the old host: ${sentence}`);
  }

  #receive() {
    const { dir: store, owner, maxRate } = this.#record;
    const { files, machine, signal } = this.#system;
    const watch = this.#watch;
    const heard = (message: unknown) => {
      const said = parseFollowAnswer(message);
      if (said.type === "note") this.#note(said);
      return Promise.resolve();
    };
    const counted = async function* (source: Bytes): Bytes {
      for await (const chunk of source) {
        signal.throwIfAborted();
        watch.received(chunk.length);
        yield chunk;
      }
    };
    const stream = counted(this.#channel.receiveStream(heard));
    const limited = maxRate === null ? stream : limitRate(stream, maxRate, machine, signal);
    return restoreMedia(whileRoom(limited, store, files), { store, owner: owner ?? undefined }, files, {
      replace: true,
      begins: async (name) => {
        await this.#written.add(name);
        watch.began();
      },
    });
  }
}

/** At least so much is to come, where the old host cannot say it beforehand. */
const difference = (all: MediaCount, here: MediaCount): MediaCount => ({
  files: Math.max(0, all.files - here.files),
  bytes: Math.max(0, all.bytes - here.bytes),
});
