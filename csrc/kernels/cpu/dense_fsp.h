// What is left of the dense FSP distance on the CPU once the matrix products are done.
#pragma once

#include <algorithm>
#include <cstdint>

#include "simd.h"

namespace skt::dense_fsp {

constexpr int64_t kTile = 64;  // channels: a tile of the transposition stays in the first-level cache

// Products of some features' channels with those of others: rows x columns of a (C, C) matrix.
struct Block {
  int64_t row, rows, column, columns;

  int64_t tiles() const { return (rows + kTile - 1) / kTile; }
};

template <class T>
SKT_INLINE double subtract_row_body(
    const T* SKT_RESTRICT teacher, const T* SKT_RESTRICT student, T scale, int64_t count, T* SKT_RESTRICT out) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    out[i] = (teacher[i] - student[i]) * scale;
    sum += static_cast<double>(out[i]) * static_cast<double>(out[i]);
  }
  return sum;
}

namespace {
SKT_SIMD double subtract_row(const float* teacher, const float* student, float scale, int64_t count, float* out) {
  return subtract_row_body(teacher, student, scale, count, out);
}
SKT_SIMD double subtract_row(const double* teacher, const double* student, double scale, int64_t count, double* out) {
  return subtract_row_body(teacher, student, scale, count, out);
}
}  // namespace

// Rows of one tile: difference = (teacher - student) / positions above the diagonal and mirrored below; returns the sum
// of its squares. teacher and student hold the block's products, difference is (C, C).
template <class T>
double finish_tile(
    const T* teacher, const T* student, const Block& block, int64_t tile, int64_t positions, int64_t total,
    T* difference) {
  const int64_t first = tile * kTile, last = std::min(first + kTile, block.rows);
  double sum = 0;
  for (int64_t r = first; r < last; ++r) {
    sum += subtract_row(teacher + r * block.columns, student + r * block.columns,
                        T(1) / static_cast<T>(positions), block.columns, difference + (block.row + r) * total + block.column);
  }
  for (int64_t left = 0; left < block.columns; left += kTile) {
    const int64_t right = std::min(left + kTile, block.columns);
    for (int64_t c = left; c < right; ++c) {
      T* mirrored = difference + (block.column + c) * total + block.row;
      for (int64_t r = first; r < last; ++r) mirrored[r] = difference[(block.row + r) * total + block.column + c];
    }
  }
  return sum;
}

}  // namespace skt::dense_fsp
