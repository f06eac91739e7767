// How the first 2F numbers of a head turn with its token's position, in pairs (2i, 2i + 1) if INTERLEAVED, else
// (i, i + F); the kernel binds `frequency` and is told F, the amplitude and the direction.
//#include sincos

// Where in a head the numbers of pair f lie.
fn pair_at(f: u32) -> vec2u {
  return vec2u(select(f, 2u * f, INTERLEAVED), select(f + p.frequencies, 2u * f + 1u, INTERLEAVED));
}

fn turned(pair: vec2f, position: i32, f: u32) -> vec2f {
  let rotation = cos_sin(f32(position) * frequency[f]) * p.amplitude;
  let sine = rotation.y * p.direction;
  return vec2f(pair.x * rotation.x - pair.y * sine, pair.y * rotation.x + pair.x * sine);
}
