// Cosine loss with its gradient, by either arrangement of threads, and the change of the gradient's scale.
#include "cosine.h"
#include "kernels/cosine_loss_gpu.h"

#include <vector>

// gradient may be null. tile and held: of loss_by_pixels; lanes: of loss_by_channels.
extern "C" const char* loss(
    int64_t by_channels, int64_t packed, int64_t lanes, int64_t held, int64_t student_type, const void* student,
    int64_t teacher_type, const void* teacher, int64_t batch, int64_t channels, int64_t pixels, double eps, double scale,
    void* loss, void* gradient) {
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
      S* to = static_cast<S*>(gradient);
      const kernels::LossTile<S, T> tile{static_cast<int>(lanes * kCount), static_cast<int>(held)};
      const kernels::Sizes sizes = kernels::in_blocks_of(by_channels ? kernels::kThreads / lanes : tile.pixels, all);
      const int64_t blocks = batch * sizes.blocks;
      std::vector<A> partials(blocks);
      if (by_channels) {
        emulation::launch(blocks, kernels::kThreads, 0, kernels::loss_by_channels<S, T, kCount>, from_s, strides, from_t,
                          strides, sizes, lanes, eps, scale, to, strides, partials.data());
      } else {
        emulation::launch(blocks, kernels::kThreads, tile.bytes(), kernels::loss_by_pixels<S, T, kCount>, from_s, strides,
                          from_t, strides, sizes, tile, eps, scale, to, strides, partials.data());
      }
      emulation::launch(1, kernels::kSumThreads, 0, kernels::sum_partials<A>, partials.data(), blocks,
                        static_cast<A*>(loss));
    });
  });
}

extern "C" const char* rescale(
    int64_t element, int64_t packed, int64_t blocks, void* data, int64_t count, const void* grad, double scale) {
  return emulation::guarded([&] {
    emulation::visit_element(element, [&](auto e) {
      using E = decltype(e);
      using A = gpu::accumulator_t<E>;
      const auto with = [&](auto kernel) {
        emulation::launch(blocks, kernels::kThreads, 0, kernel, static_cast<E*>(data), count, static_cast<const A*>(grad),
                          scale);
      };
      if (packed) with(kernels::rescale<E, 16 / sizeof(E)>);
      else with(kernels::rescale<E, 1>);
    });
  });
}
