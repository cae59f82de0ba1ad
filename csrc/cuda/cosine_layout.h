// For the host code of the cosine loss: the layout of (N, C, H, W) tensors, and which kernel can take them.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <type_traits>

#include "kernels/gpu/cosine_loss.h"
#include "skt/check.h"
#include "skt/device/launch.h"
#include "skt/layout.h"

namespace skt {

using gpu::accumulator_t;
using gpu::cosine::Sizes;
using gpu::cosine::Strides;

inline Strides kernel_strides(const Tensor& tensor) {  // (N, C, H, W) with joined rows
  const int64_t pixel = tensor.size(3) > 1 ? tensor.stride(3) : tensor.stride(2);
  return {tensor.stride(0), tensor.stride(1), tensor.size(2) * tensor.size(3) > 1 ? pixel : 1};
}

inline Sizes kernel_sizes(const Tensor& student) {
  return {student.size(0), student.size(1), student.size(2) * student.size(3)};
}

// Whether every pack of Count neighbours is aligned to its own size.
template <class Element, int Count>
bool aligned(const Tensor& tensor, int64_t image, int64_t other) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(tensor.const_data_ptr());
  return address % alignof(gpu::Pack<Element, Count>) == 0 && image % Count == 0 && other % Count == 0;
}

template <class Element, int Count>
bool packs_of_pixels(const Tensor& tensor, const Strides& strides) {
  return strides.pixel == 1 && aligned<Element, Count>(tensor, strides.image, strides.channel);
}

template <class Element, int Count>
bool packs_of_channels(const Tensor& tensor, const Strides& strides) {
  return aligned<Element, Count>(tensor, strides.image, strides.pixel);
}

// The number of neighbours that fill 16 bytes in the larger element type.
template <class S, class T>
constexpr int widest() {
  return 16 / static_cast<int>(std::max(sizeof(S), sizeof(T)));
}

template <class Visit>
void visit_element(ScalarType dtype, Visit visit) {
  switch (dtype) {
    case ScalarType::Float: return visit(float{});
    case ScalarType::Half: return visit(__half{});
    case ScalarType::BFloat16: return visit(__nv_bfloat16{});
    default: fail("skt_ext: no CUDA kernel for dtype ", torch::headeronly::toString(dtype));
  }
}

// Calls visit(S{}, T{}) with the element types of two tensors that are `prepared`.
template <class Visit>
void visit_element_pair(const Tensor& student, const Tensor& teacher, Visit visit) {
  if (student.scalar_type() == ScalarType::Double) return visit(double{}, double{});
  visit_element(student.scalar_type(), [&](auto s) {
    using S = decltype(s);  // named here: g++ 12 sees another type in the lambda below
    visit_element(teacher.scalar_type(), [&](auto t) {
      using T = decltype(t);
      constexpr bool kTwoHalves = sizeof(S) == 2 && sizeof(T) == 2 && !std::is_same_v<S, T>;
      if constexpr (kTwoHalves)
        fail("skt_ext: no CUDA kernel for float16 with bfloat16: see prepared");
      else
        visit(S{}, T{});
    });
  });
}

// Student and teacher as the kernels take them. Two mixes are too rare for kernels of their own: double with anything
// else, where all becomes double, and float16 with bfloat16, where the teacher becomes float.
struct Prepared {
  Tensor student, teacher;
};

inline Prepared prepared(const Tensor& student, const Tensor& teacher) {
  const ScalarType s = student.scalar_type(), t = teacher.scalar_type();
  const auto as = [](const Tensor& tensor, ScalarType dtype) {
    return with_joined_rows(tensor.scalar_type() == dtype ? tensor : torch::stable::to(tensor, dtype));
  };
  if (s == ScalarType::Double || t == ScalarType::Double) {
    return {as(student, ScalarType::Double), as(teacher, ScalarType::Double)};
  }
  const bool two_halves = s != t && s != ScalarType::Float && t != ScalarType::Float;
  return {as(student, s), as(teacher, two_halves ? ScalarType::Float : t)};
}

// Lanes of a warp that share a pixel's channels: the fewest, as a power of two, that take them in one step.
inline int lanes_for(int64_t channels, int count) {
  int lanes = 1;
  while (lanes < gpu::kWarp && int64_t{lanes} * count < channels) lanes *= 2;
  return lanes;
}

inline bool channels_adjacent(const Strides& strides, const Sizes& sizes) {
  return strides.channel == 1 && sizes.channels > 1;
}

// Calls visit(integral_constant<int, Count>) with Count = Widest if `packed`, else 1.
template <int Widest, class Visit>
void visit_count(bool packed, Visit visit) {
  if (packed) {
    visit(std::integral_constant<int, Widest>{});
  } else {
    visit(std::integral_constant<int, 1>{});
  }
}

}  // namespace skt
