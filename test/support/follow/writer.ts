import assert from "node:assert/strict";
import { setTimeout as wait } from "node:timers/promises";
import type { MatrixClient } from "../lab/matrix-client.ts";
import { describeRefusals, type Refusal } from "./refusals.ts";

/** A message whose sender was told that the server has it. */
export interface Acknowledged {
  readonly roomId: string;
  readonly eventId: string;
  readonly body: string;
  /** When the answer came, as `performance.now` counts. */
  readonly at: number;
}

export interface WriterOptions {
  /** Who writes: each sends one message after the other, in all rooms in turn. All of them are in all rooms. */
  readonly people: readonly MatrixClient[];
  readonly roomIds: readonly string[];
  /** Messages of all together; as many as the server takes when left out. */
  readonly perSecond?: number;
  /** Whether only messages are sent, so that their number per second can be compared. */
  readonly onlyMessages?: boolean;
  /** The log of their server, for what it says about a refusal. */
  readonly serverLog?: string;
}

/** Milliseconds between two attempts while the server refuses. */
const REFUSED_WAIT_MS = 50;
/** After so many messages a person also reads, writes account data and sends something to a device. */
const BESIDE = 5;
const COUNTER = "org.example.counter";

/**
 * People who write to a server all the time, and remember all that it acknowledged. Nothing is sent twice: what was not
 * acknowledged may be there or not.
 */
