// From tensors to what the pooling kernels of the GPU read.
#pragma once

#include "../../kernels/max_pool_gpu.h"
#include "dispatch.h"
#include "layout.h"

namespace skt {

// map (N, C, H, W), any strides; pooled (N, C, h, w) or (N, C, h * w), dense, its channels adjacent or its positions.
// winner: bytes with the strides of pooled, or null.
inline gpu::max_pool::Feature pooled_feature(
    const Tensor& map, int64_t kernel_h, int64_t kernel_w, const Tensor& pooled, uint8_t* winner,
    bool accumulates_double) {
  const FeatureMap from = feature_map(map);
  gpu::max_pool::Feature feature{};
  feature.map = {from.data, from.storage, from.stride_n, from.stride_c, from.stride_h, from.stride_w};
  feature.channels = static_cast<int>(map.size(1));
  feature.height = static_cast<int>(map.size(2));
  feature.width = static_cast<int>(map.size(3));
  feature.kernel_h = static_cast<int>(kernel_h);
  feature.kernel_w = static_cast<int>(kernel_w);
  const int64_t channels = pooled.size(1), positions = int64_t{feature.out_height()} * feature.out_width();
  const bool channels_adjacent = pooled.dim() == 4 && memory_format_of(pooled) == MemoryFormat::ChannelsLast;
  feature.pooled = {const_cast<void*>(pooled.const_data_ptr()), storage_of(pooled), winner, channels * positions,
                    channels_adjacent ? 1 : positions, channels_adjacent ? channels : 1};
  gpu::max_pool::plan(feature, map.size(0), accumulates_double);
  return feature;
}

}  // namespace skt
