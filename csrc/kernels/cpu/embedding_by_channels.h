// Tiles of the embedding with one row of channels per pixel, for teachers with that layout (channels_last).
#pragma once

#include "embedding_problem.h"
#include "max_pool.h"
#include "transpose.h"

namespace skt::embedding::by_channels {

// s (pixels, stride of `from`) and h = ReLU(s W' + b) (pixels, stride of `to`).
template <class T>
void embed(const Problem& problem, const Operands<T>& in, const Tile& tile, Workspace<T>& work) {
  const int64_t narrow = row_stride<T>(problem.from), wide = row_stride<T>(problem.to);
  const FeatureMap& student = in.student;
  for (int64_t r = 0; r < tile.rows; ++r) {
    for (int64_t column = 0; column < tile.columns; ++column) {
      const int64_t first = student.pixel(tile.n, (tile.top + r) * problem.width + tile.left + column);
      T* row = work.student.data() + (r * tile.columns + column) * narrow;
      if (student.stride_c == 1 && student.storage == storage_of<T>()) {
        std::copy_n(static_cast<const T*>(student.data) + first, problem.from, row);
      } else {
        widen_row(student.storage, student.data, first, student.stride_c, problem.from, row);
      }
    }
  }
  small_gemm::multiply<T>({tile.pixels(), padded<T>(problem.to), problem.from, work.student.data(), narrow, 1,
                           in.transposed, padded<T>(problem.to), work.hidden.data(), wide, in.bias, 0, true,
                           problem.relu});
}

template <class T>
cosine::Pixels<T> teacher_row(const Problem& problem, const Operands<T>& in, const Tile& tile, int64_t r,
                              Workspace<T>& work) {
  return cosine::load_span(*in.teacher, tile.n, (tile.top + r) * problem.width + tile.left, tile.columns, problem.to,
                           work.rows.data());
}

template <class T>
void sum_products(const Problem& problem, const Operands<T>& in, const Tile& tile, Workspace<T>& work) {
  const int64_t wide = row_stride<T>(problem.to);
  for (int64_t r = 0; r < tile.rows; ++r) {
    const int64_t at = r * tile.columns;
    cosine::sum_channels({work.hidden.data() + at * wide, wide}, teacher_row(problem, in, tile, r, work), problem.to,
                         tile.columns, work.product.data() + at, work.student_square.data() + at,
                         work.teacher_square.data() + at);
  }
}

template <class T>
void pool(const Problem& problem, const Tile& tile, Workspace<T>& work, Pooled<T> out) {
  const int64_t wide = row_stride<T>(problem.to);
  const int64_t cells = problem.pooled_height() * problem.pooled_width();
  const int64_t first =
      tile.n * problem.to * cells + tile.top / problem.kernel_h * problem.pooled_width() + tile.left / problem.kernel_w;
  if (problem.kernel_h == 1 && problem.kernel_w == 1) {
    transpose(work.hidden.data(), wide, tile.columns, problem.to, out.values + first, cells);
    for (int64_t c = 0; c < problem.to; ++c) std::fill_n(out.argmax + first + c * cells, tile.columns, uint8_t{0});
    return;
  }
  // One row per window, transposed at the end: the windows of a channel are adjacent in the result.
  const int64_t windows = divide_up(tile.columns, problem.kernel_w);
  for (int64_t i = 0; i < windows; ++i) {
    const int64_t left = i * problem.kernel_w, right = std::min(left + problem.kernel_w, tile.columns);
    max_pool::reduce_window(max_pool::Window<T>{work.hidden.data() + left * wide, tile.rows, right - left,
                                                tile.columns * wide, wide, problem.kernel_w},
                            problem.to, work.best.data() + i * wide, work.winner.data() + i * wide);
  }
  transpose(work.best.data(), wide, windows, problem.to, out.values + first, cells);
  transpose(work.winner.data(), wide, windows, problem.to, out.argmax + first, cells);
}

// Writes the gradient of h to work.gradient, from the coefficients work.of_teacher and work.of_hidden.
template <class T>
void differentiate(const Problem& problem, const Operands<T>& in, const Upstream<T>& up, const Tile& tile,
                   Workspace<T>& work) {
  const int64_t wide = row_stride<T>(problem.to);
  const T lowest = lowest_passed<T>(problem.relu);
  if (in.teacher == nullptr) std::fill_n(work.gradient.data(), tile.pixels() * wide, T(0));
  for (int64_t r = 0; in.teacher != nullptr && r < tile.rows; ++r) {
    const int64_t at = r * tile.columns;
    combine_channels(work.of_teacher.data() + at, teacher_row(problem, in, tile, r, work), work.of_hidden.data() + at,
                     {work.hidden.data() + at * wide, wide}, lowest, problem.to, tile.columns,
                     work.gradient.data() + at * wide);
  }
  if (up.pooled == nullptr) return;
  const int64_t cells = problem.pooled_height() * problem.pooled_width();
  const int64_t first =
      tile.n * problem.to * cells + tile.top / problem.kernel_h * problem.pooled_width() + tile.left / problem.kernel_w;
  if (problem.kernel_h == 1 && problem.kernel_w == 1) {
    transpose(up.pooled + first, cells, problem.to, tile.columns, work.rows.data(), problem.to);
    for (int64_t p = 0; p < tile.columns; ++p) {
      add_passed(work.rows.data() + p * problem.to, work.hidden.data() + p * wide, lowest, problem.to,
                 work.gradient.data() + p * wide);
    }
    return;
  }
  const uint32_t kernel_w = static_cast<uint32_t>(problem.kernel_w);
  for (int64_t c = 0; c < problem.to; ++c) {
    for (int64_t left = 0, cell = first + c * cells; left < tile.columns; left += problem.kernel_w, ++cell) {
      const uint32_t offset = up.argmax[cell], row = offset / kernel_w;
      const int64_t column = left + offset % kernel_w;
      // An offset that no forward pass has written must not lead outside the tile.
      if (row >= tile.rows || column >= tile.columns) continue;
      const int64_t at = (row * tile.columns + column) * wide + c;
      if (!(work.hidden[at] <= lowest)) work.gradient[at] += up.pooled[cell];
    }
  }
}

// Writes the gradient of s and adds those of the parameters.
template <class T>
void propagate(const Problem& problem, const Operands<T>& in, const Tile& tile, Workspace<T>& work,
               const FeatureMap& grad_student, Partial<T> sums) {
  const int64_t pixels = tile.pixels(), narrow = row_stride<T>(problem.from), wide = row_stride<T>(problem.to);
  const int64_t weight_stride = padded<T>(problem.from);
  add_rows(work.gradient.data(), wide, pixels, problem.to, sums.bias);
  small_gemm::multiply<T>({pixels, weight_stride, problem.to, work.gradient.data(), wide, 1, in.weight, weight_stride,
                           work.of_student.data(), narrow, nullptr, 0, false, false});
  for (int64_t r = 0; r < tile.rows; ++r) {
    for (int64_t column = 0; column < tile.columns; ++column) {
      const int64_t first = grad_student.pixel(tile.n, (tile.top + r) * problem.width + tile.left + column);
      const T* row = work.of_student.data() + (r * tile.columns + column) * narrow;
      if (grad_student.stride_c == 1 && grad_student.storage == storage_of<T>()) {
        std::copy_n(row, problem.from, static_cast<T*>(grad_student.data) + first);
      } else {
        narrow_row(grad_student.storage, row, problem.from, grad_student.data, first, grad_student.stride_c);
      }
    }
  }
  small_gemm::multiply<T>({problem.to, weight_stride, pixels, work.gradient.data(), 1, wide, work.student.data(),
                           narrow, sums.weight, weight_stride, sums.weight, weight_stride, true, false});
}

// Writes the tile's sums over channels to work and its part of `pooled`.
template <class T>
void compare(const Problem& problem, const Operands<T>& in, const Tile& tile, Workspace<T>& work, Pooled<T> pooled) {
  embed(problem, in, tile, work);
  if (in.teacher != nullptr) sum_products(problem, in, tile, work);
  if (problem.pools()) pool(problem, tile, work, pooled);
}

// With the coefficients in work, writes the tile's part of grad_student and adds its part of the parameters' gradients.
template <class T>
void backward_of_tile(const Problem& problem, const Operands<T>& in, const Upstream<T>& up, const Tile& tile,
                      Workspace<T>& work, const FeatureMap& grad_student, Partial<T> sums) {
  embed(problem, in, tile, work);
  differentiate(problem, in, up, tile, work);
  propagate(problem, in, tile, work, grad_student, sums);
}

}  // namespace skt::embedding::by_channels
