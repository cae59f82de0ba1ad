// From a tensor's dtype to the types of C++.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include "kernels/cpu/feature_map.h"
#include "kernels/storage.h"
#include "check.h"

namespace skt {

inline Storage storage_of(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Double: return Storage::float64;
    case ScalarType::Float: return Storage::float32;
    case ScalarType::Half: return Storage::float16;
    case ScalarType::BFloat16: return Storage::bfloat16;
    default: fail("skt_ext: no storage for dtype ", torch::headeronly::toString(tensor.scalar_type()));
  }
}

// float64 as soon as one of the operands is float64, float32 otherwise.
template <class... Tensors>
ScalarType accumulator_of(const Tensors&... tensors) {
  return ((tensors.scalar_type() == ScalarType::Double) || ...) ? ScalarType::Double : ScalarType::Float;
}

// Calls visit(T{}) with T = double or float.
template <class Visit>
void visit_accumulator(ScalarType accumulator, Visit visit) {
  if (accumulator == ScalarType::Double) {
    visit(double{});
  } else {
    visit(float{});
  }
}

// Calls visit(Bits{}) with the unsigned integer as large as an element of the storage.
template <class Visit>
void visit_bits(Storage storage, Visit visit) {
  switch (bytes_of(storage)) {
    case 8: return visit(uint64_t{});
    case 4: return visit(uint32_t{});
    default: return visit(uint16_t{});
  }
}

inline FeatureMap feature_map(const Tensor& tensor) {  // (N, C, H, W)
  const int64_t width = tensor.size(3), stride_h = tensor.stride(2);
  // The stride of an axis of size 1 says nothing; this one makes the rows of a single column join.
  const int64_t stride_w = width == 1 ? stride_h : tensor.stride(3);
  return {const_cast<void*>(tensor.const_data_ptr()), storage_of(tensor), width,
          tensor.stride(0), tensor.stride(1), stride_h, stride_w};
}

}  // namespace skt
