// The embedding h = W s + b of a tile of pixels on the GPU: what its forward and backward passes share.
//
// A tile is 64 pixels by kChunk<A> teacher channels and belongs to a block of 256 threads; a thread has 4 neighbouring
// pixels and kOwn<A> neighbouring channels of it in registers. Student features and weights come through shared memory
// as rows of student channels, in any dtype and layout, and are widened on the way.
#pragma once

#include "../divide_up.h"
#include "element.h"

namespace skt::gpu::embedding {

constexpr int kThreads = 256;
constexpr int kPixels = 64;                            // of a tile
constexpr int kQuad = 4;                               // neighbours in a row of shared memory that are read at once
constexpr int kGroups = kThreads / (kPixels / kQuad);  // threads that share four pixels
constexpr int kRowStep = 8;  // student channels are staged in multiples of this, with zeros after the last

// Teacher channels of one thread and of a tile.
template <class A>
constexpr int kOwn = sizeof(A) == 8 ? 2 : 4;

template <class A>
constexpr int kChunk = kGroups * kOwn<A>;

// At least two blocks fit on a multiprocessor: one computes while the other waits for memory. With double, only one
// does.
template <class A>
constexpr int kBlocksPerMultiprocessor = sizeof(A) == 8 ? 1 : 2;

// The axis along which four neighbours can be read in one aligned access.
enum class Packs { none, of_pixels, of_channels };

// A feature map (N, C, H, W), or the weights (Ct, Cs) with Ct in place of the pixels.
struct Source {
  const void* data;
  Storage storage;
  Packs packs;
  int64_t image, channel, pixel;  // strides in elements; the rows of an image join
};

// Four neighbours of a Source as one access: along the channels, or along the pixels if these come in whole quads.
inline Packs packs_of(const Source& source, int64_t channels, bool whole_quads) {
  const uintptr_t access = kQuad * (source.storage == Storage::float64 ? 4 : bytes_of(source.storage));
  if (reinterpret_cast<uintptr_t>(source.data) % access != 0 || source.image % kQuad != 0) return Packs::none;
  if (source.pixel == 1 && source.channel % kQuad == 0 && whole_quads) return Packs::of_pixels;
  if (source.channel == 1 && source.pixel % kQuad == 0 && channels % kQuad == 0) return Packs::of_channels;
  return Packs::none;
}

template <class A>
__device__ inline A read_one(const void* data, Storage storage, int64_t offset) {
  return read<1, A>(data, storage, offset).value[0];
}

// Rows in shared memory with their quads permuted by row: the same quad of eight consecutive rows, or of four rows that
// are four apart, is in different banks. So a tile can be read along its rows and along its columns.
template <class A>
struct Tile {
  A* data;
  int columns;  // a multiple of 32

  __device__ static int permutation(int row) { return (row & 1) | (row >> 1 & 2) | ((row << 1 ^ row >> 1) & 4); }

  __device__ A* element(int row, int column) const {
    return data + row * columns + ((column / kQuad ^ permutation(row)) * kQuad + column % kQuad);
  }

  __device__ Pack<A, kQuad>& quad(int row, int number) const {
    return *reinterpret_cast<Pack<A, kQuad>*>(data + row * columns + (number ^ permutation(row)) * kQuad);
  }
};

// Fills rows [0, rows) of a tile with the channels [first, first + rows) of `from`, zero after its last channel; column
// x is the pixel locate(x), or zero if that is negative. If from.packs is of_pixels, four columns from a multiple of
// four are four neighbouring pixels or none.
template <class A, class Locate>
__device__ inline void stage(const Tile<A>& tile, int rows, const Source& from, int64_t image, int first, int channels,
                             Locate locate) {
  const int64_t origin = image * from.image + first * from.channel;
  const int left = channels - first;
  if (from.packs == Packs::of_pixels) {
    const int quads = tile.columns / kQuad;
#pragma unroll 1
    for (int i = threadIdx.x; i < rows * quads; i += kThreads) {
      const int row = i / quads, quad = i % quads;
      const int64_t pixel = locate(quad * kQuad);
      const bool inside = pixel >= 0 && row < left;
      tile.quad(row, quad) =
          inside ? read<kQuad, A>(from.data, from.storage, origin + row * from.channel + pixel) : Pack<A, kQuad>{};
    }
  } else if (from.packs == Packs::of_channels) {
    // A warp has four quads of channels by eight pixels: it reads whole sectors, and writes to no bank twice.
#pragma unroll 1
    for (int i = threadIdx.x; i < divide_up(rows, 4 * kQuad) * 4 * tile.columns; i += kThreads) {
      const int column = i / 4 % tile.columns;
      const int row = (i / (4 * tile.columns) * 4 + i % 4) * kQuad;
      if (row >= rows) continue;
      const int64_t pixel = locate(column);
      const bool inside = pixel >= 0 && row < left;
      const Pack<A, kQuad> pack =
          inside ? read<kQuad, A>(from.data, from.storage, origin + row + pixel * from.pixel) : Pack<A, kQuad>{};
#pragma unroll
      for (int k = 0; k < kQuad; ++k) *tile.element(row + k, column) = pack.value[k];
    }
  } else {
#pragma unroll 1
    for (int i = threadIdx.x; i < rows * tile.columns; i += kThreads) {
      const int row = i / tile.columns, column = i % tile.columns;
      const int64_t pixel = locate(column);
      const bool inside = pixel >= 0 && row < left;
      *tile.element(row, column) =
          inside ? read_one<A>(from.data, from.storage, origin + row * from.channel + pixel * from.pixel) : A(0);
    }
  }
}

// A thread's share of a tile. A warp has 8 quads of pixels by 4 groups of channels, so that it reads 128 consecutive
// bytes of an NCHW feature, 64 of a channels_last one.
struct Share {
  int quad, group;

