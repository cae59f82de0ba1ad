// Max-pools one feature into its rows of the packed matrix (C, P) and instance-normalises them there, on the CPU.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "feature_map.h"
#include "max_pool.h"
#include "transpose.h"

namespace skt::pool_and_pack {

using max_pool::Problem;

// Brings a row to mean 0 and variance 1 as torch.nn.InstanceNorm2d does; returns 1 / its standard deviation.
template <class T>
T normalize(T* row, int64_t count);

// Gradient of a normalised row y: inverse (g - mean of g - y mean of g y).
template <class T>
void normalize_backward(const T* grad, const T* row, T inverse, int64_t count, T* out);

// ---- one feature -------------------------------------------------------------------------------------------------

// Where a feature stands in the packed matrix.
struct Place {
  int64_t total, first;  // channels of all features, and of those before this one

  int64_t row(int64_t n, int64_t c) const { return n * total + first + c; }
};

inline bool by_channels(const Problem& problem, const FeatureMap& map) {
  return map.stride_c == 1 && problem.channels > 1;
}

// Planes [first, last) of all N * C, each to its row, which is normalised while it is in the cache; argmax and
// inverse_deviation may be null.
template <class T>
void pool_planes(const FeatureMap& input, const Problem& problem, const Place& place, int64_t first, int64_t last,
                 T* packed, uint8_t* argmax, T* inverse_deviation) {
  const int64_t positions = problem.out_height() * problem.out_width();
  for (int64_t plane = first; plane < last; ++plane) {
    const int64_t n = plane / problem.channels, c = plane % problem.channels, index = place.row(n, c);
    T* row = packed + index * positions;
    uint8_t* winners = argmax == nullptr ? nullptr : argmax + index * positions;
    if (problem.kernel_h == 1 && problem.kernel_w == 1) {
      for_each_run(input, n, 0, positions, [&](int64_t begin, int64_t offset, int64_t count) {
        widen_row(input.storage, input.data, offset + c * input.stride_c, input.stride_w, count, row + begin);
      });
      if (winners != nullptr) std::memset(winners, 0, positions);
    } else {
      max_pool::pool_plane(input, n * input.stride_n + c * input.stride_c, problem, row, winners);
    }
    if (inverse_deviation != nullptr) inverse_deviation[index] = normalize(row, positions);
  }
}

// Window rows [first, last) of all N * out_height, channels adjacent in the input; argmax may be null.
template <class T>
void pool_bands(const FeatureMap& input, const Problem& problem, const Place& place, int64_t first, int64_t last,
                T* packed, uint8_t* argmax) {
  const int64_t width = problem.out_width(), positions = problem.out_height() * width, channels = problem.channels;
  const int64_t stride =
      channels + 16;  // between pixels: not a power of two, or the transposition would use few lines of the cache
  std::vector<T> scratch, best(width * stride);
  std::vector<int32_t> winner(width * stride);
  for (int64_t item = first; item < last; ++item) {
    const int64_t n = item / problem.out_height(), oh = item % problem.out_height();
    const int64_t top = oh * problem.kernel_h, bottom = std::min(top + problem.kernel_h, problem.height);
    for (int64_t ow = 0; ow < width; ++ow) {
      const int64_t left = ow * problem.kernel_w, right = std::min(left + problem.kernel_w, problem.width);
      max_pool::reduce_window(max_pool::load_window(input, problem, n, top, bottom, left, right, scratch), channels,
                              best.data() + ow * stride, winner.data() + ow * stride);
    }
    const int64_t to = place.row(n, 0) * positions + oh * width;
    transpose(best.data(), stride, width, channels, packed + to, positions);
    if (argmax != nullptr) transpose(winner.data(), stride, width, channels, argmax + to, positions);
  }
}

// Planes [first, last) of all N * C that pool_bands has packed.
template <class T>
void normalize_planes(const Problem& problem, const Place& place, int64_t first, int64_t last, T* packed,
                      T* inverse_deviation) {
  const int64_t positions = problem.out_height() * problem.out_width();
  for (int64_t plane = first; plane < last; ++plane) {
    const int64_t index = place.row(plane / problem.channels, plane % problem.channels);
    inverse_deviation[index] = normalize(packed + index * positions, positions);
  }
}

// ---- the gradient of one feature ---------------------------------------------------------------------------------

// The rows of the packed matrix that belong to one feature, and their gradient; inverse_deviation is null where they
// were not normalised.
template <class T>
struct Gradient {
  const T* grad;
  const T* packed;
  const uint8_t* argmax;
  const T* inverse_deviation;
  Place place;
  int64_t positions;

