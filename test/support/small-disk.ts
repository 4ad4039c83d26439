import { spawn, spawnSync } from "node:child_process";
import type { TestContext } from "node:test";
import { temporaryFolder } from "./lab/temporary-folder.ts";

/**
 * A folder on a file system of its own with room for `size` ("1m"): a disk that really gets full. As root it is
 * mounted; otherwise in a namespace of its own, seen through the process that lives there. `mode` is that of the folder. Throws when
 * neither works.
 */
export async function smallDisk(t: TestContext, size = "1m", mode = "0700"): Promise<string> {
  const folder = temporaryFolder("small-disk");
  const mount = ["mount", "-t", "tmpfs", "-o", `size=${size},mode=${mode}`, "synlift-test", folder];
  const words: string[] = [];
  if (process.getuid?.() === 0) {
    const { status, stderr } = spawnSync(mount[0]!, mount.slice(1), { encoding: "utf8" });
    if (status === 0) {
      t.after(() => spawnSync("umount", ["--lazy", folder]));
      return folder;
    }
    words.push(stderr);
  }
  const script = `${mount.join(" ")} && echo mounted && exec sleep 600`;
  const holder = spawn("unshare", ["--user", "--map-root-user", "--mount", "sh", "-c", script], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(() => holder.kill("SIGKILL"));
  holder.stderr.setEncoding("utf8").on("data", (text: string) => words.push(text));
  const mounted = await new Promise<boolean>((resolve) => {
    holder.stdout.once("data", () => {
      resolve(true);
    });
    holder.once("close", () => {
      resolve(false);
    });
    holder.once("error", (error) => {
      words.push(error.message);
      resolve(false);
    });
  });
  if (!mounted)
    throw new Error(
      `no small file system can be made here, so a full disk is not tested: ${words.join(" ")}`,
    );
  return `/proc/${holder.pid ?? 0}/root${folder}`;
}
