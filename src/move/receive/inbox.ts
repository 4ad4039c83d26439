import { join } from "node:path";
import { MANIFEST } from "../../bundle/layout.ts";
import type { Manifest } from "../../bundle/manifest.ts";
import { MigrationError } from "../../errors.ts";
import type { Digest } from "../../pipeline/digest.ts";
import { formatBytes } from "../../report/units.ts";
import type { System } from "../../system/system.ts";
import type { Pace } from "../../transfer/pace.ts";
import { CHECKSUM_MISMATCH, type FileState, type ReceiverStatus } from "../../transfer/receiver-format.ts";
import type { WantedFile } from "../../transfer/remote.ts";
import type { Invited } from "./invitations.ts";
import { idOf, layoutOf, mayBeSent, partialOf } from "./layout.ts";
import { Comparisons } from "./comparisons.ts";
import { Completion } from "./completion.ts";
import { InboxRecords, plain } from "./inbox-records.ts";
import { contradicts, missingOf, problemsWith, readManifest } from "./manifest.ts";
import { Problem } from "./problem.ts";
import { type Piece, readBack, Upload } from "./upload.ts";

export type InboxHost = Pick<System, "files" | "programs" | "machine" | "signal">;

export interface CompleteBundle {
  readonly customer: string;
  /** The folder of the bundle. */
  readonly folder: string;
  readonly bundle: string;
  readonly subject: string;
  /** ISO 8601. */
  readonly at: string;
}

interface InboxOptions {
  readonly pace: Pace;
  /** Called once for each bundle that is complete, and again after a restart until `told` was called for it. */
  readonly complete: (bundle: CompleteBundle) => void;
}

/** Files of one customer at most, and uploads that are not finished. */
const MOST_FILES = 20_000;
/** Milliseconds for which a connection that has ended may still hold its upload. */
const SETTLE = 3_000;

/** What one customer has sent. All of its state is on disk but for problems and connections. */
export class Inbox {
  readonly customer: string;
  readonly folder: string;
  readonly #root: string;
  readonly #host: InboxHost;
  readonly #records: InboxRecords;
  readonly #completion: Completion;
  readonly #comparisons = new Comparisons();
  readonly #options: InboxOptions;
  readonly #uploads = new Map<string, Upload>();
  readonly #proven = new Map<string, WantedFile>();
  readonly #problems = new Map<string, string>();
  /** Uploads that got their names since they were last asked about. */
  readonly #fresh = new Set<string>();
  #manifest: Manifest | undefined;
  /** Changes of names follow one another. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(customer: string, root: string, host: InboxHost, options: InboxOptions) {
    this.customer = customer;
    this.folder = layoutOf(root).bundle(customer);
    this.#root = root;
    this.#host = host;
    this.#records = new InboxRecords(customer, root, host);
    this.#completion = new Completion(this.#records, host.machine);
    this.#options = options;
  }

  /** Continues with what is on disk: also after a kill. */
  static async open(customer: string, root: string, host: InboxHost, options: InboxOptions): Promise<Inbox> {
    const inbox = new Inbox(customer, root, host, options);
    await inbox.#load();
    return inbox;
  }

