#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "kernels/gpu/pool_and_pack.h"
#include "skt/device/launch.h"
#include "skt/dispatch.h"
#include "skt/layout.h"
#include "skt/pool_and_pack_checks.h"
#include "skt/registration.h"

namespace skt {
namespace {

namespace max_pool = gpu::max_pool;
namespace kernels = gpu::pool_and_pack;
using max_pool::kThreads;

// One feature, or its gradient, as the kernels take it. rows: those of its channels in the packed matrix (N, total, P).
template <class A>
max_pool::Feature feature_of(const char* op, const Tensor& map, int64_t kernel_h, int64_t kernel_w, A* rows,
                             uint8_t* winners, int64_t total) {
  constexpr int64_t kMost = int64_t{1} << 30;
  if (map.size(1) > kMost || map.size(2) > kMost || map.size(3) > kMost) {
    fail("skt_ext::", op, ": CUDA kernels take C, H and W of at most 2^30; got ", list(shape_of(map)));
  }
  max_pool::Feature feature{};
  // The stride of an axis of size 1 says nothing; a single column has that of its rows.
  const int64_t stride_w = map.size(3) == 1 ? map.stride(2) : map.stride(3);
  feature.map = {
      const_cast<void*>(map.const_data_ptr()), storage_of(map), map.stride(0), map.stride(1), map.stride(2), stride_w};
  feature.channels = static_cast<int>(map.size(1));
  feature.height = static_cast<int>(map.size(2));
  feature.width = static_cast<int>(map.size(3));
  feature.kernel_h = static_cast<int>(kernel_h);
  feature.kernel_w = static_cast<int>(kernel_w);
  feature.pooled = {rows, winners, total * feature.positions()};
  max_pool::plan(feature, map.size(0), sizeof(A) == 8);
  return feature;
}

// Calls visit(table, blocks, bytes of shared memory) for the features, kMaxFeatures at a time. maps: the features or
// their gradients. packed (N, C, P); winners of the same shape, or null. bytes_of(feature): shared memory of a tile.
template <class A, class BytesOf, class Visit>
void visit_tables(const char* op, const std::vector<Tensor>& maps, const std::vector<int64_t>& sizes_of_windows,
                  const Tensor& packed, uint8_t* winners, BytesOf bytes_of, Visit visit) {
  const int64_t batch = packed.size(0), total = packed.size(1), positions = packed.size(2);
  A* const rows = static_cast<A*>(const_cast<void*>(packed.const_data_ptr()));
  int64_t channel = 0;
  for (size_t first = 0; first < maps.size(); first += kernels::kMaxFeatures) {
    kernels::Table<A> table{};
    int64_t blocks = 0;
    size_t bytes = 0;
    for (size_t i = first; i < std::min(maps.size(), first + kernels::kMaxFeatures); ++i, ++table.count) {
      const int64_t offset = channel * positions;
      const max_pool::Feature feature =
          feature_of(op, maps[i], sizes_of_windows[2 * i], sizes_of_windows[2 * i + 1], rows + offset,
                     winners == nullptr ? nullptr : winners + offset, total);
      table.feature[table.count] = feature;
      table.first_block[table.count] = blocks;
      table.channel[table.count] = channel;
      blocks += batch * feature.tiles;
      bytes = std::max(bytes, bytes_of(feature));
      channel += feature.channels;
    }
    visit(table, blocks, bytes);
  }
}

// Calls visit(integral_constant<int, Count>): elements of a packed row that a thread takes at once.
template <class A, class Visit>
void visit_count(int64_t positions, Visit visit) {
  constexpr int kPacked = 16 / sizeof(A);
  if (positions % kPacked == 0)
    visit(std::integral_constant<int, kPacked>{});
  else
    visit(std::integral_constant<int, 1>{});
}

std::tuple<Tensor, Tensor, Tensor> pool_and_pack(const std::vector<Tensor>& features,
                                                 const std::vector<int64_t>& sizes_of_windows, bool normalize,
                                                 bool with_argmax) {
  constexpr const char* op = "pool_and_pack";
  const PackedSizes sizes = check_pool_and_pack(features, sizes_of_windows);
  const std::vector<int64_t> shape{sizes.batch, sizes.channels, sizes.height * sizes.width};
  const ScalarType accumulator = accumulator_of(features);
  const Tensor& like = features[0];
  Tensor packed = empty_on_device_of(like, shape, accumulator);
  Tensor argmax = empty_on_device_of(like, with_argmax ? shape : std::vector<int64_t>{0}, ScalarType::Byte);
  Tensor inverse_deviation = empty_on_device_of(
      like, normalize ? std::vector<int64_t>{sizes.batch, sizes.channels} : std::vector<int64_t>{0}, accumulator);
  if (packed.numel() == 0) return {packed, argmax, inverse_deviation};

  const CudaDevice device(like);
  visit_accumulator(accumulator, [&](auto zero) {
    using A = decltype(zero);
    visit_tables<A>(op, features, sizes_of_windows, packed, with_argmax ? argmax.mutable_data_ptr<uint8_t>() : nullptr,
                    max_pool::forward_bytes<A>, [&](const kernels::Table<A>& table, int64_t blocks, size_t bytes) {
                      launch(op, device, {blocks, 1, dim3(kThreads), bytes}, kernels::pool<A>, table);
                    });
    if (!normalize) return;
    visit_count<A>(shape[2], [&](auto count) {
      launch(op, device, {sizes.batch * sizes.channels, 1, dim3(kThreads), kernels::kRowBytes<A>},
             kernels::normalise<A, decltype(count)::value>, packed.mutable_data_ptr<A>(), shape[2],
             inverse_deviation.mutable_data_ptr<A>());
    });
  });
  return {packed, argmax, inverse_deviation};
}

std::vector<Tensor> pool_and_pack_backward(const Tensor& grad, const Tensor& packed, const Tensor& argmax,
                                           const Tensor& inverse_deviation, const std::vector<Tensor>& features,
                                           const std::vector<int64_t>& sizes_of_windows) {
  constexpr const char* op = "pool_and_pack_backward";
  const PackedSizes sizes =
      check_pool_and_pack_backward(grad, packed, argmax, inverse_deviation, features, sizes_of_windows);
  std::vector<Tensor> gradients;
  gradients.reserve(features.size());
  for (const Tensor& feature : features) {
    gradients.push_back(
        empty_on_device_of(feature, shape_of(feature), feature.scalar_type(), memory_format_of(feature)));
  }
  if (grad.numel() == 0) return gradients;

  const CudaDevice device(grad);
  const Tensor from = torch::stable::contiguous(grad), winners = torch::stable::contiguous(argmax);
  const bool normalised = is_normalized(inverse_deviation);
  visit_accumulator(accumulator_of(features), [&](auto zero) {
    using A = decltype(zero);
    Tensor rows = packed, terms = from;
    const A *normalised_rows = nullptr, *normalised_terms = nullptr;
    if (normalised) {
      rows = torch::stable::contiguous(packed);
      terms = torch::stable::new_empty(from, {sizes.batch, sizes.channels, 3});
      const Tensor inverse = torch::stable::contiguous(inverse_deviation);
      visit_count<A>(from.size(2), [&](auto count) {
        launch(op, device, {sizes.batch * sizes.channels, 1, dim3(kThreads), kernels::kRowBytes<A>},
               kernels::row_terms<A, decltype(count)::value>, from.const_data_ptr<A>(), rows.const_data_ptr<A>(),
               from.size(2), inverse.const_data_ptr<A>(), terms.mutable_data_ptr<A>());
      });
      normalised_rows = rows.const_data_ptr<A>();
      normalised_terms = terms.const_data_ptr<A>();
    }
    visit_tables<A>(op, gradients, sizes_of_windows, from, const_cast<uint8_t*>(winners.const_data_ptr<uint8_t>()),
                    max_pool::backward_bytes<A>, [&](const kernels::Table<A>& table, int64_t blocks, size_t bytes) {
                      launch(op, device, {blocks, 1, dim3(kThreads), bytes}, kernels::scatter<A>, table,
                             normalised_rows, normalised_terms, sizes.channels);
                    });
  });
  return gradients;
}

}  // namespace
}  // namespace skt

SKT_IMPLEMENT(SKT_GPU_KEY, m) {
  m.impl("pool_and_pack", TORCH_BOX(&skt::pool_and_pack));
  m.impl("pool_and_pack_backward", TORCH_BOX(&skt::pool_and_pack_backward));
}
