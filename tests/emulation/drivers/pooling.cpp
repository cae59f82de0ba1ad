// The kernels of max_pool_resize and pool_and_pack, launched as csrc/cuda/{max_pool_resize,pool_and_pack}.cu do.
#include <algorithm>
#include <vector>

#include "emulation/driver.h"
#include "kernels/pool_and_pack_gpu.h"

using namespace skt;
using namespace skt::gpu::max_pool;
using namespace skt::gpu::pool_and_pack;
using emulation::guarded;
using emulation::launch;

namespace {

constexpr int kColumns = 7;  // of a test's table: storage, channels_last, C, H, W, kernel_h, kernel_w

// A dense feature, and its pooled side with the channels adjacent or the positions.
Feature feature_of(const int64_t* row, void* data, int64_t batch, const Pooled& pooled, bool accumulates_double) {
  Feature feature{};
  const int64_t c = row[2], h = row[3], w = row[4];
  const bool channels_last = row[1] != 0;
  feature.map = {data, static_cast<Storage>(row[0]), c * h * w, channels_last ? 1 : h * w, channels_last ? c * w : w,
                 channels_last ? c : 1};
  feature.channels = static_cast<int>(c);
  feature.height = static_cast<int>(h);
  feature.width = static_cast<int>(w);
  feature.kernel_h = static_cast<int>(row[5]);
  feature.kernel_w = static_cast<int>(row[6]);
  feature.pooled = pooled;
  plan(feature, batch, accumulates_double);
  return feature;
}

// Calls visit(A{}) with the type that is computed in.
template <class Visit>
void visit_accumulator(int64_t accumulates_double, Visit visit) {
  if (accumulates_double) visit(double{});
  else visit(float{});
}

template <class A>
struct Plan {
  Table<A> table{};
  int64_t blocks = 0;
};

template <class A>
Plan<A> plan_of(
    void* const* maps, const int64_t* rows, int64_t count, int64_t batch, void* packed, uint8_t* winners) {
  int64_t channels = 0, positions = 0;
  for (int i = 0; i < count; ++i) channels += rows[i * kColumns + 2];
  Plan<A> result;
  for (int i = 0; i < count; ++i) {
    const int64_t* row = rows + i * kColumns;
    positions = ((row[3] + row[5] - 1) / row[5]) * ((row[4] + row[6] - 1) / row[6]);
    const int64_t channel = i == 0 ? 0 : result.table.channel[i - 1] + rows[(i - 1) * kColumns + 2];
    const Pooled pooled{static_cast<A*>(packed) + channel * positions,
                        sizeof(A) == 8 ? Storage::float64 : Storage::float32,
                        winners == nullptr ? nullptr : winners + channel * positions, channels * positions, positions, 1};
    result.table.feature[i] = feature_of(row, maps[i], batch, pooled, sizeof(A) == 8);
    result.table.first_block[i] = result.blocks;
    result.table.channel[i] = channel;
    result.blocks += batch * result.table.feature[i].tiles;
  }
  result.table.count = static_cast<int>(count);
  return result;
}

template <class A, class BytesOf>
size_t most_bytes(const Table<A>& table, BytesOf bytes_of) {
  size_t most = 0;
  for (int i = 0; i < table.count; ++i) most = std::max(most, bytes_of(table.feature[i]));
  return most;
}

// Calls visit(integral_constant<int, Count>), as many elements of a packed row as a thread takes.
template <class A, class Visit>
void visit_count(int64_t positions, Visit visit) {
  constexpr int kPacked = 16 / sizeof(A);
  if (positions % kPacked == 0) visit(std::integral_constant<int, kPacked>{});
  else visit(std::integral_constant<int, 1>{});
}

}  // namespace

extern "C" const char* pool_and_pack(
    void* map_0, void* map_1, void* map_2, void* map_3, const int64_t* rows, int64_t count, int64_t batch,
    int64_t accumulates_double, void* packed, uint8_t* winners, void* inverse_deviation, int64_t packed_rows,
    int64_t positions) {
  return guarded([&] {
    void* const maps[] = {map_0, map_1, map_2, map_3};
    visit_accumulator(accumulates_double, [&](auto zero) {
      using A = decltype(zero);
      const Plan<A> plan = plan_of<A>(maps, rows, count, batch, packed, winners);
      launch(dim3(plan.blocks), dim3(kThreads), most_bytes(plan.table, forward_bytes<A>), pool<A>, plan.table);
      if (inverse_deviation == nullptr) return;
      visit_count<A>(positions, [&](auto each) {
        launch(dim3(packed_rows), dim3(kThreads), kRowBytes<A>, normalise<A, decltype(each)::value>,
               static_cast<A*>(packed), positions, static_cast<A*>(inverse_deviation));
      });
    });
  });
}

