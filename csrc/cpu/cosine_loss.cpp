#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <numeric>
#include <tuple>
#include <vector>

#include "feature_map_of.h"
#include "kernels/cpu/cosine_loss.h"
#include "kernels/cpu/rescale.h"
#include "skt/cosine_loss_checks.h"
#include "skt/dispatch.h"
#include "skt/layout.h"
#include "skt/parallel.h"
#include "skt/registration.h"

namespace skt {
namespace {

std::tuple<Tensor, Tensor> cosine_loss(const Tensor& student, const Tensor& teacher, double eps, double scale,
                                       bool with_gradient, bool per_pixel) {
  check_cosine_loss(student, teacher, eps, scale);
  const int64_t batch = student.size(0), height = student.size(2), width = student.size(3);
  const ScalarType accumulator = accumulator_of(student, teacher);
  const std::vector<int64_t> shape = per_pixel ? std::vector<int64_t>{batch, height, width} : std::vector<int64_t>{};
  Tensor loss = torch::stable::new_empty(student, shape, accumulator);
  const ScalarType of_gradient = gradient_dtype(student, accumulator);
  Tensor gradient = with_gradient
                        ? empty_on_device_of(student, shape_of(student), of_gradient, memory_format_of(student))
                        : torch::stable::new_empty(student, {0}, of_gradient);
  const cosine::Problem problem{batch, student.size(1), height * width, eps};
  std::vector<double> sums(per_pixel ? 0 : problem.blocks());
  visit_accumulator(accumulator, [&](auto zero) {
    using T = decltype(zero);
    const FeatureMap s = feature_map_of(student), t = feature_map_of(teacher);
    const FeatureMap out = with_gradient ? feature_map_of(gradient) : FeatureMap{};
    const int64_t bytes = with_gradient ? gradient.numel() * bytes_of(out.storage) : 0;
    const bool streamed = bytes >= kLarge && out.storage == storage_of<T>();
    if (with_gradient) advise_large_pages(out.data, bytes);
    T* to = loss.mutable_data_ptr<T>();
    parallel_over(problem.blocks(), problem.channels * problem.block(), [&](int64_t first, int64_t last) {
      cosine::loss(s, t, problem, static_cast<T>(scale), with_gradient ? &out : nullptr, streamed, first, last,
                   sums.data(), per_pixel ? to : nullptr);
    });
    // In the order of the blocks, whichever thread summed them.
    if (!per_pixel) *to = static_cast<T>(std::accumulate(sums.begin(), sums.end(), 0.0));
  });
  return {loss, gradient};
}

void rescale_(Tensor& gradient, const Tensor& grad, double scale) {
  check_rescale(gradient, grad, scale);
  double factor = 0;
  const Storage of_grad = storage_of(grad);
  widen_row(of_grad, grad.const_data_ptr(), 0, 1, 1, &factor);
  factor /= scale;
  if (factor == 1 || gradient.numel() == 0) return;
  const Storage storage = storage_of(gradient);
  void* data = gradient.mutable_data_ptr();
  visit_accumulator(accumulator_of(gradient, grad), [&](auto zero) {
    using T = decltype(zero);
    parallel_over(gradient.numel(), 1,
                  [&](int64_t first, int64_t last) { rescale(storage, data, static_cast<T>(factor), first, last); });
  });
}

}  // namespace
}  // namespace skt

SKT_IMPLEMENT(CPU, m) {
  m.impl("cosine_loss", TORCH_BOX(&skt::cosine_loss));
  m.impl("rescale_", TORCH_BOX(&skt::rescale_));
}
