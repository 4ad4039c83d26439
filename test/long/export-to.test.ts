import { test } from "node:test";
import { exportFromSmallDisk } from "../support/export-to.ts";

test("1 GB of media moves from a disk of 64 MB, although the export is killed twice", async (t) => {
  await exportFromSmallDisk(t, { media: 1024, disk: 64, part: 16 });
});
