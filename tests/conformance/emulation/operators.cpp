// The module of the CUDA operators, which register themselves when it is loaded.
#include "controls.h"

PYBIND11_MODULE(SKT_MODULE, module) { skt::emulation::bind_controls(module); }
