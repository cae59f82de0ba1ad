#include "step_costs.h"

#include <algorithm>
#include <cmath>

#include "simd.h"

namespace skt::geodesic {
namespace {

// sum[i] += |first[i] - second[i]|
SKT_SIMD void add_change(const float* SKT_RESTRICT first, const float* SKT_RESTRICT second, int64_t count,
                         float* SKT_RESTRICT sum) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) sum[i] += std::fabs(first[i] - second[i]);
}

// cost[i] = length + gain * cost[i]
SKT_SIMD void scale_change(float length, float gain, int64_t count, float* SKT_RESTRICT cost) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) cost[i] = length + gain * cost[i];
}

}  // namespace

void StepCosts::set_rows(const Terrain& terrain, int64_t first, int64_t last) {
  const int64_t width = terrain.width;
  for (float* costs : {right_.get(), down_.get(), down_right_.get(), down_left_.get()}) {
    std::fill(costs + first * pitch_, costs + last * pitch_, kInfinity);
  }
  for (int64_t y = first; y < last; ++y) {
    fill(terrain, y, 0, 0, 1, width - 1, 1, right_.get());
    if (y + 1 == terrain.height) continue;
    fill(terrain, y, 0, 1, 0, width, 1, down_.get());
    fill(terrain, y, 0, 1, 1, width - 1, kDiagonal, down_right_.get());
    fill(terrain, y, 1, 1, -1, width - 1, kDiagonal, down_left_.get());
  }
}

void StepCosts::fill(const Terrain& terrain, int64_t y, int64_t first, int64_t rows, int64_t columns, int64_t count,
                     float length, float* costs) const {
  if (count <= 0) return;
  float* cost = &costs[y * pitch_ + 1 + first];
  const int64_t from = y * terrain.width + first, to = from + rows * terrain.width + columns;
  std::fill_n(cost, count, 0.0f);
  if (terrain.image != nullptr) {
    const int64_t pixels = terrain.height * terrain.width;
    for (int64_t c = 0; c < terrain.channels; ++c) {
      add_change(terrain.image + c * pixels + from, terrain.image + c * pixels + to, count, cost);
    }
  }
  scale_change(length, terrain.gain, count, cost);
  if (terrain.roi == nullptr) return;
  const int64_t beside = from + columns, below = from + rows * terrain.width;
  for (int64_t i = 0; i < count; ++i) {
    const bool* roi = terrain.roi + i;
    if (!(roi[from] && roi[to] && roi[beside] && roi[below])) cost[i] = kInfinity;
  }
}

}  // namespace skt::geodesic
