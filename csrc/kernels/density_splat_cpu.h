// Sum of truncated Gaussians on a map, on the CPU.
//
// A window is separable: one table of weights a person, computed in double and kept in float, is used for rows and columns
// alike. A thread owns a band of rows and adds the people to it in their order, so a pixel's sum has one order.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "simd.h"

namespace skt::density {

struct Map {
  int64_t height, width;
  const bool* roi;  // (height, width), or null for all of it
};

struct Person {
  int64_t row, column;              // the pixel the person stands in
  int64_t radius;                   // of the window, in pixels
  double sigma;
  int64_t table;                    // where this person's weights start
  double factor;                    // of the product of two weights
  int64_t top, bottom, left, right;  // window and map, ends excluded
};

// Weights are needed up to the far side of the map only.
inline int64_t reach(const Person& person, const Map& map) {
  return std::min(person.radius, std::max(map.height, map.width) - 1);
}

inline int64_t table_size(const Person& person, const Map& map) { return 2 * reach(person, map) + 1; }

// The middle of a person's table, so that middle[d] is the weight at distance d of either sign.
inline const float* middle(const Person& person, const Map& map, const float* tables) {
  return tables + person.table + reach(person, map);
}

namespace {

SKT_SIMD double masked_sum(const float* SKT_RESTRICT weight, const bool* SKT_RESTRICT inside, int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(weight[i]) * static_cast<double>(inside[i]);
  return sum;
}

// Adds rows [top, bottom) of a person's window; out is the pixel (top, left) of the map.
SKT_SIMD void add_window(
    const float* SKT_RESTRICT weights_of_rows, const float* SKT_RESTRICT weights_of_columns, double factor,
    int64_t rows, int64_t columns, int64_t width, float* SKT_RESTRICT out) {
  for (int64_t r = 0; r < rows; ++r) {
    const float weight = static_cast<float>(weights_of_rows[r] * factor);
    float* SKT_RESTRICT row = out + r * width;
    for (int64_t c = 0; c < columns; ++c) row[c] += weight * weights_of_columns[c];
  }
}

}  // namespace

// Fills the person's table and the factor that normalises the window: over all of it ("clip"), or over what of it lies
// on the map and in the ROI ("conserve").
inline void prepare(const Map& map, bool conserve, Person& person, float* tables) {
  const int64_t stored = reach(person, map);
  float* table = tables + person.table + stored;
  double sum = 1;
  table[0] = 1.0f;
  for (int64_t d = 1; d <= person.radius; ++d) {
    const double scaled = static_cast<double>(d) / person.sigma;
    const double weight = std::exp(-0.5 * scaled * scaled);
    sum += 2 * weight;
    if (d <= stored) table[d] = table[-d] = static_cast<float>(weight);
  }
  if (!conserve) {
    person.factor = 1 / (sum * sum);
    return;
  }
  const auto sum_of = [&](int64_t first, int64_t last) {
    double total = 0;
    for (int64_t d = first; d < last; ++d) total += table[d];
    return total;
  };
  double mass = 0;
  if (map.roi == nullptr) {
    mass = sum_of(person.top - person.row, person.bottom - person.row) *
           sum_of(person.left - person.column, person.right - person.column);
  } else {
    for (int64_t y = person.top; y < person.bottom; ++y) {
      mass += table[y - person.row] * masked_sum(table + (person.left - person.column),
                                                 map.roi + y * map.width + person.left, person.right - person.left);
    }
  }
  person.factor = 1 / mass;
}

// Rows that cut the map into `count` bands of about the same work; count + 1 numbers from 0 to height.
inline std::vector<int64_t> bands(const std::vector<Person>& people, const Map& map, int64_t count) {
  std::vector<int64_t> change(map.height + 1, 0);
  for (const Person& person : people) {
    change[person.top] += person.right - person.left;
    change[person.bottom] -= person.right - person.left;
  }
  std::vector<int64_t> work(map.height + 1, 0);  // before each row; a row costs its own pixels too
  int64_t row_work = map.width;
  for (int64_t y = 0; y < map.height; ++y) {
    row_work += change[y];
    work[y + 1] = work[y] + row_work;
  }
  std::vector<int64_t> starts;
  for (int64_t i = 0; i <= count; ++i) {
    const double share = static_cast<double>(work[map.height]) * static_cast<double>(i) / static_cast<double>(count);
    starts.push_back(std::lower_bound(work.begin(), work.end(), static_cast<int64_t>(share)) - work.begin());
  }
  starts.front() = 0;
  starts.back() = map.height;
  return starts;
}

// Rows [first, last) of the map, zero before; pixels outside the ROI stay zero.
inline void add_people(
    const std::vector<Person>& people, const float* tables, const Map& map, int64_t first, int64_t last, float* out) {
  for (const Person& person : people) {
    const int64_t top = std::max(person.top, first), bottom = std::min(person.bottom, last);
    if (top >= bottom) continue;
    const float* weights = middle(person, map, tables);
    add_window(weights + (top - person.row), weights + (person.left - person.column), person.factor, bottom - top,
               person.right - person.left, map.width, out + top * map.width + person.left);
  }
  if (map.roi == nullptr) return;
  for (int64_t i = first * map.width; i < last * map.width; ++i) out[i] = map.roi[i] ? out[i] : 0.0f;
}

}  // namespace skt::density
