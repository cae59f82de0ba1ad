// Rows of elements of any storage, to and from the precision of computation.
#pragma once

#include <cstdint>

#include "../storage.h"

namespace skt {

// row[i] = data[first + i * stride] for i < count. float64 is only ever widened to double.
void widen_row(Storage storage, const void* data, int64_t first, int64_t stride, int64_t count, float* row);
void widen_row(Storage storage, const void* data, int64_t first, int64_t stride, int64_t count, double* row);

// data[first + i * stride] = row[i] for i < count, rounded to nearest.
void narrow_row(Storage storage, const float* row, int64_t count, void* data, int64_t first, int64_t stride);
void narrow_row(Storage storage, const double* row, int64_t count, void* data, int64_t first, int64_t stride);

}  // namespace skt
