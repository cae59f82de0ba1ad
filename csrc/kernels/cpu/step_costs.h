// The cost of a step between neighbouring pixels: its length, plus `gain` times the change of the image.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>

namespace skt::geodesic {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kDiagonal = 1.41421356f;

// What a change of 1 is worth in pixels: gain * weight / (1 - weight), as a finite float.
inline float pixels_per_change(double weight, double gain) {
  return static_cast<float>(std::min<double>(gain * weight / (1 - weight), std::numeric_limits<float>::max()));
}

struct Terrain {
  int64_t height, width, channels;
  const bool* roi;     // (height, width), or null for all of it
  const float* image;  // (channels, height, width), or null for a flat one
  float gain;          // in pixels, of a change of 1 in one channel
};

// The costs of the four steps that lead to the right or down; the other four are their reverses. A step out of the
// image or of the ROI costs infinity, and so does a diagonal step that cuts a corner of the ROI. Columns -1 and width
// exist. Every row must be set once.
class StepCosts {
 public:
  StepCosts(int64_t height, int64_t width)
      : pitch_(width + 2),
        right_(new float[height * pitch_]),
        down_(new float[height * pitch_]),
        down_right_(new float[height * pitch_]),
        down_left_(new float[height * pitch_]) {}

  // Sets the costs of the steps that start in rows [first, last).
  void set_rows(const Terrain& terrain, int64_t first, int64_t last);

  // Row y of each; element x is the step that starts at (y, x).
  const float* right(int64_t y) const { return &right_[y * pitch_ + 1]; }
  const float* down(int64_t y) const { return &down_[y * pitch_ + 1]; }
  const float* down_right(int64_t y) const { return &down_right_[y * pitch_ + 1]; }
  const float* down_left(int64_t y) const { return &down_left_[y * pitch_ + 1]; }

 private:
  // The steps from (y, x) to (y + rows, x + columns), for `count` values of x from `first` on.
  void fill(const Terrain& terrain, int64_t y, int64_t first, int64_t rows, int64_t columns, int64_t count,
            float length, float* costs) const;

  int64_t pitch_;
  std::unique_ptr<float[]> right_, down_, down_right_, down_left_;
};

}  // namespace skt::geodesic
