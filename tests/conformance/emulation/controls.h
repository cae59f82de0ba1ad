// What Python tells the emulation and asks it; part of every module.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <map>
#include <string>

#include "emulation/machine.h"
#ifdef SKT_RACE
#include "emulation/race.h"
#endif

namespace skt::emulation {

inline void bind_controls(pybind11::module_& module) {
  pybind11::register_local_exception<Error>(module, "EmulationError", PyExc_RuntimeError);
  module.def("set_order", [](const std::string& order, uint64_t seed) {
    const std::map<std::string, Order> orders{
        {"forward", Order::forward}, {"reverse", Order::reverse}, {"random", Order::random}};
    set_order(orders.at(order), seed);
  });
#ifdef SKT_RACE
  module.def("take_counts", [] {
    const Counts counts = take_counts();
    return std::map<std::string, uint64_t>{
        {"loads", counts.loads},           {"stores", counts.stores},         {"loaded_bytes", counts.loaded_bytes},
        {"stored_bytes", counts.stored_bytes}, {"wide_loads", counts.wide_loads}, {"wide_stores", counts.wide_stores}};
  });
#endif
}

}  // namespace skt::emulation
