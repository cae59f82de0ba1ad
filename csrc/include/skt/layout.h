// How (N, C, H, W) tensors lie in memory.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/MemoryFormat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "check.h"

namespace skt {

using torch::headeronly::MemoryFormat;

// channels_last for a dense channels_last tensor that is not contiguous too, contiguous for all others.
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

inline std::vector<int64_t> strides_of(const Tensor& tensor) {
  const auto strides = tensor.strides();
  return {strides.begin(), strides.end()};
}

// Whether the elements of a tensor are all the elements of one piece of memory, each once, in any order of the axes.
inline bool is_dense(const Tensor& tensor) {
  if (tensor.numel() == 0) return true;
  std::vector<std::pair<int64_t, int64_t>> axes;  // stride and size
  for (int64_t axis = 0; axis < tensor.dim(); ++axis) {
    if (tensor.size(axis) > 1) axes.emplace_back(tensor.stride(axis), tensor.size(axis));
  }
  std::sort(axes.begin(), axes.end());
  int64_t expected = 1;
  for (const auto& [stride, size] : axes) {
    if (stride != expected) return false;
    expected *= size;
  }
  return true;
}

// The same tensor if the rows of an image join, otherwise (a crop) a copy.
inline Tensor with_joined_rows(const Tensor& tensor) {  // (N, C, H, W)
  const bool joined =
      tensor.size(2) <= 1 || tensor.size(3) <= 1 || tensor.stride(2) == tensor.size(3) * tensor.stride(3);
  return joined ? tensor : torch::stable::contiguous(tensor);
}

inline Tensor empty_on_device_of(const Tensor& tensor, const std::vector<int64_t>& sizes, ScalarType dtype,
                                 MemoryFormat format = MemoryFormat::Contiguous) {
  return torch::stable::empty(sizes, dtype, std::nullopt, tensor.device(), std::nullopt, format);
}

}  // namespace skt
