// The cosine distances of all pixels, or their sum, and in the same pass the gradient of `scale` times the sum.
//
// The gradient needs a pixel's sums over all channels, so every channel is needed twice. Still it is read only once:
//   by pixels (NCHW, or one of each layout): a block has the channels of a few neighbouring pixels, few enough that
//     all of them stay in shared memory between the sums and the gradient.
//   by channels (channels_last): a group of lanes has one pixel and keeps its channels in registers.
// Channels that do not fit are read again, from the cache if that is large enough. The order of the sums is fixed: each
// block writes one partial sum of its distances, and sum_partials adds those up.
#pragma once

#include "../divide_up.h"
#include "cosine_formula.h"
#include "reduce.h"

namespace skt::gpu::cosine {

constexpr int kWarps = 8;  // of a block
constexpr int kThreads = kWarp * kWarps;

struct Sizes {
  int64_t batch, channels, pixels;
  int64_t blocks = 0;  // per image; see in_blocks_of
};

// The sizes of a launch whose blocks have `pixels` pixels of one image each. The number of blocks is
// computed here because a GPU has no 64-bit division: it would be a call, with a stack.
inline Sizes in_blocks_of(int64_t pixels, Sizes sizes) {
  sizes.blocks = divide_up(sizes.pixels, pixels);
  return sizes;
}

// The image of this block, and the first pixel there.
struct Place {
  int64_t image, pixel;
};

__device__ inline Place place_of_block(const Sizes& sizes, int pixels) {
  const unsigned blocks = static_cast<unsigned>(sizes.blocks);  // fewer than 2^31 in a launch
  return {blockIdx.x / blocks, static_cast<int64_t>(blockIdx.x % blocks) * pixels};
}

// In elements; the rows of an image join, so one stride leads from pixel to pixel.
struct Strides {
  int64_t image, channel, pixel;
};

// Elements of the gradient of a student of S. float16 alone would lose values that are small before a gradient scaler's
// factor reaches them.
template <class S, class T>
using gradient_t = std::conditional_t<std::is_same_v<S, __half>, accumulator_t<S, T>, S>;

constexpr int kHeldPacks = 4;  // of each feature, in the registers of a lane of loss_by_channels

constexpr __host__ __device__ int on_16_bytes(int bytes) { return (bytes + 15) / 16 * 16; }

// Shared memory of loss_by_pixels, in bytes: student [held][tile] at 0, teacher [held][tile], sums [kWarps][3][tile],
// coefficients [2][tile].
template <class S, class T>
struct LossTile {
  using A = accumulator_t<S, T>;
  int pixels;  // of the tile
  int held;    // channels

