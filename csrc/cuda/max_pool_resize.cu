// One feature through the kernels of pool_and_pack; windows of more than 256 pixels have kernels of their own.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <tuple>

#include "../kernels/pool_and_pack_gpu.h"
#include "skt/launch.h"
#include "skt/max_pool_resize_checks.h"
#include "skt/pooled_feature.h"

namespace skt {
namespace {

namespace max_pool = gpu::max_pool;
namespace kernels = gpu::pool_and_pack;
using max_pool::Feature;
using max_pool::kThreads;

template <class A>
kernels::Table<A> table_of(const Feature& feature) {
  kernels::Table<A> table{};
  table.feature[0] = feature;
  table.count = 1;
  return table;
}

std::tuple<Tensor, Tensor> max_pool_resize(const Tensor& input, int64_t kernel_h, int64_t kernel_w) {
  constexpr const char* op = "max_pool_resize";
  check_max_pool_resize(input, kernel_h, kernel_w);
  const int64_t batch = input.size(0), channels = input.size(1);
  const int64_t height = (input.size(2) + kernel_h - 1) / kernel_h, width = (input.size(3) + kernel_w - 1) / kernel_w;
  const MemoryFormat format = memory_format_of(input);
  Tensor output = empty_on_device_of(input, {batch, channels, height, width}, input.scalar_type(), format);
  Tensor argmax = empty_on_device_of(input, {batch, channels, height, width}, argmax_dtype(kernel_h, kernel_w), format);
  if (output.numel() == 0) return {output, argmax};

  const CudaDevice device(input);
  visit_accumulator(accumulator_of(input), [&](auto zero) {
    using A = decltype(zero);
    const bool small = argmax.scalar_type() == ScalarType::Byte;
    const Feature feature = pooled_feature(input, kernel_h, kernel_w, output,
                                           small ? argmax.mutable_data_ptr<uint8_t>() : nullptr, sizeof(A) == 8);
    if (small) {
      const size_t bytes = max_pool::forward_bytes<A>(feature);
      launch(op, device, {batch * feature.tiles, 1, dim3(kThreads), bytes}, kernels::pool<A>, table_of<A>(feature));
    } else {
      const int64_t windows = output.numel(), per_block = kThreads / gpu::kWarp;
      launch(op, device, {(windows + per_block - 1) / per_block, 1, dim3(kThreads)}, max_pool::forward_large<A>, feature,
             windows, argmax.mutable_data_ptr<int32_t>());
    }
  });
  return {output, argmax};
}

Tensor max_pool_resize_backward(
    const Tensor& grad, const Tensor& argmax, int64_t kernel_h, int64_t kernel_w, int64_t height, int64_t width) {
  constexpr const char* op = "max_pool_resize_backward";
  check_max_pool_resize_backward(grad, argmax, kernel_h, kernel_w, height, width);
  const MemoryFormat format = memory_format_of(argmax);
  Tensor out =
      empty_on_device_of(grad, {grad.size(0), grad.size(1), height, width}, grad.scalar_type(), format);
  if (out.numel() == 0) return out;

  const CudaDevice device(grad);
  const Tensor winners = torch::stable::contiguous(argmax, format), from = torch::stable::contiguous(grad, format);
  visit_accumulator(accumulator_of(grad), [&](auto zero) {
    using A = decltype(zero);
    const bool small = argmax.scalar_type() == ScalarType::Byte;
    const Feature feature =
        pooled_feature(out, kernel_h, kernel_w, from,
                       small ? const_cast<uint8_t*>(winners.const_data_ptr<uint8_t>()) : nullptr, sizeof(A) == 8);
    if (small) {
      const A* none = nullptr;
      launch(op, device, {out.size(0) * feature.tiles, 1, dim3(kThreads), max_pool::backward_bytes<A>(feature)},
             kernels::scatter<A>, table_of<A>(feature), none, none, out.size(1));
    } else {
      const int64_t blocks = (out.numel() + kThreads - 1) / kThreads;
      launch(op, device, {blocks, 1, dim3(kThreads)}, max_pool::backward_large<A>, feature, out.numel(),
             winners.const_data_ptr<int32_t>());
    }
  });
  return out;
}

}  // namespace
}  // namespace skt

STABLE_TORCH_LIBRARY_IMPL(skt_ext, SKT_GPU_KEY, m) {
  m.impl("max_pool_resize", TORCH_BOX(&skt::max_pool_resize));
  m.impl("max_pool_resize_backward", TORCH_BOX(&skt::max_pool_resize_backward));
}
