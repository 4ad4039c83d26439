import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { assertDiskSpace } from "../../src/move/disk-space.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { smallDisk } from "../support/small-disk.ts";

test("a restore that cannot fit is refused by the folder's disk, also where the folder is still to be made", async (t) => {
  const disk = await smallDisk(t, "1m");
  const store = join(disk, "srv/matrix/media");
  await assertDiskSpace(store, 512 * 1024, "the media", "--media-dir", realFiles);
  await assert.rejects(assertDiskSpace(store, 2 * 1024 * 1024, "the media", "--media-dir", realFiles), {
    code: "disk-full",
    message: `${disk} has 1.0 MiB free, but the media needs 2.0 MiB`,
    hint: /--media-dir/,
  });
});
