// Vector code for several instruction sets in one library, chosen when the library is loaded.
#pragma once

#if defined(SKT_HAS_TARGET_CLONES)
#define SKT_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SKT_SIMD
#endif

// Functions that SKT_SIMD functions call must be inlined, or they would be compiled for the baseline only.
#define SKT_INLINE inline __attribute__((always_inline))

#define SKT_RESTRICT __restrict__

// Body::run<level>(arguments...) compiled for each level: for code with explicit vectors, which target_clones would
// lower to those of the baseline before it makes the clones. `run` must be SKT_INLINE.
namespace skt {

enum class Level { baseline, v3, v4 };

#if defined(SKT_HAS_TARGET_CLONES)

template <class Body, class... Arguments>
__attribute__((target("arch=x86-64-v4"))) void run_v4(Arguments... arguments) {
  Body::template run<Level::v4>(arguments...);
}
template <class Body, class... Arguments>
__attribute__((target("arch=x86-64-v3"))) void run_v3(Arguments... arguments) {
  Body::template run<Level::v3>(arguments...);
}
template <class Body, class... Arguments>
void run_baseline(Arguments... arguments) {
  Body::template run<Level::baseline>(arguments...);
}

template <class Body, class... Arguments>
void run_at_best_level(Arguments... arguments) {
  using Kernel = void (*)(Arguments...);
  static const Kernel kernel = __builtin_cpu_supports("x86-64-v4")   ? run_v4<Body, Arguments...>
                               : __builtin_cpu_supports("x86-64-v3") ? run_v3<Body, Arguments...>
                                                                     : run_baseline<Body, Arguments...>;
  kernel(arguments...);
}

#else

template <class Body, class... Arguments>
void run_at_best_level(Arguments... arguments) {
  Body::template run<Level::baseline>(arguments...);
}

#endif

}  // namespace skt
