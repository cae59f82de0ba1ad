#include "dense_fsp.h"

#include <algorithm>

#include "simd.h"

namespace skt::dense_fsp {
namespace {

template <class T>
SKT_SIMD double subtract_row(const T* SKT_RESTRICT teacher, const T* SKT_RESTRICT student, T scale, int64_t count,
                             T* SKT_RESTRICT out) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    out[i] = (teacher[i] - student[i]) * scale;
    sum += static_cast<double>(out[i]) * static_cast<double>(out[i]);
  }
  return sum;
}

}  // namespace

template <class T>
double finish_tile(const T* teacher, const T* student, const Block& block, int64_t tile, int64_t positions,
                   int64_t total, T* difference) {
  const int64_t first = tile * kTile, last = std::min(first + kTile, block.rows);
  double sum = 0;
  for (int64_t r = first; r < last; ++r) {
    sum += subtract_row(teacher + r * block.columns, student + r * block.columns, T(1) / static_cast<T>(positions),
                        block.columns, difference + (block.row + r) * total + block.column);
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

template double finish_tile(const float*, const float*, const Block&, int64_t, int64_t, int64_t, float*);
template double finish_tile(const double*, const double*, const Block&, int64_t, int64_t, int64_t, double*);

}  // namespace skt::dense_fsp
