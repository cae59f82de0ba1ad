#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <vector>

#include "crowd.h"
#include "kernels/cpu/density_splat.h"
#include "skt/density_splat_checks.h"
#include "skt/parallel.h"
#include "skt/registration.h"

namespace skt {
namespace {

using density::Kernel;
using density::Maps;

struct Crowd {
  std::vector<Kernel> kernels;  // of the people inside their image and its ROI, in order
  int64_t table_size = 0;
};

Crowd crowd_on(const Maps& maps, const Tensor& points, const Tensor& sigma, const Tensor& offsets, double truncate,
               bool subpixel) {
  const Arguments check("density_splat");
  const int64_t people = points.size(0), parts = points.size(1);
  const std::vector<int64_t> starts = checked_offsets(check, offsets, people);
  const double* xy = points.const_data_ptr<double>();
  const double* sigmas = sigma.const_data_ptr<double>();
  Crowd crowd;
  crowd.kernels.reserve(people * parts);
  for (int64_t image = 0; image < maps.images; ++image) {
    const bool* roi = maps.roi == nullptr ? nullptr : maps.roi + image * maps.height * maps.width;
    for (int64_t person = starts[image]; person < starts[image + 1]; ++person) {
      const bool counted =
          stands_inside(xy[2 * person * parts], xy[2 * person * parts + 1], maps.height, maps.width, roi);
      for (int64_t i = person * parts; i < (person + 1) * parts; ++i) {
        check_point(check, person, xy[2 * i], xy[2 * i + 1]);
        Kernel kernel{};
        kernel.radius_x = checked_radius(check, person, sigmas[2 * i], truncate);
        kernel.radius_y = checked_radius(check, person, sigmas[2 * i + 1], truncate);
        if (!counted) continue;
        kernel.x = subpixel ? xy[2 * i] : std::floor(xy[2 * i]) + 0.5;
        kernel.y = subpixel ? xy[2 * i + 1] : std::floor(xy[2 * i + 1]) + 0.5;
        kernel.sigma_x = sigmas[2 * i];
        kernel.sigma_y = sigmas[2 * i + 1];
        kernel.image = image;
        crowd.table_size = density::place(maps, kernel, crowd.table_size);
        crowd.kernels.push_back(kernel);
      }
    }
  }
  return crowd;
}

Tensor density_splat(const Tensor& points, const Tensor& sigma, const Tensor& offsets, int64_t height, int64_t width,
                     int64_t stride, double truncate, bool conserve, bool subpixel, std::optional<Tensor> roi) {
  check_density_splat(points, sigma, offsets, height, width, stride, truncate, roi);
  if (roi.has_value()) roi = torch::stable::contiguous(*roi);
  const Maps maps{offsets.size(0) - 1, height, width, stride, roi.has_value() ? roi->const_data_ptr<bool>() : nullptr};
  Tensor out = torch::stable::new_empty(points, {maps.images, maps.rows(), maps.columns()}, ScalarType::Float);
  const Crowd crowd = crowd_on(maps, torch::stable::contiguous(points), torch::stable::contiguous(sigma),
                               torch::stable::contiguous(offsets), truncate, subpixel);

  const int64_t parts = points.size(1), people = static_cast<int64_t>(crowd.kernels.size()) / parts;
  const std::unique_ptr<float[]> tables(new float[crowd.table_size]);  // not initialised
  parallel_over(people, 1024, [&](int64_t first, int64_t last) {
    density::PersonTables person(maps, conserve);
    for (int64_t i = first; i < last; ++i) person.fill(&crowd.kernels[i * parts], parts, tables.get());
  });

  const int64_t rows = maps.images * maps.rows();
  if (rows == 0) return out;
  const int64_t count = std::min<int64_t>(torch::stable::get_num_threads(), rows);
  const std::vector<int64_t> order = density::order_by_row(crowd.kernels, rows);
  const std::vector<int64_t> starts = density::bands(crowd.kernels, rows, maps.columns(), count);
  float* cells = out.mutable_data_ptr<float>();
  torch::stable::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
    density::fill_band(crowd.kernels, order, tables.get(), maps, starts[first], starts[last], cells);
  });
  return out;
}

}  // namespace
}  // namespace skt

SKT_IMPLEMENT(CPU, m) { m.impl("density_splat", TORCH_BOX(&skt::density_splat)); }
