// The sum of number i of `parts` times `count` numbers, in a fixed order: results are reproducible.
@group(0) @binding(2) var<storage, read> parts: array<f32>;

fn sum_at(i: u32, count: u32, number: u32) -> f32 {
  // Four sums, so that a lane waits for four reads at once.
  var four = vec4f();
  var part = 0u;
  for (; part + 3u < number; part += 4u) {
    for (var j = 0u; j < 4u; j++) { four[j] += parts[(part + j) * count + i]; }
  }
  for (; part < number; part++) { four.x += parts[part * count + i]; }
  return four.x + four.y + four.z + four.w;
}
