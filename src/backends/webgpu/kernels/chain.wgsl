// Several calls for one token in one dispatch, stage by stage: products, the choice of experts, what attention
// ends with. All workgroups run at the same time (see residency.wgsl). Each computes its share of every stage
// and begins the next at once, by asking for its first rows of the matrix, before what it multiplies them with
// has all come. Numbers come through the exchange, one word each: zero says "not yet", so that every word
// tells by itself whether it is there, and no two need to arrive in order. A zero is sent as minus zero.
struct Params { here: u32, next: u32, words: u32, fault: u32, looks: u32, attention_fault: u32, broken: u32, norms: array<vec4f, STAGES> }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> exchange: array<atomic<u32>>;
//#if RESULTS
// What dispatches behind this one read.
@group(0) @binding(RESULTS_BINDING) var<storage, read_write> results: array<f32>;
//#endif
//#include activations
//#include fault
//#include subgroup_sums
// What a stage multiplies its matrices with: as float32, as f16 or as signed bytes; the two latter 32 with one scale.
var<workgroup> staged: array<vec4u, STAGED>;
var<workgroup> block_scales: array<f32, BLOCKS>;
// Each subgroup's part of a row's sum, and of the sum of squares.
var<workgroup> parts: array<f32, PARTS>;
var<workgroup> squares: array<f32, GROUP / SUBGROUP>;
// The experts that a stage of this dispatch chose, and what their results are weighted with.
var<workgroup> chosen: array<u32, CHOICES>;
var<workgroup> chosen_weights: array<f32, CHOICES>;

// After p.looks looks a workgroup no longer believes that the others run. It leaves word in the exchange, so
// that whoever comes after it does not wait as long.
var<private> gave_up: bool;

//#if SHUFFLES
// What the lane has whose index differs in the bits of `distance`, below 8.
fn across(value: u32, lane: u32, distance: u32) -> u32 { return subgroupShuffleXor(value, distance); }
//#else
var<workgroup> crossing: array<u32, GROUP>;
fn across(value: u32, lane: u32, distance: u32) -> u32 {
  workgroupBarrier();
  crossing[lane] = value;
  workgroupBarrier();
  return crossing[lane ^ distance];
}
//#endif

fn largest_of_eight(value: f32, lane: u32) -> f32 {
  var largest = max(value, bitcast<f32>(across(bitcast<u32>(value), lane, 1u)));
  largest = max(largest, bitcast<f32>(across(bitcast<u32>(largest), lane, 2u)));
  return max(largest, bitcast<f32>(across(bitcast<u32>(largest), lane, 4u)));
}

// Numbers lie so that lanes which take four neighbours each read neighbouring words.
fn place_of(i: u32) -> u32 { return (i & 0xffffff80u) | ((i & 3u) << 5u) | ((i >> 2u) & 31u); }

fn send(at: u32, i: u32, value: f32) {
  let bits = bitcast<u32>(value);
  atomicStore(&exchange[p.here + at + place_of(i)], select(bits, 0x80000000u, bits == 0u));
}

// Numbers 4 quad to 4 quad + 3 as they are now.
fn look4(at: u32, quad: u32) -> vec4u {
  let first = p.here + at + place_of(4u * quad);
  return vec4u(atomicLoad(&exchange[first]), atomicLoad(&exchange[first + 32u]), atomicLoad(&exchange[first + 64u]), atomicLoad(&exchange[first + 96u]));
}

// The same once they are there; `seen` is what a look gave.
fn wait4(at: u32, quad: u32, seen: vec4u) -> vec4f {
  var bits = seen;
  var looks = 0u;
  while (any(bits == vec4u())) {
    if (gave_up || looks == p.looks) {
      raise(p.fault, 0);
      atomicStore(&exchange[p.broken], 1u);
      gave_up = true;
      break;
    }
    looks++;
    bits = look4(at, quad);
  }
  return bitcast<vec4f>(bits);
}

fn wait1(at: u32, i: u32) -> f32 { return wait4(at, i / 4u, look4(at, i / 4u))[i % 4u]; }

//#stages

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  gave_up = atomicLoad(&exchange[p.broken]) != 0u;
  // What the dispatch after this one will wait in.
  for (var i = group.x * GROUP + lane; i < p.words; i += GROUPS * GROUP) { atomicStore(&exchange[p.next + i], 0u); }
//#unroll
  for (var s = 0u; s < STAGES; s++) {
    stage_{s}(group.x, lane);
  }
}
