#include "density_splat.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "exp.h"
#include "simd.h"

namespace skt::density {
namespace {

constexpr int64_t kLanes = 16;    // columns that are added at a time
constexpr double kFar = 1 << 23;  // pixels; no kernel reaches that far

// out[i] = exp(rate (d^2 - nearest^2)) for the pixels that are first + i pixels from the nearest one, d = nearest +
// first + i; returns their sum. The difference of squares is written as a product, which has no cancellation: it is
// exactly 0 at the nearest pixel and never below, however large the rate.
SKT_SIMD double gaussian(int32_t first, float nearest, float rate, int32_t count, float* SKT_RESTRICT out) {
#pragma omp simd
  for (int32_t i = 0; i < count; ++i) {
    const float apart = static_cast<float>(first + i);
    out[i] = exp_negative(rate * (apart * (apart + 2.0f * nearest)));
  }
  return sum_in_double(out, count);
}

SKT_SIMD double masked_sum(const float* SKT_RESTRICT weight, const bool* SKT_RESTRICT inside, int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(weight[i]) * static_cast<double>(inside[i]);
  return sum;
}

// out (rows, columns) += outer product of the two tables.
SKT_SIMD void add_product(const float* SKT_RESTRICT row_weight, const float* SKT_RESTRICT column_weight, int64_t rows,
                          int64_t columns, int64_t pitch, float* SKT_RESTRICT out) {
  for (int64_t r = 0; r < rows; ++r, out += pitch) {
    const float weight = row_weight[r];
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) {
#pragma omp simd
      for (int64_t lane = 0; lane < kLanes; ++lane) out[c + lane] += weight * column_weight[c + lane];
    }
    for (; c < columns; ++c) out[c] += weight * column_weight[c];
  }
}

// The sums of cells: table[i] = factor * sum of the weights of the pixels of cell first_cell + i.
void sum_cells(const float* weights, int64_t first_pixel, int64_t last_pixel, int64_t stride, int64_t first_cell,
               double factor, int64_t cells, float* table) {
  if (stride == 1) {
    std::fill_n(table, cells, 0.0f);
    for (int64_t pixel = first_pixel; pixel < last_pixel; ++pixel) {
      table[pixel - first_cell] = static_cast<float>(factor * weights[pixel - first_pixel]);
    }
    return;
  }
  for (int64_t i = 0; i < cells; ++i) {
    const int64_t begin = std::max((first_cell + i) * stride, first_pixel);
    const int64_t end = std::min((first_cell + i + 1) * stride, last_pixel);
    float sum = 0;
    for (int64_t pixel = begin; pixel < end; ++pixel) sum += weights[pixel - first_pixel];
    table[i] = static_cast<float>(factor * sum);
  }
}

// Adds the pixels in the ROI of a kernel with tables in pixels to the rows [first, last) of cells.
void add_masked(const Maps& maps, const Kernel& kernel, const float* tables, int64_t first, int64_t last, float* out) {
  const bool* inside = maps.roi + kernel.image * maps.height * maps.width;
  const int64_t above = kernel.image * maps.rows();
  for (int64_t y = kernel.top; y < kernel.bottom; ++y) {
    const int64_t row = above + y / maps.stride;
    if (row < first || row >= last) continue;
    const float weight = tables[kernel.row_table + y - kernel.top];
    float* cells = out + row * maps.columns();
    for (int64_t x = kernel.left; x < kernel.right; ++x) {
      if (inside[y * maps.width + x]) cells[x / maps.stride] += weight * tables[kernel.column_table + x - kernel.left];
    }
  }
}

}  // namespace

int64_t place(const Maps& maps, Kernel& kernel, int64_t table) {
  kernel.x = std::clamp(kernel.x, -kFar, kFar);
  kernel.y = std::clamp(kernel.y, -kFar, kFar);
  const int64_t row = static_cast<int64_t>(std::floor(kernel.y)), column = static_cast<int64_t>(std::floor(kernel.x));
  kernel.top = std::clamp<int64_t>(row - kernel.radius_y, 0, maps.height);
  kernel.bottom = std::clamp<int64_t>(row + kernel.radius_y + 1, kernel.top, maps.height);
  kernel.left = std::clamp<int64_t>(column - kernel.radius_x, 0, maps.width);
  kernel.right = std::clamp<int64_t>(column + kernel.radius_x + 1, kernel.left, maps.width);
  const bool empty = kernel.top == kernel.bottom || kernel.left == kernel.right;
  if (empty) kernel.bottom = kernel.top, kernel.right = kernel.left;

  kernel.masked = false;
  if (maps.roi != nullptr && maps.stride > 1) {
    const bool* inside = maps.roi + kernel.image * maps.height * maps.width;
    for (int64_t y = kernel.top; y < kernel.bottom && !kernel.masked; ++y) {
      kernel.masked = std::memchr(inside + y * maps.width + kernel.left, 0, kernel.right - kernel.left) != nullptr;
    }
  }

  const int64_t above = kernel.image * maps.rows();
  kernel.first_row = above + kernel.top / maps.stride;
  kernel.last_row = empty ? kernel.first_row : above + (kernel.bottom - 1) / maps.stride + 1;
  kernel.first_column = kernel.left / maps.stride;
  kernel.columns = empty ? 0 : (kernel.right - 1) / maps.stride + 1 - kernel.first_column;
  const int64_t padded = divide_up(kernel.columns, kLanes) * kLanes;
  if (!kernel.masked && padded <= maps.columns()) {
    kernel.first_column = std::min(kernel.first_column, maps.columns() - padded);
    kernel.columns = padded;
  }
  kernel.row_table = table;
  kernel.column_table = table + (kernel.masked ? kernel.bottom - kernel.top : kernel.last_row - kernel.first_row);
  return kernel.column_table + (kernel.masked ? kernel.right - kernel.left : kernel.columns);
}

