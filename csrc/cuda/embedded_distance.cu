#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>
#include <tuple>

#include "kernels/gpu/embedding_backward.h"
#include "skt/device/launch.h"
#include "skt/embedded_distance_checks.h"
#include "skt/layout.h"
#include "skt/registration.h"

namespace skt {
namespace {

namespace kernels = gpu::embedding;
using kernels::Problem;
using kernels::Source;

// The tensors of a call as the kernels take them: rows that join, and all in double where one of them is.
struct Operands {
  Tensor student, weight;
  std::optional<Tensor> bias, teacher;
};

Operands prepared(const Tensor& student, const Tensor& weight, const std::optional<Tensor>& bias,
                  const std::optional<Tensor>& teacher, ScalarType accumulator) {
  const auto in_precision = [&](const Tensor& tensor) {
    return accumulator == ScalarType::Double ? torch::stable::to(tensor, ScalarType::Double) : tensor;
  };
  Operands operands{with_joined_rows(in_precision(student)), in_precision(weight), std::nullopt, std::nullopt};
  if (bias.has_value()) operands.bias = torch::stable::contiguous(in_precision(*bias));
  if (teacher.has_value()) operands.teacher = with_joined_rows(in_precision(*teacher));
  return operands;
}

Source feature(const Tensor& tensor) {  // (N, C, H, W), rows joined
  const int64_t pixel = tensor.size(3) > 1 ? tensor.stride(3) : tensor.size(2) > 1 ? tensor.stride(2) : 1;
  return {tensor.const_data_ptr(), storage_of(tensor), kernels::Packs::none, tensor.stride(0), tensor.stride(1), pixel};
}

Problem problem_of(const Operands& operands, const EmbeddedSizes& sizes, bool relu) {
  constexpr int64_t kMost = int64_t{1} << 30;
  if (sizes.height > kMost || sizes.width > kMost) {
    fail("skt_ext::embedded_distance: CUDA kernels take H and W of at most 2^30; got ",
         list({sizes.height, sizes.width}));
  }
  Problem problem{};
  problem.student = feature(operands.student);
  const Tensor& weight = operands.weight;
  problem.weight = {weight.const_data_ptr(), storage_of(weight), kernels::Packs::none, 0,
                    weight.stride(1),        weight.stride(0)};
  if (operands.teacher.has_value()) problem.teacher = feature(*operands.teacher);
  if (operands.bias.has_value()) {
    problem.bias = operands.bias->const_data_ptr();
    problem.bias_storage = storage_of(*operands.bias);
  }
  problem.relu = relu;
  problem.batch = sizes.batch;
  problem.height = sizes.height;
  problem.width = sizes.width;
  problem.student_channels = static_cast<int>(sizes.student_channels);
  problem.teacher_channels = static_cast<int>(sizes.teacher_channels);
  problem.kernel_h = static_cast<int>(sizes.kernel_h);
  problem.kernel_w = static_cast<int>(sizes.kernel_w);
  return problem;
}

// whole_quads: the four pixels of a thread are in one row and start at a multiple of four.
void choose_packs(Problem& problem, bool whole_quads) {
  problem.student.packs = packs_of(problem.student, problem.student_channels, whole_quads);
  problem.teacher.packs = packs_of(problem.teacher, problem.teacher_channels, whole_quads);
  problem.weight.packs =
      packs_of(problem.weight, problem.student_channels, problem.teacher_channels % kernels::kQuad == 0);
}

template <class A>
void forward(const Tensor& student, Problem problem, double eps, Tensor& loss, Tensor& pooled, Tensor& argmax,
             Tensor& statistics) {
  constexpr const char* op = "embedded_distance";
  const CudaDevice device(student);
  const bool compares = problem.teacher.data != nullptr;
  const kernels::Strips strips = kernels::strips_for<A>(problem);
  choose_packs(problem, whole_quads(problem, strips));
  const int64_t blocks = strips.blocks(problem.batch);
  Tensor partial = torch::stable::new_empty(student, {compares ? blocks : 0}, loss.scalar_type());
  const kernels::Results<A> results{partial.mutable_data_ptr<A>(), statistics.mutable_data_ptr<A>(),
                                    problem.kernel_h > 0 ? pooled.mutable_data_ptr<A>() : nullptr,
                                    argmax.mutable_data_ptr<uint8_t>()};
  launch(op, device, {blocks, 1, dim3(kernels::kThreads), strips.shared}, kernels::forward<A>, problem, strips, eps,
         results);
  if (!compares) return;
  launch(op, device, {1, 1, dim3(gpu::kSumThreads)}, gpu::sum_partials<A, A>, partial.const_data_ptr<A>(), blocks,
         loss.mutable_data_ptr<A>());
}

template <class A>
void backward(const Tensor& student, Problem problem, double eps, const Tensor& grad_loss,
              const std::optional<Tensor>& grad_pooled, const Tensor& argmax, const Tensor& statistics,
              Tensor& grad_student, Tensor& grad_weight, Tensor& grad_bias) {
  constexpr const char* op = "embedded_distance_backward";
  const CudaDevice device(student);
  const bool whole_quads = problem.pixels() % kernels::kQuad == 0;
  choose_packs(problem, whole_quads);
  kernels::visit_depth<A>(problem.student_channels, [&](auto depth) {
    constexpr int kDepth = decltype(depth)::value;
    const int64_t blocks = kernels::backward_blocks<A>(problem, kDepth), size = kernels::partial_size(problem);
    const int64_t partials = blocks * kernels::weight_groups(kDepth);
    const ScalarType accumulator = grad_weight.scalar_type();
    Tensor partial = torch::stable::new_empty(student, {partials, size}, accumulator);
    Tensor unfinished =
        torch::stable::new_empty(student, {blocks, kernels::unfinished_size<A>(problem, kDepth)}, accumulator);
    Source to = feature(grad_student);
    to.packs = packs_of(to, problem.student_channels, whole_quads);
    const kernels::Gradients<A> gradients{grad_loss.const_data_ptr<A>(),
                                          grad_pooled.has_value() ? grad_pooled->const_data_ptr<A>() : nullptr,
                                          argmax.const_data_ptr<uint8_t>(),
                                          statistics.const_data_ptr<A>(),
                                          to,
                                          partial.mutable_data_ptr<A>(),
                                          unfinished.mutable_data_ptr<A>()};
    launch(op, device, {blocks, 1, dim3(kernels::kThreads), kernels::backward_shared<A>(kDepth)},
           kernels::backward<A, kDepth>, problem, eps, gradients);
    launch(op, device,
           {divide_up<int64_t>(size, kernels::kSumColumns), 1, dim3(kernels::kSumColumns, kernels::kSumSlices),
            sizeof(A) * kernels::kSumColumns * kernels::kSumSlices},
           kernels::add_partials<A>, partial.const_data_ptr<A>(), partials, problem.teacher_channels,
           problem.student_channels, grad_weight.mutable_data_ptr<A>(),
           problem.bias != nullptr ? grad_bias.mutable_data_ptr<A>() : nullptr);
  });
}

std::tuple<Tensor, Tensor, Tensor, Tensor> embedded_distance(const Tensor& student, const Tensor& weight,
                                                             const std::optional<Tensor>& bias,
                                                             const std::optional<Tensor>& teacher, bool relu,
                                                             double eps, int64_t kernel_h, int64_t kernel_w) {
  const EmbeddedSizes sizes = check_embedded_distance(student, weight, bias, teacher, eps, kernel_h, kernel_w);
  const ScalarType accumulator = embedded_accumulator(student, weight, bias, teacher);
  const auto empty = [&](const std::vector<int64_t>& shape, ScalarType dtype) {
    return torch::stable::new_empty(student, shape, dtype);
  };
  const std::vector<int64_t> none{0},
      pooled_shape = !sizes.pools() ? none
                                    : std::vector<int64_t>{sizes.batch, sizes.teacher_channels, sizes.pooled_height(),
                                                           sizes.pooled_width()};
  Tensor loss = torch::stable::new_zeros(student, {}, accumulator);
  Tensor pooled = empty(pooled_shape, accumulator);
  // In a window of one pixel that pixel wins; the kernel does not write it.
  Tensor argmax = kernel_h * kernel_w == 1 ? torch::stable::new_zeros(student, pooled_shape, ScalarType::Byte)
                                           : empty(pooled_shape, ScalarType::Byte);
  Tensor statistics =
      empty(teacher.has_value() ? std::vector<int64_t>{sizes.batch, 3, sizes.height, sizes.width} : none, accumulator);
  if (sizes.batch == 0 || (!teacher.has_value() && !sizes.pools())) return {loss, pooled, argmax, statistics};

  const Operands operands = prepared(student, weight, bias, teacher, accumulator);
  const Problem problem = problem_of(operands, sizes, relu);
  visit_accumulator(accumulator,
                    [&](auto a) { forward<decltype(a)>(student, problem, eps, loss, pooled, argmax, statistics); });
  return {loss, pooled, argmax, statistics};
}

std::tuple<Tensor, Tensor, Tensor> embedded_distance_backward(const Tensor& grad_loss,
                                                              std::optional<Tensor> grad_pooled, const Tensor& student,
                                                              const Tensor& weight, const std::optional<Tensor>& bias,
                                                              const std::optional<Tensor>& teacher,
                                                              const Tensor& argmax, const Tensor& statistics, bool relu,
                                                              double eps, int64_t kernel_h, int64_t kernel_w) {
  const EmbeddedSizes sizes = check_embedded_distance_backward(grad_loss, grad_pooled, student, weight, bias, teacher,
                                                               argmax, statistics, eps, kernel_h, kernel_w);
  const ScalarType accumulator = embedded_accumulator(student, weight, bias, teacher);
  const Operands operands = prepared(student, weight, bias, teacher, accumulator);
  Tensor grad_student =
      empty_on_device_of(student, shape_of(student), operands.student.scalar_type(), memory_format_of(student));
  Tensor grad_weight = torch::stable::new_zeros(student, shape_of(weight), accumulator);
  Tensor grad_bias = torch::stable::new_zeros(student, {bias.has_value() ? sizes.teacher_channels : 0}, accumulator);
  if (sizes.batch > 0) {
    if (grad_pooled.has_value()) grad_pooled = torch::stable::contiguous(*grad_pooled);
    const Tensor offsets = torch::stable::contiguous(argmax), sums = torch::stable::contiguous(statistics);
    const Problem problem = problem_of(operands, sizes, relu);
    visit_accumulator(accumulator, [&](auto a) {
      backward<decltype(a)>(student, problem, eps, grad_loss, grad_pooled, offsets, sums, grad_student, grad_weight,
                            grad_bias);
    });
  }
  const ScalarType bias_dtype = bias.has_value() ? bias->scalar_type() : weight.scalar_type();
  return {torch::stable::to(grad_student, student.scalar_type()), torch::stable::to(grad_weight, weight.scalar_type()),
          torch::stable::to(grad_bias, bias_dtype)};
}

}  // namespace
}  // namespace skt

SKT_IMPLEMENT(SKT_GPU_KEY, m) {
  m.impl("embedded_distance", TORCH_BOX(&skt::embedded_distance));
  m.impl("embedded_distance_backward", TORCH_BOX(&skt::embedded_distance_backward));
}
