// Two kernels with mistakes to choose from, to see that the emulation finds each.
#pragma once

#include "kernels/gpu/element.h"

namespace injected {

using namespace skt;

enum Bug : int64_t {
  none,
  static_shared_overflow,
  global_overflow,
  missing_barrier,
  missing_barrier_before_refill,
  dynamic_shared_overflow,
  wrong_wait,
  lane_leaves_early,
  divergent_barrier,
  missing_warp_barrier,
  blocks_share_an_element,
};

constexpr int kThreads = 128, kTile = 16;

// sums[b] = sum of the numbers [b * kThreads, (b + 1) * kThreads) of x
__global__ void sum(const float* x, float* sums, int64_t bug) {
  SKT_STATIC_SHARED(float, parts, kThreads / 32);
  const int thread = threadIdx.x, warp = thread / 32;
  float value = x[blockIdx.x * kThreads + thread + (bug == global_overflow && thread == kThreads - 1)];
  if (bug == lane_leaves_early && thread == 40) return;
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(~0u, value, step);
  if (thread % 32 == 0) parts[warp + (bug == static_shared_overflow && warp == kThreads / 32 - 1)] = value;
  if (bug == divergent_barrier) {
    if (thread < 64) __syncthreads();
  } else if (bug != missing_barrier) {
    __syncthreads();
  }
  if (thread != 0) return;
  const int64_t to = bug == blocks_share_an_element ? 0 : blockIdx.x;
  sums[to] = parts[0] + parts[1] + parts[2] + parts[3];
}

// y = for each i the sum of the tile of kTile numbers of x that i is in; tiles come by cp.async into two buffers.
__global__ void sum_tiles(const float* x, float* y, int64_t tiles, int64_t bug) {
  SKT_DYNAMIC_SHARED(float, shared);  // [2][kTile], exactly
  const int thread = threadIdx.x;
  const auto fill = [&](int64_t tile) {
    const bool valid = tile < tiles;
    const int shift = bug == dynamic_shared_overflow && tile % 2 == 1;
    gpu::copy_async<4>(&shared[tile % 2 * kTile + thread + shift], valid ? &x[tile * kTile + thread] : x, valid);
    gpu::commit_async();
  };
  fill(0);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    fill(tile + 1);
    if (bug == wrong_wait) gpu::wait_async<2>();
    else gpu::wait_async<1>();
    __syncthreads();
    float sum = 0;
    for (int i = 0; i < kTile; ++i) sum += shared[tile % 2 * kTile + i];
    y[tile * kTile + thread] = sum;
    if (bug != missing_barrier_before_refill) __syncthreads();
  }
}

// y[i] = x[31 - i], through shared memory
__global__ void reverse(const float* x, float* y, int64_t bug) {
  SKT_STATIC_SHARED(float, values, 32);
  values[threadIdx.x] = x[threadIdx.x];
  if (bug != missing_warp_barrier) __syncwarp();
  y[threadIdx.x] = values[31 - threadIdx.x];
}

}  // namespace injected

