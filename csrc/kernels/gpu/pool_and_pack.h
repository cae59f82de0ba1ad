// Several features max-pooled to one size, instance-normalised if asked for, and packed along the channels, on the GPU.
//
//   pool         one block per tile of each feature, all features in one launch   -> packed, winners
//   normalise    one block per packed row, in place: mean, then variance, then (x - mean) / deviation
//   row_terms    (backward) one block per row: the two means of the normalisation's gradient
//   scatter      (backward) like pool: each pixel of each feature asks its window
//
// The features are passed to the kernel by value, in its parameters. The order of the sums is fixed; there are no
// atomics.
#pragma once

#include "max_pool.h"
#include "reduce.h"

namespace skt::gpu::pool_and_pack {

using max_pool::Feature;
using max_pool::kThreads;
using max_pool::Normalisation;

constexpr int kMaxFeatures = 16;  // of one launch: 2.5 KiB of the 4 KiB that parameters may have

template <class A>
struct Table {
  Feature feature[kMaxFeatures];
  int64_t first_block[kMaxFeatures];
  int64_t channel[kMaxFeatures];  // the feature's first among the packed channels
  int count;
};

// Calls visit(number of the feature, image, tile) for the block's work.
template <class A, class Visit>
__device__ inline void visit_tile(const Table<A>& table, Visit visit) {
  int i = table.count - 1;
  while (i > 0 && blockIdx.x < table.first_block[i]) --i;
  const int64_t block = blockIdx.x - table.first_block[i], tiles = table.feature[i].tiles;
  const int64_t n = block / tiles;
  visit(i, n, block - n * tiles);
}

template <class A>
__global__ void __launch_bounds__(kThreads, 2) pool(const Table<A> table) {
  SKT_DYNAMIC_SHARED(A, shared);  // forward_bytes of the feature that needs the most
  visit_tile(table, [&](int i, int64_t n, int64_t tile) { max_pool::forward_tile(table.feature[i], n, tile, shared); });
}

// normalised (N, C, P), terms (N, C, 3), both of all features together; null if they were not normalised.
template <class A>
__global__ void __launch_bounds__(kThreads, 2)
    scatter(const Table<A> table, const A* __restrict__ normalised, const A* __restrict__ terms, int64_t channels) {
  SKT_DYNAMIC_SHARED(A, shared);  // backward_bytes of the feature that needs the most
  visit_tile(table, [&](int i, int64_t n, int64_t tile) {
    const Feature& feature = table.feature[i];
    Normalisation<A> normalisation{nullptr, nullptr, 0};
    if (normalised != nullptr) {
      const int64_t channel = table.channel[i];
      normalisation = {normalised + channel * feature.positions(), terms + channel * 3, channels * 3};
    }
    max_pool::backward_tile(feature, normalisation, n, tile, shared);
  });
}

// ---- instance norm -------------------------------------------------------------------------------------------------

constexpr int kWarps = kThreads / kWarp;

template <class A>
constexpr size_t kRowBytes = sizeof(A) * 2 * kWarps;  // shared memory of the kernels over rows

// Calls visit(position, pack) for this thread's part of a row.
template <int Count, class A, class Visit>
__device__ inline void for_each_pack(const A* row, int64_t positions, Visit visit) {
#pragma unroll 4
  for (int64_t p = threadIdx.x * Count; p < positions; p += kThreads * Count) visit(p, load<Count>(row + p));
}

// Grid (N * C). With Count > 1: positions divisible by Count, packed aligned for it. Two passes over the row, the
// second over the centred values: a variance as the difference of two large sums would lose the precision of float32.
template <class A, int Count>
__global__ void __launch_bounds__(kThreads) normalise(A* packed, int64_t positions, A* __restrict__ inverse_deviation) {
  SKT_DYNAMIC_SHARED(A, shared);  // [2][kWarps]
  A* row = packed + blockIdx.x * positions;
  A sum = 0;
  for_each_pack<Count>(row, positions, [&](int64_t, const Pack<A, Count>& pack) {
#pragma unroll
    for (int i = 0; i < Count; ++i) sum += pack.value[i];
  });
  const A mean = block_sum<kThreads>(sum, shared) / static_cast<A>(positions);
  A squares = 0;
  for_each_pack<Count>(row, positions, [&](int64_t, const Pack<A, Count>& pack) {
#pragma unroll
    for (int i = 0; i < Count; ++i) squares += (pack.value[i] - mean) * (pack.value[i] - mean);
  });
  const A variance = block_sum<kThreads>(squares, shared + kWarps) / static_cast<A>(positions);
  const A inverse = A(1) / sqrt(variance + A(1e-5));
  for_each_pack<Count>(row, positions, [&](int64_t p, Pack<A, Count> pack) {
#pragma unroll
    for (int i = 0; i < Count; ++i) pack.value[i] = (pack.value[i] - mean) * inverse;
    store<Count>(row + p, pack);
  });
  if (threadIdx.x == 0) inverse_deviation[blockIdx.x] = inverse;
}

// Grid (N * C). The gradient before the normalisation is scale * grad - shift - slope * normalised (max_pool.h) with
// scale = 1 / deviation, shift = scale * mean(grad), slope = scale * mean(grad * normalised). terms (N, C, 3).
template <class A, int Count>
__global__ void __launch_bounds__(kThreads)
    row_terms(const A* __restrict__ grad, const A* __restrict__ normalised, int64_t positions,
              const A* __restrict__ inverse_deviation, A* __restrict__ terms) {
  SKT_DYNAMIC_SHARED(A, shared);  // [2][kWarps]
  const A* row = normalised + blockIdx.x * positions;
  A sum = 0, along = 0;
  for_each_pack<Count>(grad + blockIdx.x * positions, positions, [&](int64_t p, const Pack<A, Count>& g) {
    const Pack<A, Count> x = load<Count>(row + p);
#pragma unroll
    for (int i = 0; i < Count; ++i) {
      sum += g.value[i];
      along += g.value[i] * x.value[i];
    }
  });
  const A total = block_sum<kThreads>(sum, shared), total_along = block_sum<kThreads>(along, shared + kWarps);
  if (threadIdx.x != 0) return;
  const A scale = inverse_deviation[blockIdx.x];
  A* to = terms + blockIdx.x * int64_t{3};
  to[0] = scale;
  to[1] = scale * total / static_cast<A>(positions);
  to[2] = scale * total_along / static_cast<A>(positions);
}

}  // namespace skt::gpu::pool_and_pack
