// Maximum over the windows that tile a map, on the CPU, with the winner's offset inside its window.
//
// As in torch, the first of equal maxima wins, and among NaNs the last. 16-bit values are compared as float.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "../divide_up.h"
#include "feature_map.h"

namespace skt::max_pool {

struct Problem {
  int64_t batch, channels, height, width, kernel_h, kernel_w;

  int64_t out_height() const { return divide_up(height, kernel_h); }
  int64_t out_width() const { return divide_up(width, kernel_w); }
};

// The part of a window that lies inside a channels_last map; data is the first channel of its first pixel.
template <class T>
struct Window {
  const T* data;
  int64_t rows, columns, row_stride, pixel_stride, kernel_w;
};

// The best values so far of a row of windows (or of their columns), and their offsets inside the window.
template <class T>
struct Best {
  T* value;
  int32_t* winner;
};

// `count` columns to one value per window, in one of the two buffers, which hold whole windows. On entry winner is the
// row in which a column has its maximum; column[i] = i % kernel_w.
template <class T>
Best<T> reduce_columns(Best<T> columns, Best<T> spare, const int32_t* column, int64_t count, int64_t kernel_w);

// The maximum over one window for each of `channels` that are adjacent in memory, and its offset.
template <class T>
void reduce_window(const Window<T>& window, int64_t channels, T* best, int32_t* winner);

// One input pixel of a window, channels_last: the gradient, as bits, of the channels that won there, zero elsewhere.
template <class Bits>
void select(const Bits* grad, const uint8_t* winner, uint8_t label, int64_t count, Bits* out);

// ---- forward -----------------------------------------------------------------------------------------------------

// Reduces a row of windows of a NCHW map: over the rows first, then over the columns.
template <class T>
class WindowRow {
 public:
  WindowRow(int64_t windows, int64_t kernel_w)
      : kernel_w_(kernel_w),
        value_(windows * kernel_w),
        spare_value_(windows * kernel_w),
        winner_(windows * kernel_w),
        spare_winner_(windows * kernel_w),
        column_(windows * kernel_w) {
    for (size_t i = 0; i < column_.size(); ++i) column_[i] = static_cast<int32_t>(i % kernel_w);
  }

  // rows x columns pixels, rows `stride` apart. The result is valid until the next call.
  Best<T> reduce(const T* pixels, int64_t stride, int64_t rows, int64_t columns) {
    // One window of a single column, whose channels are the pixels of a row.
    reduce_window({pixels, 1, rows, 0, stride, 0}, columns, value_.data(), winner_.data());
    return reduce_columns<T>({value_.data(), winner_.data()}, {spare_value_.data(), spare_winner_.data()},
                             column_.data(), columns, kernel_w_);
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
      const int64_t windows = divide_up(columns, problem.kernel_w);
      const int64_t to = oh * problem.out_width() + left / problem.kernel_w;
      std::copy_n(best.value, windows, out + to);
      if (argmax != nullptr) std::copy_n(best.winner, windows, argmax + to);
    }
  }
}

// Pixels [left, right) of the rows [top, bottom) of a map whose channels are adjacent, in T: the tensor's own memory if
// it has that type, else a copy in `scratch`.
template <class T>
Window<T> load_window(const FeatureMap& map, const Problem& problem, int64_t n, int64_t top, int64_t bottom,
                      int64_t left, int64_t right, std::vector<T>& scratch) {
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
      // An offset that no forward pass has written must not lead outside the map.
      if (row < rows && column < problem.width) target[row * problem.width + column] = source[ow];
    }
  }
}

}  // namespace skt::max_pool
