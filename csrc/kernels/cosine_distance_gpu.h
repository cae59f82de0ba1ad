// Cosine distance over channels on the GPU, forward and backward.
//
// by pixels (NCHW, or one of each layout): a warp's lanes are neighbouring pixels, its accesses coalesced; the warps of a
//   block share out the channels and add their sums up in shared memory, in a fixed order.
// by channels (channels_last): a group of lanes, as many as the channels need and a warp at most, has one pixel, its
//   lanes neighbouring channels; shuffles add up.
// Every feature is read once a pass, Count elements at a time; sums have one order, there are no atomics.
#pragma once

#include "cosine_formula_gpu.h"

namespace skt::gpu::cosine {

constexpr int kSlices = 8;                    // warps of a block, and slices of the channels
constexpr int kThreads = kWarp * kSlices;

struct Sizes {
  int64_t batch, channels, pixels;
  int64_t blocks = 0;  // that share out the pixels of an image; see in_blocks_of
};

// The sizes of a launch whose blocks have `pixels` pixels of one image each. The number of blocks comes with them because a
// GPU has no 64-bit division: it would be a call, with a stack.
inline Sizes in_blocks_of(int64_t pixels, Sizes sizes) {
  sizes.blocks = (sizes.pixels + pixels - 1) / pixels;
  return sizes;
}

// The image of this block, and the first pixel there.
struct Place {
  int64_t image, pixel;
};

__device__ inline Place place_of_block(const Sizes& sizes, int pixels) {
  const unsigned blocks = static_cast<unsigned>(sizes.blocks);  // a launch has fewer than 2^31
  return {blockIdx.x / blocks, static_cast<int64_t>(blockIdx.x % blocks) * pixels};
}

// In elements; the rows of an image join, so that one stride leads from pixel to pixel.
struct Strides {
  int64_t image, channel, pixel;
};

// Shared memory of forward_by_pixels, in bytes.
template <class A, int Count>
constexpr size_t shared_bytes() {
  return sizeof(A) * kSlices * 3 * kWarp * Count;
}

// Block (kWarp, kSlices); a block for each kWarp * Count pixels of an image. With Count > 1: pixel strides of 1, and all
// pointers, strides and the number of pixels divisible by Count.
template <class S, class T, int Count>
__global__ void __launch_bounds__(kThreads) forward_by_pixels(
    const S* __restrict__ student, Strides s, const T* __restrict__ teacher, Strides t, Sizes sizes,
    accumulator_t<S, T> eps, accumulator_t<S, T>* __restrict__ distance, accumulator_t<S, T>* __restrict__ statistics) {
  using A = accumulator_t<S, T>;
  SKT_DYNAMIC_SHARED(A, shared);  // [kSlices][3][kWarp * Count]
  constexpr int kTile = kWarp * Count;
  const Place at = place_of_block(sizes, kTile);
  const int64_t n = at.image, tile = at.pixel;
  const int lane = threadIdx.x, slice = threadIdx.y;
  const int64_t first = tile + lane * Count;

  Pack<A, Count> sums[3] = {};
  if (first < sizes.pixels) {
    const S* from_s = student + n * s.image + slice * s.channel + first * s.pixel;
    const T* from_t = teacher + n * t.image + slice * t.channel + first * t.pixel;
#pragma unroll 4
    for (int64_t c = slice; c < sizes.channels; c += kSlices) {
      const Pack<S, Count> pack_s = load<Count>(from_s);
      const Pack<T, Count> pack_t = load<Count>(from_t);
      from_s += kSlices * s.channel;
      from_t += kSlices * t.channel;
#pragma unroll
      for (int i = 0; i < Count; ++i) {
        const A a = widen(pack_s.value[i]), b = widen(pack_t.value[i]);
        sums[0].value[i] += a * b;
        sums[1].value[i] += a * a;
        sums[2].value[i] += b * b;
      }
    }
  }
#pragma unroll
  for (int k = 0; k < 3; ++k) store<Count>(shared + (slice * 3 + k) * kTile + lane * Count, sums[k]);
  __syncthreads();

  const int thread = slice * kWarp + lane;
  const int64_t p = tile + thread;
  if (thread >= kTile || p >= sizes.pixels) return;
  A total[3] = {};
#pragma unroll
  for (int k = 0; k < 3; ++k) {
    for (int i = 0; i < kSlices; ++i) total[k] += shared[(i * 3 + k) * kTile + thread];
    statistics[(n * 3 + k) * sizes.pixels + p] = total[k];
  }
  distance[n * sizes.pixels + p] = distance_of(total[0], total[1], total[2], eps);
}

// Block (kWarp, kSlices), grid (as forward_by_pixels, parts): part y takes the channels y * kSlices + slice and on.
template <class S, class T, int Count>
__global__ void __launch_bounds__(kThreads) backward_by_pixels(
    const accumulator_t<S, T>* __restrict__ grad, Strides g, const S* __restrict__ student, Strides s,
    const T* __restrict__ teacher, Strides t, const accumulator_t<S, T>* __restrict__ statistics, Sizes sizes,
    accumulator_t<S, T> eps, S* __restrict__ out, Strides o) {
  using A = accumulator_t<S, T>;
  constexpr int kTile = kWarp * Count;
  const Place at = place_of_block(sizes, kTile);
  const int64_t n = at.image;
  const int64_t first = at.pixel + threadIdx.x * Count;
  if (first >= sizes.pixels) return;

  Coefficients<A> scale[Count];
  const A* rows = statistics + n * 3 * sizes.pixels + first;
#pragma unroll
  for (int i = 0; i < Count; ++i) {
    scale[i] = coefficients(grad[n * g.image + (first + i) * g.pixel], rows[i], rows[sizes.pixels + i],
                            rows[2 * sizes.pixels + i], eps);
  }
  const int64_t step = static_cast<int64_t>(gridDim.y) * kSlices;
  const int64_t start = static_cast<int64_t>(blockIdx.y) * kSlices + threadIdx.y;
  const S* from_s = student + n * s.image + start * s.channel + first * s.pixel;
  const T* from_t = teacher + n * t.image + start * t.channel + first * t.pixel;
  S* to = out + n * o.image + start * o.channel + first * o.pixel;
#pragma unroll 4
  for (int64_t c = start; c < sizes.channels; c += step) {
    const Pack<S, Count> pack_s = load<Count>(from_s);
    const Pack<T, Count> pack_t = load<Count>(from_t);
    Pack<S, Count> result;
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      const A a = widen(pack_s.value[i]), b = widen(pack_t.value[i]);
      result.value[i] = narrow<S>(scale[i].of_teacher * b + scale[i].of_student * a);
    }
    store<Count>(to, result);
    from_s += step * s.channel;
    from_t += step * t.channel;
    to += step * o.channel;
  }
}

