// One square tile of a matrix product on the GPU, for any kernel that can tell where its operands are.
//
//   device memory --cp.async, three stages--> shared memory --16-byte reads--> registers, sum += left * right
//
// left is (kTile, depth) with its depth contiguous; right is either (kTile, depth) the same way ("by rows": the product
// is left * right'), or (depth, kTile) with its columns contiguous ("by columns": left * right). A stage is kDepth
// deep. Two engines multiply: Fma (CUDA cores, float or double) and Mma (tensor cores, float operands rounded to
// bfloat16, float16 or tf32 between shared memory and registers; sm_80 or newer). Sums are always float (double for
// double).
//
// Shared memory is read in chunks of 16 bytes. Chunk c of row r is at place c ^ swizzle(r) of its row, so that the
// eight lanes that are served together use eight different groups of banks, without padding.
#pragma once

#include <cstring>

#include "element.h"
#include "skt/device/tensor_core.h"

namespace skt::gpu::tile_product {

constexpr int kDepth = 16, kStages = 3;

// ---- operands in shared memory -------------------------------------------------------------------------------------

// (kTile, kDepth), the depth contiguous.
template <class T, int kTile>
struct Rows {
  static constexpr int kRows = kTile, kColumns = kDepth;
  static constexpr int kPerChunk = 16 / sizeof(T), kChunks = kColumns / kPerChunk;
  // Rows are 64 bytes (float) or 128 (double): two rows, or one, cover all banks once.
  __device__ static int place(int row, int chunk) {
    return (row * kChunks + (chunk ^ (row / (8 / kChunks) % kChunks))) * kPerChunk;
  }
};

// (kDepth, kTile), the columns contiguous. Rows 4q are read together for q = 0..3, at chunks two apart.
template <class T, int kTile>
struct Columns {
  static constexpr int kRows = kDepth, kColumns = kTile;
  static constexpr int kPerChunk = 16 / sizeof(T), kChunks = kColumns / kPerChunk;
  __device__ static int place(int row, int chunk) {
    const int q = row / 4;
    return (row * kChunks + (chunk ^ ((q & 1) | (q >> 1) << 2))) * kPerChunk;
  }
};

// Part of a matrix in device memory: `rows` x `columns` elements exist, anything beyond counts as zero. wide: rows
// start at multiples of 16 bytes and have whole chunks of columns.
template <class T>
struct Source {
  const T* first;
  int64_t stride;
  int rows, columns;
  bool wide;
};

// All threads of the block: starts the copy of one operand.
template <class Layout, int kThreads, class T>
__device__ inline void stage(const Source<T>& from, T* to) {
  constexpr int kChunks = Layout::kChunks, kPerChunk = Layout::kPerChunk, kStep = kThreads / kChunks;
  static_assert(kThreads % kChunks == 0 && Layout::kRows % kStep == 0, "every thread copies as many chunks");
  const int chunk = threadIdx.x % kChunks, column = chunk * kPerChunk;
  int row = threadIdx.x / kChunks;
  const T* source = from.first + row * from.stride + column;
  if (from.wide) {
#pragma unroll
    for (int i = 0; i < Layout::kRows / kStep; ++i) {
      copy_async<16>(to + Layout::place(row, chunk), source, row < from.rows && column < from.columns);
      row += kStep;
      source += kStep * from.stride;
    }
    return;
  }
#pragma unroll 1
  for (int i = 0; i < Layout::kRows / kStep; ++i) {
    T* target = to + Layout::place(row, chunk);
#pragma unroll
    for (int e = 0; e < kPerChunk; ++e) {
      copy_async<sizeof(T)>(target + e, source + e, row < from.rows && column + e < from.columns);
    }
    row += kStep;
    source += kStep * from.stride;
  }
}

// ---- CUDA cores ----------------------------------------------------------------------------------------------------

// 16 x 16 threads; thread (y, x) has the rows y, y + 16, ... and, of the columns, x, x + 16, ... (by rows) or the
// chunks x and x + 16 (by columns).
template <class T>
struct Fma {
  using Element = T;
  static constexpr int kTile = sizeof(T) == 8 ? 64 : 128, kThreads = 256;
  static constexpr int kEach = kTile / 16, kPerChunk = 16 / sizeof(T);
  static constexpr int kAtOnce = 4;  // rows whose terms are in registers: with all eight, some would spill

