// What the tiles of the embedding share on the CPU: sizes, operands, scratch memory.
//
// A tile is as high as a pooling window and a whole number of windows wide, so that no window belongs to two tiles. The
// embedded features h of a tile live in scratch memory that stays in the second-level cache: all channels of them, or,
// where channels are planes of memory, a few channels at a time, so that the tile can be wide.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>
#include <vector>

#include "../divide_up.h"
#include "cosine_loss.h"
#include "embedding_loops.h"
#include "feature_map.h"
#include "small_gemm.h"

namespace skt::embedding {

using small_gemm::padded;
using small_gemm::row_stride;

constexpr int64_t kTile = int64_t{1} << 16;     // elements of h in a tile by channels: 256 KiB
constexpr int64_t kScratch = int64_t{3} << 16;  // elements that a tile by pixels has in scratch: 768 KiB
constexpr int64_t kColumns = 512;  // at most, of such a tile: several threads should share a small map, too
constexpr int64_t kChannels = 32;  // channels of h that exist at a time in a tile by pixels
constexpr int64_t kPartial = int64_t{1} << 19;  // elements of all partial sums of the weight's gradient

// Channels [first, first + count) of h.
struct Channels {
  int64_t first, count;
};

struct Tile {
  int64_t n, top, rows, left, columns;

  int64_t pixels() const { return rows * columns; }
};

struct Problem {
  int64_t batch, from, to;                    // channels of the student and of h
  int64_t height, width, kernel_h, kernel_w;  // kernel 0: nothing is pooled
  bool relu;
  double eps;
  bool by_channels;  // the order of a tile

  bool pools() const { return kernel_h > 0; }
  int64_t pooled_height() const { return divide_up(height, kernel_h); }
  int64_t pooled_width() const { return divide_up(width, kernel_w); }
  int64_t pixels() const { return height * width; }

  int64_t tile_rows() const { return std::max<int64_t>(kernel_h, 1); }
  int64_t tile_columns() const {
    const int64_t window = std::max<int64_t>(kernel_w, 1);
    const int64_t windows = divide_up(width, window);
    const int64_t fitting = by_channels ? kTile / std::max<int64_t>(to, 64) / tile_rows()
                                        : std::min(kColumns, kScratch / (2 * (from + kChannels)) / tile_rows());
    const int64_t tiles = (windows - 1) / std::max<int64_t>(fitting / window, 1) + 1;
    return divide_up(windows, std::max<int64_t>(tiles, 1)) * window;  // about as many in each tile
  }
  int64_t tile_pixels() const { return tile_rows() * std::min(tile_columns(), width); }
  int64_t bands() const { return divide_up(height, tile_rows()); }
  int64_t tiles_per_band() const { return divide_up(width, tile_columns()); }
  int64_t tiles() const { return batch * bands() * tiles_per_band(); }

  Tile tile(int64_t index) const {
    const int64_t band = index / tiles_per_band() % bands(), column = index % tiles_per_band();
    const int64_t top = band * tile_rows(), left = column * tile_columns();
    return {index / tiles_per_band() / bands(), top, std::min(tile_rows(), height - top), left,
            std::min(tile_columns(), width - left)};
  }

  // Groups of tiles, each with its own sum of the weight's gradient. Not one group per thread: the sums must not depend
  // on the number of threads.
  int64_t groups() const {
    return std::min(tiles(), std::clamp<int64_t>(kPartial / (to * padded<float>(from)), 2, 64));
  }
};

template <class T>
struct Operands {
  FeatureMap student;
  const FeatureMap* teacher;  // null: no distance
  const T* weight;            // (to, padded(from))
  const T* transposed;        // (from, padded(to))
  const T* bias;              // (padded(to)), zeros where there is none
};

template <class T>
struct Pooled {
  T* values;  // (N, to, h w)
  uint8_t* argmax;
};

template <class T>
struct Upstream {
  T loss;               // gradient of the sum of distances
  const T* statistics;  // (N, 3, H W)
  const T* pooled;      // (N, to, h w), or null
  const uint8_t* argmax;
};

// The gradient of the parameters, summed over some tiles.
template <class T>
struct Partial {
  T* weight;     // (to, padded(from))
  double* bias;  // (to)
};

// Aligned like vectors: one that crosses cache lines is read and written twice.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{small_gemm::kVectorBytes};

  AlignedAllocator() = default;
  template <class Other>
  AlignedAllocator(const AlignedAllocator<Other>&) {}

  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kAlignment)); }
  void deallocate(T* data, size_t) { ::operator delete(data, kAlignment); }
  friend bool operator==(AlignedAllocator, AlignedAllocator) { return true; }
  friend bool operator!=(AlignedAllocator, AlignedAllocator) { return false; }
};

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

// Scratch of one thread.
template <class T>
struct Workspace {
  AlignedVector<T> student, hidden, gradient, of_student, rows;
  AlignedVector<T> product, student_square, teacher_square, distance, of_teacher, of_hidden, best;
  AlignedVector<int32_t> winner;

  explicit Workspace(const Problem& problem) {
    const int64_t pixels = problem.tile_pixels();
    const int64_t wide = row_stride<T>(pixels);
    const int64_t from = problem.by_channels ? pixels * row_stride<T>(problem.from) : problem.from * wide;
    const int64_t to = problem.by_channels ? pixels * row_stride<T>(problem.to) : kChannels * wide;
    student.resize(from);
    of_student.resize(from);
    hidden.resize(to);
    gradient.resize(to);
    rows.resize(pixels * std::max<int64_t>(problem.to, cosine::kStep));
    for (auto* row : {&product, &student_square, &teacher_square, &distance, &of_teacher, &of_hidden})
      row->resize(wide);
    const int64_t windows = problem.pools() ? divide_up(problem.tile_columns(), problem.kernel_w) : 0;
    best.resize(std::max(wide, windows * row_stride<T>(problem.to)));
    winner.resize(best.size());
  }
};

// Statistics are stored row by row of the tile in `work` and row by row of the map in the tensor.
template <class T>
inline void copy_statistics(const Problem& problem, const Tile& tile, Workspace<T>& work, T* to, const T* from) {
  T* rows[3] = {work.product.data(), work.student_square.data(), work.teacher_square.data()};
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t r = 0; r < tile.rows; ++r) {
      const int64_t at = (tile.n * 3 + i) * problem.pixels() + (tile.top + r) * problem.width + tile.left;
      T* row = rows[i] + r * tile.columns;
      if (to != nullptr) {
        std::copy_n(row, tile.columns, to + at);
      } else {
        std::copy_n(from + at, tile.columns, row);
      }
    }
  }
}

// The ReLU stops h where h <= lowest. That is false for a NaN, which passes as in torch, and, without a ReLU, for all
// h.
template <class T>
constexpr T lowest_passed(bool relu) {
  return relu ? T(0) : std::numeric_limits<T>::quiet_NaN();
}

}  // namespace skt::embedding
