// Sum of truncated Gaussians on the maps of a batch, on the CPU.
//
// A kernel is separable: it has one table of weights for its rows and one for its columns, in cells of stride x stride
// pixels, so that a coarse map needs no fine one. The maps of a batch lie below each other in memory and are treated as
// one map. Each thread owns a band of its rows and adds the kernels in a fixed order, so the order of every cell's sum
// is fixed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../divide_up.h"

namespace skt::density {

struct Maps {
  int64_t images, height, width;  // in pixels
  int64_t stride;                 // pixels along a cell's side
  const bool* roi;                // (images, height, width), or null for all of it

  int64_t rows() const { return divide_up(height, stride); }  // of cells in one image
  int64_t columns() const { return divide_up(width, stride); }
};

// One truncated Gaussian: a person, or a part of one.
struct Kernel {
  double x, y;  // its centre, in pixels; the centre of a pixel is at + 0.5
  double sigma_x, sigma_y;
  int64_t radius_x, radius_y;  // of the window, in pixels
  int64_t image;
  int64_t top, bottom, left, right;  // of the window inside the image, in pixels, ends excluded
  bool masked;                       // the tables are in pixels, because the ROI cuts through cells of the window
  int64_t first_row, last_row;       // of cells, counted through the batch
  int64_t first_column, columns;     // of the table in cells; zeros may surround the window
  int64_t row_table, column_table;   // where they start
};

// Clips the window to the image and places the kernel's tables at `table`; returns where they end.
int64_t place(const Maps& maps, Kernel& kernel, int64_t table);

// Weights of the pixels [first, last) along one axis, their sum, and, with_whole, the sum over the whole window.
// Weights are relative to that of the nearest pixel, which would underflow to 0 for a narrow kernel between two pixels.
class Profile {
 public:
  const float* weights = nullptr;
  double on_map = 0, whole = 0;

  void compute(double middle, int64_t radius, double sigma, int64_t first, int64_t last, bool with_whole);

 private:
  std::vector<float> computed_;
};

// Fills the tables of one person's kernels, which all have the same mass over their whole windows. Without `conserve`
// that is all; with it, they are divided by the person's mass inside the map and the ROI.
class PersonTables {
 public:
  PersonTables(const Maps& maps, bool conserve) : maps_(maps), conserve_(conserve) {}

  void fill(const Kernel* kernels, int64_t count, float* tables);

 private:
  double mass(const Kernel& kernel, const Profile& rows, const Profile& columns) const;
  void store(const Kernel& kernel, const float* rows, const float* columns, double factor, float* tables) const;

  const Maps maps_;
  const bool conserve_;
  std::vector<Profile> rows_, columns_;
};

// The indices of the windows, sorted by first row (stable): windows that are close in memory are added one after
// another.
template <class Window>
std::vector<int64_t> order_by_row(const std::vector<Window>& windows, int64_t rows) {
  std::vector<int64_t> next(rows + 2, 0);
  for (const Window& window : windows) ++next[window.first_row + 1];
  for (int64_t row = 0; row < rows; ++row) next[row + 1] += next[row];
  std::vector<int64_t> order(windows.size());
  for (size_t i = 0; i < windows.size(); ++i) order[next[windows[i].first_row]++] = static_cast<int64_t>(i);
  return order;
}

// The count + 1 rows, from 0 to `rows`, that divide the batch into `count` bands of about the same work.
template <class Window>
std::vector<int64_t> bands(const std::vector<Window>& windows, int64_t rows, int64_t columns, int64_t count) {
  std::vector<int64_t> change(rows + 1, 0);
  for (const Window& window : windows) {
    change[window.first_row] += window.columns;
    change[window.last_row] -= window.columns;
  }
  std::vector<int64_t> work(rows + 1, 0);  // before each row; its own cells are work, too
  int64_t row_work = columns;
  for (int64_t row = 0; row < rows; ++row) {
    row_work += change[row];
    work[row + 1] = work[row] + row_work;
  }
  std::vector<int64_t> starts;
  for (int64_t i = 0; i <= count; ++i) {
    const double share = static_cast<double>(work[rows]) * static_cast<double>(i) / static_cast<double>(count);
    starts.push_back(std::lower_bound(work.begin(), work.end(), static_cast<int64_t>(share)) - work.begin());
  }
  starts.front() = 0;
  starts.back() = rows;
  return starts;
}

// Writes rows [first, last) of cells.
void fill_band(const std::vector<Kernel>& kernels, const std::vector<int64_t>& order, const float* tables,
               const Maps& maps, int64_t first, int64_t last, float* out);

}  // namespace skt::density