  T sum[kEach][kEach] = {};

  __device__ static int x() { return threadIdx.x % 16; }
  __device__ static int y() { return threadIdx.x / 16; }

  __device__ void negate() {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
#pragma unroll
      for (int j = 0; j < kEach; ++j) sum[i][j] = -sum[i][j];
    }
  }

  // columns: of the tile that exist. If there is one, as in the last of a row of tiles, each thread has one sum per row
  // to compute.
  __device__ void multiply(const T* left, const T* right, Rows<T, kTile>, int, int columns) {
    if (columns <= 16)
      multiply_by_rows<1>(left, right);
    else
      multiply_by_rows<kEach>(left, right);
  }

  template <int kColumnsEach>
  __device__ void multiply_by_rows(const T* left, const T* right) {
    using Layout = Rows<T, kTile>;
#pragma unroll 1  // unrolled, it would need more registers than there are
    for (int chunk = 0; chunk < Layout::kChunks; ++chunk) {
#pragma unroll
      for (int top = 0; top < kEach; top += kAtOnce) {
        Pack<T, kPerChunk> a[kAtOnce];
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) a[i] = load<kPerChunk>(left + Layout::place(y() + 16 * (top + i), chunk));
#pragma unroll
        for (int j = 0; j < kColumnsEach; ++j) {
          const Pack<T, kPerChunk> b = load<kPerChunk>(right + Layout::place(x() + 16 * j, chunk));
#pragma unroll
          for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
            for (int k = 0; k < kPerChunk; ++k) sum[top + i][j] += a[i].value[k] * b.value[k];
          }
        }
      }
    }
  }

  __device__ void multiply(const T* left, const T* right, Columns<T, kTile>, int, int) {
#pragma unroll 1
    for (int chunk = 0; chunk < kDepth / kPerChunk; ++chunk) {
#pragma unroll
      for (int top = 0; top < kEach; top += kAtOnce) {
        Pack<T, kPerChunk> a[kAtOnce];
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
          a[i] = load<kPerChunk>(left + Rows<T, kTile>::place(y() + 16 * (top + i), chunk));
        }
#pragma unroll
        for (int k = 0; k < kPerChunk; ++k) {
#pragma unroll
          for (int h = 0; h < kEach / kPerChunk; ++h) {
            const int row = chunk * kPerChunk + k;
            const Pack<T, kPerChunk> b = load<kPerChunk>(right + Columns<T, kTile>::place(row, x() + 16 * h));
#pragma unroll
            for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
              for (int e = 0; e < kPerChunk; ++e) sum[top + i][h * kPerChunk + e] += a[i].value[k] * b.value[e];
            }
          }
        }
      }
    }
  }

  // visit(row, column, Pack) for all of this thread's sums, after products by rows; packs of 1.
  template <class Visit>
  __device__ void for_each(Rows<T, kTile>, Visit visit) const {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
#pragma unroll
      for (int j = 0; j < kEach; ++j) visit(y() + 16 * i, x() + 16 * j, Pack<T, 1>{{sum[i][j]}});
    }
  }

  // The same after products by columns; packs of a chunk.
  template <class Visit>
  __device__ void for_each(Columns<T, kTile>, Visit visit) const {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
#pragma unroll
      for (int h = 0; h < kEach / kPerChunk; ++h) {
        Pack<T, kPerChunk> pack;
#pragma unroll
        for (int e = 0; e < kPerChunk; ++e) pack.value[e] = sum[i][h * kPerChunk + e];
        visit(y() + 16 * i, (x() + 16 * h) * kPerChunk, pack);
      }
    }
  }
};

// ---- tensor cores --------------------------------------------------------------------------------------------------

