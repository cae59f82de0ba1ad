// Argument checks of the geodesic operators, the same for every device.
#pragma once

#include <cmath>
#include <optional>

#include "check.h"
#include "density_splat_checks.h"

namespace skt {

inline void check_geodesic_costs(const Arguments& check, const Tensor& points, int64_t images, int64_t height,
                                 int64_t width, const std::optional<Tensor>& image, double weight, double gain) {
  check.require(weight >= 0 && weight < 1, "weight must be in [0, 1); got ", weight);
  check.require(std::isfinite(gain) && gain >= 0, "gain must be finite and not negative; got ", gain);
  if (!image.has_value()) return;
  check.rank("image", *image, 4, "(B, C, height, width)");
  check.shape("image", *image, {images, image->size(1), height, width}, "(B, C, height, width)");
  check.dtype("image", *image, {ScalarType::Float});
  check.same_device("image", *image, "points", points);
}

inline void check_geodesic_splat(const Tensor& points, const Tensor& sigma, const Tensor& offsets, int64_t height,
                                 int64_t width, int64_t stride, double truncate, const std::optional<Tensor>& roi,
                                 const std::optional<Tensor>& image, double weight, double gain) {
  const Arguments check("geodesic_splat");
  check.rank("points", points, 2, "(P, 2), [x, y] each");
  check.shape("points", points, {points.size(0), 2}, "(P, 2)");
  check.shape("sigma", sigma, {points.size(0)}, "(P,)");
  check.dtype("points", points, {ScalarType::Double});
  check.dtype("sigma", sigma, {ScalarType::Double});
  check.same_device("sigma", sigma, "points", points);
  check_density_maps(check, points, offsets, height, width, stride, truncate, roi);
  check_geodesic_costs(check, points, offsets.size(0) - 1, height, width, image, weight, gain);
}

inline void check_geodesic_neighbors(const Tensor& points, int64_t neighbors, int64_t height, int64_t width,
                                     const std::optional<Tensor>& roi, const std::optional<Tensor>& image,
                                     double weight, double gain) {
  const Arguments check("geodesic_neighbors");
  check.rank("points", points, 2, "(P, 2), [x, y] each");
  check.shape("points", points, {points.size(0), 2}, "(P, 2)");
  check.dtype("points", points, {ScalarType::Double});
  check.require(neighbors > 0, "neighbors must be positive; got ", neighbors);
  check_image_size(check, height, width);
  if (roi.has_value()) {
    check.shape("roi", *roi, {1, height, width}, "(1, height, width)");
    check.dtype("roi", *roi, {ScalarType::Bool});
    check.same_device("roi", *roi, "points", points);
  }
  check_geodesic_costs(check, points, 1, height, width, image, weight, gain);
}

}  // namespace skt
