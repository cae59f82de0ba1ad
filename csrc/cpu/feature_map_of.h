// Tensors as the CPU kernels take them.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include "kernels/cpu/feature_map.h"
#include "skt/dispatch.h"

namespace skt {

// Calls visit(Bits{}) with the unsigned integer as large as an element of the storage.
template <class Visit>
void visit_bits(Storage storage, Visit visit) {
  switch (bytes_of(storage)) {
    case 8: return visit(uint64_t{});
    case 4: return visit(uint32_t{});
    default: return visit(uint16_t{});
  }
}

inline FeatureMap feature_map_of(const Tensor& tensor) {  // (N, C, H, W)
  const int64_t width = tensor.size(3), stride_h = tensor.stride(2);
  // The stride of an axis of size 1 says nothing; this one makes the rows of a single column join.
  const int64_t stride_w = width == 1 ? stride_h : tensor.stride(3);
  return {const_cast<void*>(tensor.const_data_ptr()),
          storage_of(tensor),
          width,
          tensor.stride(0),
          tensor.stride(1),
          stride_h,
          stride_w};
}

}  // namespace skt
