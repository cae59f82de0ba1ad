#include "geodesic_splat.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "exp.h"
#include "simd.h"

namespace skt::geodesic {
namespace {

// weight[i] = exp(rate D^2) for pixels in a row, of which the first is dx to the right of the person and all are dy (>=
// 0) above or below; lengths are those of the shortest paths. Returns the sum.
SKT_SIMD double weigh_row(const float* SKT_RESTRICT lengths, float dx, float dy, float rate, int32_t count,
                          float* SKT_RESTRICT weight) {
#pragma omp simd
  for (int32_t i = 0; i < count; ++i) {
    const float across = std::fabs(dx + static_cast<float>(i));
    const float straight = std::sqrt(across * across + dy * dy);
    const float longer = across < dy ? dy : across, shorter = across < dy ? across : dy;
    const float detour = lengths[i] - (longer + (kDiagonal - 1.0f) * shorter);
    const float distance = straight + (detour > 0.0f ? detour : 0.0f);
    weight[i] = exp_negative(rate * (distance * distance));
  }
  return sum_in_double(weight, count);
}

SKT_SIMD double weigh_open_row(float dx, float dy, float rate, int32_t count, float* SKT_RESTRICT weight) {
#pragma omp simd
  for (int32_t i = 0; i < count; ++i) {
    const float across = dx + static_cast<float>(i);
    weight[i] = exp_negative(rate * (across * across + dy * dy));
  }
  return sum_in_double(weight, count);
}

SKT_SIMD void scale_row(const float* SKT_RESTRICT weight, float factor, int64_t count, float* SKT_RESTRICT out) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = factor * weight[i];
}

SKT_SIMD void add_row(const float* SKT_RESTRICT weight, int64_t count, float* SKT_RESTRICT out) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] += weight[i];
}

// Paths longer than this end at a distance of more than 6 sigma, and beyond the window's corner: less than 2e-8 of the
// kernel's height. A straight line is at least 0.9239 of its octile length, so D >= 0.9239 of the path's length.
float longest_path(const Window& window) {
  const double farthest = std::max(6 * window.sigma, std::sqrt(2.0) * static_cast<double>(window.radius));
  return static_cast<float>(farthest / 0.9238 + 1);
}

}  // namespace

void place(const Maps& maps, Window& window) {
  window.top = std::max<int64_t>(window.row - window.radius, 0);
  window.bottom = std::min(window.row + window.radius + 1, maps.height);
  window.left = std::max<int64_t>(window.column - window.radius, 0);
  window.right = std::min(window.column + window.radius + 1, maps.width);
  const int64_t above = window.image * maps.rows();
  window.first_row = above + window.top / maps.stride;
  window.last_row = above + (window.bottom - 1) / maps.stride + 1;
  window.first_column = window.left / maps.stride;
  window.columns = (window.right - 1) / maps.stride + 1 - window.first_column;
}

void Painter::paint(const Window& window, float* cells) {
  const auto columns = static_cast<int32_t>(window.right - window.left);
  const float rate = static_cast<float>(std::max(-0.5 / (window.sigma * window.sigma), -1e30));
  const float dx = static_cast<float>(window.left - window.column);
  const bool open = flat_ && is_open(window);
  if (!open) {
    solver_.solve(costs_[window.image], window.row, window.column, window.top, window.bottom, window.left, window.right,
                  longest_path(window));
  }
  weights_.resize((window.bottom - window.top) * columns);
  double sum = 0;
  for (int64_t y = window.top; y < window.bottom; ++y) {
    const float dy = static_cast<float>(std::abs(y - window.row));
    float* weight = &weights_[(y - window.top) * columns];
    sum += open ? weigh_open_row(dx, dy, rate, columns, weight)
                : weigh_row(solver_.row(y - window.top), dx, dy, rate, columns, weight);
  }
  const float factor = static_cast<float>(1 / (conserve_ ? sum : whole_sum(window)));
  if (maps_.stride > 1) std::fill_n(cells, window.size(), 0.0f);
  for (int64_t y = window.top; y < window.bottom; ++y) {
    const float* weight = &weights_[(y - window.top) * columns];
    float* row = cells + (window.image * maps_.rows() + y / maps_.stride - window.first_row) * window.columns;
    if (maps_.stride == 1) {
      scale_row(weight, factor, columns, row);
      continue;
    }
    for (int64_t x = window.left; x < window.right; ++x) {
      row[x / maps_.stride - window.first_column] += factor * weight[x - window.left];
    }
  }
}

bool Painter::is_open(const Window& window) const {
  if (maps_.roi == nullptr) return true;
  const bool* roi = maps_.roi + window.image * maps_.height * maps_.width;
  for (int64_t y = window.top; y < window.bottom; ++y) {
    if (std::memchr(roi + y * maps_.width + window.left, 0, window.right - window.left) != nullptr) return false;
  }
  return true;
}

// The sum of the ordinary Gaussian over the whole window.
double Painter::whole_sum(const Window& window) {
  profile_.compute(0.5, window.radius, window.sigma, 0, 0, true);
  return profile_.whole * profile_.whole;
}

void add_windows(const std::vector<Window>& windows, const float* cells, const Maps& maps, int64_t first, int64_t last,
                 float* out) {
  for (const Window& window : windows) {
    for (int64_t row = std::max(window.first_row, first); row < std::min(window.last_row, last); ++row) {
      add_row(cells + window.cells + (row - window.first_row) * window.columns, window.columns,
              out + row * maps.columns() + window.first_column);
    }
  }
}

}  // namespace skt::geodesic
