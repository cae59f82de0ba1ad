#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "../kernels/pool_and_pack_gpu.h"
#include "skt/launch.h"
#include "skt/pool_and_pack_checks.h"
#include "skt/pooled_feature.h"

namespace skt {
namespace {

namespace max_pool = gpu::max_pool;
namespace kernels = gpu::pool_and_pack;
using max_pool::kThreads;

// Calls visit(table, blocks, bytes of shared memory) for the features, kMaxFeatures at a time. maps: the features or
// their gradients. packed (N, C, P); argmax of the same shape, or without memory. bytes_of(feature): shared memory of a tile.
template <class A, class BytesOf, class Visit>
void visit_tables(
    const std::vector<Tensor>& maps, const std::vector<int64_t>& sizes_of_windows, const Tensor& packed, uint8_t* winners,
    BytesOf bytes_of, Visit visit) {
  const int64_t batch = packed.size(0), positions = packed.size(2);
  int64_t channel = 0;
  for (size_t first = 0; first < maps.size(); first += kernels::kMaxFeatures) {
    kernels::Table<A> table{};
    int64_t blocks = 0;
    size_t bytes = 0;
    for (size_t i = first; i < std::min(maps.size(), first + kernels::kMaxFeatures); ++i, ++table.count) {
      max_pool::Feature& feature = table.feature[table.count];
      const int64_t kernel_h = sizes_of_windows[2 * i], kernel_w = sizes_of_windows[2 * i + 1];
      feature = pooled_feature(maps[i], kernel_h, kernel_w, packed, winners, sizeof(A) == 8);
      feature.pooled.value = static_cast<A*>(feature.pooled.value) + channel * positions;
      if (winners != nullptr) feature.pooled.winner += channel * positions;
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
  if (positions % kPacked == 0) visit(std::integral_constant<int, kPacked>{});
  else visit(std::integral_constant<int, 1>{});
}

std::tuple<Tensor, Tensor, Tensor> pool_and_pack(
    std::vector<Tensor> features, std::vector<int64_t> sizes_of_windows, bool normalize, bool with_argmax) {
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
    visit_tables<A>(features, sizes_of_windows, packed, with_argmax ? argmax.mutable_data_ptr<uint8_t>() : nullptr,
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

std::vector<Tensor> pool_and_pack_backward(
    const Tensor& grad, const Tensor& packed, const Tensor& argmax, const Tensor& inverse_deviation,
    std::vector<Tensor> features, std::vector<int64_t> sizes_of_windows) {
  constexpr const char* op = "pool_and_pack_backward";
  const PackedSizes sizes =
      check_pool_and_pack_backward(grad, packed, argmax, inverse_deviation, features, sizes_of_windows);
  std::vector<Tensor> gradients;
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
    visit_tables<A>(gradients, sizes_of_windows, from, const_cast<uint8_t*>(winners.const_data_ptr<uint8_t>()),
                    max_pool::backward_bytes<A>, [&](const kernels::Table<A>& table, int64_t blocks, size_t bytes) {
                      launch(op, device, {blocks, 1, dim3(kThreads), bytes}, kernels::scatter<A>, table, normalised_rows,
                             normalised_terms, sizes.channels);
                    });
  });
  return gradients;
}

}  // namespace
}  // namespace skt

STABLE_TORCH_LIBRARY_IMPL(skt_ext, SKT_GPU_KEY, m) {
  m.impl("pool_and_pack", TORCH_BOX(&skt::pool_and_pack));
  m.impl("pool_and_pack_backward", TORCH_BOX(&skt::pool_and_pack_backward));
}
