// A (N, C, H, W) tensor as the kernels see it: a pointer, its storage, and where each element lies.
#pragma once

#include <algorithm>
#include <cstdint>

#include "rows.h"

namespace skt {

struct FeatureMap {
  void* data;
  Storage storage;
  int64_t width;                                   // W, to split the index of a pixel into row and column
  int64_t stride_n, stride_c, stride_h, stride_w;  // in elements

  // Whether pixels are `stride_w` apart from row to row as well.
  bool rows_join() const { return stride_h == width * stride_w; }

  int64_t pixel(int64_t n, int64_t p) const { return n * stride_n + (p / width) * stride_h + (p % width) * stride_w; }
};

// Calls visit(first, offset, count) for runs of pixels [first, first + count) of image n within [begin, end). The run's
// first pixel of channel 0 is element `offset`; the others follow stride_w apart.
template <class Visit>
inline void for_each_run(const FeatureMap& map, int64_t n, int64_t begin, int64_t end, Visit visit) {
  for (int64_t p = begin; p < end;) {
    const int64_t count = map.rows_join() ? end - p : std::min(end - p, map.width - p % map.width);
    visit(p, map.pixel(n, p), count);
    p += count;
  }
}

// One channel of the pixels [begin, end) of image n as a dense row: the tensor's own memory where it is one already,
// otherwise a copy in `scratch`.
template <class Accumulator>
inline const Accumulator* load_pixels(const FeatureMap& map, int64_t n, int64_t c, int64_t begin, int64_t end,
                                      Accumulator* scratch) {
  const bool dense = map.stride_w == 1 && (map.rows_join() || begin / map.width == (end - 1) / map.width);
  if (dense && map.storage == storage_of<Accumulator>()) {
    return static_cast<const Accumulator*>(map.data) + map.pixel(n, begin) + c * map.stride_c;
  }
  for_each_run(map, n, begin, end, [&](int64_t first, int64_t offset, int64_t count) {
    widen_row(map.storage, map.data, offset + c * map.stride_c, map.stride_w, count, scratch + (first - begin));
  });
  return scratch;
}

template <class Accumulator>
inline void store_pixels(const Accumulator* row, const FeatureMap& map, int64_t n, int64_t c, int64_t begin,
                         int64_t end) {
  for_each_run(map, n, begin, end, [&](int64_t first, int64_t offset, int64_t count) {
    narrow_row(map.storage, row + (first - begin), count, map.data, offset + c * map.stride_c, map.stride_w);
  });
}

}  // namespace skt
