// What the drivers of the cosine kernels share.
#pragma once

#include "emulation/driver.h"
#include "kernels/cosine_distance_gpu.h"

using namespace skt;
namespace kernels = gpu::cosine;


inline kernels::Strides strides_of(bool by_channels, kernels::Sizes sizes) {
  const int64_t image = sizes.channels * sizes.pixels;
  return by_channels ? kernels::Strides{image, 1, sizes.channels} : kernels::Strides{image, sizes.pixels, 1};
}

// Calls visit(S{}, T{}, integral_constant<Count>) for the mixes that say something new about a kernel.
template <class Visit>
void visit_mix(int64_t student, int64_t teacher, bool packed, Visit visit) {
  const auto with = [&](auto s, auto t) {
    constexpr int kWidest = 16 / static_cast<int>(std::max(sizeof(s), sizeof(t)));
    if (packed) visit(s, t, std::integral_constant<int, kWidest>{});
    else visit(s, t, std::integral_constant<int, 1>{});
  };
  if (student == 0 && teacher == 0) with(double{}, double{});
  else if (student == 1 && teacher == 1) with(float{}, float{});
  else if (student == 1 && teacher == 2) with(float{}, __half{});
  else if (student == 2 && teacher == 1) with(__half{}, float{});
  else if (student == 2 && teacher == 2) with(__half{}, __half{});
  else if (student == 3 && teacher == 3) with(__nv_bfloat16{}, __nv_bfloat16{});
  else throw emulation::Error("this driver has no such mix of element types");
}
