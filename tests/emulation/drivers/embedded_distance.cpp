// The kernels of embedded_distance on numpy arrays.
//
// sizes: N, Cs, Ct, H, W, kernel_h, kernel_w. codes: element types of student, weight, bias and teacher. strides: (image,
// channel, pixel) of student, weight, teacher and student's gradient.
#include <vector>

#include "emulation/driver.h"
#include "kernels/embedded_distance_backward_gpu.h"

using namespace skt;
using namespace skt::gpu::embedding;

namespace {

Source source_of(const void* data, int64_t code, const int64_t* strides) {
  return {data, static_cast<Storage>(code), Packs::none, strides[0], strides[1], strides[2]};
}

Problem problem_of(
    const int64_t* sizes, const int64_t* codes, const int64_t* strides, bool relu, const void* student,
    const void* weight, const void* bias, const void* teacher) {
  Problem problem{};
  problem.student = source_of(student, codes[0], strides);
  problem.weight = source_of(weight, codes[1], strides + 3);
  problem.teacher = source_of(teacher, codes[3], strides + 6);
  problem.bias = bias;
  problem.bias_storage = static_cast<Storage>(codes[2]);
  problem.relu = relu;
  problem.batch = sizes[0];
  problem.student_channels = static_cast<int>(sizes[1]);
  problem.teacher_channels = static_cast<int>(sizes[2]);
  problem.height = sizes[3];
  problem.width = sizes[4];
  problem.kernel_h = static_cast<int>(sizes[5]);
  problem.kernel_w = static_cast<int>(sizes[6]);
  return problem;
}

// Accesses of one element each, to test them where wider ones are possible.
void choose_packs(Problem& problem, bool quads, bool scalar) {
  if (scalar) return;
  problem.student.packs = packs_of(problem.student, problem.student_channels, quads);
  problem.teacher.packs = packs_of(problem.teacher, problem.teacher_channels, quads);
  problem.weight.packs = packs_of(problem.weight, problem.student_channels, problem.teacher_channels % kQuad == 0);
}

template <class A>
void run_forward(Problem problem, bool scalar, double eps, void* loss, void* statistics, void* pooled, uint8_t* argmax) {
  const Strips strips = strips_for<A>(problem);
  choose_packs(problem, whole_quads(problem, strips), scalar);
  const int64_t blocks = strips.blocks(problem.batch);
  std::vector<A> partial(blocks);
  const Results<A> results{partial.data(), static_cast<A*>(statistics), static_cast<A*>(pooled), argmax};
  emulation::launch(dim3(blocks), dim3(kThreads), strips.shared, forward<A>, problem, strips, A(eps), results);
  if (problem.teacher.data != nullptr) {
    emulation::launch(dim3(1), dim3(kThreads), sizeof(double) * kThreads / gpu::kWarp, sum_loss<A>,
                      static_cast<const A*>(partial.data()), blocks, static_cast<A*>(loss));
  }
}

template <class A>
void run_backward(
    Problem problem, bool scalar, int64_t most_blocks, const int64_t* grad_strides, double eps, const void* grad_loss,
    const void* grad_pooled, const uint8_t* argmax, const void* statistics, void* grad_student, void* grad_weight,
    void* grad_bias) {
  choose_packs(problem, problem.pixels() % kQuad == 0, scalar);
  visit_depth<A>(problem.student_channels, [&](auto depth) {
    constexpr int kDepth = decltype(depth)::value;
    const int64_t blocks = std::min(most_blocks, backward_blocks<A>(problem, kDepth));
    const int64_t partials = blocks * weight_groups(kDepth);
    std::vector<A> partial(partials * partial_size(problem)), unfinished(blocks * unfinished_size<A>(problem, kDepth));
    Source to = source_of(grad_student, static_cast<int64_t>(problem.student.storage), grad_strides);
    if (!scalar) to.packs = packs_of(to, problem.student_channels, problem.pixels() % kQuad == 0);
    const Gradients<A> gradients{
        static_cast<const A*>(grad_loss), static_cast<const A*>(grad_pooled), argmax, static_cast<const A*>(statistics),
        to, partial.data(), unfinished.data()};
    emulation::launch(dim3(blocks), dim3(kThreads), backward_shared<A>(kDepth), backward<A, kDepth>, problem, A(eps),
                      gradients);
    const int64_t size = partial_size(problem);
    emulation::launch(dim3(divide_up<int64_t>(size, kSumColumns)), dim3(kSumColumns, kSumSlices),
                      sizeof(A) * kSumColumns * kSumSlices, add_partials<A>, static_cast<const A*>(partial.data()),
                      partials, int64_t{problem.teacher_channels}, int64_t{problem.student_channels},
                      static_cast<A*>(grad_weight), static_cast<A*>(grad_bias));
  });
}

}  // namespace

extern "C" const char* forward_pass(
    const int64_t* sizes, const int64_t* codes, const int64_t* strides, int64_t relu, int64_t scalar, double eps,
    const void* student, const void* weight, const void* bias, const void* teacher, void* loss, void* statistics,
    void* pooled, uint8_t* argmax) {
  return emulation::guarded([&] {
    const Problem problem = problem_of(sizes, codes, strides, relu, student, weight, bias, teacher);
    if (codes[0] == 0) {
      run_forward<double>(problem, scalar, eps, loss, statistics, pooled, argmax);
    } else {
      run_forward<float>(problem, scalar, eps, loss, statistics, pooled, argmax);
    }
  });
}

extern "C" const char* backward_pass(
    const int64_t* sizes, const int64_t* codes, const int64_t* strides, int64_t relu, int64_t scalar,
    int64_t most_blocks, double eps, const void* student, const void* weight, const void* bias, const void* teacher,
    const void* grad_loss, const void* grad_pooled, const uint8_t* argmax, const void* statistics, void* grad_student,
    void* grad_weight, void* grad_bias) {
  return emulation::guarded([&] {
    const Problem problem = problem_of(sizes, codes, strides, relu, student, weight, bias, teacher);
    const auto run = codes[0] == 0 ? run_backward<double> : run_backward<float>;
    run(problem, scalar, most_blocks, strides + 9, eps, grad_loss, grad_pooled, argmax, statistics, grad_student,
        grad_weight, grad_bias);
  });
}
