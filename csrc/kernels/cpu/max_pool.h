// Max over windows that tile a map, on the CPU, with the winner's offset inside its window.
//
// As in torch, the first of equal maxima wins, and among NaNs the last. 16-bit values are compared as float.
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "feature_map.h"
#include "simd.h"

namespace skt::max_pool {

struct Problem {
  int64_t batch, channels, height, width, kernel_h, kernel_w;

  int64_t out_height() const { return (height + kernel_h - 1) / kernel_h; }
  int64_t out_width() const { return (width + kernel_w - 1) / kernel_w; }
};

// One window of a channels_last map, as far as it lies inside the map; data is its first pixel's first channel.
template <class T>
struct Window {
  const T* data;
  int64_t rows, columns, row_stride, pixel_stride, kernel_w;
};

// ---- loops over contiguous memory --------------------------------------------------------------------------------

// The best values so far of a row of windows (or of their columns), and their offsets inside the window.
template <class T>
struct Best {
  T* value;
  int32_t* winner;
};

// Whether a value replaces the best so far: of equal ones that with the smaller offset does, of NaNs the larger, in any
// order.
template <class T>
SKT_INLINE bool replaces(T value, int32_t offset, T best, int32_t winner) {
  return (value > best) | ((value == best) & (offset < winner)) |
         ((value != value) & ((best == best) | (offset > winner)));
}

// Groups of `step` neighbours to one.
template <class T>
SKT_INLINE void join_neighbours(
    const T* SKT_RESTRICT value, const int32_t* SKT_RESTRICT winner, int64_t groups, int64_t step, T* SKT_RESTRICT best,
    int32_t* SKT_RESTRICT best_winner) {
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
SKT_INLINE void join_pairs(
    const T* SKT_RESTRICT value, const int32_t* SKT_RESTRICT winner, int64_t pairs, T* SKT_RESTRICT best,
    int32_t* SKT_RESTRICT best_winner) {
#pragma omp simd
  for (int64_t i = 0; i < pairs; ++i) {
    const T left = value[2 * i], right = value[2 * i + 1];
    const int32_t left_offset = winner[2 * i], right_offset = winner[2 * i + 1];
    const bool wins = replaces(right, right_offset, left, left_offset);
    best[i] = wins ? right : left;
    best_winner[i] = wins ? right_offset : left_offset;
  }
}

// `count` columns to one value a window, in one of the two buffers, which hold whole windows. On entry winner is the row
// in which a column has its maximum; column[i] = i % kernel_w. Even widths are halved, which is vector code.
template <class T>
SKT_INLINE Best<T> reduce_columns_body(
    Best<T> columns, Best<T> spare, const int32_t* column, int64_t count, int64_t kernel_w) {
  for (int64_t i = 0; i < count; ++i) {
    columns.winner[i] = columns.winner[i] * static_cast<int32_t>(kernel_w) + column[i];
  }
  const int64_t windows = (count + kernel_w - 1) / kernel_w;
  for (int64_t i = count; i < windows * kernel_w; ++i) {  // the last column once more changes no maximum
    columns.value[i] = columns.value[count - 1];
    columns.winner[i] = columns.winner[count - 1];
  }
  for (int64_t width = kernel_w; width > 1; std::swap(columns, spare)) {
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

// The next kColumns pixels of a window against the best so far, for each of `count` channels.
template <int kColumns, class T>
SKT_INLINE void keep_largest_of(
    const T* SKT_RESTRICT pixel, int64_t stride, int32_t label, int64_t count, T* SKT_RESTRICT best,
    int32_t* SKT_RESTRICT winner) {
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

// The maximum over one window for each of `channels` that are adjacent in memory, and its offset. Several pixels are
// taken at once, so that the best so far is seldom read and written.
template <class T>
SKT_INLINE void reduce_window_body(const Window<T>& window, int64_t channels, T* best, int32_t* winner) {
  for (int64_t c = 0; c < channels; ++c) {
    best[c] = window.data[c];
    winner[c] = 0;
  }
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

// One input pixel of a window, channels_last: the gradient of the channels that won there, zero elsewhere.
template <class Bits>
SKT_INLINE void select_body(
    const Bits* SKT_RESTRICT grad, const uint8_t* SKT_RESTRICT winner, uint8_t label, int64_t count,
    Bits* SKT_RESTRICT out) {
  for (int64_t c = 0; c < count; ++c) out[c] = winner[c] == label ? grad[c] : Bits(0);
}

namespace {

#define SKT_MAX_POOL_LOOPS(T)                                                                                        \
  SKT_SIMD Best<T> reduce_columns(                                                                                   \
      Best<T> columns, Best<T> spare, const int32_t* column, int64_t count, int64_t kernel_w) {                      \
    return reduce_columns_body(columns, spare, column, count, kernel_w);                                             \
  }                                                                                                                  \
  SKT_SIMD void reduce_window(const Window<T>& window, int64_t channels, T* best, int32_t* winner) {                 \
    reduce_window_body(window, channels, best, winner);                                                              \
  }
SKT_MAX_POOL_LOOPS(float)
SKT_MAX_POOL_LOOPS(double)
#undef SKT_MAX_POOL_LOOPS

#define SKT_SELECT_LOOP(Bits)                                                                                        \
  SKT_SIMD void select(const Bits* grad, const uint8_t* winner, uint8_t label, int64_t count, Bits* out) {           \
    select_body(grad, winner, label, count, out);                                                                    \
  }
SKT_SELECT_LOOP(uint16_t)
SKT_SELECT_LOOP(uint32_t)
SKT_SELECT_LOOP(uint64_t)
#undef SKT_SELECT_LOOP

}  // namespace

// ---- forward -----------------------------------------------------------------------------------------------------

// Reduces a row of windows of a NCHW map: over the rows first, then over the columns.
template <class T>
class WindowRow {
 public:
  WindowRow(int64_t windows, int64_t kernel_w)
      : kernel_w_(kernel_w), value_(windows * kernel_w), spare_value_(windows * kernel_w),
        winner_(windows * kernel_w), spare_winner_(windows * kernel_w), column_(windows * kernel_w) {
    for (size_t i = 0; i < column_.size(); ++i) column_[i] = static_cast<int32_t>(i % kernel_w);
  }

  // rows x columns pixels, rows `stride` apart. The result lasts until the next call.
  Best<T> reduce(const T* pixels, int64_t stride, int64_t rows, int64_t columns) {
    // One window of a single column, whose channels are the pixels of a row.
    reduce_window({pixels, 1, rows, 0, stride, 0}, columns, value_.data(), winner_.data());
    return reduce_columns({value_.data(), winner_.data()}, {spare_value_.data(), spare_winner_.data()}, column_.data(),
                          columns, kernel_w_);
  }

 private:
  int64_t kernel_w_;
  std::vector<T> value_, spare_value_;
  std::vector<int32_t> winner_, spare_winner_, column_;
};

// One plane of a map, whose first pixel is element `first`: the maximum of each window to `out`, its offset inside the
// window to `argmax`, if given.
template <class T>
void pool_plane(const FeatureMap& input, int64_t first, const Problem& problem, T* out, uint8_t* argmax) {
  // Chunks of whole windows that stay in the first-level cache.
  const int64_t windows_per_chunk = std::min(std::max<int64_t>(1, 1024 / problem.kernel_w), problem.out_width());
  const int64_t chunk = windows_per_chunk * problem.kernel_w;
  const bool in_place = input.storage == storage_of<T>() && input.stride_w == 1;
  WindowRow<T> windows_of(windows_per_chunk, problem.kernel_w);
  std::vector<T> scratch(in_place ? 0 : problem.kernel_h * chunk);
  for (int64_t oh = 0; oh < problem.out_height(); ++oh) {
    const int64_t top = oh * problem.kernel_h, rows = std::min(problem.kernel_h, problem.height - top);
    for (int64_t left = 0; left < problem.width; left += chunk) {
      const int64_t columns = std::min(chunk, problem.width - left);
      const int64_t pixel = first + top * input.stride_h + left * input.stride_w;
      for (int64_t row = 0; !in_place && row < rows; ++row) {
        widen_row(input.storage, input.data, pixel + row * input.stride_h, input.stride_w, columns,
                  scratch.data() + row * chunk);
      }
      const T* pixels = in_place ? static_cast<const T*>(input.data) + pixel : scratch.data();
      const Best<T> best = windows_of.reduce(pixels, in_place ? input.stride_h : chunk, rows, columns);
      const int64_t windows = (columns + problem.kernel_w - 1) / problem.kernel_w;
      const int64_t to = oh * problem.out_width() + left / problem.kernel_w;
      std::copy_n(best.value, windows, out + to);
      if (argmax != nullptr) std::copy_n(best.winner, windows, argmax + to);
    }
  }
}

// Pixels [left, right) of the rows [top, bottom) of a map whose channels are adjacent, in T: the tensor's own memory where
// it is that, else a copy in `scratch`.
template <class T>
Window<T> load_window(
    const FeatureMap& map, const Problem& problem, int64_t n, int64_t top, int64_t bottom, int64_t left, int64_t right,
    std::vector<T>& scratch) {
  const int64_t rows = bottom - top, columns = right - left, channels = problem.channels;
  const int64_t first = n * map.stride_n + top * map.stride_h + left * map.stride_w;
  if (map.storage == storage_of<T>()) {
    return {static_cast<const T*>(map.data) + first, rows, columns, map.stride_h, map.stride_w, problem.kernel_w};
  }
  scratch.resize(problem.kernel_h * problem.kernel_w * channels);
  const bool dense = map.stride_w == channels;
  for (int64_t i = 0; i < (dense ? rows : rows * columns); ++i) {
    const int64_t row = dense ? i : i / columns, column = dense ? 0 : i % columns;
    widen_row(map.storage, map.data, first + row * map.stride_h + column * map.stride_w, 1,
              dense ? columns * channels : channels, scratch.data() + (row * columns + column) * channels);
  }
  return {scratch.data(), rows, columns, columns * channels, channels, problem.kernel_w};
}

// ---- backward ----------------------------------------------------------------------------------------------------

// The gradient of one dense plane from that of its pooled one, as bits: they are moved, never computed with. Windows do
// not overlap, so that each pixel is written by its own window only: all are cleared, and every winner gets its value.
template <class Bits>
void unpool_plane(const Bits* grad, const uint8_t* argmax, const Problem& problem, Bits* out) {
  const uint32_t kernel_w = static_cast<uint32_t>(problem.kernel_w);
  for (int64_t oh = 0; oh < problem.out_height(); ++oh) {
    const int64_t top = oh * problem.kernel_h, rows = std::min(problem.kernel_h, problem.height - top);
    Bits* target = out + top * problem.width;
    std::memset(target, 0, sizeof(Bits) * rows * problem.width);
    const Bits* source = grad + oh * problem.out_width();
    const uint8_t* winner = argmax + oh * problem.out_width();
    for (int64_t ow = 0; ow < problem.out_width(); ++ow) {
      const uint32_t offset = winner[ow];
      const int64_t row = offset / kernel_w, column = ow * problem.kernel_w + offset % kernel_w;
      // An offset that no forward pass wrote must not write outside the map.
      if (row < rows && column < problem.width) target[row * problem.width + column] = source[ow];
    }
  }
}

}  // namespace skt::max_pool
