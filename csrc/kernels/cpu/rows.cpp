#include "rows.h"

#include "float16.h"

namespace skt {
namespace {

SKT_INLINE double widen(double value) { return value; }
SKT_INLINE float widen(float value) { return value; }
SKT_INLINE float widen(Float16 value) { return to_float(value); }
SKT_INLINE float widen(BFloat16 value) { return to_float(value); }

template <class Row>
SKT_INLINE void narrow(Row value, double& out) {
  out = static_cast<double>(value);
}
template <class Row>
SKT_INLINE void narrow(Row value, float& out) {
  out = static_cast<float>(value);
}
template <class Row>
SKT_INLINE void narrow(Row value, Float16& out) {
  out = to_float16(static_cast<float>(value));
}
template <class Row>
SKT_INLINE void narrow(Row value, BFloat16& out) {
  out = to_bfloat16(static_cast<float>(value));
}

// The dense case is separate because a loop with a stride known only at run time is not vectorised.
template <class Element, class Row>
SKT_INLINE void gather(const Element* SKT_RESTRICT data, int64_t stride, int64_t count, Row* SKT_RESTRICT row) {
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) row[i] = static_cast<Row>(widen(data[i]));
  } else {
    for (int64_t i = 0; i < count; ++i) row[i] = static_cast<Row>(widen(data[i * stride]));
  }
}

template <class Element, class Row>
SKT_INLINE void scatter(const Row* SKT_RESTRICT row, int64_t count, Element* SKT_RESTRICT data, int64_t stride) {
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) narrow(row[i], data[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) narrow(row[i], data[i * stride]);
  }
}

template <class Row>
SKT_INLINE void widen_any(Storage storage, const void* data, int64_t first, int64_t stride, int64_t count, Row* row) {
  switch (storage) {
    case Storage::float64: return gather(static_cast<const double*>(data) + first, stride, count, row);
    case Storage::float32: return gather(static_cast<const float*>(data) + first, stride, count, row);
    case Storage::float16: return gather(static_cast<const Float16*>(data) + first, stride, count, row);
    case Storage::bfloat16: return gather(static_cast<const BFloat16*>(data) + first, stride, count, row);
  }
}

template <class Row>
SKT_INLINE void narrow_any(Storage storage, const Row* row, int64_t count, void* data, int64_t first, int64_t stride) {
  switch (storage) {
    case Storage::float64: return scatter(row, count, static_cast<double*>(data) + first, stride);
    case Storage::float32: return scatter(row, count, static_cast<float*>(data) + first, stride);
    case Storage::float16: return scatter(row, count, static_cast<Float16*>(data) + first, stride);
    case Storage::bfloat16: return scatter(row, count, static_cast<BFloat16*>(data) + first, stride);
  }
}

}  // namespace

SKT_SIMD void widen_row(Storage storage, const void* data, int64_t first, int64_t stride, int64_t count, float* row) {
  widen_any(storage, data, first, stride, count, row);
}

SKT_SIMD void widen_row(Storage storage, const void* data, int64_t first, int64_t stride, int64_t count, double* row) {
  widen_any(storage, data, first, stride, count, row);
}

SKT_SIMD void narrow_row(Storage storage, const float* row, int64_t count, void* data, int64_t first, int64_t stride) {
  narrow_any(storage, row, count, data, first, stride);
}

SKT_SIMD void narrow_row(Storage storage, const double* row, int64_t count, void* data, int64_t first, int64_t stride) {
  narrow_any(storage, row, count, data, first, stride);
}

}  // namespace skt
