// Every operator's schema, and build_info.
#include <torch/csrc/stable/library.h>
#include <torch/headeronly/version.h>

#include <sstream>
#include <string>

namespace skt {
namespace {

#if defined(__clang__)
constexpr const char* kCompiler = "clang " __clang_version__;
#elif defined(__GNUC__)
constexpr const char* kCompiler = "gcc " __VERSION__;
#else
constexpr const char* kCompiler = "unknown";
#endif

// The instruction set that the CPU kernels of this library use on this machine.
const char* cpu_vector_level() {
#if defined(SKT_HAS_TARGET_CLONES)
  if (__builtin_cpu_supports("x86-64-v4")) return "x86-64-v4";
  if (__builtin_cpu_supports("x86-64-v3")) return "x86-64-v3";
#endif
  return "baseline";
}

// JSON: what this library was compiled with, and what of it this machine uses.
std::string build_info() {
  std::ostringstream json;
  json << "{\"compiler\": \"" << kCompiler << "\", "
       << "\"torch_target\": \"" << SKT_TORCH_TARGET << "\", "
       << "\"torch_headers\": \"" << TORCH_VERSION << "\", ";
#if defined(SKT_CUDA_VERSION)
  json << "\"cuda\": {\"version\": \"" << SKT_CUDA_VERSION << "\", \"architectures\": \"" << SKT_CUDA_ARCHITECTURES
       << "\"}, ";
#else
  json << "\"cuda\": null, ";
#endif
#if defined(SKT_HAS_TARGET_CLONES)
  json << "\"cpu\": {\"compiled\": [\"x86-64-v4\", \"x86-64-v3\", \"baseline\"], ";
#else
  json << "\"cpu\": {\"compiled\": [\"baseline\"], ";
#endif
  json << "\"used\": \"" << cpu_vector_level() << "\"}}";
  return json.str();
}

}  // namespace
}  // namespace skt

STABLE_TORCH_LIBRARY(skt_ext, m) {
  m.def("cosine_distance(Tensor student, Tensor teacher, float eps) -> (Tensor distance, Tensor statistics)");
  m.def(
      "cosine_distance_backward(Tensor grad, Tensor student, Tensor teacher, Tensor statistics, float eps) -> Tensor");
  m.def("max_pool_resize(Tensor input, SymInt kernel_h, SymInt kernel_w) -> (Tensor output, Tensor argmax)");
  m.def(
      "max_pool_resize_backward(Tensor grad, Tensor argmax, SymInt kernel_h, SymInt kernel_w, SymInt height, "
      "SymInt width) -> Tensor");
  m.def(
      "cosine_loss(Tensor student, Tensor teacher, float eps, float scale, bool with_gradient) -> "
      "(Tensor loss, Tensor gradient)");
  m.def("rescale_(Tensor(a!) gradient, Tensor grad, float scale) -> ()");
  m.def(
      "pool_and_pack(Tensor[] features, int[] kernels, bool normalize, bool with_argmax) -> "
      "(Tensor packed, Tensor argmax, Tensor inverse_deviation)");
  m.def(
      "pool_and_pack_backward(Tensor grad, Tensor packed, Tensor argmax, Tensor inverse_deviation, "
      "Tensor[] features, int[] kernels) -> Tensor[]");
  m.def(
      "dense_fsp_distance(Tensor student, Tensor teacher, int[] channels, bool adjacent, str precision) -> "
      "(Tensor distance, Tensor difference)");
  m.def(
      "dense_fsp_distance_backward(Tensor grad, Tensor student, Tensor difference, int[] channels, bool adjacent, "
      "str precision) -> Tensor");
  m.def(
      "embedded_distance(Tensor student, Tensor weight, Tensor? bias, Tensor? teacher, bool relu, float eps, "
      "SymInt kernel_h, SymInt kernel_w) -> (Tensor loss, Tensor pooled, Tensor argmax, Tensor statistics)");
  m.def(
      "embedded_distance_backward(Tensor grad_loss, Tensor? grad_pooled, Tensor student, Tensor weight, "
      "Tensor? bias, Tensor? teacher, Tensor argmax, Tensor statistics, bool relu, float eps, SymInt kernel_h, "
      "SymInt kernel_w) -> (Tensor grad_student, Tensor grad_weight, Tensor grad_bias)");
  m.def(
      "density_splat(Tensor points, Tensor sigma, SymInt height, SymInt width, float truncate, bool conserve, "
      "Tensor? roi) -> Tensor");
  m.def("build_info() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(skt_ext, CompositeExplicitAutograd, m) {
  m.impl("build_info", TORCH_BOX(&skt::build_info));
}
