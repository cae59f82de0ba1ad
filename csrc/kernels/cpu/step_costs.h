// What a step between neighbouring pixels costs: its length, plus `gain` times the change of the image.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>

#include "simd.h"

namespace skt::geodesic {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kDiagonal = 1.41421356f;

struct Picture {
  int64_t height, width, channels;
  const bool* roi;     // (height, width), or null for all of it
  const float* image;  // (channels, height, width), or null for a flat one
  float gain;          // pixels that a change of 1 is worth, in one channel
};

namespace {

// sum[i] += |first[i] - second[i]|
SKT_SIMD void add_change(const float* SKT_RESTRICT first, const float* SKT_RESTRICT second, int64_t count, float* SKT_RESTRICT sum) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) sum[i] += std::fabs(first[i] - second[i]);
}

// cost[i] = length + gain * cost[i]
SKT_SIMD void scale_change(float length, float gain, int64_t count, float* SKT_RESTRICT cost) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) cost[i] = length + gain * cost[i];
}

}  // namespace

// The costs of the four steps that lead to the right or down; the other four are their reverses. A step out of the image or of
// the ROI costs infinity, and so does a diagonal one that cuts a corner of the ROI. Columns -1 and width exist. Every row
// has to be set once.
class StepCosts {
 public:
  StepCosts(int64_t height, int64_t width)
      : pitch_(width + 2),
        right_(new float[height * pitch_]),
        down_(new float[height * pitch_]),
        down_right_(new float[height * pitch_]),
        down_left_(new float[height * pitch_]) {}

  // Sets the costs of the steps that start in rows [first, last).
  void set_rows(const Picture& picture, int64_t first, int64_t last) {
    const int64_t width = picture.width;
    for (float* costs : {right_.get(), down_.get(), down_right_.get(), down_left_.get()}) {
      std::fill(costs + first * pitch_, costs + last * pitch_, kInfinity);
    }
    for (int64_t y = first; y < last; ++y) {
      fill(picture, y, 0, 0, 1, width - 1, 1, right_.get());
      if (y + 1 == picture.height) continue;
      fill(picture, y, 0, 1, 0, width, 1, down_.get());
      fill(picture, y, 0, 1, 1, width - 1, kDiagonal, down_right_.get());
      fill(picture, y, 1, 1, -1, width - 1, kDiagonal, down_left_.get());
    }
  }

  // Row y of each; element x is the step that starts at (y, x).
  const float* right(int64_t y) const { return &right_[y * pitch_ + 1]; }
  const float* down(int64_t y) const { return &down_[y * pitch_ + 1]; }
  const float* down_right(int64_t y) const { return &down_right_[y * pitch_ + 1]; }
  const float* down_left(int64_t y) const { return &down_left_[y * pitch_ + 1]; }

 private:
  // The steps from (y, x) to (y + rows, x + columns), for `count` values of x from `first` on.
  void fill(
      const Picture& picture, int64_t y, int64_t first, int64_t rows, int64_t columns, int64_t count, float length,
      float* costs) const {
    if (count <= 0) return;
    float* cost = &costs[y * pitch_ + 1 + first];
    const int64_t from = y * picture.width + first, to = from + rows * picture.width + columns;
    std::fill_n(cost, count, 0.0f);
    if (picture.image != nullptr) {
      const int64_t pixels = picture.height * picture.width;
      for (int64_t c = 0; c < picture.channels; ++c) {
        add_change(picture.image + c * pixels + from, picture.image + c * pixels + to, count, cost);
      }
    }
    scale_change(length, picture.gain, count, cost);
    if (picture.roi == nullptr) return;
    const int64_t beside = from + columns, below = from + rows * picture.width;
    for (int64_t i = 0; i < count; ++i) {
      const bool* roi = picture.roi + i;
      if (!(roi[from] && roi[to] && roi[beside] && roi[below])) cost[i] = kInfinity;
    }
  }

  int64_t pitch_;
  std::unique_ptr<float[]> right_, down_, down_right_, down_left_;
};

}  // namespace skt::geodesic
