import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { exportTo, type OldServer } from "./old-server.ts";
import { eventsOf, type Ran, resultOf, synlift, synliftWell } from "./synlift.ts";

/** What an export writes, in this order. */
export const ARTIFACTS = [
  "customer_config_export.tar.gz.gpg",
  "customer_db_export.sql.gz.gpg",
  "customer_backup_media_export.tar.gz.gpg",
] as const;

type Moment = readonly [activity: "write" | "check", artifact: 0 | 1 | 2];

/** An export that is killed at each of these moments leaves nothing that can be taken for a bundle, and goes on where it stopped. */
export function testKilledAt(
  moments: readonly Moment[],
  world: () => { readonly old: OldServer; readonly work: string },
): void {
  for (const [activity, index] of moments) {
    const artifact = ARTIFACTS[index];
    test(`an export killed when it began to ${activity} ${artifact} goes on where it stopped`, async () => {
      const out = join(world().work, `${activity}-${index}`);
      const killed = await synlift(exportTo(world().old, out), {
        killWhen: (said) => said.includes(`"begin"`) && said.includes(`"${activity}/${artifact}"`),
      });
      assert.equal(killed.signal, "SIGKILL", killed.stderr);
      assert.equal(existsSync(join(out, "manifest.json")), false, "an unfinished bundle has no manifest");
      const verified = await synlift(["verify", out, "--without-key"]);
      assert.equal(verified.code, 23, verified.stderr);
      assert.equal(
        (
          await synlift([
            "restore",
            out,
            "--passphrase-file",
            `${out}.passphrase`,
            "--database",
            "dbname=x",
            "--config-dir",
            join(world().work, "x"),
            "--media-dir",
            join(world().work, "y"),
          ])
        ).code,
        23,
      );
      const status = resultOf(await synliftWell(["status", "--out", out, "--json"]));
      assert.equal(status.details["running"], false);
      const finished = status.findings.filter(({ id, level }) => level === "ok" && id.startsWith("export/"));
      // On a busy machine the kill may come when this one is finished as well.
      assert.ok(finished.length >= index, `${finished.length} are finished`);

      const again = await synliftWell(exportTo(world().old, out));
      assert.deepEqual(
        packed(again),
        ARTIFACTS.slice(finished.length),
        "what was finished is not packed again",
      );
      await mustBeWhole(out);
    });
  }
}

export async function mustBeWhole(out: string): Promise<void> {
  const verified = resultOf(
    await synliftWell(["verify", out, "--passphrase-file", `${out}.passphrase`, "--json"]),
  );
  assert.equal(verified.findings.filter(({ id }) => id === "contents").length, ARTIFACTS.length);
  assert.ok(verified.findings.every(({ level }) => level === "ok"));
  const left = readdirSync(out).filter((name) => name.startsWith(".") || name === "lock");
  assert.deepEqual(left, [], "nothing unfinished is left");
}

/** The artifacts that a run wrote. */
export const packed = (ran: Ran) =>
  eventsOf(ran).flatMap(({ type, id }) =>
    type === "begin" && id?.startsWith("write/") === true ? [id.slice("write/".length)] : [],
  );
