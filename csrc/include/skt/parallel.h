// How work is divided among threads on the CPU.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstdint>

namespace skt {

// Runs work(first, last) over [0, items) on several threads; each gets at least about 64 Ki elements, since fewer are
// not worth a thread.
template <class Work>
void parallel_over(int64_t items, int64_t elements_per_item, const Work& work) {
  if (items == 0) return;
  const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 16) / std::max<int64_t>(1, elements_per_item));
  torch::stable::parallel_for(0, items, grain, work);
}

}  // namespace skt