  constexpr __host__ __device__ int teacher() const { return on_16_bytes(held * pixels * static_cast<int>(sizeof(S))); }
  constexpr __host__ __device__ int sums() const {
    return teacher() + on_16_bytes(held * pixels * static_cast<int>(sizeof(T)));
  }
  constexpr __host__ __device__ int coefficients() const {
    return sums() + kWarps * 3 * pixels * static_cast<int>(sizeof(A));
  }
  constexpr __host__ __device__ int bytes() const { return coefficients() + 2 * pixels * static_cast<int>(sizeof(A)); }
};

// Adds a * b, a * a and b * b of each pair to sums[0..2] at `i * Spread`: Spread 1 keeps the pairs apart, 0 joins them.
template <int Spread, class A, class S, class T, int Count, int Sums>
__device__ inline void add_products(const Pack<S, Count>& student, const Pack<T, Count>& teacher,
                                    Pack<A, Sums> (&sums)[3]) {
#pragma unroll
  for (int i = 0; i < Count; ++i) {
    const A a = widen(student.value[i]), b = widen(teacher.value[i]);
    sums[0].value[i * Spread] += a * b;
    sums[1].value[i * Spread] += a * a;
    sums[2].value[i * Spread] += b * b;
  }
}

// Block (kThreads), one block per tile of an image; tile.pixels = lanes * Count with lanes a power of two up to a warp.
// With Count > 1: pixel strides of 1, and all pointers, strides and the number of pixels divisible by Count. `out` may
// be null (then tile.held is 0). Either distances (N, P) or partials, one for each block, is given.
template <class S, class T, int Count>
__global__ void __launch_bounds__(kThreads)
    loss_by_pixels(const S* __restrict__ student, Strides s, const T* __restrict__ teacher, Strides t, Sizes sizes,
                   LossTile<S, T> tile, accumulator_t<S, T> eps, accumulator_t<S, T> scale,
                   gradient_t<S, T>* __restrict__ out, Strides o, accumulator_t<S, T>* __restrict__ distances,
                   accumulator_t<S, T>* __restrict__ partials) {
  using A = accumulator_t<S, T>;
  using G = gradient_t<S, T>;
  SKT_DYNAMIC_SHARED(unsigned char, shared);
  SKT_STATIC_SHARED(A, of_warps, kWarps);
  S* held_student = reinterpret_cast<S*>(shared);
  T* held_teacher = reinterpret_cast<T*>(shared + tile.teacher());
  A* block_sums = reinterpret_cast<A*>(shared + tile.sums());
  A* block_coefficients = reinterpret_cast<A*>(shared + tile.coefficients());

  const int thread = threadIdx.x, lanes = tile.pixels / Count;
  const Place at = place_of_block(sizes, tile.pixels);
  const int64_t n = at.image, first = at.pixel;
  const int column = thread % lanes * Count, slice = thread / lanes, slices = kThreads / lanes;
  const bool active = first + column < sizes.pixels;

  Pack<A, Count> sums[3] = {};
  if (active) {
    const S* from_s = student + n * s.image + slice * s.channel + (first + column) * s.pixel;
    const T* from_t = teacher + n * t.image + slice * t.channel + (first + column) * t.pixel;
    int c = slice;
#pragma unroll 4
    for (; c < tile.held; c += slices, from_s += slices * s.channel, from_t += slices * t.channel) {
      const Pack<S, Count> pack_s = load<Count>(from_s);
      const Pack<T, Count> pack_t = load<Count>(from_t);
      add_products<1>(pack_s, pack_t, sums);
      // Only this thread reads them again.
      store<Count>(held_student + c * tile.pixels + column, pack_s);
      store<Count>(held_teacher + c * tile.pixels + column, pack_t);
    }
#pragma unroll 2
    for (; c < sizes.channels; c += slices, from_s += slices * s.channel, from_t += slices * t.channel) {
      add_products<1>(load<Count>(from_s), load<Count>(from_t), sums);
    }
  }
  for (int step = kWarp / 2; step >= lanes; step /= 2) {
#pragma unroll
    for (int k = 0; k < 3; ++k) {
#pragma unroll
      for (int i = 0; i < Count; ++i) sums[k].value[i] += __shfl_xor_sync(0xffffffffu, sums[k].value[i], step);
    }
  }
  if (thread % kWarp < lanes) {
#pragma unroll
    for (int k = 0; k < 3; ++k) store<Count>(block_sums + (thread / kWarp * 3 + k) * tile.pixels + column, sums[k]);
  }
  __syncthreads();

  A distance = 0;
  if (thread < tile.pixels && first + thread < sizes.pixels) {
    A total[3] = {};
#pragma unroll
    for (int k = 0; k < 3; ++k) {
#pragma unroll
      for (int i = 0; i < kWarps; ++i) total[k] += block_sums[(i * 3 + k) * tile.pixels + thread];
    }
    distance = distance_of(total[0], total[1], total[2], eps);
    if (distances) distances[n * sizes.pixels + first + thread] = distance;
    const Coefficients<A> of = coefficients(scale, total[0], total[1], total[2], eps);
    block_coefficients[thread] = of.of_teacher;
    block_coefficients[tile.pixels + thread] = of.of_student;
  }
  const A partial = block_sum<kThreads>(distance, of_warps);  // its barrier makes the coefficients visible as well
  if (thread == 0 && partials) partials[blockIdx.x] = partial;
  if (!out || !active) return;

  const Pack<A, Count> of_teacher = load<Count>(block_coefficients + column);
  const Pack<A, Count> of_student = load<Count>(block_coefficients + tile.pixels + column);
  const auto gradient = [&](const Pack<S, Count>& pack_s, const Pack<T, Count>& pack_t) {
    Pack<G, Count> result;
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      const A a = widen(pack_s.value[i]), b = widen(pack_t.value[i]);
      result.value[i] = narrow<G>(of_teacher.value[i] * b + of_student.value[i] * a);
    }
    return result;
  };
  G* to = out + n * o.image + slice * o.channel + (first + column) * o.pixel;
  int c = slice;
#pragma unroll 4
  for (; c < tile.held; c += slices, to += slices * o.channel) {
    const int at = c * tile.pixels + column;
    store<Count>(to, gradient(load<Count>(held_student + at), load<Count>(held_teacher + at)));
  }
  const S* from_s = student + n * s.image + c * s.channel + (first + column) * s.pixel;
  const T* from_t = teacher + n * t.image + c * t.channel + (first + column) * t.pixel;
#pragma unroll 2
  for (; c < sizes.channels; c += slices, to += slices * o.channel) {
    store<Count>(to, gradient(load<Count>(from_s), load<Count>(from_t)));
    from_s += slices * s.channel;
    from_t += slices * t.channel;
  }
}

