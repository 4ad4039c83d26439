import { join } from "node:path";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { Http } from "../../system/http/http.ts";
import type { Machine } from "../../system/machine.ts";
import type { Progress } from "../../system/progress.ts";
import type { QuerySession } from "../../system/query.ts";
import type { ObjectStores } from "../../system/s3/object-store.ts";
import { withProgress } from "../../system/throttled-progress.ts";
import { reasonOf } from "../database/open.ts";
import type { Homeserver } from "../homeserver.ts";
import { withAvatarUses } from "./compare/avatars.ts";
import { quickCheck, readAll, type ReadResult } from "./compare/read-all.ts";
import { obstacleFindings, uploadFindings } from "./compare/upload-findings.ts";
import { compareUploads } from "./compare/uploads.ts";
import type { MediaFacts } from "./facts.ts";
import { Ages } from "./figures/age.ts";
import { countMedia } from "./figures/count.ts";
import { externalMediaFindings, largestFindings, sizeFindings } from "./figures/size-findings.ts";
import { askMediaRepo, type MediaRepo } from "./media-repo/usage.ts";
import { openProviders, type ReadableProvider } from "./providers/provider.ts";
import { providerFindings, storageProviders, withoutSettings } from "./providers/providers.ts";
import { compareRemote, remoteFacts, remoteFindings } from "./remote/remote.ts";
import { BoundedList } from "./store/bounded-list.ts";
import { caseFindings, inspectMediaStore } from "./store/inspect.ts";
import { LOCAL_FOLDERS } from "./store/layout.ts";

export interface MediaInspectOptions {
  readonly homeserver: Homeserver;
  /** Read every file: hashes, what cannot be read, remote media too. */
  readonly deep: boolean;
  /** The largest upload that the target takes, in bytes. */
  readonly uploadLimit?: number;
  readonly mediaRepo?: MediaRepo;
}

export interface MediaTools {
  /** Reads only. Left out when the database cannot be reached: then only the files are looked at. */
  readonly session: QuerySession | undefined;
  readonly files: Files;
  readonly http: Http;
  readonly objects: ObjectStores;
  readonly machine: Pick<Machine, "now">;
  readonly signal: AbortSignal;
}

export interface MediaInspection {
  readonly findings: readonly Finding[];
  readonly facts: MediaFacts;
}

/**
 * Inspects everything about media that matters for a move: where it is stored, how much there is, whether rows and files match, and
 * what leaving remote media behind costs. Reads only. A question that fails becomes a finding, and ends those that
 * need the database; what was found before stays. Throws only when the run is to stop.
 */
export async function inspectMedia(
  questions: MediaInspectOptions,
  tools: MediaTools,
  progress: Progress,
): Promise<MediaInspection> {
  const { homeserver, mediaRepo } = questions;
  const { session, files, http, signal } = tools;
  const { mediaStore: store, workingFolder, serverName } = homeserver;
  const place = await inspectMediaStore(store, workingFolder, files);
  const repo = mediaRepo && (await askMediaRepo(mediaRepo, serverName, http, signal));
  const look = new MediaInspector(questions, tools, progress);
  const { facts, findings } = look;
  facts.mediaRepo = repo?.usage ?? null;
  findings.push(...place.findings);
  try {
    if (session) await look.inspectRows(session);
    if (place.usable) {
      findings.push(...(await caseFindings(store, session, files)));
      if (session) await look.inspectUploads(session);
      else await look.inspectFiles();
      if (session && questions.deep) await look.inspectRemote(session);
    }
  } catch (error) {
    signal.throwIfAborted();
    findings.push(incompleteFinding(reasonOf(error)));
    if (place.usable && !facts.packed) await look.inspectFiles();
  } finally {
    look.close();
  }
  findings.push(
    ...sizeFindings(facts, homeserver),
    ...largestFindings(facts, look.tooLarge, questions.uploadLimit),
    ...(facts.remote ? remoteFindings(facts.remote, facts.kinds?.quarantinedRemote ?? 0) : []),
    ...providerFindings(homeserver, facts.providers),
    ...externalMediaFindings(homeserver, facts),
    ...(repo ? [repo.finding] : []),
  );
  return { findings, facts };
}

type MutableFacts = { -readonly [name in keyof MediaFacts]: MediaFacts[name] };

/** One look, which gathers facts and findings as far as it comes. */
class MediaInspector {
  readonly findings: Finding[] = [];
  readonly facts: MutableFacts;
  /** Uploads over the target's limit. */
  tooLarge = 0;
  readonly #questions: MediaInspectOptions;
  readonly #tools: MediaTools;
  readonly #progress: Progress;
  readonly #readable: readonly ReadableProvider[];

