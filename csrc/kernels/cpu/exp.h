// exp(x) for x <= 0 in float32, written so that loops over it become vector code: no calls, no branches.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd.h"

namespace skt {

// Relative error below 2e-7 down to exp(-87.3); exactly 0 below exp(-87.7), also for -inf.
SKT_INLINE float exp_negative(float x) {
  const float bounded = x > -88.0f ? x : -88.0f;
  // Adding 1.5 * 2^23 leaves the nearest whole number in the low bits of the mantissa.
  const float n = (bounded * 1.44269504f + 12582912.0f) - 12582912.0f;
  const float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts: the first product is exact
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) * (1 << 23);  // of 2^n; for n = -127 those of 0
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return (p * r * r + r + 1.0f) * power;
}

// The sum of floats, in double.
SKT_INLINE double sum_in_double(const float* values, int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]);
  return sum;
}

}  // namespace skt