  status({ expires, limit }: Invited): ReceiverStatus {
    const files = [
      ...[...this.#proven.values()].map((file) => ({
        ...plain(file),
        state: "arrived" as const,
        received: file.size,
      })),
      ...[...this.#uploads.values()].map((upload) => ({
        ...plain(upload.file),
        state: this.#stateOf(upload),
        received: upload.offset,
      })),
    ];
    const complete = this.#completion.record;
    return {
      name: this.customer,
      expires,
      limit,
      used: this.#used(),
      files: files.sort((a, b) => (a.name < b.name ? -1 : 1)),
      ...(this.#manifest === undefined ? {} : { missing: missingOf(this.#manifest, this.#proven) }),
      ...(complete && {
        complete: { bundle: complete.bundle, subject: complete.subject, at: complete.at },
      }),
      problems: [...this.#problems].map(([name, message]) => ({ name, message })),
    };
  }

  /** The upload of a file: a new one, or the one that is there. Throws `Problem`. */
  async create(file: WantedFile, { limit }: Invited): Promise<Upload> {
    const { name, size } = file;
    if (!mayBeSent(name))
      throw new Problem(400, "name", `${JSON.stringify(name.slice(0, 200))} is no file name of a bundle`);
    if (this.#manifest && name !== MANIFEST && contradicts(this.#manifest, file))
      throw new Problem(
        409,
        "manifest",
        `${name} has another size or hash than the manifest that is here lists`,
      );
    const known = this.#uploads.get(idOf(file));
    if (known) {
      if (known.file.size !== size || known.file.sha256 !== file.sha256)
        throw new Problem(409, "request", `${name} was announced with another size before`);
      return known;
    }
    if (this.#uploads.size + this.#proven.size >= MOST_FILES)
      throw new Problem(413, "limit", `an invitation is for ${MOST_FILES} files at most`);
    // A file that is sent again replaces what is there.
    const used = this.#used() - (this.#proven.get(name)?.size ?? 0) + size;
    if (used > limit)
      throw new Problem(
        413,
        "limit",
        `the invitation is for ${formatBytes(limit)}, and this would make it ${formatBytes(used)}`,
      );
    await this.#assertRoom(size);
    const { files } = this.#host;
    const upload = new Upload(file, this.folder, 0);
    // In the map before anything waits: two requests for one file get one upload.
    this.#uploads.set(upload.id, upload);
    try {
      await files.makeFolder(this.folder);
      await this.#records.addUpload(upload.id, file);
      const created = await files.grow(upload.path, 0);
      await created.close();
    } catch (error) {
      this.#uploads.delete(upload.id);
      throw error;
    }
    if (upload.isWhole) this.#beginComparing(upload);
    return upload;
  }

  /** Throws `Problem`. */
  upload(id: string): Upload {
    const found = this.#uploads.get(id);
    if (!found)
      throw new Problem(404, "not-found", "there is no such upload: it may be finished, or was removed");
    return found;
  }

  /** An upload that nobody writes to. Throws `Problem`. */
  async settled(id: string): Promise<Upload> {
    const upload = this.upload(id);
    await upload.settle((signal) => this.#host.machine.wait(SETTLE, signal));
    return upload;
  }

  /** Adds a piece. With the last one, size and hash are compared. Throws `Problem` and `BrokenBody`. */
  async receive(id: string, piece: Piece): Promise<Upload> {
    const upload = await this.settled(id);
    if (piece.from !== upload.offset)
      throw new Problem(
        409,
        "offset",
        `${upload.offset} bytes of ${upload.file.name} are here, not ${piece.from}`,
      );
    if (upload.isWhole) return upload;
    try {
      await upload.write(piece, this.#options.pace, this.#host.files);
    } catch (error) {
      throw error instanceof MigrationError ? this.#failure(upload.file, error) : error;
    }
    const { sha256, name, size } = upload.file;
    if (upload.offset < size) return upload;
    const arrived = upload.arrived();
    if (arrived && arrived.sha256 !== sha256) {
      await this.#drop(
        upload,
        `${name} arrived with another hash than was announced for it, and was removed`,
      );
      throw new Problem(CHECKSUM_MISMATCH, "hash", this.#problems.get(name)!);
    }
    this.#beginComparing(upload);
    return upload;
  }

  /** Compares an upload that has all its bytes; joins a comparison that runs. Throws `Problem`. */
  async proveUpload(
    id: string,
    tell: (bytes: number) => void,
  ): Promise<Digest & { state: FileState; message?: string }> {
    const upload = this.#uploads.get(id);
    if (!upload) {
      const named = [...this.#proven.values()].find((file) => idOf(file) === id);
      // It was read back before it got its name, a moment ago.
      if (named && this.#fresh.delete(id))
        return { size: named.size, sha256: named.sha256, state: "arrived" };
      throw new Problem(404, "not-found", "there is no such upload");
    }
    if (!upload.isWhole) throw new Problem(404, "not-found", `${upload.file.name} is not complete`);
    const comparison = this.#comparisons.join(id, (told) => this.#compare(upload, told));
    comparison.tell.add(tell);
    const digest = await comparison.ended;
    this.#fresh.delete(id);
    const why = this.#uploads.has(id) ? this.#problems.get(upload.file.name) : undefined;
    return {
      ...digest,
      state: this.#uploads.has(id) ? "waiting" : "arrived",
      ...(why === undefined ? {} : { message: why }),
    };
  }

  /** Reads a file that has arrived, as it is on the disk now. Throws `Problem`. */
  async proveFile(
    name: string,
    tell: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<Digest & { state: FileState }> {
    const { path } = await this.file(name);
    return { ...(await readBack(path, this.#host, tell, signal)), state: "arrived" };
  }

  /** A file that has arrived. Throws `Problem`. */
  async file(name: string): Promise<{ readonly path: string; readonly size: number }> {
    const path = join(this.folder, name);
    const proven = this.#proven.get(name);
    const found = proven && (await this.#host.files.lstat(path));
    if (found?.kind !== "file") throw new Problem(404, "not-found", "there is no such file");
    if (found.size !== proven?.size)
      throw new Problem(410, "damaged", `${name} had ${proven?.size ?? 0} bytes and has ${found.size} now`);
    return { path, size: found.size };
  }

  /** Throws `Problem`. */
  async remove(name: string): Promise<void> {
    if (!this.#proven.has(name)) throw new Problem(404, "not-found", "there is no such file");
    await this.#inTurn(async () => {
      const { files } = this.#host;
      await files.remove(join(this.folder, name));
      await files.syncFolder(this.folder);
      await this.#records.removeProven(name);
      this.#proven.delete(name);
      this.#problems.delete(name);
      await this.#settleManifest();
    });
  }

  /** Throws `Problem`. */
  async removeUpload(id: string): Promise<void> {
    await this.#drop(await this.settled(id), undefined);
  }

  /** Removes what an invitation that has ended left unfinished. */
  async expire(): Promise<number> {
    const unfinished = [...this.#uploads.values()].filter(
      (upload) => !upload.isBusy && !this.#comparisons.isRunning(upload.id),
    );
    for (const upload of unfinished) await this.#drop(upload, undefined);
    return unfinished.length;
  }

  /** The hook was run for the bundle with that id. */
  async told(bundle: string): Promise<void> {
    // In turn: a part that is taken away meanwhile makes it incomplete.
    await this.#inTurn(() => this.#completion.told(bundle));
  }

  /** Resolves when no comparison runs and no name changes. */
  async idle(): Promise<void> {
    await this.#comparisons.idle();
    await this.#turn;
  }

  #stateOf(upload: Upload): FileState {
    if (!upload.isWhole) return "partial";
    return this.#comparisons.isRunning(upload.id) || upload.file.name !== MANIFEST ? "checking" : "waiting";
  }

  #used(): number {
    let sum = 0;
    for (const { size } of this.#proven.values()) sum += size;
    for (const { file } of this.#uploads.values()) sum += file.size;
    return sum;
  }

  async #assertRoom(size: number): Promise<void> {
    const { free } = await this.#host.files.diskSpace(this.#root);
    if (size <= free) return;
    throw new Problem(
      507,
      "disk-full",
      `there is room for ${formatBytes(free)}, and ${formatBytes(size)} were announced`,
    );
  }

  #failure({ name }: WantedFile, error: MigrationError): Problem {
    return error.code === "disk-full"
      ? new Problem(507, "disk-full", `${name}: there is no space left`)
      : new Problem(500, "failed", `${name} could not be stored`);
  }

  #beginComparing(upload: Upload): void {
    this.#comparisons.begin(upload.id, (tell) => this.#compare(upload, tell));
  }

  /** Rejects with a `Problem`. */
  async #compare(upload: Upload, tell: (bytes: number) => void): Promise<Digest> {
    const { file } = upload;
    let found: Digest;
    try {
      const growing = await this.#host.files.grow(upload.path, file.size);
      await growing.sync();
      await growing.close();
      found = await readBack(upload.path, this.#host, tell, this.#host.signal);
    } catch (error) {
      throw error instanceof MigrationError ? this.#failure(file, error) : error;
    }
    if (found.size !== file.size || found.sha256 !== file.sha256) {
      await this.#drop(
        upload,
        `${file.name} is stored with another hash than was announced for it, and was removed`,
      );
      throw new Problem(CHECKSUM_MISMATCH, "hash", this.#problems.get(file.name)!);
    }
    if (file.name === MANIFEST) {
      const manifest = await readManifest(upload.path, this.#host.files);
      if (typeof manifest === "string") {
        await this.#drop(upload, manifest);
        throw new Problem(400, "request", manifest);
      }
    }
    await this.#inTurn(async () => {
      if (file.name !== MANIFEST) await this.#name(upload);
      await this.#settleManifest();
    });
    return found;
  }

  /** Gives a file its name, and replaces what had it. */
  async #name(upload: Upload): Promise<void> {
    const { files } = this.#host;
    const { file, id } = upload;
    const path = join(this.folder, file.name);
    await files.rename(upload.path, path);
    try {
      await files.syncFolder(this.folder);
      await this.#settleRecords(id, file);
    } catch (error) {
      await files.rename(path, upload.path);
      throw error;
    }
    this.#fresh.add(id);
    this.#problems.delete(file.name);
    for (const other of this.#uploads.values())
      if (other.file.name === file.name && !other.isBusy && !this.#comparisons.isRunning(other.id))
        await this.#forget(other);
  }

  /** An upload becomes a file that was compared. */
  async #settleRecords(id: string, file: WantedFile): Promise<void> {
    await this.#records.addProven(file);
    await this.#records.removeUpload(id);
    this.#uploads.delete(id);
    this.#proven.set(file.name, file);
  }

  /** What the manifest says now: it gets its name once everything that it lists has arrived. */
  async #settleManifest(): Promise<void> {
    const { files } = this.#host;
    const waiting = [...this.#uploads.values()].findLast(
      ({ file, isWhole }) => file.name === MANIFEST && isWhole,
    );
    const named = this.#proven.has(MANIFEST);
    const read = waiting
      ? await readManifest(waiting.path, files)
      : named
        ? await readManifest(join(this.folder, MANIFEST), files)
        : undefined;
    this.#manifest = typeof read === "object" ? read : undefined;
    if (!this.#manifest) {
      await this.#completion.lost();
      return;
    }
    const problems = problemsWith(this.#manifest, this.#proven);
    for (const [name, problem] of problems) this.#problems.set(name, problem);
    if (problems.size > 0) {
      await this.#completion.lost();
      return;
    }
    this.#problems.delete(MANIFEST);
    if (waiting) await this.#name(waiting);
    const complete = await this.#completion.reached(this.#manifest);
    if (!complete) return;
    const { bundle, subject, at } = complete;
    this.#options.complete({ customer: this.customer, folder: this.folder, bundle, subject, at });
  }

  async #drop(upload: Upload, problem: string | undefined): Promise<void> {
    await this.#inTurn(async () => {
      await this.#forget(upload);
      if (problem === undefined) this.#problems.delete(upload.file.name);
      else this.#problems.set(upload.file.name, problem);
      if (upload.file.name === MANIFEST) await this.#settleManifest();
    });
  }

  /** The partial file first: a record without a file is an upload of which nothing has arrived. */
  async #forget(upload: Upload): Promise<void> {
    await this.#host.files.remove(upload.path);
    await this.#records.removeUpload(upload.id);
    this.#uploads.delete(upload.id);
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(act);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #load(): Promise<void> {
    const { files } = this.#host;
    for (const file of await this.#records.proven()) {
      const found = await files.lstat(join(this.folder, file.name));
      if (found?.kind === "file" && found.size === file.size) this.#proven.set(file.name, file);
    }
    for (const file of await this.#records.uploads()) {
      const id = idOf(file);
      const found = await files.lstat(join(this.folder, partialOf(id)));
      if (found === undefined && (await this.#hasItsName(file))) {
        await this.#settleRecords(id, file);
        continue;
      }
      const size = found?.kind === "file" ? found.size : 0;
      this.#uploads.set(id, new Upload(file, this.folder, size <= file.size ? size : 0));
    }
    await this.#completion.load();
    await this.#inTurn(() => this.#settleManifest());
    for (const upload of [...this.#uploads.values()]) if (upload.isWhole) this.#beginComparing(upload);
  }

  /** Whether an upload was renamed by a process that was killed before it could write that down. */
  async #hasItsName(file: WantedFile): Promise<boolean> {
    const path = join(this.folder, file.name);
    const found = await this.#host.files.lstat(path);
    if (found?.kind !== "file" || found.size !== file.size) return false;
    const { sha256 } = await readBack(path, this.#host, () => undefined, this.#host.signal);
    return sha256 === file.sha256;
  }
}
