// The module of the kernels that test the emulation. Arrays of numpy come as they are; half types as their bits.
#include <pybind11/numpy.h>

#include "../controls.h"
#include "injected_bugs.h"
#include "kernels.h"

namespace py = pybind11;
using skt::emulation::launch;

namespace {

template <class T>
const T* in(const py::array& array) {
  return static_cast<const T*>(array.data());
}

template <class T>
T* out(py::array& array) {
  return static_cast<T*>(array.mutable_data());
}

// Calls visit(Element{}) for the element type of a name.
template <class Visit>
void visit_element(const std::string& name, Visit visit) {
  if (name == "float32") visit(float{});
  else if (name == "float16") visit(__half{});
  else visit(__nv_bfloat16{});
}

void sum_rows(const std::string& element, const py::array& x, py::array sums, int64_t chunks) {
  visit_element(element, [&](auto e) {
    using Element = decltype(e);
    launch(x.shape(0) * chunks, 128, 0, kernels::sum_rows<Element>, in<Element>(x), out<float>(sums), x.shape(1), chunks);
  });
}

void multiply(const py::array& a, const py::array& b, py::array c) {
  const int64_t m = a.shape(0), n = b.shape(1), k = a.shape(1);
  launch(dim3((n + 15) / 16, (m + 15) / 16), dim3(16, 16), 4096, kernels::multiply, in<float>(a), in<float>(b),
         out<float>(c), m, n, k);
}

void multiply_by_tensor_core(const std::string& kind, const py::array& a, const py::array& b, py::array d) {
  const int64_t k = a.shape(1);
  if (kind == "tf32") return launch(1, 32, 0, kernels::multiply_tf32, in<float>(a), in<float>(b), out<float>(d), k);
  visit_element(kind, [&](auto e) {
    using Element = decltype(e);
    if constexpr (sizeof(Element) == 2) {
      launch(1, 32, 0, kernels::multiply_16<Element>, in<Element>(a), in<Element>(b), out<float>(d), k);
    }
  });
}

}  // namespace

PYBIND11_MODULE(SKT_MODULE, module) {
  skt::emulation::bind_controls(module);
  module.def("sum_rows", sum_rows);
  module.def("multiply", multiply);
  module.def("multiply_by_tensor_core", multiply_by_tensor_core);
  module.def("votes", [](const py::array& x, py::array to) {
    launch(1, 32, 0, kernels::votes, in<int>(x), out<unsigned>(to));
  });

  auto bugs = module.def_submodule("injected");
  bugs.def("sum", [](const py::array& x, py::array sums, int64_t bug) {
    launch(sums.shape(0), injected::kThreads, 0, injected::sum, in<float>(x), out<float>(sums), bug);
  });
  bugs.def("sum_tiles", [](const py::array& x, py::array y, int64_t bug) {
    launch(1, injected::kTile, 2 * injected::kTile * sizeof(float), injected::sum_tiles, in<float>(x), out<float>(y),
           x.shape(0), bug);
  });
  bugs.def("reverse", [](const py::array& x, py::array y, int64_t bug) {
    launch(1, 32, 0, injected::reverse, in<float>(x), out<float>(y), bug);
  });
}
