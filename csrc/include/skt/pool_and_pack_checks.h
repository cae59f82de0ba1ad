// Argument checks of pool_and_pack, the same for every device.
#pragma once

#include <vector>

#include "check.h"
#include "dispatch.h"
#include "kernels/divide_up.h"

namespace skt {

// Sizes that all features share once they are pooled.
struct PackedSizes {
  int64_t batch, channels, height, width;
};

inline ScalarType accumulator_of(const std::vector<Tensor>& tensors) {
  for (const Tensor& tensor : tensors) {
    if (tensor.scalar_type() == ScalarType::Double) return ScalarType::Double;
  }
  return ScalarType::Float;
}

inline PackedSizes check_pooled_features(const Arguments& check, const std::vector<Tensor>& features,
                                         const std::vector<int64_t>& kernels) {
  check.require(!features.empty(), "features must hold at least one tensor; got none");
  check.require(kernels.size() == 2 * features.size(), "kernels must hold kernel_h and kernel_w of each of the ",
                features.size(), " features; got ", list(kernels));
  PackedSizes sizes{features[0].size(0), 0, 0, 0};
  for (size_t i = 0; i < features.size(); ++i) {
    const std::string name = "features[" + std::to_string(i) + "]";
    const Tensor& feature = features[i];
    check.rank(name.c_str(), feature, 4, "(N, C, H, W)");
    check.floating(name.c_str(), feature);
    check.same_device(name.c_str(), feature, "features[0]", features[0]);
    check.require(feature.size(0) == sizes.batch, name, " must have the N of features[0], ", sizes.batch, "; got ",
                  list(shape_of(feature)));
    check.require(feature.size(1) > 0 && feature.size(2) > 0 && feature.size(3) > 0, name,
                  " must have C, H and W of at least 1; got ", list(shape_of(feature)));
    const int64_t kernel_h = kernels[2 * i], kernel_w = kernels[2 * i + 1];
    check.require(kernel_h > 0 && kernel_w > 0 && kernel_h <= 256 && kernel_w <= 256 && kernel_h * kernel_w <= 256,
                  "kernels must be positive and of at most 256 cells each; got ", list(kernels));
    check.countable(name.c_str(), feature, shape_of(feature));
    const int64_t height = divide_up(feature.size(2), kernel_h), width = divide_up(feature.size(3), kernel_w);
    if (i == 0) {
      sizes.height = height;
      sizes.width = width;
    }
    check.require(height == sizes.height && width == sizes.width, name, " must be pooled to the size of features[0], ",
                  list({sizes.height, sizes.width}), "; got ", list({height, width}));
    check.require(!__builtin_add_overflow(sizes.channels, feature.size(1), &sizes.channels) &&
                      product_of({sizes.channels, height, width}) >= 0,
                  "features have too many channels together");
  }
  return sizes;
}

inline PackedSizes check_pool_and_pack(const std::vector<Tensor>& features, const std::vector<int64_t>& kernels) {
  return check_pooled_features(Arguments("pool_and_pack"), features, kernels);
}

// An inverse_deviation with one axis, an empty tensor, means that the features were not normalised.
inline bool is_normalized(const Tensor& inverse_deviation) { return inverse_deviation.dim() == 2; }

inline PackedSizes check_pool_and_pack_backward(const Tensor& grad, const Tensor& packed, const Tensor& argmax,
                                                const Tensor& inverse_deviation, const std::vector<Tensor>& features,
                                                const std::vector<int64_t>& kernels) {
  const Arguments check("pool_and_pack_backward");
  const PackedSizes sizes = check_pooled_features(check, features, kernels);
  const std::vector<int64_t> shape{sizes.batch, sizes.channels, sizes.height * sizes.width};
  const ScalarType accumulator = accumulator_of(features);
  check.shape("grad", grad, shape, "(N, C, P)");
  check.shape("packed", packed, shape, "(N, C, P)");
  check.shape("argmax", argmax, shape, "(N, C, P)");
  check.dtype("grad", grad, {accumulator});
  check.dtype("packed", packed, {accumulator});
  check.dtype("argmax", argmax, {ScalarType::Byte});
  check.dtype("inverse_deviation", inverse_deviation, {accumulator});
  if (is_normalized(inverse_deviation)) {
    check.shape("inverse_deviation", inverse_deviation, {sizes.batch, sizes.channels}, "(N, C)");
  } else {
    check.shape("inverse_deviation", inverse_deviation, {0}, "(N, C), or (0,)");
  }
  check.same_device("grad", grad, "features[0]", features[0]);
  check.same_device("packed", packed, "features[0]", features[0]);
  check.same_device("argmax", argmax, "features[0]", features[0]);
  check.same_device("inverse_deviation", inverse_deviation, "features[0]", features[0]);
  return sizes;
}

}  // namespace skt
