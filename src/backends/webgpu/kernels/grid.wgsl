// Workgroups are laid out in two dimensions, because one dimension holds only 65535 of them.
fn group_index(group: vec3u, groups: vec3u) -> u32 {
  return group.y * groups.x + group.x;
}
fn element_index(group: vec3u, groups: vec3u, lane: u32) -> u32 {
  return group_index(group, groups) * GROUP + lane;
}
