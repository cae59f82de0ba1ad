// Max over windows that tile a map, on the CPU, with the winner's offset inside its window.
//
// As in torch, the first of equal maxima wins, and among NaNs the last. 16-bit values are compared as float.
#pragma once

#include <algorithm>
#include <cstring>
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

template <class T>
SKT_INLINE void keep_larger_body(
    const T* SKT_RESTRICT value, int32_t label, int64_t count, T* SKT_RESTRICT best, int32_t* SKT_RESTRICT winner) {
  for (int64_t i = 0; i < count; ++i) {
    const bool wins = (value[i] > best[i]) | (value[i] != value[i]);
    best[i] = wins ? value[i] : best[i];
    winner[i] = wins ? label : winner[i];
  }
}

// Whether a value at an offset (row by row in its window) is the maximum rather than another one: the first of equal
// values is, the last of NaNs. The order in which a window's values meet does not matter.
template <class T>
SKT_INLINE bool beats(T value, int32_t offset, T other, int32_t other_offset) {
  const bool nan = value != value, other_nan = other != other, earlier = offset < other_offset;
  return (value > other) | ((value == other) & earlier) | (nan & (!other_nan | !earlier));
}

// values[i] and offsets[i] become those of the larger of neighbours 2i and 2i + 1; again until
// kLast are left.
template <int kCount, int kLast, class T>
SKT_INLINE void keep_larger_neighbours(T* values, int32_t* offsets) {
  T best[kCount];
  int32_t winner[kCount];
  for (int i = 0; i < kCount; ++i) {
    const T left = values[2 * i], right = values[2 * i + 1];
    const int32_t of_left = offsets[2 * i], of_right = offsets[2 * i + 1];
    const bool wins = beats(right, of_right, left, of_left);
    best[i] = wins ? right : left;
    winner[i] = wins ? of_right : of_left;
  }
  std::memcpy(values, best, sizeof(best));
  std::memcpy(offsets, winner, sizeof(winner));
  if constexpr (kCount > kLast) keep_larger_neighbours<kCount / 2, kLast>(values, offsets);
}

// Reduces groups of kernel_w columns to one value each; row[i] is the row in which column i has its maximum. The last
// group may be cut short at `columns`. kStep: kernel_w, where that is known and a power of two, else 1.
template <int kStep, class T>
SKT_INLINE void reduce_columns_body(
    const T* SKT_RESTRICT value, const int32_t* SKT_RESTRICT row, int64_t columns, int64_t kernel_w,
    T* SKT_RESTRICT best, int32_t* SKT_RESTRICT winner) {
  constexpr int kWindows = 16;
  int64_t first = 0;
  if constexpr (kStep > 1) {  // neighbours against each other, many windows at once
    constexpr int kColumns = kWindows * kStep;
    const int64_t whole = columns / kStep * kStep;
    for (; first < whole && whole >= kColumns; first += kColumns) {
      first = std::min(first, whole - kColumns);  // the last ones may be done twice
      T values[kColumns];
      int32_t offsets[kColumns];
      std::memcpy(values, value + first, sizeof(values));
      for (int i = 0; i < kColumns; ++i) offsets[i] = row[first + i] * kStep + i % kStep;
      keep_larger_neighbours<kColumns / 2, kWindows>(values, offsets);
      std::memcpy(best + first / kStep, values, kWindows * sizeof(T));
      std::memcpy(winner + first / kStep, offsets, kWindows * sizeof(int32_t));
    }
  }
  for (; first < columns; first += kernel_w) {
    const int64_t window = first / kernel_w;
    best[window] = value[first];
    winner[window] = row[first] * static_cast<int32_t>(kernel_w);
    for (int64_t i = 1; i < kernel_w && first + i < columns; ++i) {
      const int32_t offset = row[first + i] * static_cast<int32_t>(kernel_w) + static_cast<int32_t>(i);
      const bool wins = beats(value[first + i], offset, best[window], winner[window]);
      best[window] = wins ? value[first + i] : best[window];
      winner[window] = wins ? offset : winner[window];
    }
  }
}

template <class T>
SKT_INLINE void reduce_columns_any(
    const T* value, const int32_t* row, int64_t columns, int64_t kernel_w, T* best, int32_t* winner) {
  switch (kernel_w) {
    case 2: return reduce_columns_body<2>(value, row, columns, kernel_w, best, winner);
    case 4: return reduce_columns_body<4>(value, row, columns, kernel_w, best, winner);
    case 8: return reduce_columns_body<8>(value, row, columns, kernel_w, best, winner);
    default: return reduce_columns_body<1>(value, row, columns, kernel_w, best, winner);
  }
}

