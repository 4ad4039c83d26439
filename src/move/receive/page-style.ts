/** Text reaches a contrast of 4.5 to 1 in light and in dark; colour never says anything that the words don't. */
export const PAGE_STYLE = `:root {
  color-scheme: light dark;
  --paper: #f7f5f1; --card: #fffefb; --ink: #23262a; --quiet: #5f656c; --line: #d8d2c8; --track: #e4dfd6;
  --accent: #2f5f8f; --on-accent: #ffffff; --ok: #1c6b43; --wrong: #a92a22; --wrong-soft: #fbe9e6; --ok-soft: #e8f3ec;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --card: #1d2125; --ink: #e4e5e6; --quiet: #a3aab1; --line: #3a4148; --track: #2f353b;
    --accent: #7db0e2; --on-accent: #10202f; --ok: #74cd9c; --wrong: #ff9a90; --wrong-soft: #361e1c; --ok-soft: #1a2b22;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: clamp(1.25rem, 4vw, 3rem) clamp(1rem, 4vw, 2rem); max-width: 48rem;
  background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 400 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
}
h1, h2, p, ul, dl, dd { margin: 0; padding: 0; }
ul { list-style: none; }
h1 { font-size: clamp(1.5rem, 1.2rem + 1.5vw, 2rem); line-height: 1.2; font-weight: 650; letter-spacing: -0.01em; }
h2 { font-size: 1.05rem; font-weight: 650; }
main, section, form { display: grid; gap: 1rem; grid-template-columns: minmax(0, 1fr); }
main { gap: 1.75rem; margin-top: 1.5rem; }
.quiet { color: var(--quiet); font-size: 0.925rem; }
.card { padding: 1.1rem 1.25rem; background: var(--card); border: 1px solid var(--line); border-radius: 0.6rem; }
label { font-weight: 550; }
input[type="password"] {
  width: 100%; min-height: 2.75rem; padding: 0.5rem 0.75rem; font: inherit; color: inherit; background: var(--paper);
  border: 1px solid var(--quiet); border-radius: 0.4rem;
}
button, .pick {
  display: inline-grid; place-items: center; min-height: 2.75rem; padding: 0.4rem 1.1rem; font: inherit; font-weight: 550;
  color: var(--accent); background: transparent; border: 1px solid currentColor; border-radius: 0.4rem; cursor: pointer;
}
button.main, .pick.main { color: var(--on-accent); background: var(--accent); border-color: var(--accent); }
button.small { min-height: 2rem; padding: 0.1rem 0.7rem; font-size: 0.9rem; }
.row { display: flex; flex-wrap: wrap; gap: 0.75rem; align-items: center; }
.pick input { position: absolute; width: 1px; height: 1px; opacity: 0; }
:focus-visible, .pick:focus-within { outline: 3px solid var(--accent); outline-offset: 2px; }
#problems:empty, #fault:empty { display: none; }
#state:focus { outline: none; }
#state { font-size: 1.15rem; font-weight: 550; line-height: 1.4; }
#state.complete { padding: 1rem 1.25rem; color: var(--ok); background: var(--ok-soft); border: 1px solid currentColor; border-radius: 0.6rem; }
#problems:not(:empty), #fault:not(:empty) {
  display: grid; gap: 0.4rem; padding: 0.9rem 1.25rem; color: var(--wrong); background: var(--wrong-soft);
  border: 1px solid currentColor; border-radius: 0.6rem; font-weight: 550;
}
#drop { display: grid; gap: 0.75rem; justify-items: center; padding: 1.75rem 1.25rem; text-align: center; border: 2px dashed var(--quiet); border-radius: 0.6rem; background: var(--card); }
#drop.over { border-color: var(--accent); background: var(--track); }
#files { display: grid; background: var(--card); border: 1px solid var(--line); border-radius: 0.6rem; }
#files:empty { display: none; }
#files li { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0.15rem 1rem; align-items: center; padding: 0.6rem 1.1rem; }
#files li + li { border-top: 1px solid var(--line); }
#files .name { font: 0.9rem/1.4 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
#files .size, #files .said { color: var(--quiet); font-size: 0.9rem; font-variant-numeric: tabular-nums; }
#files .size { text-align: right; }
#files .arrived .said { color: var(--ok); }
#files .wrong .said { color: var(--wrong); font-weight: 550; }
#files .said { grid-column: 1 / -1; }
#files .act { grid-column: 1 / -1; }
#files .act:empty { display: none; }
#files progress { grid-column: 1 / -1; width: 100%; height: 0.5rem; accent-color: var(--accent); }
footer { margin-top: 2rem; }
@media (max-width: 30rem) { #drop { padding: 1.25rem 0.9rem; } .row > * { flex: 1 1 100%; } button.small { flex: none; } }
@media (prefers-reduced-motion: no-preference) { #drop { transition: border-color 0.15s; } }
`;