// 2 x 2 warps of 64 x 64 sums each, in blocks of 16 rows and 8 columns. Lane 4g + q holds, of each block, the rows g
// and g + 8 and the columns 2q and 2q + 1 (PTX ISA, "Matrix Fragments for mma.m16n8k16").
//
// A product over the depth may take its terms in any order: the four terms that the instruction wants from lane q (2q,
// 2q + 1, 2q + 8, 2q + 9) are read from 4q .. 4q + 3, one chunk. By columns, the instruction's column g of block j is
// the tile's column 8g + j for the same reason, and a lane's results are neighbours.
template <class Operand>
struct Mma {
  using Element = float;
  static constexpr int kTile = 128, kThreads = 128;
  static constexpr int kRowBlocks = 4, kColumnBlocks = 8;
  using Terms = typename Operand::Terms;  // four neighbouring terms of one row, rounded

  float sum[kRowBlocks][kColumnBlocks][4] = {};

  __device__ static int g() { return threadIdx.x % kWarp / 4; }
  __device__ static int q() { return threadIdx.x % 4; }
  __device__ static int top() { return threadIdx.x / 64 * 64; }
  __device__ static int left_edge() { return threadIdx.x / kWarp % 2 * 64; }

  __device__ void negate() {
#pragma unroll
    for (int i = 0; i < kRowBlocks; ++i) {
#pragma unroll
      for (int j = 0; j < kColumnBlocks; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sum[i][j][e] = -sum[i][j][e];
      }
    }
  }

  // rows, columns: of the tile that exist. A warp with none of them is idle, and one with a few columns computes only
  // one block of them.
  __device__ static bool idle(int rows, int columns) { return top() >= rows || left_edge() >= columns; }

  __device__ static void load_left(const float* left, Terms (&upper)[kRowBlocks], Terms (&lower)[kRowBlocks]) {
#pragma unroll
    for (int i = 0; i < kRowBlocks; ++i) {
      const int row = top() + 16 * i + g();
      upper[i] = Operand::round(load<4>(left + Rows<float, kTile>::place(row, q())));
      lower[i] = Operand::round(load<4>(left + Rows<float, kTile>::place(row + 8, q())));
    }
  }

  __device__ void multiply(const float* left, const float* right, Rows<float, kTile>, int rows, int columns) {
    if (idle(rows, columns)) return;
    if (columns - left_edge() <= 8)
      multiply_by_rows<1>(left, right);
    else
      multiply_by_rows<kColumnBlocks>(left, right);
  }

  template <int kBlocks>
  __device__ void multiply_by_rows(const float* left, const float* right) {
    Terms upper[kRowBlocks], lower[kRowBlocks];
    load_left(left, upper, lower);
#pragma unroll
    for (int j = 0; j < kBlocks; ++j) {
      const int row = left_edge() + 8 * j + g();
      const Terms b = Operand::round(load<4>(right + Rows<float, kTile>::place(row, q())));
#pragma unroll
      for (int i = 0; i < kRowBlocks; ++i) Operand::multiply(sum[i][j], upper[i], lower[i], b);
    }
  }

  __device__ void multiply(const float* left, const float* right, Columns<float, kTile> layout, int rows, int columns) {
    if (idle(rows, columns)) return;
    Terms upper[kRowBlocks], lower[kRowBlocks];
    load_left(left, upper, lower);
#pragma unroll
    for (int h = 0; h < kColumnBlocks / 4; ++h) {
      Pack<float, 4> term[4];  // of four columns
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        term[k] = load<4>(right + layout.place(4 * q() + k, (left_edge() + 8 * g()) / 4 + h));
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const Pack<float, 4> column{{term[0].value[j], term[1].value[j], term[2].value[j], term[3].value[j]}};
        const Terms b = Operand::round(column);
#pragma unroll
        for (int i = 0; i < kRowBlocks; ++i) Operand::multiply(sum[i][4 * h + j], upper[i], lower[i], b);
      }
    }
  }

  template <class Visit>
  __device__ void for_each(Rows<float, kTile>, Visit visit) const {
#pragma unroll
    for (int i = 0; i < kRowBlocks; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int j = 0; j < kColumnBlocks; ++j) {
          visit(top() + 16 * i + 8 * half + g(), left_edge() + 8 * j + 2 * q(),
                Pack<float, 2>{{sum[i][j][2 * half], sum[i][j][2 * half + 1]}});
        }
      }
    }
  }

  template <class Visit>
  __device__ void for_each(Columns<float, kTile>, Visit visit) const {
#pragma unroll
    for (int i = 0; i < kRowBlocks; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
#pragma unroll
        for (int h = 0; h < kColumnBlocks / 4; ++h) {
          Pack<float, 4> pack;
#pragma unroll
          for (int j = 0; j < 4; ++j) pack.value[j] = sum[i][4 * h + j][e];
          visit(top() + 16 * i + 8 * (e / 2) + g(), left_edge() + 8 * (2 * q() + e % 2) + 4 * h, pack);
        }
      }
    }
  }
};

