// From a tensor's dtype to the types of C++.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

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

}  // namespace skt
