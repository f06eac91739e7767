// What kernels are told of a weight matrix.
struct Weight {
  columns: u32,
  // The rest only for f8_e4m3 with scales: rows of one matrix, word at which the scale table
  // begins, rows and columns that share a scale, extents of one matrix's scale table.
  matrix_rows: u32, scales: u32, block_rows: u32, block_columns: u32, grid_rows: u32, grid_columns: u32, unused: u32,
}

//#if KNOWN_COLUMNS
// Columns of the matrix, of which kernels for few tokens are made for each number.
fn columns_of_weight() -> u32 { return COLUMNS; }
//#else
fn columns_of_weight() -> u32 { return p.weight.columns; }
//#endif