  __device__ static Share of_this_thread() {
    const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
    return {warp % 2 * 8 + lane % 8, warp / 2 * 4 + lane / 8};
  }
};

// h += W s over the staged rows; the order of the sum is that of the student channels.
template <class A>
__device__ inline void add_product(const Tile<A>& student, const Tile<A>& weight, int rows, const Share& share,
                                   A (&h)[kOwn<A>][kQuad]) {
  constexpr int kCount = kOwn<A>;
  for (int first = 0; first < rows; first += kRowStep) {
#pragma unroll
    for (int k = first; k < first + kRowStep; ++k) {
      const Pack<A, kQuad> s = student.quad(k, share.quad);
      const Pack<A, kCount> w = load<kCount>(static_cast<const A*>(weight.element(k, share.group * kCount)));
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
#pragma unroll
        for (int j = 0; j < kQuad; ++j) h[i][j] += w.value[i] * s.value[j];
      }
    }
  }
}

// The operands of the embedding and their sizes.
struct Problem {
  Source student, weight, teacher;  // teacher.data may be null: nothing to compare with
  const void* bias;                 // may be null
  Storage bias_storage;
  bool relu;
  int64_t batch, height, width;
  int student_channels, teacher_channels;
  int kernel_h, kernel_w;  // of the pooling windows; 0: no pooling

  __host__ __device__ int64_t pixels() const { return height * width; }
  __host__ __device__ int64_t pooled_height() const { return divide_up<int64_t>(height, kernel_h); }
  __host__ __device__ int64_t pooled_width() const { return divide_up<int64_t>(width, kernel_w); }
  __host__ __device__ bool pools_nothing() const { return kernel_h == 1 && kernel_w == 1; }
};

template <class A>
__device__ inline void start_from_bias(const Problem& problem, int first_channel, A (&h)[kOwn<A>][kQuad]) {
#pragma unroll
  for (int i = 0; i < kOwn<A>; ++i) {
    const int c = first_channel + i;
    const bool inside = problem.bias != nullptr && c < problem.teacher_channels;
    const A bias = inside ? read_one<A>(problem.bias, problem.bias_storage, c) : A(0);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) h[i][j] = bias;
  }
}

// A thread's share of the teacher: channels [first_channel, ...) at the pixels pixel(0) to pixel(3), zero where
// negative.
template <class A, class Pixel>
__device__ inline void load_teacher(const Problem& problem, int64_t image, int first_channel, Pixel pixel,
                                    A (&t)[kOwn<A>][kQuad]) {
  constexpr int kCount = kOwn<A>;
  const Source& from = problem.teacher;
  const int64_t origin = image * from.image + first_channel * from.channel;
  const int left = problem.teacher_channels - first_channel;
  if (from.packs == Packs::of_pixels) {
    const int64_t p = pixel(0);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const Pack<A, kQuad> pack = p >= 0 && i < left
                                      ? read<kQuad, A>(from.data, from.storage, origin + i * from.channel + p)
                                      : Pack<A, kQuad>{};
#pragma unroll
      for (int j = 0; j < kQuad; ++j) t[i][j] = pack.value[j];
    }
  } else if (from.packs == Packs::of_channels) {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      const int64_t p = pixel(j);
      const Pack<A, kCount> pack =
          p >= 0 && left > 0 ? read<kCount, A>(from.data, from.storage, origin + p * from.pixel) : Pack<A, kCount>{};
#pragma unroll
      for (int i = 0; i < kCount; ++i) t[i][j] = pack.value[i];
    }
  } else {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      const int64_t p = pixel(j);
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        t[i][j] = p >= 0 && i < left ? read_one<A>(from.data, from.storage, origin + i * from.channel + p * from.pixel)
                                     : A(0);
      }
    }
  }
}

}  // namespace skt::gpu::embedding