  constructor(questions: MediaInspectOptions, tools: MediaTools, progress: Progress) {
    this.#questions = questions;
    this.#tools = tools;
    this.#progress = progress;
    this.#readable = openProviders(questions.homeserver, tools);
    this.facts = {
      store: questions.homeserver.mediaStore,
      kinds: null,
      byAge: [],
      largest: [],
      packed: null,
      compared: null,
      remote: null,
      mediaRepo: null,
      providers: storageProviders(questions.homeserver).map(withoutSettings),
    };
  }

  async inspectRows(session: QuerySession): Promise<void> {
    const now = this.#tools.machine.now();
    const ages = new Ages();
    const { kinds, largest, tooLarge } = await countMedia(session, ages, this.#questions.uploadLimit);
    this.tooLarge = tooLarge;
    this.facts.kinds = kinds;
    this.facts.largest = largest;
    this.facts.byAge = ages.columns(now);
    this.facts.remote = await remoteFacts(session, now);
  }

  async inspectUploads(session: QuerySession): Promise<void> {
    const { facts, findings } = this;
    const { files, signal } = this.#tools;
    const { store, providers } = facts;
    const { localUploads, localThumbnails } = facts.kinds!;
    const place = { session, store, files, signal, providers: this.#readable };
    const work = { id: "plan/media", label: "media", unit: "files", total: localUploads.files } as const;
    const compared = await withProgress(this.#progress, work, (tell) => compareUploads(place, tell));
    const look = await withAvatarUses(compared, this.#questions.homeserver.serverName, session);
    const read = this.#questions.deep ? await this.#readAll(session) : undefined;
    const { files: thumbnails, bytes } = read?.thumbnails ?? localThumbnails;
    facts.packed = {
      files: look.files + look.provided.files + thumbnails,
      bytes: look.bytes + look.provided.bytes + bytes,
      exact: read !== undefined,
    };
    facts.compared = {
      missing: look.missing.count,
      provided: look.provided.files,
      differing: look.differing.count + (read?.changed.count ?? 0),
      unknownFiles: look.unknown.count,
      unknownBytes: look.unknown.bytes,
      hashed: read?.hashed ?? null,
      unreadable: read?.unreadable.count ?? null,
    };
    findings.push(...uploadFindings(look, read, { store, providers }));
    const beside = read ?? (await quickCheck(store, look.example, files));
    look.closed.addAll(beside.unreadable);
    look.odd.addAll(beside.odd);
    findings.push(...obstacleFindings(look, store));
  }

  close(): void {
    for (const provider of this.#readable) provider.close();
  }

  /** Without a database. */
  async inspectFiles(): Promise<void> {
    const { files, signal } = this.#tools;
    const { store } = this.facts;
    const closed = new BoundedList();
    const odd = new BoundedList();
    const packed = { files: 0, bytes: 0, exact: true };
    for (const folder of LOCAL_FOLDERS) {
      for await (const batch of files.walk(join(store, folder), signal)) {
        for (const { name, kind, size } of batch) {
          if (kind === "closed") closed.add(join(folder, name));
          else if (kind !== "file") odd.add(join(folder, name));
          else {
            packed.files += 1;
            packed.bytes += size;
          }
        }
      }
    }
    this.facts.packed = packed;
    this.findings.push(...obstacleFindings({ closed, odd, unseen: 0 }, store));
  }

  async inspectRemote(session: QuerySession): Promise<void> {
    const { kinds, remote, store } = this.facts;
    const { files, signal } = this.#tools;
    const total = kinds!.remoteMedia.files;
    const work = { id: "plan/remote-media", label: "media of other servers", unit: "files", total } as const;
    const compared = await withProgress(this.#progress, work, (tell) =>
      compareRemote({ session, store, providers: this.#readable, files, signal }, tell),
    );
    const { rowsWithoutFile, filesWithoutRow } = compared;
    this.facts.remote = { ...remote!, rowsWithoutFile, filesWithoutRow };
  }

  #readAll(session: QuerySession): Promise<ReadResult> {
    const { files, signal } = this.#tools;
    const { kinds, store } = this.facts;
    const total = kinds!.localUploads.bytes + kinds!.localThumbnails.bytes;
    const work = { id: "plan/media-read", label: "media, every file", unit: "bytes", total } as const;
    return withProgress(this.#progress, work, (tell) =>
      readAll({ session, store, providers: this.#readable, files, signal }, tell),
    );
  }
}

const incompleteFinding = (reason: string): Finding => ({
  id: "media-check-incomplete",
  level: "blocker",
  sentence: `media could not be checked completely: ${reason}`,
  hint: "an export would fail in the same way: fix the cause, then run plan again",
});
