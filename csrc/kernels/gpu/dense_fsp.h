// Dense FSP distance on the GPU: D = (T T' - S S') / P between channels of different features, and its squared norm.
//
//   products      tiles of the upper block triangle x parts of the depth 2P: T T' - S S' in one accumulation -> partial
//   finish        adds the parts up in order, writes D and its mirror image    -> sum of squares of each 32 x 32 square
//   sum_partials  adds those sums up in order (reduce.h)                       -> one number per image
//   gradient      -(2 / P) grad D S, skipping the products with the zero blocks of D
//
// Tiles form a grid over all (C, C) pairs of channels, whatever the borders of the features; tiles without a wanted
// pair are left out. The order of every sum is fixed; there are no atomics.
#pragma once

#include "../divide_up.h"
#include "reduce.h"
#include "tile_product.h"

namespace skt::gpu::dense_fsp {

using tile_product::Columns;
using tile_product::kDepth;
using tile_product::Rows;
using tile_product::Source;

constexpr int kMaxGroups = 64;  // features; the table below is a kernel parameter

// The channels of feature g are [start(g), end[g]).
struct Groups {
  int count;
  bool adjacent;  // only neighbouring features are compared
  int end[kMaxGroups];

  __host__ __device__ int channels() const { return end[count - 1]; }
  __host__ __device__ int start(int group) const { return group == 0 ? 0 : end[group - 1]; }
  __host__ __device__ int of(int channel) const {
    int group = 0;
    while (end[group] <= channel) ++group;
    return group;
  }
  // Is row < column a pair that is compared?
  __device__ bool wanted(int row, int column) const {
    const int apart = of(column) - of(row);
    return adjacent ? apart == 1 : apart > 0;
  }
};

struct Range {
  int first, last;  // [first, last)
  __host__ __device__ int size() const { return last > first ? last - first : 0; }
};

// Columns of tiles that hold a wanted pair in this row of tiles: one range, right of the diagonal.
__host__ __device__ inline Range tile_columns(const Groups& groups, int tile_row, int tile) {
  const int first_row = tile_row * tile, all = groups.channels();
  const int group = groups.of(first_row);
  if (group == groups.count - 1) return {0, 0};
  const int last_row = first_row + tile < all ? first_row + tile - 1 : all - 1;
  const int last_group = groups.of(last_row) + 1 < groups.count ? groups.of(last_row) + 1 : groups.count - 1;
  const int end = groups.adjacent ? groups.end[last_group] : all;
  return {groups.end[group] / tile, divide_up(end, tile)};
}

__host__ __device__ inline int tiles_of(const Groups& groups, int tile) {
  int tiles = 0;
  for (int row = 0; row < divide_up(groups.channels(), tile); ++row) tiles += tile_columns(groups, row, tile).size();
  return tiles;
}

struct Tile {
  int row, column;  // of its first element
};

__device__ inline Tile find_tile(const Groups& groups, int index, int tile) {
  int row = 0;
  for (;; ++row) {
    const Range columns = tile_columns(groups, row, tile);
    if (index < columns.size()) return {row * tile, (columns.first + index) * tile};
    index -= columns.size();
  }
}

// The number of parts that the depth is divided into: the one that keeps the GPU's `slots` (blocks that run at once)
// busy for the shortest time. A block costs its stages, and kOverhead more to start and to write its partial tile.
inline int parts_for(int64_t blocks, int64_t stages, int64_t slots) {
  constexpr int64_t kOverhead = 10, kMost = 64;
  int best = 1;
  int64_t least = 0;
  for (int64_t parts = 1; parts <= kMost && (parts == 1 || parts * kOverhead <= stages); ++parts) {
    const int64_t waves = divide_up(blocks * parts, slots);
    const int64_t time = waves * (divide_up(stages, parts) + kOverhead);
    if (parts == 1 || time < least) {
      best = static_cast<int>(parts);
      least = time;
    }
  }
  return best;
}

// ---- forward -------------------------------------------------------------------------------------------------------

// Grid (batch * parts * tiles), block Engine::kThreads. The stages of the depth are those of the teacher, then those of
// the student, divided evenly among the parts. partial (batch, parts, tiles, kTile, kTile).
template <class Engine>
__global__ void __launch_bounds__(Engine::kThreads, 2)
    products(const typename Engine::Element* __restrict__ student, const typename Engine::Element* __restrict__ teacher,
             Groups groups, int64_t positions, int parts, int tiles, bool wide,
             typename Engine::Element* __restrict__ partial) {
  using T = typename Engine::Element;
  constexpr int kTile = Engine::kTile;
  SKT_DYNAMIC_SHARED(T, shared);
  const int channels = groups.channels();
  const int index = blockIdx.x % tiles, part = blockIdx.x / tiles % parts;
  const int64_t n = blockIdx.x / tiles / parts;
  const Tile tile = find_tile(groups, index, kTile);
  const int of_one = static_cast<int>(divide_up<int64_t>(positions, kDepth));  // stages of one of the two
  const int first = static_cast<int>(2 * static_cast<int64_t>(of_one) * part / parts);
  const int last = static_cast<int>(2 * static_cast<int64_t>(of_one) * (part + 1) / parts);

  const auto source = [&](int s, int row) -> Source<T> {
    const int at = first + s;
    const int64_t p = static_cast<int64_t>(at < of_one ? at : at - of_one) * kDepth;
    const T* from = at < of_one ? teacher : student;
    const int64_t left = positions - p;
    return {from + (n * channels + row) * positions + p, positions, channels - row,
            left < kDepth ? static_cast<int>(left) : kDepth, wide};
  };
  Engine engine;
  tile_product::accumulate<Rows<T, kTile>>(
      engine, shared, last - first, channels - tile.row, channels - tile.column,
      [&](int s) { return source(s, tile.row); }, [&](int s) { return source(s, tile.column); },
      [&](int s) {
        if (first + s == of_one) engine.negate();  // the student's products are subtracted
      });
  if (last > of_one) engine.negate();  // so far, student minus teacher

  T* to = partial + blockIdx.x * static_cast<int64_t>(kTile * kTile);
  engine.for_each(Rows<T, kTile>{}, [&](int row, int column, auto pack) {
    store<sizeof(pack) / sizeof(T)>(to + row * kTile + column, pack);
  });
}

constexpr int kSquare = 32, kFinishThreads = 256;  // `finish` has one block for each square

// Grid (batch * tiles * squares of a tile). difference (batch, C, C) is zero where no pair is compared.
template <class T, int kTile>
__global__ void __launch_bounds__(kFinishThreads)
    finish(const T* __restrict__ partial, Groups groups, int64_t positions, int parts, int tiles,
           T* __restrict__ difference, double* __restrict__ sums) {
  SKT_STATIC_SHARED(T, square,
                    kSquare * (kSquare + 1));  // rows of kSquare + 1: its columns are read without bank conflicts
  SKT_STATIC_SHARED(double, of_warps, kFinishThreads / kWarp);
  constexpr int kSide = kTile / kSquare;
  const int channels = groups.channels();
  const int part_of_tile = blockIdx.x % (kSide * kSide);
  const int index = blockIdx.x / (kSide * kSide) % tiles;
  const int64_t n = blockIdx.x / (kSide * kSide) / tiles;
  const Tile tile = find_tile(groups, index, kTile);
  const int inner_row = part_of_tile / kSide * kSquare, inner_column = part_of_tile % kSide * kSquare;
  const int top = tile.row + inner_row, left = tile.column + inner_column;
  const T* from = partial + (n * parts * tiles + index) * kTile * kTile + inner_row * kTile + inner_column;
  T* to = difference + n * channels * channels;

  constexpr int kRows = kFinishThreads / kSquare;
  const int x = threadIdx.x % kSquare, first_y = threadIdx.x / kSquare;
  const T scale = T(1) / static_cast<T>(positions);
  double squares = 0;
  for (int y = first_y; y < kSquare; y += kRows) {
    const int row = top + y, column = left + x;
    T value = 0;
    if (column < channels && row < column && groups.wanted(row, column)) {
      for (int part = 0; part < parts; ++part) {
        value += from[part * static_cast<int64_t>(tiles) * kTile * kTile + y * kTile + x];
      }
      value *= scale;
      to[static_cast<int64_t>(row) * channels + column] = value;
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    square[y * (kSquare + 1) + x] = value;
  }
  const double sum = block_sum<kFinishThreads>(squares, of_warps);  // its barrier completes the writes to `square`
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
  for (int y = first_y; y < kSquare; y += kRows) {  // the mirror image, again with neighbours along x
    const int row = top + x, column = left + y;
    if (column < channels && row < column && groups.wanted(row, column)) {
      to[static_cast<int64_t>(column) * channels + row] = square[x * (kSquare + 1) + y];
    }
  }
}

// ---- backward ------------------------------------------------------------------------------------------------------

// Channels whose products with the rows [first, last) are not all zero: two ranges, before and after the rows' own
// feature, or one range if the rows belong to several.
struct Others {
  Range before, behind;
};

__device__ inline Others others_of(const Groups& groups, int first, int last) {
  const int group = groups.of(first), last_group = groups.of(last - 1);
  Range all{0, groups.channels()};
  if (groups.adjacent) {
    all.first = groups.start(group > 0 ? group - 1 : 0);
    all.last = groups.end[last_group + 1 < groups.count ? last_group + 1 : last_group];
  }
  if (group != last_group) return {all, {0, 0}};
  return {{all.first, groups.start(group)}, {groups.end[group], all.last}};
}

// Grid (batch * tiles along the positions * tiles along the channels), block Engine::kThreads. difference is symmetric;
// grad (batch) has any stride; out (batch, C, positions). wide_*: Source::wide of the two operands and of out.
template <class Engine>
__global__ void __launch_bounds__(Engine::kThreads, 2)
    gradient(const typename Engine::Element* __restrict__ grad, int64_t grad_stride,
             const typename Engine::Element* __restrict__ student,
             const typename Engine::Element* __restrict__ difference, Groups groups, int64_t positions,
             bool wide_difference, bool wide_positions, typename Engine::Element* __restrict__ out) {
  using T = typename Engine::Element;
  constexpr int kTile = Engine::kTile;
  SKT_DYNAMIC_SHARED(T, shared);
  const int channels = groups.channels(), tile_rows = divide_up(channels, kTile);
  const int64_t across = divide_up<int64_t>(positions, kTile);
  const int row = static_cast<int>(blockIdx.x % tile_rows) * kTile;
  const int64_t p = blockIdx.x / tile_rows % across * kTile, n = blockIdx.x / tile_rows / across;
  const int rows = channels - row < kTile ? channels - row : kTile;
  const int columns = positions - p < kTile ? static_cast<int>(positions - p) : kTile;
  const Others others = others_of(groups, row, row + rows);
  const int before = divide_up(others.before.size(), kDepth), behind = divide_up(others.behind.size(), kDepth);

  const auto channels_at = [&](int s) -> Range {
    const Range& range = s < before ? others.before : others.behind;
    return {range.first + (s < before ? s : s - before) * kDepth, range.last};
  };
  Engine engine;
  tile_product::accumulate<Columns<T, kTile>>(
      engine, shared, before + behind, rows, columns,
      [&](int s) -> Source<T> {
        const Range c = channels_at(s);
        return {difference + (n * channels + row) * channels + c.first, channels, rows, c.size(), wide_difference};
      },
      [&](int s) -> Source<T> {
        const Range c = channels_at(s);
        return {student + (n * channels + c.first) * positions + p, positions, c.size(), columns, wide_positions};
      },
      [](int) {});

  const T factor = T(-2) / static_cast<T>(positions) * grad[n * grad_stride];
  T* to = out + (n * channels + row) * positions + p;
  engine.for_each(Columns<T, kTile>{}, [&](int y, int x, auto pack) {
    constexpr int kCount = sizeof(pack) / sizeof(T);
    if (y >= rows || x >= columns) return;
#pragma unroll
    for (int i = 0; i < kCount; ++i) pack.value[i] *= factor;
    T* target = to + y * positions + x;
    if (wide_positions) {  // then columns is a multiple of kCount
      store<kCount>(target, pack);
    } else {
      for (int i = 0; i < kCount && x + i < columns; ++i) target[i] = pack.value[i];
    }
  });
}

}  // namespace skt::gpu::dense_fsp
