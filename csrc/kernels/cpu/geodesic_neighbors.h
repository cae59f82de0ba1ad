// Geodesic distances to the nearest other people in an image, on the CPU: Dijkstra's algorithm from each person, until
// no one nearer can follow.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <utility>
#include <vector>

#include "step_costs.h"

namespace skt::geodesic {

// The people inside the image and its ROI, by pixel.
class PeopleByPixel {
 public:
  PeopleByPixel(const double* points, const std::vector<char>& inside, int64_t height, int64_t width)
      : width_(width), first_(height * width + 1, 0) {
    const auto people = static_cast<int64_t>(inside.size());
    for (int64_t i = 0; i < people; ++i) {
      if (inside[i]) ++first_[pixel_of(points + 2 * i) + 1];
    }
    for (size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
    people_.resize(first_.back());
    std::vector<int64_t> next(first_.begin(), first_.end() - 1);
    for (int64_t i = 0; i < people; ++i) {
      if (inside[i]) people_[next[pixel_of(points + 2 * i)]++] = i;
    }
  }

  int64_t pixel_of(const double* point) const {
    return static_cast<int64_t>(point[1]) * width_ + static_cast<int64_t>(point[0]);
  }
  const int64_t* begin(int64_t pixel) const { return people_.data() + first_[pixel]; }
  const int64_t* end(int64_t pixel) const { return people_.data() + first_[pixel + 1]; }

 private:
  int64_t width_;
  std::vector<int64_t> first_, people_;
};

class NeighborSearch {
 public:
  NeighborSearch(const StepCosts& costs, int64_t height, int64_t width, const double* points,
                 const PeopleByPixel& people)
      : costs_(costs),
        height_(height),
        width_(width),
        points_(points),
        people_(people),
        lengths_(height * width, kInfinity) {}

  // The `count` smallest distances from one person to others, rising; infinity where there are no more.
  void search(int64_t person, int64_t count, double* distances) {
    std::fill_n(distances, count, std::numeric_limits<double>::infinity());
    const double* origin = points_ + 2 * person;
    start_ = people_.pixel_of(origin);
    reach(start_, 0);
    while (!queue_.empty()) {
      const auto [length, pixel] = queue_.top();
      queue_.pop();
      if (length > lengths_[pixel]) continue;
      if (least_distance(length) > distances[count - 1]) break;
      for (const int64_t* other = people_.begin(pixel); other != people_.end(pixel); ++other) {
        if (*other != person) insert(distance(origin, points_ + 2 * *other, pixel, length), count, distances);
      }
      step_from(pixel, length);
    }
    for (const int64_t pixel : touched_) lengths_[pixel] = kInfinity;
    touched_.clear();
    queue_ = {};
  }

 private:
  using Entry = std::pair<float, int64_t>;

  // Between two people whose pixels are that far apart along a path: a straight line is at least 1 / 1.0824 of its
  // octile length, and two points may be nearer than the centres of their pixels.
  static double least_distance(float length) { return 0.9238 * static_cast<double>(length) - 1.4143; }

  double distance(const double* from, const double* to, int64_t pixel, float length) const {
    const int64_t across = std::abs(pixel % width_ - start_ % width_),
                  along = std::abs(pixel / width_ - start_ / width_);
    const double open = static_cast<double>(std::max(across, along)) +
                        (std::sqrt(2.0) - 1) * static_cast<double>(std::min(across, along));
    return std::hypot(to[0] - from[0], to[1] - from[1]) + std::max(0.0, static_cast<double>(length) - open);
  }

  static void insert(double value, int64_t count, double* sorted) {
    double* place = std::upper_bound(sorted, sorted + count, value);
    if (place == sorted + count) return;
    std::copy_backward(place, sorted + count - 1, sorted + count);
    *place = value;
  }

  void reach(int64_t pixel, float length) {
    if (!(length < lengths_[pixel])) return;
    if (lengths_[pixel] == kInfinity) touched_.push_back(pixel);
    lengths_[pixel] = length;
    queue_.emplace(length, pixel);
  }

  void step_from(int64_t pixel, float length) {
    const int64_t y = pixel / width_, x = pixel % width_;
    reach_by(pixel + 1, length + costs_.right(y)[x]);
    reach_by(pixel - 1, length + costs_.right(y)[x - 1]);
    reach_by(pixel + width_, length + costs_.down(y)[x]);
    reach_by(pixel + width_ + 1, length + costs_.down_right(y)[x]);
    reach_by(pixel + width_ - 1, length + costs_.down_left(y)[x]);
    if (y == 0) return;
    reach_by(pixel - width_, length + costs_.down(y - 1)[x]);
    reach_by(pixel - width_ - 1, length + costs_.down_right(y - 1)[x - 1]);
    reach_by(pixel - width_ + 1, length + costs_.down_left(y - 1)[x + 1]);
  }

  void reach_by(int64_t pixel, float length) {
    if (length < kInfinity) reach(pixel, length);  // steps out of the image cost infinity
  }

  const StepCosts& costs_;
  const int64_t height_, width_;
  const double* points_;
  const PeopleByPixel& people_;
  int64_t start_ = 0;
  std::vector<float> lengths_;  // infinity everywhere between two searches
  std::vector<int64_t> touched_;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> queue_;
};

}  // namespace skt::geodesic
