#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <numeric>
#include <optional>
#include <tuple>
#include <vector>

#include "feature_map_of.h"
#include "kernels/cpu/embedding.h"
#include "skt/dispatch.h"
#include "skt/embedded_distance_checks.h"
#include "skt/layout.h"
#include "skt/parallel.h"
#include "skt/registration.h"

namespace skt {
namespace {

using embedding::padded;

// The map as a single row, so that tiles need not end at the end of a row.
FeatureMap as_one_row(FeatureMap map, int64_t pixels) {
  map.width = pixels;
  map.stride_h = pixels * map.stride_w;
  return map;
}

// The operands in the precision of computation, and their sizes.
template <class T>
class Inputs {
 public:
  Inputs(const EmbeddedSizes& sizes, const Tensor& student, const Tensor& weight, const std::optional<Tensor>& bias,
         const std::optional<Tensor>& teacher, bool relu, double eps)
      : problem{sizes.batch,
                sizes.student_channels,
                sizes.teacher_channels,
                sizes.height,
                sizes.width,
                sizes.kernel_h,
                sizes.kernel_w,
                relu,
                eps,
                false},
        student_(feature_map_of(student)),
        weight_(problem.to * padded<T>(problem.from)),
        transposed_(problem.from * padded<T>(problem.to)),
        bias_(padded<T>(problem.to)) {
    if (teacher.has_value()) teacher_ = feature_map_of(*teacher);
    // The order of a tile follows the larger feature, the teacher.
    problem.by_channels = (teacher_.has_value() ? *teacher_ : student_).stride_c == 1 && problem.to > 1;
    one_row_ = sizes.kernel_h <= 1 && sizes.kernel_w <= 1 && student_.rows_join() &&
               (!teacher_.has_value() || teacher_->rows_join());
    if (one_row_) {
      const int64_t pixels = problem.pixels();
      problem.height = 1;
      problem.width = pixels;
      student_ = as_one_row(student_, pixels);
      if (teacher_.has_value()) teacher_ = as_one_row(*teacher_, pixels);
    }
    for (int64_t c = 0; c < problem.to; ++c) {
      T* row = weight_.data() + c * padded<T>(problem.from);
      widen_row(storage_of(weight), weight.const_data_ptr(), c * weight.stride(0), weight.stride(1), problem.from, row);
      for (int64_t k = 0; k < problem.from; ++k) transposed_[k * padded<T>(problem.to) + c] = row[k];
    }
    if (bias.has_value()) {
      widen_row(storage_of(*bias), bias->const_data_ptr(), 0, bias->stride(0), problem.to, bias_.data());
    }
  }

  embedding::Operands<T> operands() const {
    return {student_, teacher_.has_value() ? &*teacher_ : nullptr, weight_.data(), transposed_.data(), bias_.data()};
  }

  FeatureMap result(const Tensor& grad_student) const {
    const FeatureMap map = feature_map_of(grad_student);
    return one_row_ ? as_one_row(map, problem.pixels()) : map;
  }

  embedding::Problem problem;

