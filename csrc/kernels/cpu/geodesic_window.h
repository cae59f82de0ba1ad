// Lengths of shortest paths from one pixel to all pixels of a window, on the CPU.
//
// Sweeps go down and up over the rows until nothing changes. A row takes what the one before offers (vector code: three
// neighbours, no dependence along the row), and where that changed it, hands it on along itself in both directions. The fixed
// point is the float32 shortest path length, whatever the order of the sweeps.
#pragma once

#include <cstdint>
#include <vector>

#include "step_costs.h"

namespace skt::geodesic {

class WindowSolver {
 public:
  // From (row, column) to the pixels of [top, bottom) x [left, right), by paths inside it. Lengths from the limit on are not
  // handed on, so that they are upper bounds, or infinity.
  void solve(
      const StepCosts& costs, int64_t row, int64_t column, int64_t top, int64_t bottom, int64_t left, int64_t right,
      float limit);

  // Lengths of the paths to row `top + y`, from `left` on.
  float* row(int64_t y) { return &lengths_[y * pitch_ + 1]; }

 private:
  int64_t pitch_ = 0;
  std::vector<float> lengths_, scratch_;
  std::vector<char> for_below_, for_above_;
};

}  // namespace skt::geodesic
