// Argument checks of density_splat and of what it shares with geodesic_splat, the same for every device.
#pragma once

#include <cmath>
#include <optional>

#include "check.h"

namespace skt {

// Coordinates are float32 in places, which represents every pixel up to here.
constexpr int64_t kMostPixels = int64_t{1} << 23;

inline void check_image_size(const Arguments& check, int64_t height, int64_t width) {
  check.require(height > 0 && width > 0 && height <= kMostPixels && width <= kMostPixels,
                "the image's (height, width) must be positive and at most 2^23; got ", list({height, width}));
}

// The arguments that all operators with a batch of maps share.
inline void check_density_maps(const Arguments& check, const Tensor& points, const Tensor& offsets, int64_t height,
                               int64_t width, int64_t stride, double truncate, const std::optional<Tensor>& roi) {
  check.rank("offsets", offsets, 1, "(B + 1,)");
  check.require(offsets.size(0) >= 1, "offsets must have shape (B + 1,); got (0,)");
  check.dtype("offsets", offsets, {ScalarType::Long});
  check.same_device("offsets", offsets, "points", points);
  check_image_size(check, height, width);
  check.require(stride > 0, "stride must be positive; got ", stride);
  check.require(std::isfinite(truncate) && truncate >= 0, "truncate must be finite and not negative; got ", truncate);
  if (roi.has_value()) {
    check.shape("roi", *roi, {offsets.size(0) - 1, height, width}, "(B, height, width)");
    check.dtype("roi", *roi, {ScalarType::Bool});
    check.same_device("roi", *roi, "points", points);
  }
}

inline void check_density_splat(const Tensor& points, const Tensor& sigma, const Tensor& offsets, int64_t height,
                                int64_t width, int64_t stride, double truncate, const std::optional<Tensor>& roi) {
  const Arguments check("density_splat");
  check.rank("points", points, 3, "(P, K, 2), [x, y] each");
  check.shape("points", points, {points.size(0), points.size(1), 2}, "(P, K, 2)");
  check.require(points.size(1) > 0, "points must have at least one kernel per person, (P, K, 2) with K > 0; got K = 0");
  check.shape("sigma", sigma, {points.size(0), points.size(1), 2}, "(P, K, 2)");
  check.dtype("points", points, {ScalarType::Double});
  check.dtype("sigma", sigma, {ScalarType::Double});
  check.same_device("sigma", sigma, "points", points);
  check_density_maps(check, points, offsets, height, width, stride, truncate, roi);
}

}  // namespace skt
