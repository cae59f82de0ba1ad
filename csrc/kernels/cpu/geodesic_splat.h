// Sum of Gaussians of the geodesic distance on the maps of a batch, on the CPU.
//
// D = Euclidean distance + detour, where the detour is the cost of the shortest path minus its cost on open ground (the
// octile distance), in pixels. The windows of all people are solved, weighted, normalised and reduced to cells in
// parallel; then bands of rows are filled from the windows in a fixed order, as in density_splat.
#pragma once

#include <cstdint>
#include <vector>

#include "density_splat.h"
#include "geodesic_window.h"

namespace skt::geodesic {

using density::Maps;

struct Window {
  int64_t row, column, radius;  // in pixels
  double sigma;
  int64_t image;
  int64_t top, bottom, left, right;  // of the window inside the image, in pixels, ends excluded
  int64_t first_row, last_row;       // of cells, counted through the batch
  int64_t first_column, columns;     // of cells
  int64_t cells;                     // where they start among those of the group

  int64_t size() const { return (last_row - first_row) * columns; }
};

// Clips the window to the image.
void place(const Maps& maps, Window& window);

// Draws people one after another.
class Painter {
 public:
  Painter(const Maps& maps, bool conserve, const std::vector<StepCosts>& costs, bool flat)
      : maps_(maps), conserve_(conserve), costs_(costs), flat_(flat) {}

  // The cells of a window, normalised.
  void paint(const Window& window, float* cells);

 private:
  bool is_open(const Window& window) const;
  double whole_sum(const Window& window);

  const Maps maps_;
  const bool conserve_;
  const std::vector<StepCosts>& costs_;
  const bool flat_;  // no image: a window without obstacles is an ordinary Gaussian
  WindowSolver solver_;
  density::Profile profile_;
  std::vector<float> weights_;
};

// Adds windows to rows [first, last) of cells.
void add_windows(const std::vector<Window>& windows, const float* cells, const Maps& maps, int64_t first, int64_t last,
                 float* out);

}  // namespace skt::geodesic
