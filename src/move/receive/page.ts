import type { StreamReply } from "../../system/http/stream-server.ts";
import { PAGE_SCRIPT } from "./page-script.ts";
import { PAGE_STYLE } from "./page-style.ts";

/** Addresses are relative, so that the page works below any path of a web server in front. */
const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Send a bundle</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page.css">
<script src="page.js" defer></script>
</head>
<body>
<header>
<h1>Send a bundle</h1>
</header>
<main>
<p id="script" class="card">This page needs JavaScript. Without it: <code>synlift send</code>.</p>
<p id="fault" role="alert"></p>
<form id="enter" class="card" hidden>
<label for="token">Token of the invitation</label>
<input id="token" type="password" autocomplete="off" autocapitalize="off" spellcheck="false" required>
<div class="row">
<button class="main">Open</button>
<label class="pick">Choose the invitation file<input id="invitation" type="file"></label>
</div>
<p class="quiet">It stays in this tab, and is sent to this server only.</p>
</form>
<section id="inbox" hidden>
<p id="state" role="status" tabindex="-1">Asking the server…</p>
<ul id="problems" aria-label="What is wrong"></ul>
<section id="send" aria-label="Send files">
<div id="drop">
<p>Drop the folder of the bundle here, or what is missing of it.</p>
<div class="row">
<label class="pick main">Choose files<input id="some" type="file" multiple></label>
<label class="pick">Choose a folder<input id="folder" type="file" webkitdirectory></label>
</div>
<p class="quiet">Files that have arrived are not sent again. Keep this page open until all have.</p>
</div>
</section>
<ul id="files" aria-label="Files"></ul>
<div class="row">
<p id="about" class="quiet"></p>
<button id="leave" type="button" class="small">Forget the invitation</button>
</div>
</section>
</main>
</body>
</html>
`;

const SAFE = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cache-Control": "no-cache",
};

const reply = (type: string, body: string): StreamReply => ({
  status: 200,
  headers: { ...SAFE, "Content-Type": `${type}; charset=utf-8` },
  body,
});

/** What the page in the browser consists of, by path: the same for everybody, without any data. */
export const PAGE_FILES: ReadonlyMap<string, StreamReply> = new Map([
  ["/", reply("text/html", PAGE)],
  ["/page.js", reply("text/javascript", PAGE_SCRIPT)],
  ["/page.css", reply("text/css", PAGE_STYLE)],
]);
