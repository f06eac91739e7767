// The sum, or the largest, over a subgroup, for each of its lanes; without subgroups a lane is one of its own.
//#if SUBGROUPS
enable subgroups;
fn subgroup_sum(value: f32) -> f32 { return subgroupAdd(value); }
fn subgroup_max(value: f32) -> f32 { return subgroupMax(value); }
//#else
fn subgroup_sum(value: f32) -> f32 { return value; }
fn subgroup_max(value: f32) -> f32 { return value; }
//#endif
