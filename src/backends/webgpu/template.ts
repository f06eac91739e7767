// Puts a kernel's WGSL together: constants in front, includes and conditional lines resolved.
//
// Directives are WGSL comments, so a kernel file reads as WGSL:
//   //#include weight_{WEIGHT}      another file, a parameter's value within its name; once per kernel
//   //#copies products_{PRODUCTS}      another file COPIES times, every name that it defines with _0, _1, … behind it;
//                               what it finds at numbered bindings is one further in each
//   //#stages           for each of STAGES stages the file that its FILE names, under its own parameters beside all
//                       others (those of stage 2 are called '2.ROWS'); its names and those parameters end in _2
//   //#if BIAS ... //#else ... //#endif    lines kept when the parameter is true (no nesting)
//   //#unroll             the loop on the next line is written out, its variable as a number, and as part of a
//                               name where it stands in braces (sum_{i}). It counts by ones to a parameter, and
//                               ends at a line of its own
// Every number and boolean parameter is also a WGSL constant of that name. WGSL wants what a kernel
// enables before everything else, so such lines are moved to the front.

import { sources } from './wgsl.js';

export type Parameters = Readonly<Record<string, number | boolean | string>>;

/** The WGSL of kernel file `name` under `parameters`. */
export function assemble(name: string, parameters: Parameters): string {
  const constants = constantsOf(Object.fromEntries(Object.entries(parameters).filter(([key]) => !key.includes('.'))));
  const lines = unrolled(resolve(name, parameters, new Set()), parameters);
  const enables = (line: string) => /^(enable|diagnostic)\b/.test(line);
  return [...lines.filter(enables), ...constants, ...lines.filter((line) => !enables(line))].join('\n');
}

function constantsOf(parameters: Parameters): string[] {
  return Object.entries(parameters).filter(([, value]) => typeof value !== 'string').map(([key, value]) =>
    typeof value === 'boolean' ? `const ${key}: bool = ${value};` : `const ${key}: u32 = ${value}u;`);
}

function resolve(name: string, parameters: Parameters, included: Set<string>): string[] {
  const source = sources[name];
  if (source === undefined) throw new Error(`there is no GPU kernel file '${name}.wgsl'`);
  included.add(name);
  let keeping = true;
  return source.split('\n').flatMap((line) => {
    const [, directive, argument = ''] = /^\s*\/\/#(\w+)\s*(\S*)/.exec(line) ?? [];
    const file = argument.replace(/\{(\w+)\}/g, (_, key: string) => String(parameters[key]));
    switch (directive) {
      case 'if': keeping = parameters[argument] === true; return [];
      case 'else': keeping = !keeping; return [];
      case 'endif': keeping = true; return [];
      case 'include': return keeping && !included.has(file) ? resolve(file, parameters, included) : [];
      case 'copies': return keeping ? Array.from({ length: Number(parameters.COPIES) }, (_, i) => copy(file, parameters, i)).flat() : [];
      case 'stages': return keeping ? Array.from({ length: Number(parameters.STAGES) }, (_, i) => stage(parameters, i)).flat() : [];
      case 'unroll': return keeping ? [line] : [];
      case undefined: return keeping ? [line] : [];
      default: throw new Error(`${name}.wgsl has an unknown directive '//#${directive}'`);
    }
  });
}

/** Drivers keep arrays that loops walk in memory where they do not write the loops out themselves. */
function unrolled(lines: readonly string[], parameters: Parameters): string[] {
  const at = lines.findIndex((line) => /^\s*\/\/#unroll\b/.test(line));
  if (at < 0) return [...lines];
  const [, indent, variable, bound] = /^(\s*)for \(var (\w+) = 0u; \2 < (\w+); \2\+\+\) \{$/.exec(lines[at + 1]) ?? [];
  const end = lines.indexOf(`${indent}}`, at);
  const times = parameters[bound];
  if (typeof times !== 'number' || end < 0) throw new Error(`cannot unroll '${lines[at + 1].trim()}'`);
  const body = lines.slice(at + 2, end);
  const counter = new RegExp(`(?<!\\.)\\b${variable}\\b`, 'g');
  const turn = (i: number) => body.map((line) => line.replaceAll(`{${variable}}`, String(i)).replace(counter, `${i}u`));
  const turns = Array.from({ length: times }, (_, i) => unrolled(turn(i), parameters));
  return [...lines.slice(0, at), ...turns.flat(), ...unrolled(lines.slice(end + 1), parameters)];
}

/** File `name` with all that it includes, under names of its own. */
function copy(name: string, parameters: Parameters, index: number): string[] {
  return rebound(renamed(resolve(name, parameters, new Set()), index), index);
}

/** A stage's file under its own parameters. The first of its matrices is at MATRICES_AT, not at 3. */
function stage(parameters: Parameters, index: number): string[] {
  const own = Object.fromEntries(Object.entries(parameters).filter(([key]) => key.startsWith(`${index}.`)).map(([key, value]) => [key.slice(`${index}.`.length), value]));
  const all = { ...parameters, ...own };
  const lines = unrolled([...constantsOf(own), ...resolve(String(all.FILE), all, new Set())], all);
  return rebound(renamed(lines, index), Number(all.MATRICES_AT) - 3);
}

/** Lines whose numbered bindings lie `further`. */
function rebound(lines: readonly string[], further: number): string[] {
  return lines.map((line) => line.replace(/@binding\((\d+)\)/, (_, binding: string) => `@binding(${Number(binding) + further})`));
}

/** Lines in which every name that they define ends in `_index`. */
function renamed(lines: readonly string[], index: number): string[] {
  const defined = lines.flatMap((line) => /^(?:@\w+\([^)]*\)\s*)*(?:fn|const|struct|alias|var(?:<[^>]*>)?)\s+(\w+)/.exec(line)?.[1] ?? []);
  // Not what stands behind a dot: members keep their names.
  const names = new RegExp(`(?<!\\.)\\b(?:${defined.join('|')})\\b`, 'g');
  return lines.map((line) => line.replace(names, (found) => `${found}_${index}`));
}
