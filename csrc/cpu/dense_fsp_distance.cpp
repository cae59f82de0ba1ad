// The Gram matrices come from torch's own matrix product: halves of the list of features against each other, which
// cover the upper block triangle. The rest is one pass over the products.
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <array>
#include <cstdlib>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/cpu/dense_fsp.h"
#include "kernels/cpu/large_memory.h"
#include "skt/dense_fsp_distance_checks.h"
#include "skt/dispatch.h"
#include "skt/parallel.h"
#include "skt/registration.h"

namespace skt {
namespace {

using dense_fsp::Block;

// Rectangles that cover the pairs of the features [first, last), which start at channel `start`: the products between
// two halves with about the same number of channels, then those within each half. Halves give products of many rows and
// columns; one strip per feature would have few rows, and 64 rows run at three quarters of the rate of 512.
void add_halves(const std::vector<int64_t>& channels, size_t first, size_t last, int64_t start,
                std::vector<Block>& blocks) {
  if (last - first < 2) return;
  const int64_t total = std::accumulate(channels.begin() + first, channels.begin() + last, int64_t{0});
  size_t middle = first + 1;
  int64_t left = channels[first];
  while (middle + 1 < last && std::abs(total - 2 * (left + channels[middle])) <= std::abs(total - 2 * left)) {
    left += channels[middle++];
  }
  blocks.push_back({start, left, start + left, total - left});
  add_halves(channels, first, middle, start, blocks);
  add_halves(channels, middle, last, start + left, blocks);
}

// The upper block triangle, or the blocks next to its diagonal. No two rectangles overlap.
std::vector<Block> blocks_of(const std::vector<int64_t>& channels, bool adjacent) {
  std::vector<Block> blocks;
  if (!adjacent) {
    add_halves(channels, 0, channels.size(), 0, blocks);
    return blocks;
  }
  int64_t row = 0;
  for (size_t i = 0; i + 1 < channels.size(); row += channels[i++]) {
    blocks.push_back({row, channels[i], row + channels[i], channels[i + 1]});
  }
  return blocks;
}

// out = left @ right, batched. Called by its out variant: under autocast torch.bmm would round to half precision.
void multiply(const Tensor& left, const Tensor& right, const Tensor& out) {
  std::array<StableIValue, 3> stack{torch::stable::detail::from(left), torch::stable::detail::from(right),
                                    torch::stable::detail::from(out)};
  if (torch_call_dispatcher("aten::bmm", "out", stack.data(), TORCH_ABI_VERSION) != 0) {
    fail("skt_ext::dense_fsp_distance: torch.bmm failed for ", list(shape_of(left)), " and ", list(shape_of(right)));
  }
  torch::stable::detail::to<Tensor>(stack[0]);  // the same tensor again, owned by us
}

Tensor products(const Tensor& features, const Block& block) {  // (N, C, P) -> (N, rows, columns)
  const Tensor rows = torch::stable::narrow(const_cast<Tensor&>(features), 1, block.row, block.rows);
  const Tensor columns = torch::stable::narrow(const_cast<Tensor&>(features), 1, block.column, block.columns);
  const Tensor out = torch::stable::new_empty(features, {features.size(0), block.rows, block.columns});
  multiply(rows, torch::stable::transpose(columns, 1, 2), out);
  return out;
}

std::tuple<Tensor, Tensor> dense_fsp_distance(const Tensor& student, const Tensor& teacher,
                                              const std::vector<int64_t>& channels, bool adjacent,
                                              const std::string& precision) {
  check_dense_fsp_distance(student, teacher, channels, precision);
  const int64_t batch = student.size(0), total = student.size(1), positions = student.size(2);
  Tensor distance = torch::stable::new_empty(student, {batch});
  Tensor difference = torch::stable::new_zeros(student, {batch, total, total});
  std::vector<double> sums(batch, 0.0);
  visit_accumulator(student.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    T* all = difference.mutable_data_ptr<T>();
    for (const Block& block : blocks_of(channels, adjacent)) {
      const Tensor of_teacher = products(teacher, block), of_student = products(student, block);
      const T *t = of_teacher.const_data_ptr<T>(), *s = of_student.const_data_ptr<T>();
      std::vector<double> of_tile(batch * block.tiles());
      parallel_over(batch * block.tiles(), dense_fsp::kTile * block.columns, [&](int64_t first, int64_t last) {
        for (int64_t item = first; item < last; ++item) {
          const int64_t n = item / block.tiles(), offset = n * block.rows * block.columns;
          of_tile[item] = dense_fsp::finish_tile(t + offset, s + offset, block, item % block.tiles(), positions, total,
                                                 all + n * total * total);
        }
      });
      for (int64_t item = 0; item < batch * block.tiles(); ++item) sums[item / block.tiles()] += of_tile[item];
    }
    T* out = distance.mutable_data_ptr<T>();
    for (int64_t n = 0; n < batch; ++n) out[n] = static_cast<T>(sums[n]);
  });
  return {distance, difference};
}

Tensor dense_fsp_distance_backward(const Tensor& grad, const Tensor& student, const Tensor& difference,
                                   const std::vector<int64_t>& channels, bool, const std::string& precision) {
  check_dense_fsp_distance_backward(grad, student, difference, channels, precision);
  const int64_t batch = student.size(0), total = student.size(1), positions = student.size(2);
  // The weight of an image goes into the (C, C) matrix, which is smaller than the (C, P) gradient.
  const Tensor dense = torch::stable::contiguous(difference);
  Tensor weighted = torch::stable::empty_like(dense);
  Tensor grad_student = torch::stable::new_empty(student, {batch, total, positions});
  visit_accumulator(student.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = dense.const_data_ptr<T>();
    const T* weight = grad.const_data_ptr<T>();
    T* to = weighted.mutable_data_ptr<T>();
    advise_large_pages(grad_student.mutable_data_ptr(), grad_student.numel() * static_cast<int64_t>(sizeof(T)));
    const int64_t stride = grad.stride(0);
    parallel_over(batch * total, total, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        const T factor = weight[row / total * stride] * T(-2) / static_cast<T>(positions);
        for (int64_t i = row * total; i < (row + 1) * total; ++i) to[i] = factor * from[i];
      }
    });
  });
  multiply(weighted, student, grad_student);
  return grad_student;
}

}  // namespace
}  // namespace skt

SKT_IMPLEMENT(CPU, m) {
  m.impl("dense_fsp_distance", TORCH_BOX(&skt::dense_fsp_distance));
  m.impl("dense_fsp_distance_backward", TORCH_BOX(&skt::dense_fsp_distance_backward));
}
