// A dense tensor times a number, in place, on the CPU.
#pragma once

#include <cstdint>

#include "../storage.h"

namespace skt {

// Elements [first, last), computed in T.
template <class T>
void rescale(Storage storage, void* data, T factor, int64_t first, int64_t last);

}  // namespace skt
