// Tiles of embedded_distance with a row of pixels for every channel, for teachers that lie so (NCHW).
#pragma once

#include "embedded_problem.h"
#include "max_pool_cpu.h"

namespace skt::embedded::by_pixels {

// s (from, stride) and h = ReLU(W s + b) (to, stride); `stride` is that of the tile's pixels.
template <class T>
void embed(const Problem& problem, const Operands<T>& in, const Tile& tile, Workspace<T>& work) {
  const int64_t stride = row_stride<T>(tile.pixels());
  for (int64_t c = 0; c < problem.from; ++c) {
    for (int64_t r = 0; r < tile.rows; ++r) {
      const int64_t first = in.student.pixel(tile.n, (tile.top + r) * problem.width + tile.left);
      widen_row(in.student.storage, in.student.data, first + c * in.student.stride_c, in.student.stride_w,
                tile.columns, work.student.data() + c * stride + r * tile.columns);
    }
  }
  small_gemm::multiply<T>({problem.to, padded<T>(tile.pixels()), problem.from, in.weight, padded<T>(problem.from), 1,
                           work.student.data(), stride, work.hidden.data(), stride, in.bias, 1, false, problem.relu});
}

template <class T>
void sum_products(const Problem& problem, const Operands<T>& in, const Tile& tile, Workspace<T>& work) {
  const int64_t stride = row_stride<T>(tile.pixels());
  for (auto* row : {&work.product, &work.student_square, &work.teacher_square}) {
    std::fill_n(row->data(), tile.pixels(), T(0));
  }
  for (int64_t r = 0; r < tile.rows; ++r) {
    const int64_t begin = (tile.top + r) * problem.width + tile.left, at = r * tile.columns;
    T *product = work.product.data() + at, *hidden = work.student_square.data() + at;
    T* square = work.teacher_square.data() + at;
    const T *h[cosine::kStep], *t[cosine::kStep];
    const auto load = [&](int64_t c, int64_t i) {
      h[i] = work.hidden.data() + c * stride + at;
      t[i] = load_pixels(*in.teacher, tile.n, c, begin, begin + tile.columns, work.rows.data() + i * tile.columns);
    };
    int64_t c = 0;
    for (; c + cosine::kStep <= problem.to; c += cosine::kStep) {
      for (int64_t i = 0; i < cosine::kStep; ++i) load(c + i, i);
      cosine::add_step(h, t, tile.columns, product, hidden, square);
    }
    for (; c < problem.to; ++c) {
      load(c, 0);
      cosine::add_channel(h[0], t[0], tile.columns, product, hidden, square);
    }
  }
}

template <class T>
void pool(const Problem& problem, const Tile& tile, Workspace<T>& work, Pooled<T> out) {
  const int64_t stride = row_stride<T>(tile.pixels());
  const int64_t cells = problem.pooled_height() * problem.pooled_width();
  const int64_t first = tile.top / problem.kernel_h * problem.pooled_width() + tile.left / problem.kernel_w;
  const int64_t windows = (tile.columns + problem.kernel_w - 1) / problem.kernel_w;
  max_pool::WindowRow<T> windows_of(windows, problem.kernel_w);
  for (int64_t c = 0; c < problem.to; ++c) {
    const T* hidden = work.hidden.data() + c * stride;
    const int64_t to = (tile.n * problem.to + c) * cells + first;
    if (problem.kernel_h == 1 && problem.kernel_w == 1) {
      std::copy_n(hidden, tile.columns, out.values + to);
      std::fill_n(out.argmax + to, tile.columns, uint8_t{0});
      continue;
    }
    const max_pool::Best<T> best = windows_of.reduce(hidden, tile.columns, tile.rows, tile.columns);
    std::copy_n(best.value, windows, out.values + to);
    std::copy_n(best.winner, windows, out.argmax + to);
  }
}

// The gradient of h into work.gradient, after work.of_teacher and work.of_hidden.
template <class T>
void differentiate(
    const Problem& problem, const Operands<T>& in, const Upstream<T>& up, const Tile& tile, Workspace<T>& work) {
  const int64_t stride = row_stride<T>(tile.pixels());
  const T lowest = lowest_passed<T>(problem.relu);
  for (int64_t c = 0; c < problem.to; ++c) {
    T* gradient = work.gradient.data() + c * stride;
    const T* hidden = work.hidden.data() + c * stride;
    if (in.teacher == nullptr) std::fill_n(gradient, tile.pixels(), T(0));
    for (int64_t r = 0; in.teacher != nullptr && r < tile.rows; ++r) {
      const int64_t begin = (tile.top + r) * problem.width + tile.left, at = r * tile.columns;
      const T* t = load_pixels(*in.teacher, tile.n, c, begin, begin + tile.columns, work.rows.data());
      combine_pixels(work.of_teacher.data() + at, t, work.of_hidden.data() + at, hidden + at, lowest, tile.columns,
                     gradient + at);
    }
    if (up.pooled == nullptr) continue;
    const int64_t cells = problem.pooled_height() * problem.pooled_width();
    const int64_t first = tile.top / problem.kernel_h * problem.pooled_width() + tile.left / problem.kernel_w;
    const int64_t from = (tile.n * problem.to + c) * cells + first;
    if (problem.kernel_h == 1 && problem.kernel_w == 1) {
      add_passed(up.pooled + from, hidden, 1, lowest, tile.columns, gradient);
      continue;
    }
    for (int64_t left = 0, cell = from; left < tile.columns; left += problem.kernel_w, ++cell) {
      const int64_t row = up.argmax[cell] / problem.kernel_w, column = left + up.argmax[cell] % problem.kernel_w;
      // An offset that no forward pass wrote must not write outside the tile.
      if (row >= tile.rows || column >= tile.columns) continue;
      const int64_t at = row * tile.columns + column;
      if (!(hidden[at] <= lowest)) gradient[at] += up.pooled[cell];
    }
  }
}

// The gradients of s (written) and of the parameters (added).
template <class T>
void propagate(
    const Problem& problem, const Operands<T>& in, const Tile& tile, Workspace<T>& work, const FeatureMap& grad_student,
    Partial<T> sums) {
  const int64_t pixels = tile.pixels(), stride = row_stride<T>(pixels), narrow = padded<T>(problem.from);
  for (int64_t c = 0; c < problem.to; ++c) sums.bias[c] += cosine::total(work.gradient.data() + c * stride, pixels);
  small_gemm::multiply<T>({problem.from, padded<T>(pixels), problem.to, in.weight, 1, narrow, work.gradient.data(),
                           stride, work.of_student.data(), stride, nullptr, 0, false, false});
  for (int64_t c = 0; c < problem.from; ++c) {
    for (int64_t r = 0; r < tile.rows; ++r) {
      const int64_t first = grad_student.pixel(tile.n, (tile.top + r) * problem.width + tile.left);
      narrow_row(grad_student.storage, work.of_student.data() + c * stride + r * tile.columns, tile.columns,
                 grad_student.data, first + c * grad_student.stride_c, grad_student.stride_w);
    }
  }
  const int64_t turned = row_stride<T>(problem.from);
  for (int64_t c = 0; c < problem.from; ++c) {
    for (int64_t p = 0; p < pixels; ++p) work.turned[p * turned + c] = work.student[c * stride + p];
  }
  small_gemm::multiply<T>({problem.to, narrow, pixels, work.gradient.data(), stride, 1, work.turned.data(), turned,
                           sums.weight, narrow, sums.weight, narrow, true, false});
}

}  // namespace skt::embedded::by_pixels