 private:
  FeatureMap student_;
  std::optional<FeatureMap> teacher_;
  bool one_row_ = false;
  embedding::AlignedVector<T> weight_, transposed_, bias_;
};

std::tuple<Tensor, Tensor, Tensor, Tensor> embedded_distance(const Tensor& student, const Tensor& weight,
                                                             const std::optional<Tensor>& bias,
                                                             const std::optional<Tensor>& teacher, bool relu,
                                                             double eps, int64_t kernel_h, int64_t kernel_w) {
  const EmbeddedSizes sizes = check_embedded_distance(student, weight, bias, teacher, eps, kernel_h, kernel_w);
  const ScalarType accumulator = embedded_accumulator(student, weight, bias, teacher);
  std::vector<int64_t> of_pooled{0}, of_statistics{0};
  if (sizes.pools()) of_pooled = {sizes.batch, sizes.teacher_channels, sizes.pooled_height(), sizes.pooled_width()};
  if (teacher.has_value()) of_statistics = {sizes.batch, 3, sizes.height, sizes.width};
  Tensor loss = torch::stable::new_empty(student, {}, accumulator);
  Tensor pooled = torch::stable::new_empty(student, of_pooled, accumulator);
  Tensor argmax = torch::stable::new_empty(student, of_pooled, ScalarType::Byte);
  Tensor statistics = torch::stable::new_empty(student, of_statistics, accumulator);
  visit_accumulator(accumulator, [&](auto zero) {
    using T = decltype(zero);
    const Inputs<T> inputs(sizes, student, weight, bias, teacher, relu, eps);
    const embedding::Problem& problem = inputs.problem;
    const embedding::Operands<T> operands = inputs.operands();
    const embedding::Pooled<T> out{pooled.mutable_data_ptr<T>(), argmax.mutable_data_ptr<uint8_t>()};
    T* products = statistics.mutable_data_ptr<T>();
    std::vector<double> sums(problem.tiles());
    parallel_over(problem.tiles(), problem.to * problem.tile_pixels(), [&](int64_t first, int64_t last) {
      embedding::forward<T>(problem, operands, first, last, sums.data(), products, out);
    });
    // In the order of the tiles, whichever thread summed them.
    *loss.mutable_data_ptr<T>() = static_cast<T>(std::accumulate(sums.begin(), sums.end(), 0.0));
  });
  return {loss, pooled, argmax, statistics};
}

std::tuple<Tensor, Tensor, Tensor> embedded_distance_backward(
    const Tensor& grad_loss, const std::optional<Tensor>& grad_pooled, const Tensor& student, const Tensor& weight,
    const std::optional<Tensor>& bias, const std::optional<Tensor>& teacher, const Tensor& argmax,
    const Tensor& statistics, bool relu, double eps, int64_t kernel_h, int64_t kernel_w) {
  const EmbeddedSizes sizes = check_embedded_distance_backward(grad_loss, grad_pooled, student, weight, bias, teacher,
                                                               argmax, statistics, eps, kernel_h, kernel_w);
  Tensor grad_student =
      empty_on_device_of(student, shape_of(student), student.scalar_type(), memory_format_of(student));
  Tensor grad_weight = empty_on_device_of(weight, shape_of(weight), weight.scalar_type());
  Tensor grad_bias = bias.has_value() ? empty_on_device_of(*bias, shape_of(*bias), bias->scalar_type())
                                      : torch::stable::new_empty(weight, {0});
  const Tensor products = torch::stable::contiguous(statistics), winners = torch::stable::contiguous(argmax);
  const Tensor of_pooled = grad_pooled.has_value() ? torch::stable::contiguous(*grad_pooled) : products;
  visit_accumulator(grad_loss.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    const Inputs<T> inputs(sizes, student, weight, bias, teacher, relu, eps);
    const embedding::Problem& problem = inputs.problem;
    const embedding::Operands<T> operands = inputs.operands();
    const embedding::Upstream<T> upstream{*grad_loss.const_data_ptr<T>(), products.const_data_ptr<T>(),
                                          grad_pooled.has_value() ? of_pooled.const_data_ptr<T>() : nullptr,
                                          winners.const_data_ptr<uint8_t>()};
    const FeatureMap out = inputs.result(grad_student);
    advise_large_pages(out.data, grad_student.numel() * bytes_of(out.storage));
    const int64_t groups = problem.groups(), row = padded<T>(problem.from);
    embedding::AlignedVector<T> of_weight(groups * problem.to * row);
    std::vector<double> of_bias(groups * problem.to);
    parallel_over(groups, problem.to * problem.batch * problem.pixels() / std::max<int64_t>(groups, 1),
                  [&](int64_t first, int64_t last) {
                    embedding::Workspace<T> work(problem);
                    for (int64_t group = first; group < last; ++group) {
                      embedding::backward<T>(
                          problem, operands, upstream, problem.tiles() * group / groups,
                          problem.tiles() * (group + 1) / groups, work, out,
                          {of_weight.data() + group * problem.to * row, of_bias.data() + group * problem.to});
                    }
                  });
    std::vector<double> sum(problem.from);
    for (int64_t c = 0; c < problem.to; ++c) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (int64_t group = 0; group < groups; ++group) {
        const T* partial = of_weight.data() + (group * problem.to + c) * row;
        for (int64_t k = 0; k < problem.from; ++k) sum[k] += static_cast<double>(partial[k]);
      }
      narrow_row(storage_of(grad_weight), sum.data(), problem.from, grad_weight.mutable_data_ptr(), c * problem.from,
                 1);
    }
    for (int64_t group = 1; group < groups; ++group) {
      for (int64_t c = 0; c < problem.to; ++c) of_bias[c] += of_bias[group * problem.to + c];
    }
    if (groups == 0) of_bias.resize(problem.to);
    if (bias.has_value()) {
      narrow_row(storage_of(grad_bias), of_bias.data(), problem.to, grad_bias.mutable_data_ptr(), 0, 1);
    }
  });
  return {grad_student, grad_weight, grad_bias};
}

}  // namespace
}  // namespace skt

SKT_IMPLEMENT(CPU, m) {
  m.impl("embedded_distance", TORCH_BOX(&skt::embedded_distance));
  m.impl("embedded_distance_backward", TORCH_BOX(&skt::embedded_distance_backward));
}
