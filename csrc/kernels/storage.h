// The type of an element in memory, which may differ from the precision of computation.
#pragma once

#include <cstdint>

namespace skt {

enum class Storage { float64, float32, float16, bfloat16 };

constexpr int64_t bytes_of(Storage storage) {
  return storage == Storage::float64 ? 8 : storage == Storage::float32 ? 4 : 2;
}

template <class Accumulator>
constexpr Storage storage_of() {
  return sizeof(Accumulator) == 8 ? Storage::float64 : Storage::float32;
}

}  // namespace skt
