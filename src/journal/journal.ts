import { z } from "zod";
import { MigrationError } from "../errors.ts";
import type { Files } from "../system/files/files.ts";
import type { Inputs, Outcome } from "./step.ts";

const doneSchema = z.object({
  inputs: z.record(z.string(), z.union([z.string(), z.number()])),
  outcome: z.record(z.string(), z.unknown()),
  /** ISO 8601. */
  at: z.string(),
});

const journalSchema = z.object({
  format: z.literal("synlift-journal"),
  version: z.literal(1),
  /** What this journal belongs to: a run with other facts is a different run. */
  facts: z.record(z.string(), z.string()),
  steps: z.record(z.string(), doneSchema),
});

type Content = z.infer<typeof journalSchema>;
export type CompletedStep = Content["steps"][string];

/**
 * Which steps are completed, and with which inputs. A small file that is replaced atomically after each step, so a
 * crash leaves either the old or the new version. It contains no secrets.
 */
export class Journal {
  #path: string;
  #files: Files;
  #content: Content;
  #turn: Promise<void> = Promise.resolve();

  private constructor(path: string, files: Files, content: Content) {
    this.#path = path;
    this.#files = files;
    this.#content = content;
  }

  /** Reads the journal, or begins a new one with these facts. Throws `bundle-damaged` when it cannot be read. */
  static async open(
    path: string,
    files: Files,
    facts: Readonly<Record<string, string>> = {},
  ): Promise<Journal> {
    const found = await Journal.read(path, files);
    if (found) return found;
    return new Journal(path, files, {
      format: "synlift-journal",
      version: 1,
      facts: { ...facts },
      steps: {},
    });
  }

  /** Reads the journal; undefined when there is none. Throws `bundle-damaged` when it cannot be read. */
  static async read(path: string, files: Files): Promise<Journal | undefined> {
    if (!(await files.lstat(path))) return undefined;
    try {
      return new Journal(path, files, journalSchema.parse(JSON.parse(await files.readText(path))));
    } catch (error) {
      if (error instanceof MigrationError) throw error;
      throw new MigrationError("bundle-damaged", `${path} is not a journal that this version can read`, {
        hint: "choose another folder; remove this one only if synlift status shows no active fence in it",
        cause: error,
      });
    }
  }

  get facts(): Readonly<Record<string, string>> {
    return this.#content.facts;
  }

  get steps(): Readonly<Record<string, CompletedStep>> {
    return this.#content.steps;
  }

  async setFact(name: string, value: string): Promise<void> {
    if (this.#content.facts[name] === value) return;
    this.#content.facts[name] = value;
    await this.#save();
  }

  async removeFact(name: string): Promise<void> {
    if (!(name in this.#content.facts)) return;
    this.#content.facts = Object.fromEntries(
      Object.entries(this.#content.facts).filter(([key]) => key !== name),
    );
    await this.#save();
  }

  async record(id: string, inputs: Inputs, outcome: Outcome, at: number): Promise<void> {
    this.#content.steps[id] = {
      inputs: { ...inputs },
      outcome: { ...outcome },
      at: new Date(at).toISOString(),
    };
    await this.#save();
  }

  async removeStep(id: string): Promise<void> {
    if (!(id in this.#content.steps)) return;
    this.#content.steps = Object.fromEntries(
      Object.entries(this.#content.steps).filter(([key]) => key !== id),
    );
    await this.#save();
  }

  /** Writes are serialized, because steps may run in parallel. */
  #save(): Promise<void> {
    const saved = this.#turn.then(() =>
      this.#files.writeAtomically(this.#path, `${JSON.stringify(this.#content, null, 2)}\n`),
    );
    this.#turn = saved.catch(() => undefined);
    return saved;
  }
}
