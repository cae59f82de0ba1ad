#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "../kernels/density_splat_cpu.h"
#include "skt/density_splat_checks.h"
#include "skt/parallel.h"

namespace skt {
namespace {

using density::Map;
using density::Person;

constexpr double kLargestRadius = 1 << 20;  // pixels; the table of weights is as long

// Those who stand on the map and in the ROI, in their order, with their tables laid out one after another.
std::vector<Person> people_on(const Map& map, const Tensor& points, const Tensor& sigma, double truncate) {
  const Arguments check("density_splat");
  const double* xy = points.const_data_ptr<double>();
  const double* widths = sigma.const_data_ptr<double>();
  std::vector<Person> people;
  people.reserve(points.size(0));
  int64_t table = 0;
  for (int64_t i = 0; i < points.size(0); ++i) {
    const double x = xy[2 * i], y = xy[2 * i + 1], radius = std::floor(truncate * widths[i] + 0.5);
    check.require(std::isfinite(x) && std::isfinite(y), "points must be finite; point ", i, " is (", x, ", ", y, ")");
    check.require(widths[i] > 0 && std::isfinite(widths[i]), "sigma must be positive and finite; sigma ", i, " is ",
                  widths[i]);
    check.require(radius <= kLargestRadius, "sigma * truncate must be at most ", kLargestRadius, " pixels; sigma ", i,
                  " is ", widths[i]);
    if (!(x >= 0 && y >= 0 && x < static_cast<double>(map.width) && y < static_cast<double>(map.height))) continue;
    Person person{};
    person.row = static_cast<int64_t>(y);
    person.column = static_cast<int64_t>(x);
    if (map.roi != nullptr && !map.roi[person.row * map.width + person.column]) continue;
    person.radius = static_cast<int64_t>(radius);
    person.sigma = widths[i];
    person.top = std::max<int64_t>(person.row - person.radius, 0);
    person.bottom = std::min(person.row + person.radius + 1, map.height);
    person.left = std::max<int64_t>(person.column - person.radius, 0);
    person.right = std::min(person.column + person.radius + 1, map.width);
    person.table = table;
    table += density::table_size(person, map);
    people.push_back(person);
  }
  return people;
}

Tensor density_splat(
    const Tensor& points, const Tensor& sigma, int64_t height, int64_t width, double truncate, bool conserve,
    std::optional<Tensor> roi) {
  check_density_splat(points, sigma, height, width, truncate, roi);
  const Tensor dense_points = torch::stable::contiguous(points), dense_sigma = torch::stable::contiguous(sigma);
  if (roi.has_value()) roi = torch::stable::contiguous(*roi);
  const Map map{height, width, roi.has_value() ? roi->const_data_ptr<bool>() : nullptr};
  Tensor out = torch::stable::new_zeros(points, {height, width}, ScalarType::Float);

  std::vector<Person> people = people_on(map, dense_points, dense_sigma, truncate);
  if (people.empty()) return out;
  std::vector<float> tables(people.back().table + density::table_size(people.back(), map));
  parallel_over(static_cast<int64_t>(people.size()), 1024, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) density::prepare(map, conserve, people[i], tables.data());
  });
  const int64_t count = std::min<int64_t>(torch::stable::get_num_threads(), height);
  const std::vector<int64_t> starts = density::bands(people, map, count);
  float* pixels = out.mutable_data_ptr<float>();
  torch::stable::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
    density::add_people(people, tables.data(), map, starts[first], starts[last], pixels);
  });
  return out;
}

}  // namespace
}  // namespace skt

STABLE_TORCH_LIBRARY_IMPL(skt_ext, CPU, m) { m.impl("density_splat", TORCH_BOX(&skt::density_splat)); }
