// Lengths of shortest paths from one pixel to all pixels of a window, on the CPU.
//
// Sweeps go down and up over the rows until nothing changes. A row is first relaxed from the previous row (vector code:
// three neighbours, no dependence along the row); if that changes it, the change is spread along the row in both
// directions. The fixed point is the length of the shortest path in float32, whatever the order of the sweeps.
#pragma once

#include <cstdint>
#include <vector>

#include "step_costs.h"

namespace skt::geodesic {

class WindowSolver {
 public:
  // Solves for the paths from (row, column) to the pixels of [top, bottom) x [left, right) inside that window. Lengths
  // of at least `limit` are not propagated, so that they are upper bounds, or infinity.
  void solve(const StepCosts& costs, int64_t row, int64_t column, int64_t top, int64_t bottom, int64_t left,
             int64_t right, float limit);

  // Lengths of the paths to row `top + y`, from `left` on.
  float* row(int64_t y) { return &lengths_[y * pitch_ + 1]; }

 private:
  int64_t pitch_ = 0;
  std::vector<float> lengths_, scratch_;
  std::vector<char> for_below_, for_above_;
};

}  // namespace skt::geodesic
