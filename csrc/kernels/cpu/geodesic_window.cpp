#include "geodesic_window.h"

#include "simd.h"

namespace skt::geodesic {
namespace {

// row[i] = min(row[i], the lengths of the paths through the three neighbours in the row before). Returns whether a
// length fell below the limit. Steps: `straight` from neighbour i, from_left from i - 1, from_right from i + 1.
SKT_SIMD int relax_from_row(const float* SKT_RESTRICT before, const float* SKT_RESTRICT straight,
                            const float* SKT_RESTRICT from_left, const float* SKT_RESTRICT from_right, float limit,
                            int64_t count, float* SKT_RESTRICT row) {
  int fell = 0;
#pragma omp simd reduction(| : fell)
  for (int64_t i = 0; i < count; ++i) {
    const float a = before[i] + straight[i], b = before[i - 1] + from_left[i], c = before[i + 1] + from_right[i];
    const float ab = a < b ? a : b, abc = ab < c ? ab : c;
    const float old = row[i];
    fell |= abc < (old < limit ? old : limit);
    row[i] = abc < old ? abc : old;
  }
  return fell;
}

// Both directions at once: each is a chain of dependent steps, and the two chains do not wait for each other.
void spread_along_row(const float* SKT_RESTRICT step, int64_t count, float* SKT_RESTRICT row,
                      float* SKT_RESTRICT scratch) {
  float rightwards = kInfinity, leftwards = kInfinity;
  float* SKT_RESTRICT other = scratch + count;
  for (int64_t i = 0, j = count - 1; i < count; ++i, --j) {
    const float from_left = rightwards + step[i - 1], from_right = leftwards + step[j];
    rightwards = from_left < row[i] ? from_left : row[i];
    leftwards = from_right < row[j] ? from_right : row[j];
    scratch[i] = rightwards;
    other[j] = leftwards;
  }
  for (int64_t i = 0; i < count; ++i) row[i] = scratch[i] < other[i] ? scratch[i] : other[i];
}

}  // namespace

void WindowSolver::solve(const StepCosts& costs, int64_t row, int64_t column, int64_t top, int64_t bottom, int64_t left,
                         int64_t right, float limit) {
  const int64_t rows = bottom - top, columns = right - left;
  pitch_ = columns + 2;
  lengths_.assign(rows * pitch_, kInfinity);
  scratch_.resize(2 * columns);
  // Whether a row has changes for the row below, and for the row above.
  for_below_.assign(rows, 0);
  for_above_.assign(rows, 0);
  const auto spread = [&](int64_t y) {
    spread_along_row(costs.right(top + y) + left, columns, this->row(y), scratch_.data());
    for_below_[y] = for_above_[y] = 1;
  };
  this->row(row - top)[column - left] = 0;
  spread(row - top);
  for (bool changed = true; changed;) {
    changed = false;
    for (int64_t y = 1; y < rows; ++y) {
      if (!for_below_[y - 1]) continue;
      for_below_[y - 1] = 0;
      const int64_t above = top + y - 1;
      if (relax_from_row(this->row(y - 1), costs.down(above) + left, costs.down_right(above) + left - 1,
                         costs.down_left(above) + left + 1, limit, columns, this->row(y))) {
        spread(y);
        changed = true;
      }
    }
    for (int64_t y = rows - 2; y >= 0; --y) {
      if (!for_above_[y + 1]) continue;
      for_above_[y + 1] = 0;
      const int64_t here = top + y;
      if (relax_from_row(this->row(y + 1), costs.down(here) + left, costs.down_left(here) + left,
                         costs.down_right(here) + left, limit, columns, this->row(y))) {
        spread(y);
        changed = true;
      }
    }
  }
}

}  // namespace skt::geodesic
