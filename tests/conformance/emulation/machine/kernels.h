// Small kernels that use each thing the emulation offers.
#pragma once

#include "kernels/gpu/element.h"
#include "skt/device/tensor_core.h"

namespace kernels {

using namespace skt;

// Sum of each row of x (rows, columns), columns in chunks of one block each, added atomically.
template <class Element>
__global__ void sum_rows(const Element* x, float* sums, int64_t columns, int64_t chunks) {
  SKT_STATIC_SHARED(float, parts, 4);
  const int64_t row = blockIdx.x / chunks, chunk = blockIdx.x % chunks, each = (columns + chunks - 1) / chunks;
  const int64_t end = min(columns, (chunk + 1) * each);
  float sum = 0;
  for (int64_t i = chunk * each + threadIdx.x; i < end; i += blockDim.x) sum += gpu::widen(x[row * columns + i]);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x < 32) {
    float total = threadIdx.x < 4 ? parts[threadIdx.x] : 0;
    for (int step = 2; step > 0; step /= 2) total += __shfl_down_sync(~0u, total, step, 4);
    if (threadIdx.x == 0) atomicAdd(&sums[row], total);
  }
}

// c (m, n) = a (m, k) b (k, n), tiles of 16 x 16 in two buffers filled by cp.async.
__global__ void multiply(const float* a, const float* b, float* c, int m, int n, int k) {
  SKT_DYNAMIC_SHARED(float, shared);  // [2][16][16] of a, [2][16][16] of b
  constexpr int kTile = 16, kBuffer = kTile * kTile;
  const int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * kTile + y, column = blockIdx.x * kTile + x;
  const auto fill = [&](int buffer, int first) {
    const bool of_a = row < m && first + x < k, of_b = first + y < k && column < n;
    gpu::copy_async<4>(&shared[buffer * kBuffer + y * kTile + x], of_a ? &a[row * k + first + x] : a, of_a);
    gpu::copy_async<4>(&shared[(2 + buffer) * kBuffer + y * kTile + x], of_b ? &b[(first + y) * n + column] : b, of_b);
    gpu::commit_async();
  };
  const int tiles = (k + kTile - 1) / kTile;
  float sum = 0;
  fill(0, 0);
  for (int t = 0; t < tiles; ++t) {
    fill((t + 1) % 2, (t + 1) * kTile);
    gpu::wait_async<1>();
    __syncthreads();
    for (int i = 0; i < kTile; ++i) {
      sum += shared[t % 2 * kBuffer + y * kTile + i] * shared[(2 + t % 2) * kBuffer + i * kTile + x];
    }
    __syncthreads();  // the next round overwrites this buffer
  }
  gpu::wait_async<0>();
  if (row < m && column < n) c[row * n + column] = sum;
}

// d (16, 8) = a (16, k) b (k, 8) by the tensor core; a and b are row major.
template <class Element>
__global__ void multiply_16(const Element* a, const Element* b, float* d, int k) {
  const int lane = threadIdx.x, group = lane / 4, two = lane % 4 * 2;
  const auto bits = [](Element x) { return static_cast<uint32_t>(skt_emulation_bits<uint16_t>(x)); };
  float sums[4] = {};
  for (int first = 0; first < k; first += 16) {
    uint32_t from_a[4], from_b[2];
    for (int i = 0; i < 4; ++i) {
      const Element* pair = &a[(group + 8 * (i % 2)) * k + first + two + 8 * (i / 2)];
      from_a[i] = bits(pair[0]) | bits(pair[1]) << 16;
    }
    for (int i = 0; i < 2; ++i) {
      const Element* pair = &b[(first + two + 8 * i) * 8 + group];
      from_b[i] = bits(pair[0]) | bits(pair[8]) << 16;
    }
    gpu::mma_m16n8k16<Element>(sums, from_a, from_b, sums);
  }
  for (int e = 0; e < 4; ++e) d[(group + 8 * (e / 2)) * 8 + two + e % 2] = sums[e];
}

__global__ void multiply_tf32(const float* a, const float* b, float* d, int k) {
  const int lane = threadIdx.x, group = lane / 4, one = lane % 4;
  float sums[4] = {};
  for (int first = 0; first < k; first += 8) {
    uint32_t from_a[4], from_b[2];
    for (int i = 0; i < 4; ++i) from_a[i] = gpu::to_tf32(a[(group + 8 * (i % 2)) * k + first + one + 4 * (i / 2)]);
    for (int i = 0; i < 2; ++i) from_b[i] = gpu::to_tf32(b[(first + one + 4 * i) * 8 + group]);
    gpu::mma_m16n8k8_tf32(sums, from_a, from_b, sums);
  }
  for (int e = 0; e < 4; ++e) d[(group + 8 * (e / 2)) * 8 + one * 2 + e % 2] = sums[e];
}

// out: ballot of x > 0, sum, count of x > 3 in the block, then for each lane its right neighbour within its half warp.
__global__ void votes(const int* x, unsigned* out) {
  const int lane = threadIdx.x, value = x[lane];
  const unsigned ballot = __ballot_sync(~0u, value > 0);
  const int sum = __reduce_add_sync(~0u, value);
  const int neighbour = __shfl_down_sync(lane < 16 ? 0xffffu : 0xffff0000u, value, 1, 16);
  const int count = __syncthreads_count(value > 3);
  if (lane == 0) {
    out[0] = ballot;
    out[1] = static_cast<unsigned>(sum);
    out[2] = static_cast<unsigned>(count);
  }
  out[3 + lane] = static_cast<unsigned>(neighbour);
}

}  // namespace kernels

