// Cosine distance and its gradient at every pixel, by either arrangement of threads.
#include "emulation/driver.h"
#include "kernels/cosine_distance_gpu.h"

using namespace skt;
namespace kernels = gpu::cosine;

namespace {

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

kernels::Strides strides_of(bool by_channels, kernels::Sizes sizes) {
  const int64_t image = sizes.channels * sizes.pixels;
  return by_channels ? kernels::Strides{image, 1, sizes.channels} : kernels::Strides{image, sizes.pixels, 1};
}

// Calls visit(S{}, T{}, integral_constant<Count>) for the mixes that say something new about a kernel.
template <class Visit>
void visit_mix(int64_t student, int64_t teacher, bool packed, Visit visit) {
  const auto with = [&](auto s, auto t) {
    constexpr int kWidest = 16 / static_cast<int>(std::max(sizeof(s), sizeof(t)));
    if (packed) visit(s, t, std::integral_constant<int, kWidest>{});
    else visit(s, t, std::integral_constant<int, 1>{});
  };
  if (student == 0 && teacher == 0) with(double{}, double{});
  else if (student == 1 && teacher == 1) with(float{}, float{});
  else if (student == 1 && teacher == 2) with(float{}, __half{});
  else if (student == 2 && teacher == 1) with(__half{}, float{});
  else if (student == 2 && teacher == 2) with(__half{}, __half{});
  else if (student == 3 && teacher == 3) with(__nv_bfloat16{}, __nv_bfloat16{});
  else throw emulation::Error("this driver has no such mix of element types");
}

}  // namespace

extern "C" const char* forward(
    int64_t by_channels, int64_t packed, int64_t lanes, int64_t student_type, const void* student, int64_t teacher_type,
    const void* teacher, int64_t batch, int64_t channels, int64_t pixels, double eps, void* distance, void* statistics) {
  const kernels::Sizes sizes{batch, channels, pixels};
  const kernels::Strides strides = strides_of(by_channels, sizes);
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
      if (by_channels) {
        emulation::launch(divide_up(batch * pixels, kernels::kThreads / lanes), kernels::kThreads, 0,
                          kernels::forward_by_channels<S, T, kCount>, from_s, strides, from_t, strides, sizes, lanes, eps,
                          to, sums);
      } else {
        emulation::launch(batch * divide_up(pixels, gpu::kWarp * kCount), dim3(gpu::kWarp, kernels::kSlices),
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
  const kernels::Sizes sizes{batch, channels, pixels};
  const kernels::Strides strides = strides_of(by_channels, sizes), of_grad{pixels, 0, 1};
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
      if (by_channels) {
        emulation::launch(divide_up(batch * pixels, kernels::kThreads / lanes), kernels::kThreads, 0,
                          kernels::backward_by_channels<S, T, kCount>, from_grad, of_grad, from_s, strides, from_t,
                          strides, sums, sizes, lanes, eps, to, strides);
      } else {
        constexpr int kParts = 2;
        emulation::launch(dim3(batch * divide_up(pixels, gpu::kWarp * kCount), kParts),
                          dim3(gpu::kWarp, kernels::kSlices), 0, kernels::backward_by_pixels<S, T, kCount>, from_grad,
                          of_grad, from_s, strides, from_t, strides, sums, sizes, eps, to, strides);
      }
    });
  });
}
