# SKT_VECTOR_DEFINITIONS: whether the compiler can put several instruction sets into one function. GCC can, also for
# instances of templates; Clang cannot for those.
include(CheckCXXSourceCompiles)
check_cxx_source_compiles([[
  template <class T>
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
  void twice(T* x, int n) { for (int i = 0; i < n; ++i) x[i] += x[i]; }
  template void twice(float*, int);
  int main() { float x = 1; twice(&x, 1); return __builtin_cpu_supports("x86-64-v4") ? 0 : x > 0 ? 0 : 1; }
]] SKT_HAS_TARGET_CLONES)
set(SKT_VECTOR_DEFINITIONS "")
if(SKT_HAS_TARGET_CLONES)
  set(SKT_VECTOR_DEFINITIONS SKT_HAS_TARGET_CLONES)
  decide("CPU kernels for x86-64-v4 (AVX-512), x86-64-v3 (AVX2) and the baseline, chosen at load time")
else()
  decide("CPU kernels for the compiler's baseline only: it has no target_clones for x86-64-v3")
endif()
