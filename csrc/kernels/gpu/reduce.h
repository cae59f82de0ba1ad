// Sums over a warp, over a block, and of the partial sums of all blocks, each in a fixed order.
#pragma once

#include "element.h"

namespace skt::gpu {

// The sum over the warp, for every lane. All lanes take part.
template <class A>
__device__ inline A warp_sum(A value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

// The sum over a one-dimensional block, for every thread. of_warps: one value per warp in shared memory, free again
// after the next barrier.
template <int Threads, class A>
__device__ inline A block_sum(A value, A* of_warps) {
  value = warp_sum(value);
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  A sum = 0;
#pragma unroll
  for (int i = 0; i < Threads / kWarp; ++i) sum += of_warps[i];
  return sum;
}

constexpr int kSumThreads = 512;

// One block (kSumThreads) per sum: partials (sums, count) -> sums, added in double.
template <class Partial, class Sum>
__global__ void __launch_bounds__(kSumThreads)
    sum_partials(const Partial* __restrict__ partials, int64_t count, Sum* __restrict__ sums) {
  SKT_STATIC_SHARED(double, of_warps, kSumThreads / kWarp);
  const Partial* row = partials + blockIdx.x * count;
  double sum = 0;
#pragma unroll 8
  for (int64_t i = threadIdx.x; i < count; i += kSumThreads) sum += row[i];
  sum = block_sum<kSumThreads>(sum, of_warps);
  if (threadIdx.x == 0) sums[blockIdx.x] = static_cast<Sum>(sum);
}

}  // namespace skt::gpu
