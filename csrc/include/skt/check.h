// Checks of an operator's arguments: the second line, after those in Python. A message names the operator, the
// argument, what was expected with its axes, and what came.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace skt {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw std::runtime_error(message.str());
}

inline std::string list(const std::vector<int64_t>& sizes) {
  std::ostringstream text;
  text << '(';
  for (size_t i = 0; i < sizes.size(); ++i) text << (i ? ", " : "") << sizes[i];
  text << (sizes.size() == 1 ? ",)" : ")");
  return text.str();
}

inline std::vector<int64_t> shape_of(const Tensor& tensor) {
  const auto sizes = tensor.sizes();
  return {sizes.begin(), sizes.end()};
}

// The arguments of one operator, checked in turn.
class Arguments {
 public:
  explicit Arguments(const char* op) : op_(op) {}

  template <class... Parts>
  void require(bool condition, const Parts&... parts) const {
    if (!condition) fail("skt_ext::", op_, ": ", parts...);
  }

  void rank(const char* name, const Tensor& tensor, int64_t rank, const char* axes) const {
    require(tensor.dim() == rank, name, " must have the axes ", axes, "; got shape ", list(shape_of(tensor)));
  }

  void shape(const char* name, const Tensor& tensor, const std::vector<int64_t>& expected, const char* axes) const {
    require(shape_of(tensor) == expected, name, " must have shape ", axes, " = ", list(expected), "; got ",
            list(shape_of(tensor)));
  }

  void dtype(const char* name, const Tensor& tensor, std::initializer_list<ScalarType> allowed) const {
    std::ostringstream names;
    const char* separator = "";
    for (const ScalarType candidate : allowed) {
      if (candidate == tensor.scalar_type()) return;
      names << separator << torch::headeronly::toString(candidate);
      separator = " or ";
    }
    require(false, name, " must have dtype ", names.str(), "; got ", torch::headeronly::toString(tensor.scalar_type()));
  }

  void floating(const char* name, const Tensor& tensor) const {
    dtype(name, tensor, {ScalarType::Double, ScalarType::Float, ScalarType::Half, ScalarType::BFloat16});
  }

  void same_device(const char* name, const Tensor& tensor, const char* other_name, const Tensor& other) const {
    require(tensor.device() == other.device(), name, " must be on the device of ", other_name);
  }

 private:
  const char* op_;
};

}  // namespace skt
