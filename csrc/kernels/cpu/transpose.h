// Transposition of a matrix, on the CPU.
#pragma once

#include <algorithm>
#include <cstdint>

namespace skt {

// Columns of `from` become rows of `to`, in blocks of as many rows as the first-level cache has lines for; smaller
// blocks would visit each row of a large result, and its page, more often.
template <class From, class To>
void transpose(const From* from, int64_t from_stride, int64_t rows, int64_t columns, To* to, int64_t to_stride) {
  constexpr int64_t kSide = 64;
  for (int64_t top = 0; top < rows; top += kSide) {
    const int64_t bottom = std::min(top + kSide, rows);
    for (int64_t c = 0; c < columns; ++c) {
      for (int64_t r = top; r < bottom; ++r) to[c * to_stride + r] = static_cast<To>(from[r * from_stride + c]);
    }
  }
}

}  // namespace skt
