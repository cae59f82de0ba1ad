#include "../kernels/cosine_distance_cpu.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <tuple>

#include "skt/cosine_distance_checks.h"
#include "skt/dispatch.h"
#include "skt/layout.h"
#include "skt/parallel.h"

namespace skt {
namespace {

cosine::Problem problem_of(const Tensor& student, double eps) {
  return {student.size(0), student.size(1), student.size(2) * student.size(3), eps};
}

std::tuple<Tensor, Tensor> cosine_distance(const Tensor& student, const Tensor& teacher, double eps) {
  check_cosine_distance(student, teacher, eps);
  const int64_t batch = student.size(0), height = student.size(2), width = student.size(3);
  const ScalarType accumulator = accumulator_of(student, teacher);
  Tensor distance = torch::stable::new_empty(student, {batch, height, width}, accumulator);
  Tensor statistics = torch::stable::new_empty(student, {batch, 3, height, width}, accumulator);
  const cosine::Problem problem = problem_of(student, eps);
  visit_accumulator(accumulator, [&](auto zero) {
    using T = decltype(zero);
    const FeatureMap s = feature_map(student), t = feature_map(teacher);
    T* d = distance.mutable_data_ptr<T>();
    T* sums = statistics.mutable_data_ptr<T>();
    parallel_over(problem.blocks(), problem.channels * problem.block(), [&](int64_t first, int64_t last) {
      cosine::forward(s, t, problem, first, last, d, sums);
    });
  });
  return {distance, statistics};
}

Tensor cosine_distance_backward(
    const Tensor& grad, const Tensor& student, const Tensor& teacher, const Tensor& statistics, double eps) {
  check_cosine_distance_backward(grad, student, teacher, statistics, eps);
  Tensor grad_student =
      empty_on_device_of(student, shape_of(student), student.scalar_type(), memory_format_of(student));
  const Tensor sums = torch::stable::contiguous(statistics);
  const Tensor grad_map = torch::stable::unsqueeze(grad, 1);
  const cosine::Problem problem = problem_of(student, eps);
  visit_accumulator(statistics.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    const FeatureMap g = feature_map(grad_map), s = feature_map(student), t = feature_map(teacher);
    const FeatureMap out = feature_map(grad_student);
    const T* rows = sums.const_data_ptr<T>();
    parallel_over(problem.blocks(), problem.channels * problem.block(), [&](int64_t first, int64_t last) {
      cosine::backward(g, s, t, rows, out, problem, first, last);
    });
  });
  return grad_student;
}

}  // namespace
}  // namespace skt

STABLE_TORCH_LIBRARY_IMPL(skt_ext, CPU, m) {
  m.impl("cosine_distance", TORCH_BOX(&skt::cosine_distance));
  m.impl("cosine_distance_backward", TORCH_BOX(&skt::cosine_distance_backward));
}
