// Memory formats of (N, C, H, W) tensors.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/MemoryFormat.h>

#include <vector>

#include "check.h"

namespace skt {

using torch::headeronly::MemoryFormat;

// channels_last for a dense channels_last tensor that is not contiguous as well, contiguous for all others.
inline MemoryFormat memory_format_of(const Tensor& tensor) {
  if (tensor.is_contiguous()) return MemoryFormat::Contiguous;
  int64_t expected = 1;
  for (const int64_t axis : {1, 3, 2, 0}) {
    if (tensor.size(axis) == 1) continue;
    if (tensor.stride(axis) != expected) return MemoryFormat::Contiguous;
    expected *= tensor.size(axis);
  }
  return MemoryFormat::ChannelsLast;
}

inline Tensor empty_on_device_of(
    const Tensor& tensor, const std::vector<int64_t>& sizes, ScalarType dtype,
    MemoryFormat format = MemoryFormat::Contiguous) {
  return torch::stable::empty(sizes, dtype, std::nullopt, tensor.device(), std::nullopt, format);
}

}  // namespace skt
