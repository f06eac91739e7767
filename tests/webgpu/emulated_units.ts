// WGSL that multiplies on matrix units, as WGSL that does so in plain loops: what the kernels compute
// around the units can then be tested on a device that has none. Every lane holds whole matrices of
// 16 x 16. Not an emulation of the feature: it knows the forms that the kernels here use.

const SIDE = 16;

/** The rewritten kernel; subgroups are taken to be `subgroup` lanes that follow each other. */
export function withoutMatrixUnits(code: string, subgroup: number): string {
  const loads = new Map<string, string>();
  const stores = new Set<string>();
  const body = code.replace(/^(enable|diagnostic)\b.*$/gm, '')
    .replace(/bitcast<vec2u>\(vec4<f16>\(/g, 'pack4((').replace(/array<vec4<f16>>/g, 'array<vec2u>').replace(/= vec4<f16>\(/g, '= pack4(')
    .replace(/subgroupMatrixLoad<(?:\w+|subgroup_matrix_\w+<\w+, \w+, \w+>), (row|col)_major>\(&(\w+), /g, (_, major: string, buffer: string) => {
      loads.set(`load_${buffer}_${major}`, buffer);
      return `load_${buffer}_${major}(`;
    })
    .replace(/subgroupMatrixStore<row_major>\(&(\w+), /g, (_, buffer: string) => {
      stores.add(buffer);
      return `store_${buffer}(`;
    })
    .replace(/subgroup_matrix_(left|right|result)<[^>]*>/g, 'Unit').replace(/subgroupMatrixMultiplyAccumulate/g, 'multiply_add')
    .replace(/subgroupMax\(/g, 'max_of_subgroup(').replace(/subgroupShuffleXor\((\w+), 1u\)/g, 'from_neighbour($1)')
    .replace('@builtin(subgroup_id) subgroup: u32, ', '')
    .replace(/(@builtin\(local_invocation_index\) lane: u32\) \{)/, `$1\n  this_lane = lane;\n  let subgroup = lane / ${subgroup}u;`);
  const typeOf = (buffer: string): string => {
    const type = new RegExp(`var<workgroup> ${buffer}: array<(\\w+),`).exec(body)?.[1] ?? '';
    return new RegExp(`alias ${type} = (\\w+)`).exec(body)?.[1] ?? type;
  };
  const loaders = [...loads].map(([name, buffer]) => loader(name, buffer, typeOf(buffer)));
  return [body, helpers(subgroup), ...loaders, ...[...stores].map((buffer) => storer(buffer, typeOf(buffer), subgroup))].join('\n');
}

const helpers = (subgroup: number): string => `
alias Unit = array<f32, ${SIDE * SIDE}>;
var<private> this_lane: u32;
var<workgroup> exchanged: array<f32, GROUP>;
fn pack4(v: vec4f) -> vec2u { return vec2u(pack2x16float(v.xy), pack2x16float(v.zw)); }
fn multiply_add(left: Unit, right: Unit, before: Unit) -> Unit {
  var a = left; var b = right; var c = before;
  for (var i = 0u; i < ${SIDE}u; i++) { for (var j = 0u; j < ${SIDE}u; j++) {
    var sum = c[i * ${SIDE}u + j];
    for (var k = 0u; k < ${SIDE}u; k++) { sum += a[i * ${SIDE}u + k] * b[k * ${SIDE}u + j]; }
    c[i * ${SIDE}u + j] = sum;
  } }
  return c;
}
fn max_of_subgroup(x: f32) -> f32 {
  workgroupBarrier(); exchanged[this_lane] = x; workgroupBarrier();
  var most = x;
  for (var i = 0u; i < ${subgroup}u; i++) { most = max(most, exchanged[this_lane / ${subgroup}u * ${subgroup}u + i]); }
  workgroupBarrier();
  return most;
}
fn from_neighbour(x: f32) -> f32 {
  workgroupBarrier(); exchanged[this_lane] = x; workgroupBarrier();
  let other = exchanged[this_lane ^ 1u];
  workgroupBarrier();
  return other;
}`;

function loader(name: string, buffer: string, type: string): string {
  const numbers = { vec2u: 4, vec4u: 8 }[type] ?? 1;
  const element = numbers === 1 ? `${buffer}[at]` : `unpack2x16float(${buffer}[at / ${numbers}u][(at % ${numbers}u) / 2u])[at % 2u]`;
  const at = name.endsWith('_row') ? `r * stride * ${numbers}u + c` : `c * stride * ${numbers}u + r`;
  return `fn ${name}(offset: u32, stride: u32) -> Unit {
  var unit: Unit;
  for (var r = 0u; r < ${SIDE}u; r++) { for (var c = 0u; c < ${SIDE}u; c++) { let at = offset * ${numbers}u + ${at}; unit[r * ${SIDE}u + c] = ${element}; } }
  return unit;
}`;
}

/** Of float32, alone or four in a vector of words. */
function storer(buffer: string, type: string, subgroup: number): string {
  const place = type === 'vec4u' ? `${buffer}[offset + r * stride + c / 4u][c % 4u] = bitcast<u32>` : `${buffer}[offset + r * stride + c] = `;
  return `fn store_${buffer}(offset: u32, unit_in: Unit, stride: u32) {
  var unit = unit_in;
  if (this_lane % ${subgroup}u != 0u) { return; }
  for (var r = 0u; r < ${SIDE}u; r++) { for (var c = 0u; c < ${SIDE}u; c++) { ${place}(unit[r * ${SIDE}u + c]); } }
}`;
}
