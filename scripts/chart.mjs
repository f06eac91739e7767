// Charts as SVG, for light and dark pages: panels of lines, of dots by name and of bars, side by side.
//
// An axis: { ticks, log?, clamped?, label(value) }, from its first tick to its last; clamped: values
// beyond are drawn at its ends. A series or row has the colour of its number, or `color`.

const [TOP, HEIGHT, WIDTH] = [76, 250, 250];
/** From row to row of names, and how far from a name what is said of it. */
const [ROW, ASIDE] = [60, 84];
/** Lines of more points are drawn without dots. */
const MOST_DOTS = 16;
export const panelSize = { top: TOP, height: HEIGHT, width: WIDTH };

export const text = (x, y, content, cls = '', anchor = 'start') => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" class="${cls}" text-anchor="${anchor}">${content}</text>`;
const heading = (left, title, note) => [text(left, 28, title, 'head'), text(left, 46, note, 'note')];

/** Where a value lies on an axis: 0 at its first tick, 1 at its last; in the middle of one with a single tick. */
function shareOf({ ticks, log = false, clamped = false }, value) {
  const [low, high] = [ticks[0], ticks.at(-1)];
  if (low === high) return 0.5;
  const share = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  return clamped ? Math.min(1, Math.max(0, share)) : share;
}

/** Labels at the lines' ends, moved apart where they would overlap. */
function spaced(ends) {
  const sorted = ends.toSorted((a, b) => a.y - b.y);
  for (let i = 1; i < sorted.length; i++) sorted[i].y = Math.max(sorted[i].y, sorted[i - 1].y + 13);
  return sorted;
}

/**
 * Lines. `series`: [{ name, points: [{ x, y, failed? }], single?: [{ x, y }] }]: `single` are dots beside
 * the line, as of single seeds; `failed` ones are hollow. `words(series)` stands at a line's end.
 */
export function lines({ left, title, note, x: across, y: up, series, words = ({ name }) => name }) {
  const x = (value) => left + shareOf(across, value) * WIDTH;
  const y = (value) => TOP + HEIGHT - shareOf(up, value) * HEIGHT;
  const grid = [
    ...up.ticks.map((tick) => `<line x1="${left}" x2="${left + WIDTH}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}" class="grid"/>${text(left - 6, y(tick) + 4, up.label(tick), 'note', 'end')}`),
    ...across.ticks.map((tick) => text(x(tick), TOP + HEIGHT + 18, across.label(tick), 'note', 'middle')),
  ];
  const drawn = series.map(({ points, single = [], color }, i) => {
    const number = color ?? i;
    const places = points.map((point) => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`);
    const dots = points.map(({ failed }, at) => {
      const [cx, cy] = places[at].split(',');
      return `<circle cx="${cx}" cy="${cy}" r="3" class="${failed ? `hollow c${number}` : `dot d${number}`}"/>`;
    });
    const faint = single.map((point) => `<circle cx="${x(point.x).toFixed(1)}" cy="${y(point.y).toFixed(1)}" r="2" class="faint d${number}"/>`);
    return `<polyline points="${places.join(' ')}" class="line c${number}"/>${faint.join('')}${points.length > MOST_DOTS ? '' : dots.join('')}`;
  });
  const ends = spaced(series.map((each, i) => ({ y: y(each.points.at(-1).y) + 4, number: each.color ?? i, words: words(each) })));
  return [...heading(left, title, note), ...grid, ...drawn, ...ends.map((end) => text(left + WIDTH + 8, end.y, end.words, `t${end.number}`))].join('\n');
}

/** Bars by name. `rows`: [{ name, note, value, label, color? }]. */
export function bars({ left, title, note, rows, aside = ASIDE, length: longest = 150 }) {
  const most = Math.max(...rows.map(({ value }) => value));
  const drawn = rows.map(({ name, note: words, value, label, color = 1 }, i) => {
    const [top, length] = [TOP + 8 + i * ROW, (value / most) * longest];
    return [text(left, top + 12, name, 'name'), text(left, top + 27, words, 'note'), `<rect x="${left + aside}" y="${top + 2}" width="${length.toFixed(1)}" height="22" rx="2" class="d${color}"/>`, text(left + aside + 6 + length, top + 17, label, 'note')].join('');
  });
  return [...heading(left, title, note), ...drawn].join('\n');
}

/** A dot for each value and a line at their mean, by name. `rows`: [{ name, note, values, mean, label, color? }]. */
export function dots({ left, title, note, axis, rows, aside = ASIDE }) {
  const x = (value) => left + aside + shareOf(axis, value) * WIDTH;
  const bottom = TOP + rows.length * ROW;
  const grid = axis.ticks.map((tick) => `<line x1="${x(tick).toFixed(1)}" x2="${x(tick).toFixed(1)}" y1="${TOP - 6}" y2="${bottom}" class="grid"/>${text(x(tick), bottom + 18, axis.label(tick), 'note', 'middle')}`);
  const drawn = rows.map(({ name, note: words, values, mean, label, color }, i) => {
    const [top, number] = [TOP + 8 + i * ROW, color ?? i];
    return [
      text(left, top + 12, name, 'name'), text(left, top + 27, words, 'note'), `<line x1="${x(mean).toFixed(1)}" x2="${x(mean).toFixed(1)}" y1="${top}" y2="${top + 26}" class="line c${number}"/>`,
      ...values.map((value) => `<circle cx="${x(value).toFixed(1)}" cy="${top + 13}" r="4" class="seed d${number}"/>`), text(left + aside + WIDTH + 8, top + 17, label, `t${number}`),
    ].join('');
  });
  return [...heading(left, title, note), ...grid, ...drawn].join('\n');
}

/** A page of panels. `about`: for those who cannot see it; `source`: the line below. */
export function page({ width, height = TOP + HEIGHT + 56, about, source, panels }) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="${about}">
<style>
  .page { fill: #fff } .head { font-size: 14px; font-weight: 600; fill: #1b1f24 } .name { fill: #1b1f24; font-weight: 600 } .note { fill: #57606a; font-size: 11px } .grid { stroke: #d8dee4 } .line { fill: none; stroke-width: 2 }
  .hollow { fill: #fff; stroke-width: 1.5 } .faint { opacity: 0.45 } .seed { opacity: 0.7 }
  .c0 { stroke: #57606a } .c1 { stroke: #2f5fb3 } .c2 { stroke: #5b8fe0 } .c3 { stroke: #b3622f } .c4 { stroke: #2f8f6b }
  .d0, .t0 { fill: #57606a } .d1, .t1 { fill: #2f5fb3 } .d2, .t2 { fill: #5b8fe0 } .d3, .t3 { fill: #b3622f } .d4, .t4 { fill: #2f8f6b }
  @media (prefers-color-scheme: dark) { .page, .hollow { fill: #0d1117 } .head, .name { fill: #e6edf3 } .note { fill: #9da7b1 } .grid { stroke: #30363d }
    .c0 { stroke: #9da7b1 } .c1 { stroke: #6ea0ff } .c2 { stroke: #a9c6ff } .c3 { stroke: #e08b52 } .c4 { stroke: #4fc79b }
    .d0, .t0 { fill: #9da7b1 } .d1, .t1 { fill: #6ea0ff } .d2, .t2 { fill: #a9c6ff } .d3, .t3 { fill: #e08b52 } .d4, .t4 { fill: #4fc79b } }
</style>
<rect class="page" width="100%" height="100%"/>
${panels.join('\n')}
${text(56, height - 12, source, 'note')}
</svg>
`;
}
