#include "max_pool.h"

#include <utility>

#include "simd.h"

namespace skt::max_pool {
namespace {

// Whether a value replaces the best so far: among equal values the one with the smaller offset wins, among NaNs the
// larger offset, whichever comes first.
template <class T>
SKT_INLINE bool replaces(T value, int32_t offset, T best, int32_t winner) {
  return (value > best) | ((value == best) & (offset < winner)) |
         ((value != value) & ((best == best) | (offset > winner)));
}

// Groups of `step` neighbours to one.
template <class T>
SKT_INLINE void join_neighbours(const T* SKT_RESTRICT value, const int32_t* SKT_RESTRICT winner, int64_t groups,
                                int64_t step, T* SKT_RESTRICT best, int32_t* SKT_RESTRICT best_winner) {
  for (int64_t i = 0; i < groups; ++i) {
    T b = value[i * step];
    int32_t w = winner[i * step];
    for (int64_t k = 1; k < step; ++k) {
      const bool wins = replaces(value[i * step + k], winner[i * step + k], b, w);
      b = wins ? value[i * step + k] : b;
      w = wins ? winner[i * step + k] : w;
    }
    best[i] = b;
    best_winner[i] = w;
  }
}

template <class T>
SKT_INLINE void join_pairs(const T* SKT_RESTRICT value, const int32_t* SKT_RESTRICT winner, int64_t pairs,
                           T* SKT_RESTRICT best, int32_t* SKT_RESTRICT best_winner) {
#pragma omp simd
  for (int64_t i = 0; i < pairs; ++i) {
    const T left = value[2 * i], right = value[2 * i + 1];
    const int32_t left_offset = winner[2 * i], right_offset = winner[2 * i + 1];
    const bool wins = replaces(right, right_offset, left, left_offset);
    best[i] = wins ? right : left;
    best_winner[i] = wins ? right_offset : left_offset;
  }
}

// The next kColumns pixels of a window against the best so far, for each of `count` channels.
template <int kColumns, class T>
SKT_INLINE void keep_largest_of(const T* SKT_RESTRICT pixel, int64_t stride, int32_t label, int64_t count,
                                T* SKT_RESTRICT best, int32_t* SKT_RESTRICT winner) {
#pragma omp simd  // or the case of one column would branch
  for (int64_t c = 0; c < count; ++c) {
    T b = best[c];
    int32_t w = winner[c];
    for (int i = 0; i < kColumns; ++i) {
      const T v = pixel[i * stride + c];
      const bool wins = (v > b) | (v != v);
      b = wins ? v : b;
      w = wins ? label + i : w;
    }
    best[c] = b;
    winner[c] = w;
  }
}

}  // namespace

template <class T>
SKT_SIMD Best<T> reduce_columns(Best<T> columns, Best<T> spare, const int32_t* column, int64_t count,
                                int64_t kernel_w) {
  for (int64_t i = 0; i < count; ++i) {
    columns.winner[i] = columns.winner[i] * static_cast<int32_t>(kernel_w) + column[i];
  }
  const int64_t windows = divide_up(count, kernel_w);
  for (int64_t i = count; i < windows * kernel_w; ++i) {  // repeating the last column changes no maximum
    columns.value[i] = columns.value[count - 1];
    columns.winner[i] = columns.winner[count - 1];
  }
  for (int64_t width = kernel_w; width > 1; std::swap(columns, spare)) {  // even widths are halved: that is vector code
    if (width % 2 == 0) {
      width /= 2;
      join_pairs(columns.value, columns.winner, windows * width, spare.value, spare.winner);
    } else {
      join_neighbours(columns.value, columns.winner, windows, width, spare.value, spare.winner);
      width = 1;
    }
  }
  return columns;
}

template <class T>
SKT_SIMD void reduce_window(const Window<T>& window, int64_t channels, T* best, int32_t* winner) {
  for (int64_t c = 0; c < channels; ++c) {
    best[c] = window.data[c];
    winner[c] = 0;
  }
  // Several pixels are taken at once, so that the best so far is seldom read and written.
  for (int64_t row = 0; row < window.rows; ++row) {
    const T* pixel = window.data + row * window.row_stride;
    const int32_t label = static_cast<int32_t>(row * window.kernel_w);
    int64_t column = 0;
    for (; column + 4 <= window.columns; column += 4) {
      keep_largest_of<4>(pixel + column * window.pixel_stride, window.pixel_stride,
                         label + static_cast<int32_t>(column), channels, best, winner);
    }
    for (; column < window.columns; ++column) {
      keep_largest_of<1>(pixel + column * window.pixel_stride, window.pixel_stride,
                         label + static_cast<int32_t>(column), channels, best, winner);
    }
  }
}

template <class Bits>
SKT_SIMD void select(const Bits* SKT_RESTRICT grad, const uint8_t* SKT_RESTRICT winner, uint8_t label, int64_t count,
                     Bits* SKT_RESTRICT out) {
  for (int64_t c = 0; c < count; ++c) out[c] = winner[c] == label ? grad[c] : Bits(0);
}

#define SKT_INSTANTIATE(T)                                                             \
  template Best<T> reduce_columns(Best<T>, Best<T>, const int32_t*, int64_t, int64_t); \
  template void reduce_window(const Window<T>&, int64_t, T*, int32_t*)

SKT_INSTANTIATE(float);
SKT_INSTANTIATE(double);

template void select(const uint16_t*, const uint8_t*, uint8_t, int64_t, uint16_t*);
template void select(const uint32_t*, const uint8_t*, uint8_t, int64_t, uint32_t*);
template void select(const uint64_t*, const uint8_t*, uint8_t, int64_t, uint64_t*);

}  // namespace skt::max_pool