void Profile::compute(double middle, int64_t radius, double sigma, int64_t first, int64_t last, bool with_whole) {
  const int64_t pixel = static_cast<int64_t>(std::floor(middle));
  const int64_t from = with_whole ? pixel - radius : first, to = with_whole ? pixel + radius + 1 : last;
  if (static_cast<int64_t>(computed_.size()) < to - from) computed_.resize(to - from);
  const float nearest = static_cast<float>(static_cast<double>(pixel) + 0.5 - middle);
  const float rate = static_cast<float>(std::max(-0.5 / (sigma * sigma), -1e30));
  whole =
      gaussian(static_cast<int32_t>(from - pixel), nearest, rate, static_cast<int32_t>(to - from), computed_.data());
  // A window outside the map may be anywhere.
  weights = computed_.data() + (first < last ? first - from : 0);
  on_map = with_whole ? sum_in_double(weights, last - first) : whole;
}

void PersonTables::fill(const Kernel* kernels, int64_t count, float* tables) {
  double person = 0;
  if (static_cast<int64_t>(rows_.size()) < count) rows_.resize(count), columns_.resize(count);
  const bool with_whole = !conserve_ || count > 1;
  for (int64_t i = 0; i < count; ++i) {
    const Kernel& kernel = kernels[i];
    rows_[i].compute(kernel.y, kernel.radius_y, kernel.sigma_y, kernel.top, kernel.bottom, with_whole);
    columns_[i].compute(kernel.x, kernel.radius_x, kernel.sigma_x, kernel.left, kernel.right, with_whole);
    const double whole = with_whole ? rows_[i].whole * columns_[i].whole : 1;
    person += conserve_ ? mass(kernel, rows_[i], columns_[i]) / whole : 1;
  }
  for (int64_t i = 0; i < count; ++i) {
    const double whole = with_whole ? rows_[i].whole * columns_[i].whole : 1;
    store(kernels[i], rows_[i].weights, columns_[i].weights, 1 / (whole * person), tables);
  }
}

double PersonTables::mass(const Kernel& kernel, const Profile& rows, const Profile& columns) const {
  if (maps_.roi == nullptr) return rows.on_map * columns.on_map;
  const bool* inside = maps_.roi + kernel.image * maps_.height * maps_.width;
  double total = 0;
  for (int64_t y = kernel.top; y < kernel.bottom; ++y) {
    total += static_cast<double>(rows.weights[y - kernel.top]) *
             masked_sum(columns.weights, inside + y * maps_.width + kernel.left, kernel.right - kernel.left);
  }
  return total;
}

void PersonTables::store(const Kernel& kernel, const float* rows, const float* columns, double factor,
                         float* tables) const {
  float* row_table = tables + kernel.row_table;
  float* column_table = tables + kernel.column_table;
  if (kernel.masked) {
    for (int64_t i = 0; i < kernel.bottom - kernel.top; ++i) row_table[i] = static_cast<float>(factor * rows[i]);
    std::copy_n(columns, kernel.right - kernel.left, column_table);
    return;
  }
  const int64_t first_row = kernel.first_row - kernel.image * maps_.rows();
  sum_cells(rows, kernel.top, kernel.bottom, maps_.stride, first_row, factor, kernel.last_row - kernel.first_row,
            row_table);
  sum_cells(columns, kernel.left, kernel.right, maps_.stride, kernel.first_column, 1, kernel.columns, column_table);
}

void fill_band(const std::vector<Kernel>& kernels, const std::vector<int64_t>& order, const float* tables,
               const Maps& maps, int64_t first, int64_t last, float* out) {
  const int64_t columns = maps.columns();
  int64_t ready =
      first;  // rows before this one are set to zero: shortly before they are added to, while they are in the cache
  const auto prepare = [&](int64_t row) {
    if (row > ready) std::fill(out + ready * columns, out + row * columns, 0.0f);
    ready = std::max(ready, row);
  };
  for (const int64_t index : order) {
    const Kernel& kernel = kernels[index];
    if (kernel.first_row >= last) break;
    prepare(std::min(kernel.last_row, last));
    if (kernel.masked) {
      add_masked(maps, kernel, tables, first, last, out);
      continue;
    }
    const int64_t top = std::max(kernel.first_row, first), bottom = std::min(kernel.last_row, last);
    if (top >= bottom) continue;
    add_product(tables + kernel.row_table + (top - kernel.first_row), tables + kernel.column_table, bottom - top,
                kernel.columns, columns, out + top * columns + kernel.first_column);
  }
  prepare(last);
  if (maps.roi == nullptr || maps.stride > 1) return;
  for (int64_t i = first * columns; i < last * columns; ++i) out[i] = maps.roi[i] ? out[i] : 0.0f;
}

}  // namespace skt::density
