#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <vector>

#include "crowd.h"
#include "kernels/cpu/geodesic_splat.h"
#include "skt/geodesic_checks.h"
#include "skt/parallel.h"
#include "skt/registration.h"

namespace skt {
namespace {

using density::Maps;
using geodesic::Painter;
using geodesic::StepCosts;
using geodesic::Window;

constexpr int64_t kGroupCells = 1 << 19;  // 2 MiB of windows are held at a time

std::vector<Window> windows_on(const Maps& maps, const Tensor& points, const Tensor& sigma, const Tensor& offsets,
                               double truncate) {
  const Arguments check("geodesic_splat");
  const std::vector<int64_t> starts = checked_offsets(check, offsets, points.size(0));
  const double* xy = points.const_data_ptr<double>();
  const double* sigmas = sigma.const_data_ptr<double>();
  std::vector<Window> windows;
  windows.reserve(points.size(0));
  for (int64_t image = 0; image < maps.images; ++image) {
    const bool* roi = maps.roi == nullptr ? nullptr : maps.roi + image * maps.height * maps.width;
    for (int64_t i = starts[image]; i < starts[image + 1]; ++i) {
      const double x = xy[2 * i], y = xy[2 * i + 1];
      check_point(check, i, x, y);
      Window window{};
      window.radius = checked_radius(check, i, sigmas[i], truncate);
      if (!stands_inside(x, y, maps.height, maps.width, roi)) continue;
      window.row = static_cast<int64_t>(y);
      window.column = static_cast<int64_t>(x);
      window.sigma = sigmas[i];
      window.image = image;
      geodesic::place(maps, window);
      windows.push_back(window);
    }
  }
  return windows;
}

// Draws the windows: each thread takes the next one when it is free. Their cells do not overlap.
void paint(const std::vector<Window>& windows, const Maps& maps, bool conserve, const std::vector<StepCosts>& costs,
           bool flat, float* cells) {
  std::atomic<size_t> next{0};
  torch::stable::parallel_for(0, torch::stable::get_num_threads(), 1, [&](int64_t, int64_t) {
    Painter painter(maps, conserve, costs, flat);
    for (size_t i = next++; i < windows.size(); i = next++) painter.paint(windows[i], cells + windows[i].cells);
  });
}

Tensor geodesic_splat(const Tensor& points, const Tensor& sigma, const Tensor& offsets, int64_t height, int64_t width,
                      int64_t stride, double truncate, bool conserve, std::optional<Tensor> roi,
                      std::optional<Tensor> image, double weight, double gain) {
  check_geodesic_splat(points, sigma, offsets, height, width, stride, truncate, roi, image, weight, gain);
  if (roi.has_value()) roi = torch::stable::contiguous(*roi);
  if (image.has_value()) image = torch::stable::contiguous(*image);
  const bool* inside = roi.has_value() ? roi->const_data_ptr<bool>() : nullptr;
  const float* values = image.has_value() && weight > 0 ? image->const_data_ptr<float>() : nullptr;
  const Maps maps{offsets.size(0) - 1, height, width, stride, inside};
  Tensor out = torch::stable::new_zeros(points, {maps.images, maps.rows(), maps.columns()}, ScalarType::Float);
  const std::vector<Window> windows =
      windows_on(maps, torch::stable::contiguous(points), torch::stable::contiguous(sigma),
                 torch::stable::contiguous(offsets), truncate);
  if (windows.empty()) return out;

  const int64_t pixels = height * width, channels = image.has_value() ? image->size(1) : 0;
  const bool flat = values == nullptr;
  std::vector<StepCosts> costs;
  costs.reserve(maps.images);
  for (int64_t i = 0; i < maps.images && !(flat && inside == nullptr); ++i) {
    const geodesic::Terrain terrain{height,
                                    width,
                                    channels,
                                    inside == nullptr ? nullptr : inside + i * pixels,
                                    flat ? nullptr : values + i * channels * pixels,
                                    geodesic::pixels_per_change(weight, gain)};
    costs.emplace_back(height, width);
    parallel_over(height, 4 * width, [&](int64_t first, int64_t last) { costs.back().set_rows(terrain, first, last); });
  }

  float* map = out.mutable_data_ptr<float>();
  std::vector<float> cells;
  for (size_t start = 0; start < windows.size();) {
    std::vector<Window> group;
    int64_t size = 0;
    for (; start < windows.size() && (group.empty() || size + windows[start].size() <= kGroupCells); ++start) {
      group.push_back(windows[start]);
      group.back().cells = size;
      size += group.back().size();
    }
    if (static_cast<int64_t>(cells.size()) < size) cells.resize(size);
    paint(group, maps, conserve, costs, flat, cells.data());
    const int64_t rows = maps.images * maps.rows();
    const int64_t count = std::min<int64_t>(torch::stable::get_num_threads(), rows);
    const std::vector<int64_t> starts = density::bands(group, rows, maps.columns(), count);
    torch::stable::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
      geodesic::add_windows(group, cells.data(), maps, starts[first], starts[last], map);
    });
  }
  return out;
}

}  // namespace
}  // namespace skt

SKT_IMPLEMENT(CPU, m) { m.impl("geodesic_splat", TORCH_BOX(&skt::geodesic_splat)); }
