// The options of every script here, and what --help says of them.

import { parseArgs } from 'node:util';

/** Reads a number above 0; whole where it counts something. */
const above0 = (whole) => (name, text) => {
  const value = Number(text);
  if (!(value > 0) || (whole && !Number.isInteger(value))) throw new Error(`--${name} must be a ${whole ? 'whole ' : ''}number above 0, got '${text}'`);
  return value;
};
const count = above0(true);
const oneOf = (...allowed) => (name, text) => {
  if (!allowed.includes(text)) throw new Error(`--${name} must be ${allowed.join(' or ')}, got '${text}'`);
  return text;
};

const OPTIONS = {
  run: { default: 'lab-run', value: '<folder>', help: 'where the corpus is, and results go' },
  data: { multiple: true, value: '<file>', help: 'text to make the corpus of, once: documents divided by <|endoftext|>' },
  out: { value: '<folder>', help: 'where result and figure go and are gone on with; the run by default' },
  backend: { read: oneOf('webgpu', 'wasm'), default: 'webgpu', value: 'webgpu|wasm', help: 'what computes' },
  seeds: { read: count, value: '<n>', help: 'how often each design is trained' },
  steps: { read: count, value: '<n>', help: 'steps of the longest training' },
  batch: { read: count, value: '<n>', help: 'windows per step' },
  rates: { read: count, value: '<n>', help: 'only the first so many learning rates, for a quick look' },
  heldout: { read: count, value: '<n>', help: 'most held-out stories measured' },
  processes: { read: count, default: '2', value: '<n>', help: 'processes side by side' },
  lanes: { read: count, default: '1', value: '<n>', help: 'experiments at once in each process' },
  threads: { read: count, default: '1', value: '<n>', help: 'of each process, where wasm computes' },
  seconds: { read: above0(false), value: '<n>', help: 'end after so long; started again, it goes on with what is missing' },
  device: { value: '<name>', help: 'what the result says it was made on' },
  draw: { type: 'boolean', help: 'only tell and draw the result that is there' },
  help: { type: 'boolean', help: 'this text' },
};

/** The options of the command line by name; `extra`: more of them. Throws a sentence for one that is wrong. */
export function readOptions(extra = {}) {
  const all = { ...OPTIONS, ...extra };
  const { values } = parseArgs({ options: Object.fromEntries(Object.entries(all).map(([name, { type = 'string', multiple = false, default: fallback }]) => [name, { type, multiple, ...(fallback === undefined ? {} : { default: fallback }) }])) });
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, all[name].read?.(name, value) ?? value]));
}

export function usage(command, about, extra = {}) {
  const lines = Object.entries({ ...OPTIONS, ...extra }).map(([name, { value = '', help, default: fallback }]) => `  ${`--${name} ${value}`.padEnd(24)} ${help}${fallback === undefined ? '' : ` (${fallback})`}`);
  return `${about}\n\nUsage: node ${command} [options]\n\n${lines.join('\n')}`;
}
