#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <tuple>

#include "cosine_layout.h"
#include "kernels/gpu/cosine_loss.h"
#include "skt/cosine_loss_checks.h"
#include "skt/dispatch.h"
#include "skt/layout.h"
#include "skt/registration.h"

namespace skt {
namespace {

namespace kernels = gpu::cosine;

constexpr int64_t kEnoughBlocks = 512;
constexpr int64_t kSharedBytes = 34 << 10;  // at least two blocks share the 100 KiB of sm_86, 89 and 120

// The widest tile that fits with all its channels and still gives enough blocks for a whole GPU. A row of a tile, one
// channel, has at least a sector of 32 bytes. If not all channels fit, the tile holds as many as do.
template <class S, class T, int Count>
kernels::LossTile<S, T> tile_for(const Sizes& sizes, bool with_gradient) {
  constexpr int kFewest = Count == 1 ? 8 : 2;
  constexpr int64_t kPair = sizeof(S) + sizeof(T);
  const auto held = [&](int pixels) -> int64_t {
    const int64_t room = (kSharedBytes - kernels::LossTile<S, T>{pixels, 0}.bytes()) / (pixels * kPair);
    return with_gradient ? std::min(sizes.channels, room) : 0;
  };
  const auto blocks = [&](int pixels) { return sizes.batch * divide_up(sizes.pixels, int64_t{pixels}); };
  int pixels = gpu::kWarp * Count;
  while (pixels > kFewest * Count &&
         ((with_gradient && held(pixels) < sizes.channels) || blocks(pixels) < kEnoughBlocks)) {
    pixels /= 2;
  }
  return {pixels, static_cast<int>(held(pixels))};
}

// One partial sum for each block of the launch.
template <class A>
A* partials_for(const Tensor& student, const Launch& shape, Tensor& memory) {
  const ScalarType dtype = sizeof(A) == 8 ? ScalarType::Double : ScalarType::Float;
  memory = torch::stable::new_empty(student, {shape.blocks}, dtype);
  return memory.mutable_data_ptr<A>();
}

// What a launch writes: the distance of each pixel or, without per_pixel, their sum; the gradient, if it is not null.
struct Outputs {
  Tensor& loss;
  Tensor* gradient;
  bool per_pixel;
};

template <class S, class T>
void loss_and_gradient(const CudaDevice& device, const Tensor& student, const Tensor& teacher, double eps, double scale,
                       const Outputs& outputs) {
  using A = accumulator_t<S, T>;
  using G = kernels::gradient_t<S, T>;
  constexpr int kWidest = widest<S, T>();
  constexpr const char* op = "cosine_loss";
  Tensor* const gradient = outputs.gradient;
  const Sizes all = kernel_sizes(student);
  const Strides s = kernel_strides(student), t = kernel_strides(teacher),
                o = gradient ? kernel_strides(*gradient) : Strides{};
  const S* from_s = static_cast<const S*>(student.const_data_ptr());
  const T* from_t = static_cast<const T*>(teacher.const_data_ptr());
  G* to = gradient ? static_cast<G*>(gradient->mutable_data_ptr()) : nullptr;
  A* const loss = outputs.loss.mutable_data_ptr<A>();
  A* const distances = outputs.per_pixel ? loss : nullptr;
  Tensor memory;
  A* partials = nullptr;
  Launch shape;
  if (channels_adjacent(s, all) && channels_adjacent(t, all) && (!gradient || channels_adjacent(o, all))) {
    const bool packed = all.channels % kWidest == 0 && packs_of_channels<S, kWidest>(student, s) &&
                        packs_of_channels<T, kWidest>(teacher, t) &&
                        (!gradient || packs_of_channels<G, kWidest>(*gradient, o));
    visit_count<kWidest>(packed, [&](auto count) {
      constexpr int kCount = decltype(count)::value;
      const int lanes = lanes_for(all.channels, kCount);
      const Sizes sizes = kernels::in_blocks_of(kernels::kThreads / lanes, all);
      shape = {sizes.batch * sizes.blocks, 1, dim3(kernels::kThreads)};
      if (!distances) partials = partials_for<A>(student, shape, memory);
      launch(op, device, shape, kernels::loss_by_channels<S, T, kCount>, from_s, s, from_t, t, sizes, lanes, eps, scale,
             to, o, distances, partials);
    });
  } else {
    const bool packed = all.pixels % kWidest == 0 && packs_of_pixels<S, kWidest>(student, s) &&
                        packs_of_pixels<T, kWidest>(teacher, t) &&
                        (!gradient || packs_of_pixels<G, kWidest>(*gradient, o));
    visit_count<kWidest>(packed, [&](auto count) {
      constexpr int kCount = decltype(count)::value;
      const kernels::LossTile<S, T> tile = tile_for<S, T, kCount>(all, gradient != nullptr);
      const Sizes sizes = kernels::in_blocks_of(tile.pixels, all);
      shape = {sizes.batch * sizes.blocks, 1, dim3(kernels::kThreads), static_cast<size_t>(tile.bytes())};
      if (!distances) partials = partials_for<A>(student, shape, memory);
      launch(op, device, shape, kernels::loss_by_pixels<S, T, kCount>, from_s, s, from_t, t, sizes, tile, eps, scale,
             to, o, distances, partials);
    });
  }
  if (distances) return;
  const Launch one_block{1, 1, dim3(gpu::kSumThreads)};
  launch(op, device, one_block, gpu::sum_partials<A, A>, partials, shape.blocks, loss);
}

std::tuple<Tensor, Tensor> cosine_loss(const Tensor& student, const Tensor& teacher, double eps, double scale,
                                       bool with_gradient, bool per_pixel) {
  check_cosine_loss(student, teacher, eps, scale);
  const int64_t batch = student.size(0), height = student.size(2), width = student.size(3);
  const ScalarType accumulator = accumulator_of(student, teacher), dtype = gradient_dtype(student, accumulator);
  const CudaDevice device(student);
  const Prepared from = prepared(student, teacher);
  const std::vector<int64_t> shape = per_pixel ? std::vector<int64_t>{batch, height, width} : std::vector<int64_t>{};
  Tensor loss = torch::stable::new_empty(student, shape, accumulator);
  // As the kernels write it: in double where either operand is.
  const ScalarType written = gradient_dtype(from.student, accumulator);
  Tensor gradient = with_gradient ? empty_on_device_of(student, shape_of(student), written, memory_format_of(student))
                                  : torch::stable::new_empty(student, {0}, dtype);
  if (batch * height * width == 0) {
    torch::stable::zero_(loss);
  } else {
    visit_element_pair(from.student, from.teacher, [&](auto s, auto t) {
      loss_and_gradient<decltype(s), decltype(t)>(device, from.student, from.teacher, eps, scale,
                                                  {loss, with_gradient ? &gradient : nullptr, per_pixel});
    });
  }
  return {loss, torch::stable::to(gradient, dtype)};
}

template <class E>
void rescale(const CudaDevice& device, Tensor& gradient, const Tensor& grad, double scale) {
  using A = accumulator_t<E>;
  constexpr int kWidest = 16 / sizeof(E);
  const Tensor wide = torch::stable::to(grad, sizeof(A) == 8 ? ScalarType::Double : ScalarType::Float);
  E* data = static_cast<E*>(gradient.mutable_data_ptr());
  const int64_t count = gradient.numel();
  visit_count<kWidest>(reinterpret_cast<uintptr_t>(data) % 16 == 0, [&](auto width) {
    constexpr int kCount = decltype(width)::value;
    constexpr int64_t kMostBlocks = 2048;  // enough for a whole GPU, and few if there is nothing to do
    const Launch shape{std::min(divide_up(count, int64_t{kernels::kThreads} * kCount), kMostBlocks), 1,
                       dim3(kernels::kThreads)};
    launch("rescale_", device, shape, kernels::rescale<E, kCount>, data, count, wide.const_data_ptr<A>(), scale);
  });
}

void rescale_(Tensor& gradient, const Tensor& grad, double scale) {
  check_rescale(gradient, grad, scale);
  if (gradient.numel() == 0) return;
  const CudaDevice device(gradient);
  if (gradient.scalar_type() == ScalarType::Double) return rescale<double>(device, gradient, grad, scale);
  visit_element(gradient.scalar_type(), [&](auto e) { rescale<decltype(e)>(device, gradient, grad, scale); });
}

}  // namespace
}  // namespace skt

SKT_IMPLEMENT(SKT_GPU_KEY, m) {
  m.impl("cosine_loss", TORCH_BOX(&skt::cosine_loss));
  m.impl("rescale_", TORCH_BOX(&skt::rescale_));
}
