// The rows of x that products in integers read (see quantise_rows).
@group(0) @binding(2) var<storage, read> x: array<vec4u>;
//#include quantised_row

// Row of x that a workgroup counts its own from.
var<private> first_x_row: u32 = 0u;

fn x_half(row: u32, block: u32, half: u32) -> vec4u { return x[half_of(first_x_row + row, block, half)]; }
fn x_scale(row: u32, block: u32) -> f32 { return bitcast<f32>(x[scales_of(first_x_row + row) + block / 4u][block % 4u]); }

// Nothing is left to do for a norm.
fn prepare(rows: u32, lane: u32) {}
fn inverse_of(row: u32) -> f32 { return 1.0; }
