// What Python tells the emulation and asks it; part of every module.
#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <string>

#include "emulation/machine.h"

#ifdef SKT_RACE
extern "C" void skt_emulation_take_counts(uint64_t* to);
#endif

namespace skt::emulation {

inline void bind_controls(pybind11::module_& module) {
  pybind11::register_exception<Error>(module, "EmulationError", PyExc_RuntimeError);
  module.def("set_order", [](const std::string& order, uint64_t seed) {
    const std::map<std::string, Order> orders{
        {"forward", Order::forward}, {"reverse", Order::reverse}, {"random", Order::random}};
    set_order(orders.at(order), seed);
  });
#ifdef SKT_RACE
  // Accesses to global memory by kernels since the last call; wide ones are of 16 bytes.
  module.def("take_counts", [] {
    uint64_t counts[6];
    skt_emulation_take_counts(counts);
    const char* names[] = {"loads", "stores", "loaded_bytes", "stored_bytes", "wide_loads", "wide_stores"};
    std::map<std::string, uint64_t> result;
    for (int i = 0; i < 6; ++i) result[names[i]] = counts[i];
    return result;
  });
#endif
}

}  // namespace skt::emulation
