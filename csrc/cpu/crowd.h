// Checks of the values of points and sigmas, which must be read for that, on the CPU.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "skt/check.h"

namespace skt {

constexpr double kLargestRadius = 1 << 20;  // pixels; a table of weights is as long

inline void check_point(const Arguments& check, int64_t index, double x, double y) {
  check.require(std::isfinite(x) && std::isfinite(y), "points must be finite; point ", index, " is (", x, ", ", y, ")");
}

// The radius of a kernel, in pixels.
inline int64_t checked_radius(const Arguments& check, int64_t index, double sigma, double truncate) {
  check.require(sigma > 0 && std::isfinite(sigma), "sigma must be positive and finite; sigma ", index, " is ", sigma);
  const double radius = std::floor(truncate * sigma + 0.5);
  check.require(radius <= kLargestRadius, "sigma * truncate must be at most ", kLargestRadius, " pixels; sigma ", index,
                " is ", sigma);
  return static_cast<int64_t>(radius);
}

// offsets (B + 1): 0, ..., P, never decreasing.
inline std::vector<int64_t> checked_offsets(const Arguments& check, const Tensor& offsets, int64_t people) {
  const int64_t* values = offsets.const_data_ptr<int64_t>();
  std::vector<int64_t> result(values, values + offsets.size(0));
  check.require(result.front() == 0 && result.back() == people, "offsets must start at 0 and end at P = ", people,
                "; got ", list(result));
  for (size_t i = 1; i < result.size(); ++i) {
    check.require(result[i - 1] <= result[i], "offsets must not decrease; got ", list(result));
  }
  return result;
}

// Whether (x, y) is a pixel of the image (height, width) and inside its ROI, if there is one.
inline bool stands_inside(double x, double y, int64_t height, int64_t width, const bool* roi) {
  if (!(x >= 0 && y >= 0 && x < static_cast<double>(width) && y < static_cast<double>(height))) return false;
  return roi == nullptr || roi[static_cast<int64_t>(y) * width + static_cast<int64_t>(x)];
}

}  // namespace skt
