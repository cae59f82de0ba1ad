// exp(x) for x <= 0 in float, without a call, so that a loop over it becomes vector code.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd.h"

namespace skt {

// Relative error below 2e-7; 0 below exp(-87), where float32 would be subnormal. -inf gives 0.
SKT_INLINE float exp_negative(float x) {
  const float bounded = x < -87.0f ? -87.0f : x;
  // Adding 1.5 * 2^23 leaves the nearest whole number in the low bits of the mantissa.
  const float shifted = bounded * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts: the first product is exact
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float value = p * r * r + r + 1.0f;
  const int32_t exponent = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &exponent, sizeof power);
  return x < -87.0f ? 0.0f : value * power;
}

}  // namespace skt
