// Checks of an operator's arguments: the second line of defence, after the checks in Python. A message names the
// operator, the argument, what was expected (with axes), and what was given.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <initializer_list>
#include <limits>
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

// The product of sizes, or -1 where it is not an int64_t.
inline int64_t product_of(const std::vector<int64_t>& sizes) {
  int64_t product = 1;
  for (const int64_t size : sizes) {
    if (__builtin_mul_overflow(product, size, &product)) return -1;
  }
  return product;
}

inline std::vector<int64_t> shape_of(const Tensor& tensor) {
  const auto sizes = tensor.sizes();
  return {sizes.begin(), sizes.end()};
}

// Checks the arguments of one operator.
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

  // Positions are counted in int64_t, also if the tensor itself is empty.
  void countable(const char* name, const Tensor& tensor, const std::vector<int64_t>& sizes) const {
    require(product_of(sizes) >= 0, name, " has too many positions; got ", list(shape_of(tensor)));
  }

  void eps(double eps) const {
    require(eps >= 0 && eps <= std::numeric_limits<float>::max(), "eps must be a float32 and not negative; got ", eps);
  }

  void same_device(const char* name, const Tensor& tensor, const char* other_name, const Tensor& other) const {
    require(tensor.device() == other.device(), name, " must be on the device of ", other_name);
  }

 private:
  const char* op_;
};

}  // namespace skt
