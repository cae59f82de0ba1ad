// The device functions of CUDA that have no counterpart of the same name in <math.h>.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "machine.h"

using std::max;
using std::min;

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float rsqrt(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }

template <class To, class From>
inline To skt_emulation_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(static_cast<void*>(&to), &from, sizeof(to));
  return to;
}
inline float __int_as_float(int x) { return skt_emulation_bits<float>(x); }
inline int __float_as_int(float x) { return skt_emulation_bits<int>(x); }
inline float __uint_as_float(unsigned x) { return skt_emulation_bits<float>(x); }
inline unsigned __float_as_uint(float x) { return skt_emulation_bits<unsigned>(x); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }

inline void __threadfence() {}
inline void __threadfence_block() {}

// Loads and stores with a hint for the caches.
template <class Value>
inline Value __ldg(const Value* from) {
  return *from;
}
template <class Value>
inline Value __ldcs(const Value* from) {
  return *from;
}
template <class Value>
inline Value __ldcg(const Value* from) {
  return *from;
}
template <class Value>
inline void __stcs(Value* to, Value value) {
  *to = value;
}
template <class Value>
inline void __stcg(Value* to, Value value) {
  *to = value;
}
