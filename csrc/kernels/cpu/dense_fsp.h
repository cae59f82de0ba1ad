// What is left of the dense FSP distance on the CPU once the matrix products are done.
#pragma once

#include <cstdint>

#include "../divide_up.h"

namespace skt::dense_fsp {

constexpr int64_t kTile = 64;  // channels: a tile of the transposition stays in the first-level cache

// Products of some features' channels with those of others: rows x columns of a (C, C) matrix.
struct Block {
  int64_t row, rows, column, columns;

  int64_t tiles() const { return divide_up(rows, kTile); }
};

// Rows of one tile: difference = (teacher - student) / positions above the diagonal and mirrored below; returns the sum
// of its squares. teacher and student hold the block's products, difference is (C, C) with C = total.
template <class T>
double finish_tile(const T* teacher, const T* student, const Block& block, int64_t tile, int64_t positions,
                   int64_t total, T* difference);

}  // namespace skt::dense_fsp
