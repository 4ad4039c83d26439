import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";
import puppeteer, {
  type Browser,
  type CDPSession,
  type ElementHandle,
  type KeyInput,
  type Page,
} from "puppeteer-core";
import { PAGE_FAULTS } from "./page-faults.ts";

/** How a page is looked at. */
export interface Sight {
  /** In pixels. */
  readonly width: number;
  readonly scheme?: "light" | "dark";
  /** With everything opened that can be opened. */
  readonly opened?: boolean;
  /** As it will be on paper. */
  readonly printed?: boolean;
}

/** A real Chromium without a window and without a network, with a profile of its own that goes when it goes. */
export class RealBrowser implements AsyncDisposable {
  readonly #browser: Browser;
  readonly #folder: string;

  private constructor(browser: Browser, folder: string) {
    this.#browser = browser;
    this.#folder = folder;
  }

  static async open(): Promise<RealBrowser> {
    const executablePath = chromium();
    const folder = mkdtempSync(join(tmpdir(), "browser-"));
    const args = process.getuid?.() === 0 ? [...FLAGS, "--no-sandbox"] : FLAGS;
    const userDataDir = join(folder, "profile");
    return new RealBrowser(await puppeteer.launch({ executablePath, userDataDir, pipe: true, args }), folder);
  }

  /** Opens a page of a server on this host, at its IP address. */
  async visitAt(url: string): Promise<Visit> {
    const page = await this.#browser.newPage();
    const visit = new Visit(page, url);
    await page.goto(url, { timeout: 180_000 });
    return visit;
  }

  /** Opens a document from a file, as a person would who was sent it. */
  async visit(html: string): Promise<Visit> {
    const path = join(this.#folder, "page.html");
    writeFileSync(path, html);
    const page = await this.#browser.newPage();
    const visit = new Visit(page, pathToFileURL(path).href);
    await page.goto(visit.address, { timeout: 180_000 });
    return visit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

/** A document in a tab of its own. */
export class Visit implements AsyncDisposable {
  readonly address: string;
  /** What the browser complained of, so far. */
  readonly complaints: string[] = [];
  /** Addresses that the document asked for, beside itself. */
  readonly requests: string[] = [];
  readonly #page: Page;
  #session: CDPSession | undefined;

  constructor(page: Page, address: string) {
    this.#page = page;
    this.address = address;
    page.on("console", (message) => this.complaints.push(message.text()));
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("request", (request) => {
      if (request.url() !== address) this.requests.push(request.url());
    });
  }

  /** What a person would see go wrong: what overflows, is cut off, lies upon another, or can't be read. */
  async look({
    width,
    scheme = "light",
    opened = false,
    printed = false,
  }: Sight): Promise<readonly string[]> {
    await this.#page.setViewport({ width, height: 900 });
    // In one call: each of Puppeteer's two would undo the other.
    this.#session ??= await this.#page.createCDPSession();
    await this.#session.send("Emulation.setEmulatedMedia", {
      media: printed ? "print" : "screen",
      features: [{ name: "prefers-color-scheme", value: scheme }],
    });
    if (opened) await this.evaluate(OPEN_ALL);
    return (await this.evaluate(PAGE_FAULTS)) as string[];
  }

  /** All of the document as it was last looked at, as PNG. */
  async picture(): Promise<Uint8Array> {
    return this.#page.screenshot({ fullPage: true });
  }

  /** The document on A4, as PDF. */
  async print(): Promise<Uint8Array> {
    return this.#page.pdf({ format: "A4" });
  }

  /** What is selected after a click on each of these elements. */
  async selectedBy(selector: string): Promise<string[]> {
    const texts: string[] = [];
    for (const element of await this.#page.$$(selector)) {
      await element.click();
      texts.push((await this.evaluate("String(getSelection())")) as string);
    }
    return texts;
  }

  /** The value of an expression inside the document. */
  async evaluate(expression: string): Promise<unknown> {
    return this.#page.evaluate(expression);
  }

  /** Chooses files of this host, as a person does in the browser's dialogue. */
  async choose(selector: string, paths: readonly string[]): Promise<void> {
    const element = (await this.#page.$(selector)) as ElementHandle<never> | null;
    await element!.uploadFile(...paths);
  }

  /** Drags files and folders of this host onto an element, as a person does out of a file manager. */
  async drop(selector: string, paths: readonly string[]): Promise<void> {
    const box = (await (await this.#page.$(selector))!.boundingBox())!;
    const place = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    const data = { items: [], files: [...paths], dragOperationsMask: COPY };
    this.#session ??= await this.#page.createCDPSession();
    for (const type of ["dragEnter", "dragOver", "drop"] as const)
      await this.#session.send("Input.dispatchDragEvent", { type, ...place, data });
  }

  /** Presses keys, one after the other: "Tab", "Enter", or a text that is typed. */
  async press(...keys: readonly string[]): Promise<void> {
    for (const key of keys)
      if (/^[A-Z][a-z]+$/.test(key)) await this.#page.keyboard.press(key as KeyInput);
      else await this.#page.keyboard.type(key);
  }

  /** Waits until an expression inside the document is true. */
  async until(expression: string): Promise<void> {
    await this.#page.waitForFunction(expression, { timeout: 180_000, polling: 50 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#page.close({ runBeforeUnload: false });
  }
}

/** Debian's name for it. Where it is missing the tests fail: nothing passes by being skipped. */
function chromium(): string {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/bin"];
  const path = folders.map((folder) => join(folder, "chromium")).find((file) => existsSync(file));
  assert.ok(path, "there is no chromium here: npm run setup brings it");
  return path;
}

/** The bit of it among the operations of a drag. */
const COPY = 1;

const OPEN_ALL = 'for (const one of document.querySelectorAll("details")) one.open = true';

const FLAGS = [
  "--headless=new",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // A page that asks for something is caught above; this is so that nothing else gets out either.
  "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
];
