// build_info: what the library was compiled with, and what of it this machine uses.
#include <torch/headeronly/version.h>

#include <sstream>
#include <string>

#include "skt/registration.h"

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

SKT_IMPLEMENT(CompositeExplicitAutograd, m) { m.impl("build_info", TORCH_BOX(&skt::build_info)); }
