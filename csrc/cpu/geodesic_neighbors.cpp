#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <optional>
#include <vector>

#include "crowd.h"
#include "kernels/cpu/geodesic_neighbors.h"
#include "skt/geodesic_checks.h"
#include "skt/parallel.h"
#include "skt/registration.h"

namespace skt {
namespace {

Tensor geodesic_neighbors(const Tensor& points, int64_t neighbors, int64_t height, int64_t width,
                          std::optional<Tensor> roi, std::optional<Tensor> image, double weight, double gain) {
  check_geodesic_neighbors(points, neighbors, height, width, roi, image, weight, gain);
  const Arguments check("geodesic_neighbors");
  const Tensor dense = torch::stable::contiguous(points);
  if (roi.has_value()) roi = torch::stable::contiguous(*roi);
  if (image.has_value()) image = torch::stable::contiguous(*image);
  const bool* region = roi.has_value() ? roi->const_data_ptr<bool>() : nullptr;
  const int64_t people = points.size(0);
  const double* xy = dense.const_data_ptr<double>();
  std::vector<char> inside(people);
  for (int64_t i = 0; i < people; ++i) {
    check_point(check, i, xy[2 * i], xy[2 * i + 1]);
    inside[i] = stands_inside(xy[2 * i], xy[2 * i + 1], height, width, region);
  }

  Tensor out = torch::stable::new_empty(points, {people, neighbors});
  double* distances = out.mutable_data_ptr<double>();
  const geodesic::Terrain terrain{height,
                                  width,
                                  image.has_value() ? image->size(1) : 0,
                                  region,
                                  image.has_value() && weight > 0 ? image->const_data_ptr<float>() : nullptr,
                                  geodesic::pixels_per_change(weight, gain)};
  geodesic::StepCosts costs(height, width);
  parallel_over(height, 4 * width, [&](int64_t first, int64_t last) { costs.set_rows(terrain, first, last); });
  const geodesic::PeopleByPixel by_pixel(xy, inside, height, width);
  std::atomic<int64_t> next{0};  // a free thread takes the next person
  torch::stable::parallel_for(0, torch::stable::get_num_threads(), 1, [&](int64_t, int64_t) {
    geodesic::NeighborSearch search(costs, height, width, xy, by_pixel);
    for (int64_t i = next++; i < people; i = next++) {
      if (inside[i]) {
        search.search(i, neighbors, distances + i * neighbors);
      } else {
        std::fill_n(distances + i * neighbors, neighbors, std::numeric_limits<double>::infinity());
      }
    }
  });
  return out;
}

}  // namespace
}  // namespace skt

SKT_IMPLEMENT(CPU, m) { m.impl("geodesic_neighbors", TORCH_BOX(&skt::geodesic_neighbors)); }
