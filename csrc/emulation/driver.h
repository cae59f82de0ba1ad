// What a driver needs besides the kernels: a driver is a small file of extern "C" functions for a test to call.
#pragma once

#include "cuda.h"

namespace skt::emulation {

// Runs body(); the message of an Error, or null where there is none. The message lives until the next call.
template <class Body>
const char* guarded(Body body) {
  static std::string message;
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    message = error.what();
    return message.c_str();
  }
}

// Calls visit(Element{}) for 0 float64, 1 float32, 2 float16, 3 bfloat16 (Storage's order).
template <class Visit>
void visit_element(int64_t code, Visit visit) {
  switch (code) {
    case 0: return visit(double{});
    case 1: return visit(float{});
    case 2: return visit(__half{});
    case 3: return visit(__nv_bfloat16{});
    default: throw Error("no element type has the code " + std::to_string(code));
  }
}

}  // namespace skt::emulation
