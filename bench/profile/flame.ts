// Draws a flame graph: an SVG that opens in any browser; a click on a frame widens it, a click on the
// lowest one shows all again. Width is the share of samples, the order is alphabetical.

import { escaped } from '../peers/chart.js';

/** Frames from the root to the leaf, with how many samples they have. */
export type FoldedStacks = ReadonlyMap<string, number>;
export const FOLD_SEPARATOR = '\n';

interface Node {
  readonly name: string;
  count: number;
  readonly children: Map<string, Node>;
}

const WIDTH = 1200;
const ROW = 17;
const TOP = 52;
const CHARACTER_WIDTH = 6.6;
/** Pixels below which a frame is not drawn. */
const WIDTH_MIN = 0.3;

export function flameGraph(stacks: FoldedStacks, title: string): string {
  const root: Node = { name: 'all', count: 0, children: new Map() };
  let depthMax = 0;
  for (const [folded, count] of stacks) {
    const names = folded.split(FOLD_SEPARATOR);
    depthMax = Math.max(depthMax, names.length);
    let node = root;
    node.count += count;
    for (const name of names) {
      let child = node.children.get(name);
      if (child === undefined) {
        child = { name, count: 0, children: new Map() };
        node.children.set(name, child);
      }
      child.count += count;
      node = child;
    }
  }
  const height = TOP + (depthMax + 1) * ROW + 16;
  const frames: string[] = [];
  draw(root, 0, 0, root.count, height - 16 - ROW, frames);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="100%" ` +
      'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="11">',
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="10" y="24" font-size="15">${escaped(title)}</text>`,
    `<text id="hint" x="10" y="42" fill="#66727f">${root.count} samples; click a frame to widen it</text>`,
    ...frames,
    `<script><![CDATA[${SCRIPT}]]></script>`,
    '</svg>',
    '',
  ].join('\n');
}

function draw(
  node: Node,
  depth: number,
  start: number,
  total: number,
  bottom: number,
  out: string[],
): void {
  const x = (start / total) * WIDTH;
  const width = (node.count / total) * WIDTH;
  if (width < WIDTH_MIN) return;
  const y = bottom - depth * ROW;
  const share = ((node.count / total) * 100).toFixed(1);
  const name = escaped(node.name);
  const label = labelOf(node.name, width);
  out.push(
    `<g class="f" data-x="${x.toFixed(2)}" data-w="${width.toFixed(2)}" data-d="${depth}">` +
      `<title>${name}, ${node.count} samples, ${share} %</title>` +
      `<rect x="${x.toFixed(2)}" y="${y}" width="${width.toFixed(2)}" height="${ROW - 1}" ` +
      `fill="${colourOf(node.name)}" rx="1"/>` +
      `<text x="${(x + 3).toFixed(2)}" y="${y + 12}" pointer-events="none">${escaped(label)}</text></g>`,
  );
  let at = start;
  const children = [...node.children.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const child of children) {
    draw(child, depth + 1, at, total, bottom, out);
    at += child.count;
  }
}

function labelOf(name: string, width: number): string {
  const room = Math.floor((width - 6) / CHARACTER_WIDTH);
  if (room < 3) return '';
  return name.length <= room ? name : `${name.slice(0, room - 2)}..`;
}

/** By where it runs: kernel, JavaScript, the engine, everything else native. */
function colourOf(name: string): string {
  if (name.endsWith(' [k]')) return '#f0b27a';
  if (name.startsWith('JS:')) return '#f7dc6f';
  if (/^rondo |rondo_core/.test(name)) return '#7dcea0';
  return '#aed6f1';
}

const SCRIPT = `
const all = [...document.querySelectorAll('.f')];
const width = ${WIDTH};
function show(target) {
  const x0 = +target.dataset.x, w0 = +target.dataset.w, depth = +target.dataset.d;
  for (const g of all) {
    const x = +g.dataset.x, w = +g.dataset.w, d = +g.dataset.d;
    const isBelow = d <= depth && x <= x0 + 0.01 && x + w >= x0 + w0 - 0.01;
    const isAbove = d > depth && x >= x0 - 0.01 && x + w <= x0 + w0 + 0.01;
    g.style.display = isBelow || isAbove ? '' : 'none';
    if (!isBelow && !isAbove) continue;
    const left = isBelow ? 0 : ((x - x0) / w0) * width;
    const wide = isBelow ? width : (w / w0) * width;
    const rect = g.querySelector('rect'), text = g.querySelector('text');
    const name = g.querySelector('title').textContent.replace(/, \\d+ samples, [\\d.]+ %$/, '');
    rect.setAttribute('x', left);
    rect.setAttribute('width', wide);
    text.setAttribute('x', left + 3);
    const room = Math.floor((wide - 6) / ${CHARACTER_WIDTH});
    text.textContent = room < 3 ? '' : name.length <= room ? name : name.slice(0, room - 2) + '..';
  }
}
for (const g of all) g.addEventListener('click', () => show(g));
`;
