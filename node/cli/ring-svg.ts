// A ring as an SVG picture: an arc for each run of partitions of one member, and a legend.

import type { Ring } from '../../ts/engine/ring.js';

const SIZE = 480;
const MIDDLE = SIZE / 2;
const OUTER = 210;
const INNER = 150;
const LEGEND_WIDTH = 260;
const LINE_HEIGHT = 20;
/** Members in the legend. */
const MEMBERS_SHOWN_MAX = 22;

export function ringSvg(ring: Ring): string {
  const title = `${ring.partitions} partitions on ${ring.names.length} members`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIZE + LEGEND_WIDTH} ${SIZE}" font-family="sans-serif" font-size="13">`,
    `<title>${title}</title>`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    ...arcs(ring),
    `<text x="${MIDDLE}" y="${MIDDLE - 6}" text-anchor="middle" font-size="18">${ring.partitions} partitions</text>`,
    `<text x="${MIDDLE}" y="${MIDDLE + 18}" text-anchor="middle" font-size="18">${ring.names.length} members</text>`,
    ...legend(ring),
    '</svg>',
    '',
  ].join('\n');
}

function arcs({ owners, partitions, names }: Ring): string[] {
  const paths: string[] = [];
  for (let from = 0; from < partitions; ) {
    const owner = owners[from] as number;
    let to = from + 1;
    while (to < partitions && owners[to] === owner) to++;
    const fill = colourOf(owner, names.length);
    const name = escapeXml(names[owner] as string);
    const which = to === from + 1 ? `partition ${from}` : `partitions ${from} to ${to - 1}`;
    paths.push(
      `<path d="${arcPath(from / partitions, to / partitions)}" fill="${fill}" stroke="#ffffff" stroke-width="1"><title>${which}: ${name}</title></path>`,
    );
    from = to;
  }
  return paths;
}

/** From one part of the circle to another, clockwise from the top. */
function arcPath(from: number, to: number): string {
  // A whole circle has no two ends to draw it between.
  const end = to - from >= 1 ? from + 0.9999 : to;
  const large = end - from > 0.5 ? 1 : 0;
  const at = (part: number, radius: number) => {
    const angle = part * 2 * Math.PI;
    const x = MIDDLE + Math.sin(angle) * radius;
    const y = MIDDLE - Math.cos(angle) * radius;
    return `${x.toFixed(2)} ${y.toFixed(2)}`;
  };
  return [
    `M ${at(from, OUTER)}`,
    `A ${OUTER} ${OUTER} 0 ${large} 1 ${at(end, OUTER)}`,
    `L ${at(end, INNER)}`,
    `A ${INNER} ${INNER} 0 ${large} 0 ${at(from, INNER)}`,
    'Z',
  ].join(' ');
}

function legend(ring: Ring): string[] {
  const loads = ring.loads();
  const lines = ring.names.slice(0, MEMBERS_SHOWN_MAX).flatMap((name, member) => {
    const y = 24 + member * LINE_HEIGHT;
    const load = `${loads[member]} of at most ${ring.capacities[member]}`;
    return [
      `<rect x="${SIZE}" y="${y - 11}" width="13" height="13" fill="${colourOf(member, ring.names.length)}"/>`,
      `<text x="${SIZE + 20}" y="${y}">${escapeXml(name)}: ${load}</text>`,
    ];
  });
  const more = ring.names.length - MEMBERS_SHOWN_MAX;
  if (more <= 0) return lines;
  const y = 24 + MEMBERS_SHOWN_MAX * LINE_HEIGHT;
  return [...lines, `<text x="${SIZE}" y="${y}">... and ${more} more</text>`];
}

/** Neighbours in the list are far apart in colour. */
function colourOf(member: number, members: number): string {
  const hue = Math.round(((member * 0.618034) % 1) * 360);
  return `hsl(${hue} 60% ${members > 12 && member % 2 === 1 ? 42 : 55}%)`;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