// Four terms of a row as the registers of an instruction. Element: __nv_bfloat16 or __half.
template <class Element>
struct Rounded {
  struct Terms {
    uint32_t value[2];
  };
  __device__ static uint32_t pair(float low, float high) {
    uint32_t bits;
    if constexpr (std::is_same_v<Element, __half>) {
      const __half2 both = __floats2half2_rn(low, high);
      memcpy(&bits, &both, sizeof bits);
    } else {
      const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
      memcpy(&bits, &both, sizeof bits);
    }
    return bits;
  }
  __device__ static Terms round(const Pack<float, 4>& x) {
    return {{pair(x.value[0], x.value[1]), pair(x.value[2], x.value[3])}};
  }
  __device__ static void multiply(float (&sum)[4], const Terms& upper, const Terms& lower, const Terms& right) {
    const uint32_t a[4] = {upper.value[0], lower.value[0], upper.value[1], lower.value[1]};
    mma_m16n8k16<Element>(sum, a, right.value, sum);
  }
};

// Two instructions of depth 8: terms 0 and 1 of every lane, then 2 and 3.
struct RoundedToTf32 {
  struct Terms {
    uint32_t value[4];
  };
  __device__ static Terms round(const Pack<float, 4>& x) {
    return {{to_tf32(x.value[0]), to_tf32(x.value[1]), to_tf32(x.value[2]), to_tf32(x.value[3])}};
  }
  __device__ static void multiply(float (&sum)[4], const Terms& upper, const Terms& lower, const Terms& right) {
#pragma unroll
    for (int k = 0; k < 4; k += 2) {
      const uint32_t a[4] = {upper.value[k], lower.value[k], upper.value[k + 1], lower.value[k + 1]};
      const uint32_t b[2] = {right.value[k], right.value[k + 1]};
      mma_m16n8k8_tf32(sum, a, b, sum);
    }
  }
};

// ---- the loop over the depth ---------------------------------------------------------------------------------------

template <class Engine>
constexpr int kStageElements = 2 * Engine::kTile * kDepth;

template <class Engine>
constexpr size_t kSharedBytes = sizeof(typename Engine::Element) * kStages * kStageElements<Engine>;

// sum += left * right over `stages` stages; left_of(stage) and right_of(stage) are Sources, before(stage) runs before a
// stage's product. Layout is Right's layout: Rows or Columns.
template <class Layout, class Engine, class LeftOf, class RightOf, class Before>
__device__ inline void accumulate(Engine& engine, typename Engine::Element* shared, int stages, int rows, int columns,
                                  LeftOf left_of, RightOf right_of, Before before) {
  using T = typename Engine::Element;
  constexpr int kTile = Engine::kTile;
  const auto start = [&](int s) {
    if (s < stages) {
      T* buffer = shared + s % kStages * kStageElements<Engine>;
      stage<Rows<T, kTile>, Engine::kThreads>(left_of(s), buffer);
      stage<Layout, Engine::kThreads>(right_of(s), buffer + kTile * kDepth);
    }
    commit_async();  // also when empty: the wait below counts groups
  };
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) start(s);
  for (int s = 0; s < stages; ++s) {
    wait_async<kStages - 2>();
    __syncthreads();  // stage s has landed for every thread, and every thread is done with stage s - 1
    start(s + kStages - 1);
    before(s);
    const T* buffer = shared + s % kStages * kStageElements<Engine>;
    engine.multiply(buffer, buffer + kTile * kDepth, Layout{}, rows, columns);
  }
  wait_async<0>();
}

}  // namespace skt::gpu::tile_product
