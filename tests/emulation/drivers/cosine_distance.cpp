// Cosine distance and its gradient at every pixel, by either arrangement of threads.
#include "cosine.h"

extern "C" const char* forward(
    int64_t by_channels, int64_t packed, int64_t lanes, int64_t student_type, const void* student, int64_t teacher_type,
    const void* teacher, int64_t batch, int64_t channels, int64_t pixels, double eps, void* distance, void* statistics) {
  const kernels::Sizes all{batch, channels, pixels};
  const kernels::Strides strides = strides_of(by_channels, all);
  return emulation::guarded([&] {
    visit_mix(student_type, teacher_type, packed, [&](auto s, auto t, auto count) {
      using S = decltype(s);
      using T = decltype(t);
      using A = gpu::accumulator_t<S, T>;
      constexpr int kCount = decltype(count)::value;
      const S* from_s = static_cast<const S*>(student);
      const T* from_t = static_cast<const T*>(teacher);
      A* to = static_cast<A*>(distance);
      A* sums = static_cast<A*>(statistics);
      const int of_block = by_channels ? kernels::kThreads / static_cast<int>(lanes) : gpu::kWarp * kCount;
      const kernels::Sizes sizes = kernels::in_blocks_of(of_block, all);
      if (by_channels) {
        emulation::launch(batch * sizes.blocks, kernels::kThreads, 0,
                          kernels::forward_by_channels<S, T, kCount>, from_s, strides, from_t, strides, sizes, lanes, eps,
                          to, sums);
      } else {
        emulation::launch(batch * sizes.blocks, dim3(gpu::kWarp, kernels::kSlices),
                          kernels::shared_bytes<A, kCount>(), kernels::forward_by_pixels<S, T, kCount>, from_s, strides,
                          from_t, strides, sizes, eps, to, sums);
      }
    });
  });
}

extern "C" const char* backward(
    int64_t by_channels, int64_t packed, int64_t lanes, int64_t student_type, const void* student, int64_t teacher_type,
    const void* teacher, int64_t batch, int64_t channels, int64_t pixels, double eps, const void* grad,
    const void* statistics, void* out) {
  const kernels::Sizes all{batch, channels, pixels};
  const kernels::Strides strides = strides_of(by_channels, all), of_grad{pixels, 0, 1};
  return emulation::guarded([&] {
    visit_mix(student_type, teacher_type, packed, [&](auto s, auto t, auto count) {
      using S = decltype(s);
      using T = decltype(t);
      using A = gpu::accumulator_t<S, T>;
      constexpr int kCount = decltype(count)::value;
      const S* from_s = static_cast<const S*>(student);
      const T* from_t = static_cast<const T*>(teacher);
      const A* from_grad = static_cast<const A*>(grad);
      const A* sums = static_cast<const A*>(statistics);
      S* to = static_cast<S*>(out);
      const int of_block = by_channels ? kernels::kThreads / static_cast<int>(lanes) : gpu::kWarp * kCount;
      const kernels::Sizes sizes = kernels::in_blocks_of(of_block, all);
      if (by_channels) {
        emulation::launch(batch * sizes.blocks, kernels::kThreads, 0,
                          kernels::backward_by_channels<S, T, kCount>, from_grad, of_grad, from_s, strides, from_t,
                          strides, sums, sizes, lanes, eps, to, strides);
      } else {
        constexpr int kParts = 2;
        emulation::launch(dim3(batch * sizes.blocks, kParts),
                          dim3(gpu::kWarp, kernels::kSlices), 0, kernels::backward_by_pixels<S, T, kCount>, from_grad,
                          of_grad, from_s, strides, from_t, strides, sums, sizes, eps, to, strides);
      }
    });
  });
}
