// Pieces of a matrix of a stage: of expert after expert where several are chosen.
//#include pieces_{WEIGHT}

fn fetch(row: u32, i: u32) -> Piece {
//#if CHOSEN
  return piece(expert(row / EXPERT_ROWS) * EXPERT_ROWS + row % EXPERT_ROWS, i);
//#else
  return fetch_whole(row, i);
//#endif
}

fn fetch_whole(row: u32, i: u32) -> Piece {
//#if COMBINE
  return piece(expert(i / (COLUMNS / PIECE_COLUMNS)) * ROWS + row, i % (COLUMNS / PIECE_COLUMNS));
//#else
  return piece(row, i);
//#endif
}