export class Writer {
  readonly acknowledged: Acknowledged[] = [];
  readonly refusals: Refusal[] = [];
  readonly #options: WriterOptions;
  /** By person: the last number in their account data that was acknowledged. */
  readonly #counters = new Map<string, number>();
  /** Uploads that were acknowledged: their content by address. */
  readonly #uploads = new Map<string, string>();
  readonly #done: Promise<unknown>;
  #other: string | undefined;
  #isEnding = false;
  #number = 0;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#done = Promise.all(options.people.map((person) => this.#write(person)));
  }

  /** From now on whoever is refused goes to another server and back, as with a proxy that tries one after the other. */
  alsoAt(baseUrl: string): void {
    this.#other = baseUrl;
  }

  /** Resolves when so many more were acknowledged. */
  async more(count: number, seconds = 120): Promise<void> {
    const goal = this.acknowledged.length + count;
    for (const limit = performance.now() + seconds * 1000; this.acknowledged.length < goal;) {
      await wait(20);
      if (performance.now() > limit)
        throw new Error(
          `not ${count} more messages in ${seconds} s but ${count - (goal - this.acknowledged.length)}; ${this.refusals.at(-1)?.words ?? ""}`,
        );
    }
  }

  /** Messages per second that were acknowledged in the next so many milliseconds. */
  async rate(milliseconds: number): Promise<number> {
    const [before, began] = [this.acknowledged.length, performance.now()];
    await wait(milliseconds);
    return ((this.acknowledged.length - before) * 1000) / (performance.now() - began);
  }

  /** The longest time, in milliseconds, in which nothing was acknowledged between these two moments. */
  longestGap(from: number, to: number): { readonly milliseconds: number; readonly began: number } {
    const times = this.acknowledged
      .map(({ at }) => at)
      .filter((at) => at >= from && at <= to)
      .toSorted((one, other) => one - other);
    let longest = { milliseconds: 0, began: from };
    for (const [index, at] of times.entries()) {
      const before = times[index - 1];
      if (before !== undefined && at - before > longest.milliseconds)
        longest = { milliseconds: at - before, began: before };
    }
    return longest;
  }

  /** Resolves when the last request was answered. May be called twice. */
  async stop(): Promise<void> {
    this.#isEnding = true;
    await this.#done;
  }

  /** Throws when anybody was refused, but for the first so many, with what the server has logged about it. */
  nobodyMustBeRefused(since = 0): void {
    const refused = this.refusals.slice(since);
    if (refused.length > 0) throw new Error(describeRefusals(refused, this.#options.serverLog));
  }

  /** Throws unless the server at this address shows everything that was acknowledged, as a client sees it. */
  async mustAllBeAt(baseUrl: string): Promise<void> {
    const reader = this.#options.people[0]!.at(baseUrl);
    for (const roomId of this.#options.roomIds) {
      const there = await wholeRoom(reader, roomId);
      const lost = this.acknowledged.filter(
        (message) => message.roomId === roomId && there.get(message.eventId) !== message.body,
      );
      const words = lost.slice(0, 3).map(({ body, eventId }) => `${body} (${eventId})`);
      assert.equal(
        lost.length,
        0,
        `${lost.length} acknowledged messages are not in ${roomId}: ${words.join()}`,
      );
    }
    for (const [mxc, content] of this.#uploads) {
      const { bytes } = await reader.download(mxc);
      assert.equal(Buffer.from(bytes).toString(), content, mxc);
    }
    for (const person of this.#options.people) {
      const counted = this.#counters.get(person.session.userId);
      if (counted === undefined) continue;
      const { n } = await person.at(baseUrl).call<{ n: number }>("GET", counterPath(person));
      assert.ok(n >= counted, `${person.session.userId} was told ${counted}, and the server has ${n}`);
    }
  }

  /** Throws unless everybody can write in every room there, and reads it. */
  async canWriteInEveryRoomAt(baseUrl: string): Promise<void> {
    const { people, roomIds } = this.#options;
    for (const roomId of roomIds) {
      const sent = await Promise.all(
        people.map((person) => person.at(baseUrl).send(roomId, `after the move, ${person.session.userId}`)),
      );
      const events = await people[0]!.at(baseUrl).events(roomId);
      const there = new Set(events.map(({ id }) => id));
      assert.deepEqual(
        sent.filter((id) => !there.has(id)),
        [],
      );
    }
  }

  async #write(person: MatrixClient): Promise<void> {
    const { people, roomIds, perSecond, onlyMessages = false } = this.#options;
    const pause = perSecond === undefined ? 0 : (1000 * people.length) / perSecond;
    let client = person;
    for (let turn = people.indexOf(person); !this.#isEnding; turn += 1) {
      const began = performance.now();
      const roomId = roomIds[turn % roomIds.length]!;
      const body = `message ${(this.#number += 1)}`;
      try {
        const eventId = await client.send(roomId, body);
        this.acknowledged.push({ roomId, eventId, body, at: performance.now() });
        if (!onlyMessages && turn % BESIDE === 0) await this.#writeBeside(client, roomId, eventId);
      } catch (error) {
        this.refusals.push({ at: new Date(), words: wordsOf(error) });
        if (this.#other !== undefined) client = client === person ? person.at(this.#other) : person;
        await wait(REFUSED_WAIT_MS);
      }
      const left = pause - (performance.now() - began);
      if (left > 0) await wait(left);
    }
  }

  /** Tables in which rows are also changed and removed, and the streams of other kinds. */
  async #writeBeside(client: MatrixClient, roomId: string, eventId: string): Promise<void> {
    const room = encodeURIComponent(roomId);
    await client.call(
      "POST",
      `/_matrix/client/v3/rooms/${room}/receipt/m.read/${encodeURIComponent(eventId)}`,
      {},
    );
    const content = `uploaded with ${eventId}`;
    this.#uploads.set(await client.upload(Buffer.from(content), "text/plain", "note.txt"), content);
    const { userId, deviceId } = client.session;
    const counter = (this.#counters.get(userId) ?? 0) + 1;
    await client.call("PUT", counterPath(client), { n: counter });
    this.#counters.set(userId, counter);
    await client.call(
      "PUT",
      `/_matrix/client/v3/sendToDevice/org.example.ping/${counter}-${performance.now()}`,
      {
        messages: { [userId]: { [deviceId]: { n: counter } } },
      },
    );
  }
}

const counterPath = ({ session }: MatrixClient) =>
  `/_matrix/client/v3/user/${encodeURIComponent(session.userId)}/account_data/${COUNTER}`;

/** All messages of a room, by event id. */
async function wholeRoom(reader: MatrixClient, roomId: string): Promise<ReadonlyMap<string, string>> {
  type Page = {
    readonly end?: string;
    readonly chunk: readonly { event_id: string; type: string; content: { body?: string } }[];
  };
  const all = new Map<string, string>();
  for (let from = ""; ;) {
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=500${from}`;
    const { chunk, end } = await reader.call<Page>("GET", path);
    for (const { event_id: id, content } of chunk) all.set(id, content.body ?? "");
    if (end === undefined || chunk.length === 0) return all;
    from = `&from=${encodeURIComponent(end)}`;
  }
}

/** Of an answer that never came, `fetch` has the reason as its cause. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
