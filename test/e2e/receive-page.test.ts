import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { RealBrowser, type Visit } from "../support/browser.ts";
import { flipped } from "../support/bytes.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith } from "../support/real-world.ts";
import { startReceiver, type TestInvitation, type TestReceiver } from "../support/receiver.ts";
import { RawClient } from "../support/receiver-client.ts";
import { scenario } from "../support/scenario.ts";
import { makeSmallBundle } from "../support/small-bundle.ts";

// What a customer sees in the browser: a real Chromium, at the width of a desktop and of a phone.

const { step, check } = scenario();
const bundle = temporaryFolder("bundle");
const WIDTHS = [1200, 360];
/** Where pictures are kept, to be looked at; nowhere unless the variable says where. */
const PICTURES = process.env["SYNLIFT_PICTURES"];
let server: TestReceiver;
let invitation: TestInvitation;
let browser: RealBrowser;
let visit: Visit;
let parts: string[] = [];

before(async () => {
  await makeSmallBundle({ folder: bundle, lock: lockWith(), partSize: 300_000, mediaSize: 2_000_000 });
  parts = readdirSync(bundle).filter((name) => name.endsWith(".gpg") || name.includes(".part-"));
  server = await startReceiver();
  invitation = await server.invite("example.org");
  browser = await RealBrowser.open();
});
after(async () => {
  await browser[Symbol.asyncDispose]();
  await server.stop();
});

const shown = (id: string) => visit.evaluate(`document.getElementById("${id}").innerText`) as Promise<string>;
const inBundle = (names: readonly string[]) => names.map((name) => join(bundle, name));

/** Nothing overflows, is cut off or can't be read, on either width and in light and dark. */
async function assertLooksRight(name: string): Promise<void> {
  for (const width of WIDTHS)
    for (const scheme of ["light", "dark"] as const) {
      assert.deepEqual(await visit.look({ width, scheme }), [], `${name}, ${width} px, ${scheme}`);
      if (PICTURES !== undefined)
        writeFileSync(join(PICTURES, `${name}-${width}-${scheme}.png`), await visit.picture());
    }
}

step("without an invitation it asks for one, and says what is wrong with a token that is none", async () => {
  visit = await browser.visitAt(`${server.origin}/`);
  await visit.until("!document.getElementById('enter').hidden");
  await assertLooksRight("enter");
  await visit.press("Tab", "not a token", "Enter");
  await visit.until("document.getElementById('fault').innerText !== ''");
  assert.match(await shown("fault"), /This is no token/);
  await assertLooksRight("no-token");
});

step("a token that is not known here is refused with what to do", async () => {
  await visit.evaluate(
    "document.getElementById('token').value = ''; document.getElementById('token').focus()",
  );
  await visit.press(`example.org.${"A".repeat(43)}`, "Enter");
  await visit.until("document.getElementById('fault').innerText.includes('invitation')");
  assert.match(await shown("fault"), /needs a valid invitation\. Ask the provider for a new one/);
});

step("with the keyboard alone: the token behind the # opens it, and leaves the address at once", async () => {
  await visit[Symbol.asyncDispose]();
  visit = await browser.visitAt(`${server.origin}/#${invitation.token}`);
  await visit.until("document.getElementById('state').innerText.includes('Nothing has arrived')");
  assert.equal(await visit.evaluate("location.href"), `${server.origin}/`);
  await visit.press("Tab");
  assert.equal(await visit.evaluate("document.activeElement.id"), "some");
  await visit.press("Tab");
  assert.equal(await visit.evaluate("document.activeElement.id"), "folder");
  await visit.press("Tab");
  assert.equal(await visit.evaluate("document.activeElement.id"), "leave");
  await assertLooksRight("empty");
});

step("files without their manifest are not sent, and it says why", async () => {
  await visit.choose("#some", inBundle(parts.slice(0, 1)));
  await visit.until("document.getElementById('fault').innerText.includes('manifest.json')");
  assert.deepEqual((await new RawClient(server.origin, invitation.token).status()).files, []);
});

step(
  "the manifest and some files: it shows what has arrived, what is missing and what is wrong",
  async () => {
    const wrong = join(temporaryFolder("wrong"), parts[1]!);
    writeFileSync(wrong, flipped(readFileSync(join(bundle, parts[1]!)), 7));
    const stranger = join(temporaryFolder("stranger"), "holiday.jpg");
    writeFileSync(stranger, "x");
    await visit.choose("#some", [...inBundle([parts[0]!, "manifest.json", "OPENING.txt"]), wrong, stranger]);
    await visit.until("document.querySelectorAll('#files .arrived').length === 2");
    await visit.until("document.querySelectorAll('#files .wrong').length === 1");
    assert.match(await shown("state"), new RegExp(`^2 of ${parts.length + 2} files have arrived`));
    assert.match(await shown("files"), /this is not the file that the manifest lists/);
    assert.match(await shown("fault"), /Not part of the bundle, and not sent: holiday\.jpg/);
    await assertLooksRight("some");
  },
);

step("after a reload the bundle's folder is dropped onto the page, and the bundle is complete", async () => {
  await visit.evaluate("location.reload()").catch(() => undefined);
  await visit.until("document.getElementById('state')?.innerText.includes('files have arrived')");
  await visit.drop("#drop", [bundle]);
  await visit.until("document.getElementById('state').className === 'complete'");
  assert.match(await shown("state"), /^The bundle of .* has arrived completely/);
  assert.equal(await shown("problems"), "");
  await assertLooksRight("complete");
  const there = join(server.folder, "example.org");
  for (const name of [...parts, "manifest.json"])
    assert.ok(readFileSync(join(there, name)).equals(readFileSync(join(bundle, name))), name);
});

check("the page asked nobody but this server, and the browser complained of nothing but refusals", () => {
  assert.deepEqual(
    visit.requests.filter((url) => !url.startsWith(`${server.origin}/`) && !url.startsWith("data:")),
    [],
  );
  assert.equal(
    visit.requests.some((url) => url.includes(invitation.token)),
    false,
    "the token is in no address",
  );
  assert.deepEqual(
    visit.complaints.filter((text) => !/status of (401|460)/.test(text)),
    [],
  );
});

check("it may load nothing from elsewhere, be framed by nobody, and send forms nowhere", async () => {
  const { headers } = await new RawClient(server.origin, undefined).ask("GET", "/");
  const policy = headers.get("content-security-policy") ?? "";
  for (const rule of [
    "default-src 'none'",
    "script-src 'self'",
    "frame-ancestors 'none'",
    "form-action 'none'",
  ])
    assert.ok(policy.includes(rule), rule);
  assert.equal(headers.get("referrer-policy"), "no-referrer");
});

step("the invitation is forgotten when that is asked for", async () => {
  await visit.evaluate("document.getElementById('leave').click()");
  await visit.until("!document.getElementById('enter').hidden");
  assert.equal(await visit.evaluate("sessionStorage.length"), 0);
});
