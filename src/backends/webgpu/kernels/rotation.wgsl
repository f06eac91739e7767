// How the first 2F numbers of a head turn with its token's position, in pairs (2i, 2i + 1) if INTERLEAVED, else
// (i, i + F); the kernel binds `frequency` and is told F, the amplitude and the direction.
//#include sincos

// Where in a head the numbers of pair f lie.
fn pair_at(f: u32) -> vec2u {
  return vec2u(select(f, 2u * f, INTERLEAVED), select(f + p.frequencies, 2u * f + 1u, INTERLEAVED));
}

// Cosine and sine by which a pair turns.
fn rotation(position: i32, frequency: f32) -> vec2f {
  return cos_sin(f32(position) * frequency) * p.amplitude * vec2f(1.0, p.direction);
}
fn turned_by(rotation: vec2f, pair: vec2f) -> vec2f {
  return vec2f(pair.x * rotation.x - pair.y * rotation.y, pair.y * rotation.x + pair.x * rotation.y);
}
fn turned(pair: vec2f, position: i32, f: u32) -> vec2f { return turned_by(rotation(position, frequency[f]), pair); }