// Block (kThreads); `lanes` threads, a power of two up to a warp, for each pixel of an image. Channel strides are 1; with
// Count > 1 all pointers, strides and the number of channels are divisible by Count.
template <class S, class T, int Count>
__global__ void __launch_bounds__(kThreads) forward_by_channels(
    const S* __restrict__ student, Strides s, const T* __restrict__ teacher, Strides t, Sizes sizes, int lanes,
    accumulator_t<S, T> eps, accumulator_t<S, T>* __restrict__ distance, accumulator_t<S, T>* __restrict__ statistics) {
  using A = accumulator_t<S, T>;
  const int lane = threadIdx.x % lanes;
  const Place at = place_of_block(sizes, kThreads / lanes);
  const int64_t n = at.image, p = at.pixel + threadIdx.x / lanes;
  const bool active = p < sizes.pixels;  // all lanes of a warp stay, to take part in the shuffles

  A sums[3] = {};
  if (active) {
    const S* from_s = student + n * s.image + p * s.pixel;
    const T* from_t = teacher + n * t.image + p * t.pixel;
#pragma unroll 4
    for (int64_t c = static_cast<int64_t>(lane) * Count; c < sizes.channels; c += lanes * Count) {
      const Pack<S, Count> pack_s = load<Count>(from_s + c);
      const Pack<T, Count> pack_t = load<Count>(from_t + c);
#pragma unroll
      for (int i = 0; i < Count; ++i) {
        const A a = widen(pack_s.value[i]), b = widen(pack_t.value[i]);
        sums[0] += a * b;
        sums[1] += a * a;
        sums[2] += b * b;
      }
    }
  }
  for (int distance_to = lanes / 2; distance_to > 0; distance_to /= 2) {
#pragma unroll
    for (int k = 0; k < 3; ++k) sums[k] += __shfl_xor_sync(0xffffffffu, sums[k], distance_to);
  }
  if (!active || lane != 0) return;
#pragma unroll
  for (int k = 0; k < 3; ++k) statistics[(n * 3 + k) * sizes.pixels + p] = sums[k];
  distance[n * sizes.pixels + p] = distance_of(sums[0], sums[1], sums[2], eps);
}

// As forward_by_channels; out has a channel stride of 1 as well.
template <class S, class T, int Count>
__global__ void __launch_bounds__(kThreads) backward_by_channels(
    const accumulator_t<S, T>* __restrict__ grad, Strides g, const S* __restrict__ student, Strides s,
    const T* __restrict__ teacher, Strides t, const accumulator_t<S, T>* __restrict__ statistics, Sizes sizes, int lanes,
    accumulator_t<S, T> eps, S* __restrict__ out, Strides o) {
  using A = accumulator_t<S, T>;
  const int lane = threadIdx.x % lanes;
  const Place at = place_of_block(sizes, kThreads / lanes);
  const int64_t n = at.image, p = at.pixel + threadIdx.x / lanes;
  if (p >= sizes.pixels) return;

  const A* rows = statistics + n * 3 * sizes.pixels + p;
  const Coefficients<A> scale =
      coefficients(grad[n * g.image + p * g.pixel], rows[0], rows[sizes.pixels], rows[2 * sizes.pixels], eps);
  const S* from_s = student + n * s.image + p * s.pixel;
  const T* from_t = teacher + n * t.image + p * t.pixel;
  S* to = out + n * o.image + p * o.pixel;
#pragma unroll 4
  for (int64_t c = static_cast<int64_t>(lane) * Count; c < sizes.channels; c += lanes * Count) {
    const Pack<S, Count> pack_s = load<Count>(from_s + c);
    const Pack<T, Count> pack_t = load<Count>(from_t + c);
    Pack<S, Count> result;
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      const A a = widen(pack_s.value[i]), b = widen(pack_t.value[i]);
      result.value[i] = narrow<S>(scale.of_teacher * b + scale.of_student * a);
    }
    store<Count>(to + c, result);
  }
}

}  // namespace skt::gpu::cosine