// Block (kThreads); `lanes` threads, a power of two up to a warp, for each pixel of an image. Channel strides are 1;
// with Count > 1 all pointers, strides and the number of channels are divisible by Count. `out` may be null; either
// distances (N, P) or partials, one for each block, is given.
template <class S, class T, int Count>
__global__ void __launch_bounds__(kThreads)
    loss_by_channels(const S* __restrict__ student, Strides s, const T* __restrict__ teacher, Strides t, Sizes sizes,
                     int lanes, accumulator_t<S, T> eps, accumulator_t<S, T> scale, gradient_t<S, T>* __restrict__ out,
                     Strides o, accumulator_t<S, T>* __restrict__ distances,
                     accumulator_t<S, T>* __restrict__ partials) {
  using A = accumulator_t<S, T>;
  using G = gradient_t<S, T>;
  SKT_STATIC_SHARED(A, of_warps, kWarps);
  const int lane = threadIdx.x % lanes;
  const Place at = place_of_block(sizes, kThreads / lanes);
  const int64_t n = at.image, p = at.pixel + threadIdx.x / lanes;
  const bool active = p < sizes.pixels;
  const int64_t channels = active ? sizes.channels : 0, step = lanes * Count, first = lane * Count;
  const S* from_s = student + n * s.image + p * s.pixel;
  const T* from_t = teacher + n * t.image + p * t.pixel;

  Pack<A, 1> sums[3] = {};
  Pack<S, Count> held_s[kHeldPacks];
  Pack<T, Count> held_t[kHeldPacks];
#pragma unroll
  for (int k = 0; k < kHeldPacks; ++k) {
    const int64_t c = k * step + first;
    if (c >= channels) continue;
    held_s[k] = load<Count>(from_s + c);
    held_t[k] = load<Count>(from_t + c);
    add_products<0>(held_s[k], held_t[k], sums);
  }
#pragma unroll 2
  for (int64_t c = kHeldPacks * step + first; c < channels; c += step) {
    add_products<0>(load<Count>(from_s + c), load<Count>(from_t + c), sums);
  }
  for (int distance_to = lanes / 2; distance_to > 0; distance_to /= 2) {
#pragma unroll
    for (int k = 0; k < 3; ++k) sums[k].value[0] += __shfl_xor_sync(0xffffffffu, sums[k].value[0], distance_to);
  }
  const A product = sums[0].value[0], of_s = sums[1].value[0], of_t = sums[2].value[0];

  if (out) {
    const Coefficients<A> of = coefficients(scale, product, of_s, of_t, eps);
    G* to = out + n * o.image + p * o.pixel;
    const auto write = [&](int64_t c, const Pack<S, Count>& pack_s, const Pack<T, Count>& pack_t) {
      Pack<G, Count> result;
#pragma unroll
      for (int i = 0; i < Count; ++i) {
        const A a = widen(pack_s.value[i]), b = widen(pack_t.value[i]);
        result.value[i] = narrow<G>(of.of_teacher * b + of.of_student * a);
      }
      store<Count>(to + c, result);
    };
#pragma unroll
    for (int k = 0; k < kHeldPacks; ++k) {
      const int64_t c = k * step + first;
      if (c < channels) write(c, held_s[k], held_t[k]);
    }
#pragma unroll 1
    for (int64_t c = kHeldPacks * step + first; c < channels; c += step) {
      write(c, load<Count>(from_s + c), load<Count>(from_t + c));
    }
  }
  const A distance = active && lane == 0 ? distance_of(product, of_s, of_t, eps) : A(0);
  if (distances) {
    if (active && lane == 0) distances[n * sizes.pixels + p] = distance;
    return;
  }
  const A partial = block_sum<kThreads>(distance, of_warps);
  if (threadIdx.x == 0) partials[blockIdx.x] = partial;
}

// data *= *grad / scale; if that is 1, nothing is written, and the host need not wait to know. Any one-dimensional
// grid. With Count > 1 `data` is aligned to its packs.
template <class E, int Count>
__global__ void __launch_bounds__(kThreads)
    rescale(E* __restrict__ data, int64_t count, const accumulator_t<E>* __restrict__ grad, accumulator_t<E> scale) {
  using A = accumulator_t<E>;
  const A factor = *grad / scale;
  if (factor == A(1)) return;
  const int64_t threads = static_cast<int64_t>(gridDim.x) * kThreads;
  const int64_t thread = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x;
  const int64_t packs = count / Count;
#pragma unroll 2
  for (int64_t i = thread; i < packs; i += threads) {
    Pack<E, Count> pack = load<Count>(data + i * Count);
#pragma unroll
    for (int k = 0; k < Count; ++k) pack.value[k] = narrow<E>(widen(pack.value[k]) * factor);
    store<Count>(data + i * Count, pack);
  }
  for (int64_t i = packs * Count + thread; i < count; i += threads) {
    data[i] = narrow<E>(widen(data[i]) * factor);
  }
}

}  // namespace skt::gpu::cosine
