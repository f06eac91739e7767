// The small drawings inside feed-forward panels: a gated or plain feed-forward, and a mixture of
// experts with its router. Data flows upwards, as in the column beside them.

import type { MlpDescription } from '../layers.js';
import { at, bottom, centre, group, labelled, SIZES } from './scene.js';
import type { Box, Item, Line } from './scene.js';
import { activationName } from './words.js';
import { thousands } from './numbers.js';

const GAP = 15;
const ROUND = 18;

/** A circle with a sign: a sum or a product. */
export function circle(role: string, sign: string): Box {
  const text = { kind: 'text', x: ROUND / 2, y: ROUND / 2 + 4.6, text: sign, size: SIZES.label, anchor: 'middle', tone: 'text' } as const;
  return { kind: 'box', role, x: 0, y: 0, width: ROUND, height: ROUND, paint: 'add', shape: 'round', items: [text] };
}

export function flow(points: Line['points'], arrow = true): Line {
  return { kind: 'line', role: 'flow', points, arrow };
}

const small = (role: string, paint: Box['paint'] & string, text: string, least = 0, pad = 20) => labelled(role, paint, [text], { size: SIZES.note, least, pad });

export function feedForwardDrawing(mlp: MlpDescription): Box {
  if (mlp.kind === 'moe') return expertsDrawing(mlp.experts, mlp.shared);
  return mlp.gated ? gatedDrawing(activationName(mlp)) : plainDrawing(activationName(mlp));
}

function plainDrawing(activation: string): Box {
  const boxes: Box[] = [];
  const items: Item[] = [];
  const width = 110;
  let y = GAP;
  for (const [role, text] of [['linear', 'Linear, down'], ['activation', activation], ['linear', 'Linear, up']] as const) {
    const box = small(role, 'feedForward', text, 84);
    boxes.push(at(box, (width - box.width) / 2, y));
    y += box.height + GAP;
  }
  const middleX = width / 2;
  items.push(flow([[middleX, boxes[0].y], [middleX, 0]]));
  boxes.forEach((box, i) => items.push(flow([[middleX, bottom(box) + GAP], [middleX, bottom(box)]], i < boxes.length)));
  return group('drawing', { width, height: y }, [...boxes, ...items]);
}

function gatedDrawing(activation: string): Box {
  const [width, left, right] = [196, 48, 148];
  const place = (box: Box, x: number, y: number) => at(box, x - box.width / 2, y);
  const down = place(small('linear', 'feedForward', 'Linear, down', 84), width / 2, GAP);
  const times = place(circle('multiply', '×'), width / 2, bottom(down) + GAP);
  const act = place(small('activation', 'feedForward', activation, 60), left, bottom(times) + 6);
  const gate = place(small('linear', 'feedForward', 'Linear, gate', 84), left, bottom(act) + GAP);
  const up = place(small('linear', 'feedForward', 'Linear, up', 84), right, gate.y);
  const fork = bottom(gate) + GAP;
  const timesY = times.y + times.height / 2;
  return group('drawing', { width, height: fork + 10 }, [
    down, times, act, gate, up,
    flow([[width / 2, down.y], [width / 2, 0]]), flow([[width / 2, times.y], [width / 2, bottom(down)]]),
    flow([[left, act.y], [left, timesY], [times.x, timesY]]), flow([[right, up.y], [right, timesY], [times.x + times.width, timesY]]),
    flow([[left, gate.y], [left, bottom(act)]]),
    flow([[width / 2, fork + 10], [width / 2, fork], [left, fork], [left, bottom(gate)]]), flow([[width / 2, fork], [right, fork], [right, bottom(up)]]),
  ]);
}

function expertsDrawing(experts: number, shared: number): Box {
  const sum = circle('add', '+');
  const top = GAP + sum.height + 22;
  const names = experts > 3 ? ['1', '2', '…', thousands(experts)] : Array.from({ length: experts }, (_, i) => String(i + 1));
  const boxes: Box[] = [];
  let x = 0;
  for (const name of names) {
    const box = at(small('expert', name === '…' ? 'plain' : 'special', name, 24, 12), x, top);
    boxes.push(box);
    x += box.width + 7;
  }
  const routedWidth = x - 7;
  const sharedBox = shared ? at(small('sharedExpert', 'special', shared === 1 ? 'shared' : `${shared} shared`, 0, 12), x + 8, top) : null;
  const router = at(small('router', 'special', 'Router', routedWidth), 0, bottom(boxes[0]) + 20);
  const width = sharedBox ? sharedBox.x + sharedBox.width : routedWidth;
  const all = sharedBox ? [...boxes, sharedBox] : boxes;
  const centreX = sharedBox ? (centre(all[0]) + centre(sharedBox)) / 2 : centre(router);
  const placedSum = at(sum, centreX - ROUND / 2, GAP);
  const bus = top - 11;
  const fork = bottom(router) + GAP;
  const lines = [
    flow([[centreX, GAP], [centreX, 0]]), flow([[centreX, bus], [centreX, bottom(placedSum)]]),
    ...all.map((box) => flow([[centre(box), top], [centre(box), bus], [centreX, bus]], false)),
    ...boxes.map((box) => flow([[centre(box), router.y], [centre(box), bottom(box)]])),
    flow([[centreX, fork + 10], [centreX, fork], [centre(router), fork], [centre(router), bottom(router)]]),
    ...(sharedBox ? [flow([[centreX, fork], [centre(sharedBox), fork], [centre(sharedBox), bottom(sharedBox)]])] : []),
  ];
  return group('drawing', { width, height: fork + 10 }, [...all, router, placedSum, ...lines]);
}
