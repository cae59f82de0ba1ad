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
      "dense_fsp_distance(Tensor student, Tensor teacher, int[] channels, bool adjacent) -> "
      "(Tensor distance, Tensor difference)");
  m.def("dense_fsp_distance_backward(Tensor grad, Tensor student, Tensor difference) -> Tensor");
  m.def(
      "density_splat(Tensor points, Tensor sigma, Tensor offsets, SymInt height, SymInt width, SymInt stride, "
      "float truncate, bool conserve, bool subpixel, Tensor? roi) -> Tensor");
  m.def(
      "geodesic_splat(Tensor points, Tensor sigma, Tensor offsets, SymInt height, SymInt width, SymInt stride, "
      "float truncate, bool conserve, Tensor? roi, Tensor? image, float weight, float gain) -> Tensor");
  m.def(
      "geodesic_neighbors(Tensor points, SymInt neighbors, SymInt height, SymInt width, Tensor? roi, Tensor? image, "
      "float weight, float gain) -> Tensor");
  m.def("build_info() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(skt_ext, CompositeExplicitAutograd, m) {
  m.impl("build_info", TORCH_BOX(&skt::build_info));
}
