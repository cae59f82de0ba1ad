// float16 and bfloat16 as bits, converted without branches so that a loop over them becomes vector code.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd.h"

namespace skt {

struct Float16 {
  uint16_t bits;
};

struct BFloat16 {
  uint16_t bits;
};

template <class To, class From>
SKT_INLINE To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

SKT_INLINE float to_float(BFloat16 value) { return bit_cast<float>(static_cast<uint32_t>(value.bits) << 16); }

SKT_INLINE float to_float(Float16 value) {
  const uint32_t sign = (value.bits & 0x8000u) << 16;
  const uint32_t magnitude = (value.bits & 0x7fffu) << 13;
  const uint32_t rebias = (127u - 15u) << 23;
  const uint32_t normal = magnitude + rebias;
  const uint32_t infinite_or_nan = normal + rebias;
  // A subnormal has no hidden one: let the float unit normalise it by subtracting the one that rebias + 1 puts there.
  const uint32_t smallest_normal = rebias + (1u << 23);
  const uint32_t subnormal =
      bit_cast<uint32_t>(bit_cast<float>(magnitude + smallest_normal) - bit_cast<float>(smallest_normal));
  const uint32_t exponent = magnitude & (0x1fu << 23);
  const uint32_t finite = exponent == 0 ? subnormal : normal;
  return bit_cast<float>(sign | (exponent == (0x1fu << 23) ? infinite_or_nan : finite));
}

// Round to nearest, ties to even; NaN stays NaN.
SKT_INLINE BFloat16 to_bfloat16(float value) {
  const uint32_t bits = bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return {static_cast<uint16_t>(is_nan ? 0x7fc0u : rounded)};
}

// Round to nearest, ties to even; beyond 65504 becomes infinite, NaN stays NaN.
SKT_INLINE Float16 to_float16(float value) {
  const uint32_t bits = bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t normal = (magnitude - ((127u - 15u) << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Adding a half puts the last bit of a float16 subnormal at the last bit of the float, which then rounds it.
  const uint32_t half = (127u - 1u) << 23;
  const uint32_t subnormal = bit_cast<uint32_t>(bit_cast<float>(magnitude) + bit_cast<float>(half)) - half;
  const uint32_t overflow = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  const uint32_t finite = magnitude < ((127u - 14u) << 23) ? subnormal : normal;
  return {static_cast<uint16_t>(sign | (magnitude >= 0x47800000u ? overflow : finite))};
}

}  // namespace skt
