#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <tuple>
#include <vector>

#include "feature_map_of.h"
#include "kernels/cpu/large_memory.h"
#include "kernels/cpu/pool_and_pack.h"
#include "skt/dispatch.h"
#include "skt/layout.h"
#include "skt/parallel.h"
#include "skt/pool_and_pack_checks.h"
#include "skt/registration.h"

namespace skt {
namespace {

using pool_and_pack::Place;

max_pool::Problem problem_of(const Tensor& feature, const std::vector<int64_t>& kernels, size_t index) {
  return {feature.size(0), feature.size(1),    feature.size(2),
          feature.size(3), kernels[2 * index], kernels[2 * index + 1]};
}

std::tuple<Tensor, Tensor, Tensor> pool_and_pack_features(const std::vector<Tensor>& features,
                                                          const std::vector<int64_t>& kernels, bool normalize,
                                                          bool with_argmax) {
  const PackedSizes sizes = check_pool_and_pack(features, kernels);
  const int64_t positions = sizes.height * sizes.width;
  const ScalarType accumulator = accumulator_of(features);
  const std::vector<int64_t> shape{sizes.batch, sizes.channels, positions}, none{0};
  Tensor packed = torch::stable::new_empty(features[0], shape, accumulator);
  Tensor argmax = torch::stable::new_empty(features[0], with_argmax ? shape : none, ScalarType::Byte);
  Tensor inverse_deviation = torch::stable::new_empty(
      features[0], normalize ? std::vector<int64_t>{sizes.batch, sizes.channels} : none, accumulator);
  visit_accumulator(accumulator, [&](auto zero) {
    using T = decltype(zero);
    T* out = packed.mutable_data_ptr<T>();
    uint8_t* winners = with_argmax ? argmax.mutable_data_ptr<uint8_t>() : nullptr;
    advise_large_pages(out, packed.numel() * static_cast<int64_t>(sizeof(T)));
    T* inverse = normalize ? inverse_deviation.mutable_data_ptr<T>() : nullptr;
    Place place{sizes.channels, 0};
    for (size_t i = 0; i < features.size(); ++i) {
      const max_pool::Problem problem = problem_of(features[i], kernels, i);
      const FeatureMap map = feature_map_of(features[i]);
      const int64_t planes = problem.batch * problem.channels;
      if (pool_and_pack::by_channels(problem, map)) {
        parallel_over(problem.batch * problem.out_height(), problem.width * problem.kernel_h * problem.channels,
                      [&](int64_t first, int64_t last) {
                        pool_and_pack::pool_bands<T>(map, problem, place, first, last, out, winners);
                      });
        if (normalize) {
          parallel_over(planes, positions, [&](int64_t first, int64_t last) {
            pool_and_pack::normalize_planes(problem, place, first, last, out, inverse);
          });
        }
      } else {
        parallel_over(planes, problem.width * problem.height, [&](int64_t first, int64_t last) {
          pool_and_pack::pool_planes<T>(map, problem, place, first, last, out, winners, inverse);
        });
      }
      place.first += problem.channels;
    }
  });
  return {packed, argmax, inverse_deviation};
}

std::vector<Tensor> pool_and_pack_backward(const Tensor& grad, const Tensor& packed, const Tensor& argmax,
                                           const Tensor& inverse_deviation, const std::vector<Tensor>& features,
                                           const std::vector<int64_t>& kernels) {
  const PackedSizes sizes = check_pool_and_pack_backward(grad, packed, argmax, inverse_deviation, features, kernels);
  const Tensor dense_grad = torch::stable::contiguous(grad), dense_packed = torch::stable::contiguous(packed);
  const Tensor winners = torch::stable::contiguous(argmax), inverse = torch::stable::contiguous(inverse_deviation);
  std::vector<Tensor> gradients;
  visit_accumulator(packed.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    pool_and_pack::Gradient<T> gradient{dense_grad.const_data_ptr<T>(),
                                        dense_packed.const_data_ptr<T>(),
                                        winners.const_data_ptr<uint8_t>(),
                                        is_normalized(inverse_deviation) ? inverse.const_data_ptr<T>() : nullptr,
                                        {sizes.channels, 0},
                                        sizes.height * sizes.width};
    for (size_t i = 0; i < features.size(); ++i) {
      const Tensor& feature = features[i];
      const max_pool::Problem problem = problem_of(feature, kernels, i);
      const MemoryFormat format = memory_format_of(feature);
      Tensor out = empty_on_device_of(feature, shape_of(feature), feature.scalar_type(), format);
      const Storage storage = storage_of(feature);
      advise_large_pages(out.mutable_data_ptr(), out.numel() * bytes_of(storage));
      const int64_t planes = problem.batch * problem.channels, bands = problem.batch * problem.out_height();
      visit_bits(storage, [&](auto bits) {
        using Bits = decltype(bits);
        Bits* to = static_cast<Bits*>(out.mutable_data_ptr());
        if (format == MemoryFormat::Contiguous) {
          parallel_over(planes, problem.height * problem.width, [&](int64_t first, int64_t last) {
            pool_and_pack::unpool_planes<T, Bits>(gradient, problem, first, last, storage, to);
          });
          return;
        }
        std::vector<T> rows(planes * gradient.positions);
        parallel_over(planes, gradient.positions, [&](int64_t first, int64_t last) {
          pool_and_pack::unnormalize(gradient, problem, first, last, rows.data());
        });
        parallel_over(bands, problem.kernel_h * problem.width * problem.channels, [&](int64_t first, int64_t last) {
          pool_and_pack::unpool_bands<T, Bits>(gradient, rows.data(), problem, first, last, storage, to);
        });
      });
      gradients.push_back(out);
      gradient.place.first += problem.channels;
    }
  });
  return gradients;
}

}  // namespace
}  // namespace skt

SKT_IMPLEMENT(CPU, m) {
  m.impl("pool_and_pack", TORCH_BOX(&skt::pool_and_pack_features));
  m.impl("pool_and_pack_backward", TORCH_BOX(&skt::pool_and_pack_backward));
}
