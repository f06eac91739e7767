// What a lane of a pointwise kernel takes at a time: a number, or with FOURS a vector of four.
//#if FOURS
alias Number = vec4f;
//#else
alias Number = f32;
//#endif