  // The gradient of the pooled channel c of image n: a row of `positions`, perhaps in `scratch`.
  const T* row(int64_t n, int64_t c, T* scratch) const {
    const int64_t index = place.row(n, c);
    if (inverse_deviation == nullptr) return grad + index * positions;
    normalize_backward(grad + index * positions, packed + index * positions, inverse_deviation[index], positions,
                       scratch);
    return scratch;
  }
};

// Planes [first, last) of all N * C; out is dense NCHW.
template <class T, class Bits>
void unpool_planes(const Gradient<T>& gradient, const Problem& problem, int64_t first, int64_t last, Storage storage,
                   Bits* out) {
  std::vector<T> scratch(gradient.positions);
  std::vector<Bits> narrow(gradient.positions);
  for (int64_t plane = first; plane < last; ++plane) {
    const int64_t n = plane / problem.channels, c = plane % problem.channels;
    const T* row = gradient.row(n, c, scratch.data());
    if (problem.kernel_h == 1 && problem.kernel_w == 1) {  // every pixel is the maximum of its window
      narrow_row(storage, row, gradient.positions, out, plane * gradient.positions, 1);
      continue;
    }
    narrow_row(storage, row, gradient.positions, narrow.data(), 0, 1);
    max_pool::unpool_plane(narrow.data(), gradient.argmax + gradient.place.row(n, c) * gradient.positions, problem,
                           out + plane * problem.height * problem.width);
  }
}

// Rows [first, last) of all N * C of the pooled gradient, dense.
template <class T>
void unnormalize(const Gradient<T>& gradient, const Problem& problem, int64_t first, int64_t last, T* rows) {
  for (int64_t plane = first; plane < last; ++plane) {
    T* to = rows + plane * gradient.positions;
    const T* row = gradient.row(plane / problem.channels, plane % problem.channels, to);
    if (row != to) std::copy_n(row, gradient.positions, to);
  }
}

// Window rows [first, last) of all N * out_height; out is dense channels_last, rows are those of `unnormalize`.
template <class T, class Bits>
void unpool_bands(const Gradient<T>& gradient, const T* rows, const Problem& problem, int64_t first, int64_t last,
                  Storage storage, Bits* out) {
  const int64_t width = problem.out_width(), channels = problem.channels;
  std::vector<T> band(width * channels);
  std::vector<Bits> narrow(width * channels);
  std::vector<uint8_t> winners(width * channels);
  for (int64_t item = first; item < last; ++item) {
    const int64_t n = item / problem.out_height(), oh = item % problem.out_height();
    transpose(rows + n * channels * gradient.positions + oh * width, gradient.positions, channels, width, band.data(),
              channels);
    transpose(gradient.argmax + gradient.place.row(n, 0) * gradient.positions + oh * width, gradient.positions,
              channels, width, winners.data(), channels);
    narrow_row(storage, band.data(), width * channels, narrow.data(), 0, 1);
    const int64_t top = oh * problem.kernel_h, bottom = std::min(top + problem.kernel_h, problem.height);
    for (int64_t row = top; row < bottom; ++row) {
      for (int64_t column = 0; column < problem.width; ++column) {
        const int64_t label = (row - top) * problem.kernel_w + column % problem.kernel_w;
        const int64_t cell = column / problem.kernel_w * channels;
        max_pool::select(narrow.data() + cell, winners.data() + cell, static_cast<uint8_t>(label), channels,
                         out + ((n * problem.height + row) * problem.width + column) * channels);
      }
    }
  }
}

}  // namespace skt::pool_and_pack
