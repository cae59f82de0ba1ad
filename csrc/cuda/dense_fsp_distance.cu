#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <string>
#include <tuple>
#include <vector>

#include "kernels/gpu/dense_fsp.h"
#include "skt/dense_fsp_distance_checks.h"
#include "skt/device/launch.h"
#include "skt/registration.h"

namespace skt {
namespace {

namespace kernels = gpu::dense_fsp;
using gpu::tile_product::Fma;
using gpu::tile_product::kSharedBytes;
using gpu::tile_product::Mma;
using gpu::tile_product::Rounded;
using gpu::tile_product::RoundedToTf32;
using kernels::Groups;

Groups groups_of(const char* op, const std::vector<int64_t>& channels, bool adjacent) {
  if (channels.size() > kernels::kMaxGroups) {
    fail("skt_ext::", op, ": CUDA kernels compare at most ", kernels::kMaxGroups, " features; got ", channels.size());
  }
  Groups groups{static_cast<int>(channels.size()), adjacent, {}};
  int64_t end = 0;
  for (size_t i = 0; i < channels.size(); ++i) groups.end[i] = static_cast<int>(end += channels[i]);
  return groups;
}

// Calls visit(pointer to the type of the engine that multiplies). Before sm_80 tensor cores take no operands with
// the range of float, and all precisions are float32.
template <class Visit>
void visit_engine(const CudaDevice& device, const Tensor& student, const std::string& precision, Visit visit) {
  if (student.scalar_type() == ScalarType::Double) return visit(static_cast<Fma<double>*>(nullptr));
  if (precision == "float32" || device.major_version() < 8) return visit(static_cast<Fma<float>*>(nullptr));
  if (precision == "bfloat16") return visit(static_cast<Mma<Rounded<__nv_bfloat16>>*>(nullptr));
  visit(static_cast<Mma<RoundedToTf32>*>(nullptr));
}

// Whether rows of this many elements all start on multiples of 16 bytes.
template <class T>
bool rows_aligned(const Tensor& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0 && tensor.size(2) * sizeof(T) % 16 == 0;
}

template <class Engine>
void forward(const char* op, const CudaDevice& device, const Tensor& student, const Tensor& teacher,
             const Groups& groups, Tensor& distance, Tensor& difference) {
  using T = typename Engine::Element;
  constexpr int kTile = Engine::kTile, kSide = kTile / kernels::kSquare;
  // Registers allow two, the kernel's launch bounds; shared memory, of which sm_75 has 64 KiB, only one there.
  const int64_t blocks_per_processor = device.major_version() < 8 ? 1 : 2;
  const int64_t batch = student.size(0), positions = student.size(2);
  const int tiles = kernels::tiles_of(groups, kTile);
  const int64_t stages = 2 * divide_up<int64_t>(positions, gpu::tile_product::kDepth);
  const int64_t slots = blocks_per_processor * device.processors();
  const int parts = kernels::parts_for(batch * tiles, stages, slots);
  const bool wide = rows_aligned<T>(student) && rows_aligned<T>(teacher);

  Tensor partial = torch::stable::new_empty(student, {batch * parts * tiles, kTile, kTile});
  Tensor sums = torch::stable::new_empty(student, {batch, int64_t{tiles} * kSide * kSide}, ScalarType::Double);
  launch(op, device, {batch * parts * tiles, 1, dim3(Engine::kThreads), kSharedBytes<Engine>},
         kernels::products<Engine>, student.const_data_ptr<T>(), teacher.const_data_ptr<T>(), groups, positions, parts,
         tiles, wide, partial.mutable_data_ptr<T>());
  launch(op, device, {sums.numel(), 1, dim3(kernels::kFinishThreads)}, kernels::finish<T, kTile>,
         partial.const_data_ptr<T>(), groups, positions, parts, tiles, difference.mutable_data_ptr<T>(),
         sums.mutable_data_ptr<double>());
  launch(op, device, {batch, 1, dim3(gpu::kSumThreads)}, gpu::sum_partials<double, T>, sums.const_data_ptr<double>(),
         sums.size(1), distance.mutable_data_ptr<T>());
}

std::tuple<Tensor, Tensor> dense_fsp_distance(const Tensor& student, const Tensor& teacher,
                                              const std::vector<int64_t>& channels, bool adjacent,
                                              const std::string& precision) {
  constexpr const char* op = "dense_fsp_distance";
  check_dense_fsp_distance(student, teacher, channels, precision);
  const int64_t batch = student.size(0), total = student.size(1);
  Tensor distance = torch::stable::new_zeros(student, {batch});
  Tensor difference = torch::stable::new_zeros(student, {batch, total, total});
  if (batch == 0 || channels.size() < 2) return {distance, difference};

  const Groups groups = groups_of(op, channels, adjacent);
  const Tensor from_student = torch::stable::contiguous(student), from_teacher = torch::stable::contiguous(teacher);
  const CudaDevice device(student);
  const auto run = [&](auto* engine) {
    using Engine = std::remove_pointer_t<decltype(engine)>;
    forward<Engine>(op, device, from_student, from_teacher, groups, distance, difference);
  };
  if (precision == "float16" && device.major_version() >= 8 && student.scalar_type() == ScalarType::Float) {
    run(static_cast<Mma<Rounded<__half>>*>(nullptr));
  } else {
    visit_engine(device, student, precision, run);
  }
  return {distance, difference};
}

template <class Engine>
void backward(const char* op, const CudaDevice& device, const Tensor& grad, const Tensor& student,
              const Tensor& difference, const Groups& groups, Tensor& out) {
  using T = typename Engine::Element;
  constexpr int kTile = Engine::kTile, kPerChunk = 16 / sizeof(T);
  const int64_t batch = student.size(0), total = student.size(1), positions = student.size(2);
  bool whole_groups = true;  // the channels that a row of tiles walks through start and end with a feature
  for (int i = 0; i < groups.count; ++i) whole_groups &= groups.end[i] % kPerChunk == 0;
  const int64_t blocks = batch * divide_up<int64_t>(total, kTile) * divide_up<int64_t>(positions, kTile);
  launch(op, device, {blocks, 1, dim3(Engine::kThreads), kSharedBytes<Engine>}, kernels::gradient<Engine>,
         grad.const_data_ptr<T>(), grad.stride(0), student.const_data_ptr<T>(), difference.const_data_ptr<T>(), groups,
         positions, whole_groups && rows_aligned<T>(difference), rows_aligned<T>(student) && rows_aligned<T>(out),
         out.mutable_data_ptr<T>());
}

Tensor dense_fsp_distance_backward(const Tensor& grad, const Tensor& student, const Tensor& difference,
                                   const std::vector<int64_t>& channels, bool adjacent, const std::string& precision) {
  constexpr const char* op = "dense_fsp_distance_backward";
  check_dense_fsp_distance_backward(grad, student, difference, channels, precision);
  Tensor out = torch::stable::new_empty(student, {student.size(0), student.size(1), student.size(2)});
  if (out.numel() == 0) return out;
  const Groups groups = groups_of(op, channels, adjacent);
  const Tensor from_student = torch::stable::contiguous(student),
               from_difference = torch::stable::contiguous(difference);
  // A difference may lie beyond float16's range: "float16" multiplies as tf32 here, which has as many bits.
  const CudaDevice device(student);
  visit_engine(device, student, precision, [&](auto* engine) {
    using Engine = std::remove_pointer_t<decltype(engine)>;
    backward<Engine>(op, device, grad, from_student, from_difference, groups, out);
  });
  return out;
}

}  // namespace
}  // namespace skt

SKT_IMPLEMENT(SKT_GPU_KEY, m) {
  m.impl("dense_fsp_distance", TORCH_BOX(&skt::dense_fsp_distance));
  m.impl("dense_fsp_distance_backward", TORCH_BOX(&skt::dense_fsp_distance_backward));
}
