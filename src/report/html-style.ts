import { FIGURES_STYLE } from "./html-style-figures.ts";
import { PRINT_STYLE } from "./html-style-print.ts";

/**
 * The one style sheet of a report page. Text reaches a contrast of 4.5 to 1 in light and in dark; colour never says
 * anything that the words don't. No fonts and no images of its own, since nothing may be fetched.
 */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #f7f5f1; --card: #fffefb; --ink: #23262a; --quiet: #5f656c; --line: #e2ded6; --track: #ece8e0;
  --accent: #3f6f9f; --accent-soft: #8cadcd;
  --ok: #1c6b43; --note: #28598f; --warning: #85560a; --blocker: #a92a22;
  --ok-soft: #e8f3ec; --note-soft: #e8f0f8; --warning-soft: #fbf1dc; --blocker-soft: #fbe9e6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --card: #1d2125; --ink: #e4e5e6; --quiet: #a3aab1; --line: #32383e; --track: #2a2f35;
    --accent: #6fa3d6; --accent-soft: #48698f;
    --ok: #74cd9c; --note: #8abaf0; --warning: #eab95c; --blocker: #ff9a90;
    --ok-soft: #1a2b22; --note-soft: #1b2836; --warning-soft: #302716; --blocker-soft: #361e1c;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: clamp(1.25rem, 4vw, 3.5rem) clamp(1rem, 4vw, 2.5rem) 2rem; max-width: 62rem;
  background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 400 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
}
h1, h2, h3, p, dl, dd, ul, ol { margin: 0; padding: 0; }
ul, ol { list-style: none; }
h1 { font-size: clamp(1.6rem, 1.2rem + 1.8vw, 2.3rem); line-height: 1.2; font-weight: 650; letter-spacing: -0.015em; text-wrap: balance; }
h2 { font-size: 1.15rem; line-height: 1.3; font-weight: 650; }
h3 { font-size: 0.95rem; line-height: 1.3; font-weight: 650; }
summary h3 { display: inline; }
.lead { margin-top: 0.6rem; max-width: 44rem; color: var(--quiet); font-size: 1.05rem; }
main { display: grid; grid-template-columns: minmax(0, 1fr); gap: 2.25rem; margin-top: 1.75rem; }
main > section { min-width: 0; }

.ok { --tone: var(--ok); --soft: var(--ok-soft); }
.note { --tone: var(--note); --soft: var(--note-soft); }
.warning { --tone: var(--warning); --soft: var(--warning-soft); }
.blocker { --tone: var(--blocker); --soft: var(--blocker-soft); }
.mark {
  flex: none; display: grid; place-items: center; width: 1.4rem; height: 1.4rem; border-radius: 50%;
  background: var(--tone); color: var(--card); font-weight: 700; font-size: 0.85rem; line-height: 1;
}
.verdict {
  display: flex; gap: 1rem; align-items: flex-start; padding: 1.25rem 1.4rem; border-radius: 0.75rem;
  background: var(--soft); border: 1px solid color-mix(in srgb, var(--tone) 35%, transparent);
}
.verdict > div { min-width: 0; }
.verdict .mark { width: 2.4rem; height: 2.4rem; font-size: 1.3rem; }
.verdict .word { color: var(--tone); font-weight: 650; font-size: 0.95rem; line-height: 1.3; }
.verdict .sentence { font-size: 1.2rem; line-height: 1.4; font-weight: 550; }

.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); grid-auto-flow: row dense; gap: 1.1rem 1.75rem; }
.facts div { min-width: 0; padding-top: 0.6rem; border-top: 1px solid var(--line); }
.facts dt { color: var(--quiet); font-size: 0.875rem; }
.facts dd { font-size: 1.1rem; line-height: 1.35; font-weight: 550; font-variant-numeric: tabular-nums; }

.facts .long { grid-column: 1 / -1; }
@media (min-width: 40.01rem) { .facts .long { grid-column: span 2; } }

.level + .level { margin-top: 1.5rem; }
.count { display: inline-block; min-width: 1.5em; padding: 0 0.45em; margin-left: 0.15em; border-radius: 1em; background: var(--track); color: var(--quiet); font-size: 0.85em; font-weight: 550; text-align: center; }
.group { display: grid; gap: 0.6rem; margin-top: 0.7rem; }
.finding { display: flex; gap: 0.9rem; padding: 0.9rem 1.1rem; background: var(--card); border: 1px solid var(--line); border-radius: 0.6rem; }
.finding > div { flex: 1; min-width: 0; }
.finding.warning, .finding.blocker { border-color: color-mix(in srgb, var(--tone) 40%, var(--line)); }
.finding .sentence { line-height: 1.45; }
.finding.warning .sentence, .finding.blocker .sentence { font-weight: 550; }
.hint { margin-top: 0.35rem; line-height: 1.45; }
.hint b { color: var(--tone); font-weight: 650; }
.id { margin-top: 0.35rem; color: var(--quiet); }
.id, .evidence ul { font: 0.8rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
.evidence { margin-top: 0.45rem; }
.evidence ul { margin-top: 0.35rem; padding: 0.6rem 0.8rem; background: var(--paper); border-radius: 0.4rem; }
.evidence li + li { margin-top: 0.15rem; }
summary { cursor: pointer; width: fit-content; }
.evidence summary { color: var(--quiet); font-size: 0.9rem; }
summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 0.2rem; }
details.level .group { gap: 0; background: var(--card); border: 1px solid var(--line); border-radius: 0.6rem; }
.finding.ok, .finding.note { padding: 0.6rem 1.1rem; background: none; border: 0; border-radius: 0; }
.finding + .finding.ok, .finding + .finding.note { border-top: 1px solid var(--line); }
.finding.ok .mark { background: none; color: var(--tone); font-size: 1rem; }
.finding.ok .id { display: none; }

footer { margin-top: 2.5rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--quiet); font-size: 0.875rem; }

@media (max-width: 40rem) {
  .verdict { padding: 1rem; }
  .facts { grid-template-columns: repeat(auto-fill, minmax(min(100%, 11rem), 1fr)); gap: 0.9rem 1.25rem; }
}
${FIGURES_STYLE}${PRINT_STYLE}`;