// The next kColumns pixels of a window against the best so far, for each of `count` channels.
template <int kColumns, class T>
SKT_INLINE void keep_largest_of(
    const T* SKT_RESTRICT pixel, int64_t stride, int32_t label, int64_t count, T* SKT_RESTRICT best,
    int32_t* SKT_RESTRICT winner) {
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
    for (; column + 2 <= window.columns; column += 2) {
      keep_largest_of<2>(pixel + column * window.pixel_stride, window.pixel_stride,
                         label + static_cast<int32_t>(column), channels, best, winner);
    }
    for (; column < window.columns; ++column) {
      keep_largest_of<1>(pixel + column * window.pixel_stride, window.pixel_stride,
                         label + static_cast<int32_t>(column), channels, best, winner);
    }
  }
}

// One input row of one window row, channels_last: a value where it won, zero elsewhere.
template <class Bits, class Index>
SKT_INLINE void select_body(
    const Bits* SKT_RESTRICT grad, int64_t stride, const Index* SKT_RESTRICT winner, Index label, int64_t count,
    Bits* SKT_RESTRICT out) {
  if (stride == 1) {
    for (int64_t c = 0; c < count; ++c) out[c] = winner[c] == label ? grad[c] : Bits(0);
  } else {
    for (int64_t c = 0; c < count; ++c) out[c] = winner[c] == label ? grad[c * stride] : Bits(0);
  }
}

namespace {

#define SKT_MAX_POOL_LOOPS(T)                                                                                        \
  SKT_SIMD void keep_larger(const T* value, int32_t label, int64_t count, T* best, int32_t* winner) {                \
    keep_larger_body(value, label, count, best, winner);                                                             \
  }                                                                                                                  \
  SKT_SIMD void reduce_columns(                                                                                      \
      const T* value, const int32_t* row, int64_t columns, int64_t kernel_w, T* best, int32_t* winner) {             \
    reduce_columns_any(value, row, columns, kernel_w, best, winner);                                                 \
  }                                                                                                                  \
  SKT_SIMD void reduce_window(const Window<T>& window, int64_t channels, T* best, int32_t* winner) {                 \
    reduce_window_body(window, channels, best, winner);                                                              \
  }
SKT_MAX_POOL_LOOPS(float)
SKT_MAX_POOL_LOOPS(double)
#undef SKT_MAX_POOL_LOOPS

#define SKT_SELECT_LOOP(Bits, Index)                                                                                 \
  SKT_SIMD void select(                                                                                              \
      const Bits* grad, int64_t stride, const Index* winner, Index label, int64_t count, Bits* out) {                \
    select_body(grad, stride, winner, label, count, out);                                                            \
  }
SKT_SELECT_LOOP(uint16_t, uint8_t)
SKT_SELECT_LOOP(uint32_t, uint8_t)
SKT_SELECT_LOOP(uint64_t, uint8_t)
SKT_SELECT_LOOP(uint16_t, int32_t)
SKT_SELECT_LOOP(uint32_t, int32_t)
SKT_SELECT_LOOP(uint64_t, int32_t)
#undef SKT_SELECT_LOOP

}  // namespace

// ---- forward -----------------------------------------------------------------------------------------------------

