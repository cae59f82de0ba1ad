// The header of the same name in csrc/include, for the emulation.
#pragma once

#include "emulation/cuda.h"

// All bits set at first in each block, a NaN; AddressSanitizer guards both ends.
#define SKT_DYNAMIC_SHARED(Type, name) Type* name = reinterpret_cast<Type*>(::skt::emulation::block.dynamic_shared)

// A reference to an array: UBSan sees an index out of bounds.
#define SKT_STATIC_SHARED(Type, name, Count) \
  static const char skt_key_of_##name = 0;   \
  Type(&name)[Count] =                       \
      *reinterpret_cast<Type(*)[Count]>(::skt::emulation::static_shared(&skt_key_of_##name, sizeof(Type) * (Count)))

namespace skt::gpu {

template <int Bytes>
inline void copy_async(void* to, const void* from, bool valid = true) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  emulation::copy_async(to, from, Bytes, valid ? 0 : Bytes);
}

inline void commit_async() { emulation::commit_async(); }

template <int Pending>
inline void wait_async() {
  emulation::wait_async(Pending);
}

}  // namespace skt::gpu
