// Writing large results: past the caches, and into large pages.
//
// A result of many megabytes has left the caches before it is read again. Stores that bypass the caches save reading
// each line that is about to be overwritten; large pages save a page fault for every 4 KiB of fresh memory, which on
// Linux costs more than filling it.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "simd.h"

namespace skt {

constexpr int64_t kLarge = int64_t{8} << 20;  // bytes

// Asks for large pages where [data, data + bytes) has not been touched yet. It is only advice.
inline void advise_large_pages(void* data, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes < kLarge) return;
  constexpr uintptr_t page = 4096;
  const uintptr_t first = (reinterpret_cast<uintptr_t>(data) + page - 1) & ~(page - 1);
  const uintptr_t last = (reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(bytes)) & ~(page - 1);
  madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  static_cast<void>(data);
  static_cast<void>(bytes);
#endif
}

// memcpy past the caches. Call finish_streaming() before another thread reads the result.
SKT_INLINE void stream_copy(void* to, const void* from, int64_t bytes) {
#if defined(__SSE2__)
  char* out = static_cast<char*>(to);
  const char* in = static_cast<const char*>(from);
  int64_t head = static_cast<int64_t>(-reinterpret_cast<uintptr_t>(to) & 15);
  if (head > bytes) head = bytes;
  std::memcpy(out, in, static_cast<size_t>(head));
  int64_t i = head;
  for (; i + 16 <= bytes; i += 16) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(out + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i)));
  }
  std::memcpy(out + i, in + i, static_cast<size_t>(bytes - i));
#else
  std::memcpy(to, from, static_cast<size_t>(bytes));
#endif
}

inline void finish_streaming() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace skt