// Output rows [first, last) of all N * C * out_height, NCHW output; argmax is dense.
template <class T, class Index>
void forward_by_pixels(
    const FeatureMap& input, const Problem& problem, int64_t first, int64_t last, const FeatureMap& output,
    Index* argmax) {
  // Chunks of whole windows that stay in the first-level cache.
  const int64_t windows_per_chunk = std::max<int64_t>(1, 1024 / problem.kernel_w);
  const int64_t chunk = windows_per_chunk * problem.kernel_w;
  const int64_t buffer = std::min(chunk, problem.width);
  std::vector<T> column_best(buffer), scratch(buffer), best(windows_per_chunk);
  std::vector<int32_t> column_row(buffer), winner(windows_per_chunk);
  for (int64_t item = first; item < last; ++item) {
    const int64_t oh = item % problem.out_height(), plane = item / problem.out_height();
    const int64_t n = plane / problem.channels, c = plane % problem.channels;
    const int64_t top = oh * problem.kernel_h, bottom = std::min(top + problem.kernel_h, problem.height);
    for (int64_t left = 0; left < problem.width; left += chunk) {
      const int64_t columns = std::min(chunk, problem.width - left);
      const int64_t windows = (columns + problem.kernel_w - 1) / problem.kernel_w;
      for (int64_t row = top; row < bottom; ++row) {
        const int64_t p = row * problem.width + left;
        const T* values = load_pixels(input, n, c, p, p + columns, scratch.data());
        if (row == top) {
          std::copy_n(values, columns, column_best.data());
          std::fill_n(column_row.data(), columns, 0);
        } else {
          keep_larger(values, static_cast<int32_t>(row - top), columns, column_best.data(), column_row.data());
        }
      }
      reduce_columns(column_best.data(), column_row.data(), columns, problem.kernel_w, best.data(), winner.data());
      const int64_t to = item * problem.out_width() + left / problem.kernel_w;
      narrow_row(output.storage, best.data(), windows, output.data, to, 1);
      std::copy_n(winner.data(), windows, argmax + to);
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

// Output rows [first, last) of all N * out_height, channels_last input and output.
template <class T, class Index>
void forward_by_channels(
    const FeatureMap& input, const Problem& problem, int64_t first, int64_t last, const FeatureMap& output,
    Index* argmax) {
  std::vector<T> scratch, best(problem.channels);
  std::vector<int32_t> winner(problem.channels);
  for (int64_t item = first; item < last; ++item) {
    const int64_t n = item / problem.out_height(), oh = item % problem.out_height();
    const int64_t top = oh * problem.kernel_h, bottom = std::min(top + problem.kernel_h, problem.height);
    for (int64_t ow = 0; ow < problem.out_width(); ++ow) {
      const int64_t left = ow * problem.kernel_w, right = std::min(left + problem.kernel_w, problem.width);
      reduce_window(load_window(input, problem, n, top, bottom, left, right, scratch), problem.channels, best.data(),
                    winner.data());
      const int64_t to = (item * problem.out_width() + ow) * problem.channels;
      narrow_row(output.storage, best.data(), problem.channels, output.data, to, 1);
      std::copy_n(winner.data(), problem.channels, argmax + to);
    }
  }
}

// ---- backward ----------------------------------------------------------------------------------------------------

// The gradient of the output with any strides, as bits: it is moved, never computed with.
template <class Bits>
struct Gradient {
  const Bits* data;
  int64_t stride_n, stride_c, stride_h, stride_w;
};

// Window rows [first, last) of all N * C * out_height; out (N, C, H, W) is dense NCHW. Windows do not overlap, so each
// input pixel is written by its own window only: the rows are cleared and every winner receives its value.
template <class Bits, class Index>
void backward_by_pixels(
    const Gradient<Bits>& grad, const Index* argmax, const Problem& problem, int64_t first, int64_t last, Bits* out) {
  const uint32_t kernel_w = static_cast<uint32_t>(problem.kernel_w);
  for (int64_t item = first; item < last; ++item) {
    const int64_t oh = item % problem.out_height(), plane = item / problem.out_height();
    const int64_t n = plane / problem.channels, c = plane % problem.channels;
    const int64_t top = oh * problem.kernel_h, rows = std::min(problem.kernel_h, problem.height - top);
    Bits* target = out + (plane * problem.height + top) * problem.width;
    std::memset(target, 0, sizeof(Bits) * rows * problem.width);
    const Bits* source = grad.data + n * grad.stride_n + c * grad.stride_c + oh * grad.stride_h;
    const Index* winner = argmax + item * problem.out_width();
    for (int64_t ow = 0; ow < problem.out_width(); ++ow) {
      const uint32_t offset = static_cast<uint32_t>(winner[ow]);
      const int64_t row = offset / kernel_w, column = ow * problem.kernel_w + offset % kernel_w;
      // An offset that no forward pass wrote must not write outside the map.
      if (row < rows && column < problem.width) target[row * problem.width + column] = source[ow * grad.stride_w];
    }
  }
}

// Input rows [first, last) of all N * H; out is dense channels_last, and so is argmax. Each input pixel looks up its window.
template <class Bits, class Index>
void backward_by_channels(
    const Gradient<Bits>& grad, const Index* argmax, const Problem& problem, int64_t first, int64_t last, Bits* out) {
  for (int64_t item = first; item < last; ++item) {
    const int64_t n = item / problem.height, row = item % problem.height, oh = row / problem.kernel_h;
    for (int64_t column = 0; column < problem.width; ++column) {
      const int64_t ow = column / problem.kernel_w;
      const int64_t label = row % problem.kernel_h * problem.kernel_w + column % problem.kernel_w;
      const int64_t window = (n * problem.out_height() + oh) * problem.out_width() + ow;
      select(grad.data + n * grad.stride_n + oh * grad.stride_h + ow * grad.stride_w, grad.stride_c,
             argmax + window * problem.channels, static_cast<Index>(label), problem.channels,
             out + (item * problem.width + column) * problem.channels);
    }
  }
}

}  // namespace skt::max_pool
