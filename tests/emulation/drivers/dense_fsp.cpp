// The kernels of dense_fsp_distance, launched as csrc/cuda/dense_fsp_distance.cu does.
#include <vector>

#include "emulation/driver.h"
#include "kernels/dense_fsp_gpu.h"

using namespace skt;
using namespace skt::gpu::dense_fsp;
using namespace skt::gpu::tile_product;
using emulation::guarded;
using emulation::launch;

namespace {

Groups groups_of(const int64_t* channels, int64_t count, int64_t adjacent) {
  Groups groups{static_cast<int>(count), adjacent != 0, {}};
  int end = 0;
  for (int i = 0; i < count; ++i) groups.end[i] = end += static_cast<int>(channels[i]);
  return groups;
}

// Calls visit(Engine*) for the test's precisions: 0 float64, 1 float32, 2 tf32, 3 bfloat16, 4 float16.
template <class Visit>
void visit_engine(int64_t precision, Visit visit) {
  switch (precision) {
    case 0: return visit(static_cast<Fma<double>*>(nullptr));
    case 1: return visit(static_cast<Fma<float>*>(nullptr));
    case 2: return visit(static_cast<Mma<RoundedToTf32>*>(nullptr));
    case 3: return visit(static_cast<Mma<Rounded<__nv_bfloat16>>*>(nullptr));
    case 4: return visit(static_cast<Mma<Rounded<__half>>*>(nullptr));
    default: throw emulation::Error("no such precision");
  }
}

}  // namespace

extern "C" const char* forward(
    int64_t precision, const void* student, const void* teacher, const int64_t* channels, int64_t count, int64_t adjacent,
    int64_t batch, int64_t positions, int64_t parts, int64_t wide, void* distance, void* difference) {
  return guarded([&] {
    visit_engine(precision, [&](auto* engine) {
      using Engine = std::remove_pointer_t<decltype(engine)>;
      using T = typename Engine::Element;
      constexpr int kTile = Engine::kTile, kSide = kTile / kSquare;
      const Groups groups = groups_of(channels, count, adjacent);
      const int tiles = tiles_of(groups, kTile);
      // Where a kernel reads what no kernel wrote, the result is no number.
      std::vector<T> partial(batch * parts * tiles * kTile * kTile, NAN);
      std::vector<double> sums(batch * tiles * kSide * kSide, NAN);
      launch(dim3(batch * parts * tiles), dim3(Engine::kThreads), kSharedBytes<Engine>, products<Engine>,
             static_cast<const T*>(student), static_cast<const T*>(teacher), groups, positions, parts, tiles, wide,
             partial.data());
      launch(dim3(sums.size()), dim3(kSquare, kSquareRows), kFinishBytes<T>, finish<T, kTile>, partial.data(), groups,
             positions, parts, tiles, static_cast<T*>(difference), sums.data());
      launch(dim3(batch), dim3(kDistanceThreads), kDistanceThreads * sizeof(double), distances<T>, sums.data(),
             sums.size() / batch, static_cast<T*>(distance));
    });
  });
}

extern "C" const char* backward(
    int64_t precision, const void* grad, const void* student, const void* difference, const int64_t* channels,
    int64_t count, int64_t adjacent, int64_t batch, int64_t positions, int64_t wide_difference, int64_t wide_positions,
    void* out) {
  return guarded([&] {
    visit_engine(precision, [&](auto* engine) {
      using Engine = std::remove_pointer_t<decltype(engine)>;
      using T = typename Engine::Element;
      constexpr int kTile = Engine::kTile;
      const Groups groups = groups_of(channels, count, adjacent);
      const int64_t blocks = batch * divide_up(groups.channels(), kTile) * ((positions + kTile - 1) / kTile);
      launch(dim3(blocks), dim3(Engine::kThreads), kSharedBytes<Engine>, gradient<Engine>, static_cast<const T*>(grad),
             int64_t{1}, static_cast<const T*>(student), static_cast<const T*>(difference), groups, positions,
             wide_difference, wide_positions, static_cast<T*>(out));
    });
  });
}

// tiles[(row, column), ...] of the grid, in the order of the blocks; returned[0] is their number.
extern "C" const char* tiles(
    const int64_t* channels, int64_t count, int64_t adjacent, int64_t tile, int64_t most, int64_t* found, int64_t* returned) {
  return guarded([&] {
    const Groups groups = groups_of(channels, count, adjacent);
    returned[0] = tiles_of(groups, static_cast<int>(tile));
    for (int i = 0; i < returned[0] && i < most; ++i) {
      const Tile one = find_tile(groups, i, static_cast<int>(tile));
      found[2 * i] = one.row;
      found[2 * i + 1] = one.column;
    }
  });
}

extern "C" const char* parts(int64_t blocks, int64_t stages, int64_t slots, int64_t* returned) {
  return guarded([&] { returned[0] = parts_for(blocks, stages, slots); });
}
