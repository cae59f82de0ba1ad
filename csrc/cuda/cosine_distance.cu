#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <tuple>

#include "cosine_layout.h"
#include "skt/cosine_distance_checks.h"
#include "skt/layout.h"

namespace skt {
namespace {

namespace kernels = gpu::cosine;

Launch launch_of(const Sizes& sizes, dim3 threads) { return {sizes.batch * sizes.blocks, 1, threads}; }

// A small map has too few pixels to fill a GPU: its channels are divided among blocks as well.
int64_t parts_for(const Sizes& sizes, int64_t blocks) {
  constexpr int64_t kEnoughBlocks = 2048;
  return std::clamp<int64_t>(kEnoughBlocks / std::max<int64_t>(blocks, 1), 1, divide_up(sizes.channels, kernels::kSlices));
}

template <class S, class T>
void forward(
    const CudaDevice& device, const Tensor& student, const Tensor& teacher, double eps, Tensor& distance,
    Tensor& statistics) {
  using A = accumulator_t<S, T>;
  constexpr int kWidest = widest<S, T>();
  constexpr const char* op = "cosine_distance";
  const Sizes all = sizes_of(student);
  const Strides s = strides_of(student), t = strides_of(teacher);
  const S* from_s = static_cast<const S*>(student.const_data_ptr());
  const T* from_t = static_cast<const T*>(teacher.const_data_ptr());
  A* to = distance.mutable_data_ptr<A>();
  A* sums = statistics.mutable_data_ptr<A>();
  if (channels_adjacent(s, all) && channels_adjacent(t, all)) {
    const bool packed = all.channels % kWidest == 0 && packs_of_channels<S, kWidest>(student, s) &&
                        packs_of_channels<T, kWidest>(teacher, t);
    visit_count<kWidest>(packed, [&](auto count) {
      constexpr int kCount = decltype(count)::value;
      const int lanes = lanes_for(all.channels, kCount);
      const Sizes sizes = kernels::in_blocks_of(kernels::kThreads / lanes, all);
      launch(op, device, launch_of(sizes, dim3(kernels::kThreads)), kernels::forward_by_channels<S, T, kCount>, from_s, s, from_t,
             t, sizes, lanes, eps, to, sums);
    });
  } else {
    const bool packed = all.pixels % kWidest == 0 && packs_of_pixels<S, kWidest>(student, s) &&
                        packs_of_pixels<T, kWidest>(teacher, t);
    visit_count<kWidest>(packed, [&](auto count) {
      constexpr int kCount = decltype(count)::value;
      const Sizes sizes = kernels::in_blocks_of(gpu::kWarp * kCount, all);
      Launch shape = launch_of(sizes, dim3(gpu::kWarp, kernels::kSlices));
      shape.shared = kernels::shared_bytes<A, kCount>();
      launch(op, device, shape, kernels::forward_by_pixels<S, T, kCount>, from_s, s, from_t, t, sizes, eps, to, sums);
    });
  }
}

template <class S, class T>
void backward(
    const CudaDevice& device, const Tensor& grad, const Tensor& student, const Tensor& teacher, const Tensor& statistics,
    double eps, Tensor& out) {
  using A = accumulator_t<S, T>;
  constexpr int kWidest = widest<S, T>();
  constexpr const char* op = "cosine_distance_backward";
  const Sizes all = sizes_of(student);
  const Strides g = strides_of(grad), s = strides_of(student), t = strides_of(teacher), o = strides_of(out);
  const A* from_g = grad.const_data_ptr<A>();
  const S* from_s = static_cast<const S*>(student.const_data_ptr());
  const T* from_t = static_cast<const T*>(teacher.const_data_ptr());
  const A* sums = statistics.const_data_ptr<A>();
  S* to = static_cast<S*>(out.mutable_data_ptr());
  if (channels_adjacent(s, all) && channels_adjacent(t, all) && channels_adjacent(o, all)) {
    const bool packed = all.channels % kWidest == 0 && packs_of_channels<S, kWidest>(student, s) &&
                        packs_of_channels<T, kWidest>(teacher, t) && packs_of_channels<S, kWidest>(out, o);
    visit_count<kWidest>(packed, [&](auto count) {
      constexpr int kCount = decltype(count)::value;
      const int lanes = lanes_for(all.channels, kCount);
      const Sizes sizes = kernels::in_blocks_of(kernels::kThreads / lanes, all);
      launch(op, device, launch_of(sizes, dim3(kernels::kThreads)), kernels::backward_by_channels<S, T, kCount>, from_g, g, from_s,
             s, from_t, t, sums, sizes, lanes, eps, to, o);
    });
  } else {
    const bool packed = all.pixels % kWidest == 0 && packs_of_pixels<S, kWidest>(student, s) &&
                        packs_of_pixels<T, kWidest>(teacher, t) && packs_of_pixels<S, kWidest>(out, o);
    visit_count<kWidest>(packed, [&](auto count) {
      constexpr int kCount = decltype(count)::value;
      const Sizes sizes = kernels::in_blocks_of(gpu::kWarp * kCount, all);
      Launch shape = launch_of(sizes, dim3(gpu::kWarp, kernels::kSlices));
      shape.parts = parts_for(sizes, shape.blocks);
      launch(op, device, shape, kernels::backward_by_pixels<S, T, kCount>, from_g, g, from_s, s, from_t, t, sums, sizes,
             eps, to, o);
    });
  }
}

std::tuple<Tensor, Tensor> cosine_distance(const Tensor& student, const Tensor& teacher, double eps) {
  check_cosine_distance(student, teacher, eps);
  const int64_t batch = student.size(0), height = student.size(2), width = student.size(3);
  const ScalarType accumulator = accumulator_of(student, teacher);
  Tensor distance = torch::stable::new_empty(student, {batch, height, width}, accumulator);
  Tensor statistics = torch::stable::new_empty(student, {batch, 3, height, width}, accumulator);
  if (distance.numel() == 0) return {distance, statistics};

  const CudaDevice device(student);
  const Prepared from = prepared(student, teacher);
  visit_element_pair(from.student, from.teacher, [&](auto s, auto t) {
    forward<decltype(s), decltype(t)>(device, from.student, from.teacher, eps, distance, statistics);
  });
  return {distance, statistics};
}

Tensor cosine_distance_backward(
    const Tensor& grad, const Tensor& student, const Tensor& teacher, const Tensor& statistics, double eps) {
  check_cosine_distance_backward(grad, student, teacher, statistics, eps);
  const CudaDevice device(student);
  const Prepared from = prepared(student, teacher);
  const Tensor from_grad = with_joined_rows(torch::stable::unsqueeze(grad, 1));
  const Tensor sums = torch::stable::contiguous(statistics);
  Tensor out =
      empty_on_device_of(student, shape_of(student), from.student.scalar_type(), memory_format_of(student));
  if (out.numel() != 0) {
    visit_element_pair(from.student, from.teacher, [&](auto s, auto t) {
      backward<decltype(s), decltype(t)>(device, from_grad, from.student, from.teacher, sums, eps, out);
    });
  }
  return torch::stable::to(out, student.scalar_type());
}

}  // namespace
}  // namespace skt

STABLE_TORCH_LIBRARY_IMPL(skt_ext, SKT_GPU_KEY, m) {
  m.impl("cosine_distance", TORCH_BOX(&skt::cosine_distance));
  m.impl("cosine_distance_backward", TORCH_BOX(&skt::cosine_distance_backward));
}
