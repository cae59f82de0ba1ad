// Argument checks of density_splat, the same for every device.
#pragma once

#include <cmath>
#include <optional>

#include "check.h"

namespace skt {

inline void check_density_splat(
    const Tensor& points, const Tensor& sigma, int64_t height, int64_t width, double truncate,
    const std::optional<Tensor>& roi) {
  const Arguments check("density_splat");
  check.rank("points", points, 2, "(P, 2), [x, y] each");
  check.shape("points", points, {points.size(0), 2}, "(P, 2)");
  check.shape("sigma", sigma, {points.size(0)}, "(P,)");
  check.dtype("points", points, {ScalarType::Double});
  check.dtype("sigma", sigma, {ScalarType::Double});
  check.same_device("sigma", sigma, "points", points);
  check.require(height > 0 && width > 0, "the map's (height, width) must be positive; got ", list({height, width}));
  check.require(std::isfinite(truncate) && truncate >= 0, "truncate must be finite and not negative; got ", truncate);
  if (roi.has_value()) {
    check.shape("roi", *roi, {height, width}, "(height, width)");
    check.dtype("roi", *roi, {ScalarType::Bool});
    check.same_device("roi", *roi, "points", points);
  }
}

}  // namespace skt
