#include "rescale.h"

#include <algorithm>

#include "rows.h"
#include "simd.h"

namespace skt {
namespace {

template <class T>
SKT_SIMD void multiply_row(T factor, int64_t count, T* row) {
  for (int64_t i = 0; i < count; ++i) row[i] *= factor;
}

}  // namespace

template <class T>
void rescale(Storage storage, void* data, T factor, int64_t first, int64_t last) {
  if (storage == storage_of<T>()) return multiply_row(factor, last - first, static_cast<T*>(data) + first);
  constexpr int64_t kChunk = 1024;
  T row[kChunk];
  for (int64_t i = first; i < last; i += kChunk) {
    const int64_t count = std::min(kChunk, last - i);
    widen_row(storage, data, i, 1, count, row);
    multiply_row(factor, count, row);
    narrow_row(storage, row, count, data, i, 1);
  }
}

template void rescale(Storage, void*, float, int64_t, int64_t);
template void rescale(Storage, void*, double, int64_t, int64_t);

}  // namespace skt
