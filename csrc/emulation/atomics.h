// Threads run one at a time, so an atomic is the ordinary operation; only the race checker must know that it is one.
#pragma once

#include <algorithm>
#include <type_traits>

#include "machine.h"

namespace skt::emulation {

// Not instrumented, so that the race checker sees one atomic access and not a load and a store.
template <class Value, class Combine>
[[gnu::noinline]] __attribute__((no_sanitize("thread"))) Value atomic(Value* at, Combine combine) {
  if (access_hook) access_hook(at, sizeof(Value), Access::atomic, __builtin_return_address(0));
  const Value before = *at;
  *at = combine(before);
  return before;
}

}  // namespace skt::emulation

#define SKT_ATOMIC(name, expression)                                                                 \
  template <class Value>                                                                             \
  inline Value name(Value* at, std::common_type_t<Value> value) {                                    \
    return skt::emulation::atomic(                                                                   \
        at, [=](Value before) __attribute__((no_sanitize("thread"))) { return Value(expression); }); \
  }
SKT_ATOMIC(atomicAdd, before + value)
SKT_ATOMIC(atomicSub, before - value)
SKT_ATOMIC(atomicMax, std::max(before, value))
SKT_ATOMIC(atomicMin, std::min(before, value))
SKT_ATOMIC(atomicOr, before | value)
SKT_ATOMIC(atomicAnd, before& value)
SKT_ATOMIC(atomicExch, value)
#undef SKT_ATOMIC

template <class Value>
inline Value atomicCAS(Value* at, std::common_type_t<Value> expected, std::common_type_t<Value> value) {
  return skt::emulation::atomic(
      at, [=](Value before) __attribute__((no_sanitize("thread"))) { return before == expected ? value : before; });
}