extern "C" const char* pool_and_pack_backward(
    void* map_0, void* map_1, void* map_2, void* map_3, const int64_t* rows, int64_t count, int64_t batch,
    int64_t accumulates_double, void* grad, const void* packed, uint8_t* winners, const void* inverse_deviation,
    int64_t packed_rows, int64_t positions) {
  return guarded([&] {
    void* const maps[] = {map_0, map_1, map_2, map_3};
    visit_accumulator(accumulates_double, [&](auto zero) {
      using A = decltype(zero);
      const Plan<A> plan = plan_of<A>(maps, rows, count, batch, grad, winners);
      std::vector<A> terms(3 * packed_rows, A(NAN));
      const A *normalised = nullptr, *terms_of_rows = nullptr;
      if (inverse_deviation != nullptr) {
        normalised = static_cast<const A*>(packed);
        terms_of_rows = terms.data();
        visit_count<A>(positions, [&](auto each) {
          launch(dim3(packed_rows), dim3(kThreads), kRowBytes<A>, row_terms<A, decltype(each)::value>,
                 static_cast<const A*>(grad), normalised, positions, static_cast<const A*>(inverse_deviation), terms.data());
        });
      }
      launch(dim3(plan.blocks), dim3(kThreads), most_bytes(plan.table, backward_bytes<A>), scatter<A>, plan.table,
             normalised, terms_of_rows, packed_rows / batch);
    });
  });
}

namespace {

// The feature of max_pool_resize: the pooled side has the feature's type and layout.
Feature single(const int64_t* row, void* map, int64_t batch, void* pooled, uint8_t* winner, int64_t accumulates_double) {
  const int64_t positions = ((row[3] + row[5] - 1) / row[5]) * ((row[4] + row[6] - 1) / row[6]);
  const Pooled side{pooled, static_cast<Storage>(row[0]), winner, row[2] * positions, row[1] ? 1 : positions,
                    row[1] ? row[2] : 1};
  return feature_of(row, map, batch, side, accumulates_double != 0);
}

template <class A>
Table<A> table_of(const Feature& feature) {
  Table<A> table{};
  table.feature[0] = feature;
  table.count = 1;
  return table;
}

}  // namespace

extern "C" const char* max_pool_resize(
    void* map, const int64_t* row, int64_t batch, int64_t accumulates_double, void* pooled, uint8_t* winners) {
  return guarded([&] {
    visit_accumulator(accumulates_double, [&](auto zero) {
      using A = decltype(zero);
      const Feature feature = single(row, map, batch, pooled, winners, accumulates_double);
      launch(dim3(batch * feature.tiles), dim3(kThreads), forward_bytes<A>(feature), pool<A>, table_of<A>(feature));
    });
  });
}

extern "C" const char* max_pool_resize_backward(
    void* map, const int64_t* row, int64_t batch, int64_t accumulates_double, void* pooled, uint8_t* winners) {
  return guarded([&] {
    visit_accumulator(accumulates_double, [&](auto zero) {
      using A = decltype(zero);
      const Feature feature = single(row, map, batch, pooled, winners, accumulates_double);
      const A* none = nullptr;
      launch(dim3(batch * feature.tiles), dim3(kThreads), backward_bytes<A>(feature), scatter<A>, table_of<A>(feature),
             none, none, int64_t{feature.channels});
    });
  });
}

extern "C" const char* large_windows(
    void* map, const int64_t* row, int64_t batch, int64_t accumulates_double, void* pooled, int32_t* winners,
    int64_t windows) {
  return guarded([&] {
    visit_accumulator(accumulates_double, [&](auto zero) {
      using A = decltype(zero);
      const Feature feature = single(row, map, batch, pooled, nullptr, accumulates_double);
      constexpr int kEach = kThreads / gpu::kWarp;
      launch(dim3((windows + kEach - 1) / kEach), dim3(kThreads), 0, forward_large<A>, feature, windows, winners);
    });
  });
}

extern "C" const char* large_windows_backward(
    void* map, const int64_t* row, int64_t batch, int64_t accumulates_double, void* pooled, const int32_t* winners,
    int64_t elements) {
  return guarded([&] {
    visit_accumulator(accumulates_double, [&](auto zero) {
      using A = decltype(zero);
      const Feature feature = single(row, map, batch, pooled, nullptr, accumulates_double);
      launch(dim3((elements + kThreads - 1) / kThreads), dim3(kThreads), 0, backward_large<A>, feature, elements, winners);
    });
  });
}
