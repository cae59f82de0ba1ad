#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <tuple>

#include "../kernels/large_memory.h"
#include "../kernels/max_pool_cpu.h"
#include "skt/dispatch.h"
#include "skt/layout.h"
#include "skt/max_pool_resize_checks.h"
#include "skt/parallel.h"

namespace skt {
namespace {

// Calls visit(Index{}) with the element type of an argmax tensor.
template <class Visit>
void visit_index(ScalarType dtype, Visit visit) {
  if (dtype == ScalarType::Byte) {
    visit(uint8_t{});
  } else {
    visit(int32_t{});
  }
}

std::tuple<Tensor, Tensor> max_pool_resize(const Tensor& input, int64_t kernel_h, int64_t kernel_w) {
  check_max_pool_resize(input, kernel_h, kernel_w);
  const max_pool::Problem problem{input.size(0), input.size(1), input.size(2), input.size(3), kernel_h, kernel_w};
  const std::vector<int64_t> sizes{problem.batch, problem.channels, problem.out_height(), problem.out_width()};
  const MemoryFormat format = memory_format_of(input);
  Tensor output = empty_on_device_of(input, sizes, input.scalar_type(), format);
  Tensor argmax = empty_on_device_of(input, sizes, argmax_dtype(kernel_h, kernel_w), format);
  if (output.numel() == 0) return {output, argmax};

  const FeatureMap from = feature_map(input), to = feature_map(output);
  const bool by_channels = format == MemoryFormat::ChannelsLast;
  const int64_t items = problem.batch * (by_channels ? 1 : problem.channels) * problem.out_height();
  const int64_t elements = kernel_h * problem.width * (by_channels ? problem.channels : 1);
  visit_accumulator(accumulator_of(input), [&](auto zero) {
    using T = decltype(zero);
    visit_index(argmax.scalar_type(), [&](auto index) {
      using Index = decltype(index);
      Index* winners = argmax.mutable_data_ptr<Index>();
      const auto kernel = by_channels ? max_pool::forward_by_channels<T, Index> : max_pool::forward_by_pixels<T, Index>;
      parallel_over(items, elements, [&](int64_t first, int64_t last) { kernel(from, problem, first, last, to, winners); });
    });
  });
  return {output, argmax};
}

Tensor max_pool_resize_backward(
    const Tensor& grad, const Tensor& argmax, int64_t kernel_h, int64_t kernel_w, int64_t height, int64_t width) {
  check_max_pool_resize_backward(grad, argmax, kernel_h, kernel_w, height, width);
  const max_pool::Problem problem{grad.size(0), grad.size(1), height, width, kernel_h, kernel_w};
  const MemoryFormat format = memory_format_of(argmax);
  const Tensor winners = torch::stable::contiguous(argmax, format);
  Tensor out = empty_on_device_of(grad, {problem.batch, problem.channels, height, width}, grad.scalar_type(), format);
  if (out.numel() == 0) return out;
  advise_large_pages(out.mutable_data_ptr(), out.numel() * bytes_of(storage_of(grad)));

  const bool by_channels = format == MemoryFormat::ChannelsLast;
  const int64_t items = problem.batch * (by_channels ? height : problem.channels * problem.out_height());
  const int64_t elements = width * (by_channels ? problem.channels : kernel_h);
  visit_bits(storage_of(grad), [&](auto zero) {
    using Bits = decltype(zero);
    visit_index(argmax.scalar_type(), [&](auto index) {
      using Index = decltype(index);
      const max_pool::Gradient<Bits> source{static_cast<const Bits*>(grad.const_data_ptr()), grad.stride(0),
                                            grad.stride(1), grad.stride(2), grad.stride(3)};
      const Index* offsets = winners.const_data_ptr<Index>();
      Bits* target = static_cast<Bits*>(out.mutable_data_ptr());
      const auto kernel =
          by_channels ? max_pool::backward_by_channels<Bits, Index> : max_pool::backward_by_pixels<Bits, Index>;
      parallel_over(items, elements,
                    [&](int64_t first, int64_t last) { kernel(source, offsets, problem, first, last, target); });
    });
  });
  return out;
}

}  // namespace
}  // namespace skt

STABLE_TORCH_LIBRARY_IMPL(skt_ext, CPU, m) {
  m.impl("max_pool_resize", TORCH_BOX(&skt::max_pool_resize));
  m.impl("max_pool_resize_backward", TORCH_BOX(&skt::max_pool_resize_backward));
}
