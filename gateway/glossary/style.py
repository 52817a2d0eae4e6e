"""How the page looks: by the reader's own fonts, light or dark as she has it, and on a phone."""

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d232b; --less: #5b6672; --line: #d5dae0; --card: #f6f7f9;
  --command: #1f5fbf; --event: #a34a00; --box: #eef2f7 }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e3e8ee; --less: #98a4b1; --line: #333c46;
  --card: #1b2027; --command: #7fb2ff; --event: #f0a35e; --box: #212934 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  padding: 1.5rem; max-width: 76rem }
h1, h2, h3, h4, p, dl { margin: 0 0 .5rem } h2 { margin-top: 3rem; border-bottom: 2px solid var(--line) }
h3 { margin-top: 1.5rem } h4 { font-size: 1rem } p { max-width: 46rem }
a { color: inherit; text-decoration-color: var(--line) } a:hover { text-decoration-color: currentColor }
nav { position: sticky; top: 0; background: var(--paper); padding: .5rem 0; display: flex; flex-wrap: wrap; gap: .9rem }
section, article, div[id] { scroll-margin-top: 3.5rem }
.terms { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 23rem), 1fr)); gap: .8rem }
article { background: var(--card); border-left: 4px solid var(--line); border-radius: 4px; padding: .7rem .9rem;
  overflow-wrap: anywhere }
article:target { outline: 2px solid var(--command) }
.command { border-color: var(--command) } .event { border-color: var(--event) }
.command h4, .commands { color: var(--command) } .event h4, .events { color: var(--event) }
dl { display: grid; grid-template-columns: 5.2rem 1fr; gap: .15rem .6rem; font-size: .88rem; margin: 0 }
dt, .of, i { color: var(--less) } dd { margin: 0 } i { font-style: normal }
.wide { grid-column: 1 / -1 } .wide dl { grid-template-columns: minmax(10rem, max-content) 1fr }
code { font: .92em ui-monospace, monospace }
figure { margin: 1.5rem 0; overflow-x: auto } figcaption { color: var(--less); font-size: .88rem; margin-top: .5rem }
.map { max-width: 100%; height: auto } .map.narrow { display: none }
.map text { font-size: 13px; text-anchor: middle; fill: var(--ink) } .map .name { font-weight: 650; font-size: 15px }
.map .less { fill: var(--less); font-size: 12px } .map a { text-decoration: none } .map a:hover { opacity: .6 }
.map .context { fill: var(--box); stroke: var(--line) } .map .model { fill: none; stroke: var(--line) }
.map .flow, .map .feeds { fill: none; stroke-width: 1.5 } .map .feeds { stroke: var(--line) }
.map path.commands { stroke: var(--command) } .map path.events { stroke: var(--event); stroke-dasharray: 5 3 }
.map path.head { stroke: none } .map path.head.commands { fill: var(--command) }
.map path.head.events { fill: var(--event) }
.map text.commands { fill: var(--command) } .map text.events { fill: var(--event) }
@media (max-width: 48rem) { body { padding: 1rem } .map.wide { display: none } .map.narrow { display: block }
  dl { grid-template-columns: 4.6rem 1fr } .wide dl { grid-template-columns: 1fr } .wide dd { margin-left: 1.5rem } }
@media print { nav { position: static } }
"""
