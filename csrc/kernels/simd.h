// Vector code for several instruction sets in one library, chosen when the library is loaded.
#pragma once

// A file need not use every loop of a header that it includes.
#if defined(SKT_HAS_TARGET_CLONES)
#define SKT_SIMD [[maybe_unused]] __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SKT_SIMD [[maybe_unused]]
#endif

// Bodies shared by several SKT_SIMD functions have to be inlined, or they would be compiled for the baseline only.
#define SKT_INLINE inline __attribute__((always_inline))

#define SKT_RESTRICT __restrict__
