// Gradients of the embedding's distance and maxima on the GPU. Tiles of h are computed again and turned into dh, the
// gradient of the embedding before its ReLU; from each tile
//
//   ds[k, p] += sum over c of W[c, k] dh[c, p]      in registers, over all chunks of teacher channels
//   dW[c, k] += sum over p of dh[c, p] s[k, p]      in registers or the block's own workspace, over all its pixels
//   db[c]    += sum over p of dh[c, p]
//
// A block takes every gridDim.x-th tile of 64 pixels and writes one partial sum of dW and db; add_partials adds those
// up. The order of every sum is fixed; there are no atomics.
#pragma once

#include "embedding_forward.h"

namespace skt::gpu::embedding {

// Calls visit(integral_constant<int, Depth>), the number of student channels that the kernel handles at once.
template <class A, class Visit>
void visit_depth(int student_channels, Visit visit) {
  if constexpr (sizeof(A) == 8) {
    visit(std::integral_constant<int, 16>{});
  } else if (student_channels <= 16) {
    visit(std::integral_constant<int, 16>{});
  } else if (student_channels <= 32) {
    visit(std::integral_constant<int, 32>{});
  } else {
    visit(std::integral_constant<int, 64>{});
  }
}

// Groups of threads that divide the pixels of a tile between them for dW; each has its own partial sum.
__host__ __device__ constexpr int weight_groups(int depth) { return 64 / depth; }

template <class A>
constexpr size_t backward_shared(int depth) {
  return sizeof(A) * (depth * kPixels + depth * kChunk<A> + kChunk<A> * kPixels);
}

// A few waves of blocks for a large GPU, and partial sums that stay in a large second-level cache. The number depends
// on the sizes alone, so that the sums come in the same order on every GPU.
constexpr int64_t kMostBlocks = 768, kPartialBytes = 32 << 20;

// Elements of a partial sum: a row (dW[c, 0], ..., dW[c, Cs - 1], db[c]) for each teacher channel.
__host__ __device__ inline int64_t partial_size(const Problem& problem) {
  return int64_t{problem.teacher_channels} * (problem.student_channels + 1);
}

template <class A>
int64_t backward_blocks(const Problem& problem, int depth) {
  const int64_t tiles = problem.batch * divide_up<int64_t>(problem.pixels(), kPixels);
  const int64_t bytes = static_cast<int64_t>(sizeof(A)) * weight_groups(depth) * partial_size(problem);
  const int64_t affordable = kPartialBytes / bytes;
  const int64_t most = affordable < 1 ? 1 : affordable < kMostBlocks ? affordable : kMostBlocks;
  return tiles < most ? tiles : most;
}

// Elements of a block's unfinished ds, if one tile of registers does not hold it.
template <class A>
__host__ __device__ inline int64_t unfinished_size(const Problem& problem, int depth) {
  return problem.student_channels > depth && problem.teacher_channels > kChunk<A>
             ? int64_t{problem.student_channels} * kPixels
             : 0;
}

template <class A>
struct Gradients {
  const A* loss;          // (); not read without a teacher
  const A* pooled;        // (N, Ct, h, w), may be null
  const uint8_t* argmax;  // (N, Ct, h, w); not read for windows of one pixel
  const A* statistics;    // (N, 3, H, W)
  Source student;         // where ds is written; its layout may differ from the student's
  A* partial;             // (blocks, weight_groups, Ct, Cs + 1)
  A* unfinished;          // (blocks, unfinished_size)
};

// The four neighbouring pixels of a thread, counted row by row; fewer at the end of an image.
struct Quad {
  int64_t first;
  int count;

  __device__ int64_t operator()(int j) const { return j < count ? first + j : -1; }
};

// Whether the ReLU has stopped this value. It lets a NaN pass, as torch's does.
template <class A>
__device__ inline bool stopped(const Problem& problem, A h) {
  return problem.relu && h <= A(0);
}

// dh += the pooled map's gradient, at the pixels whose h was the maximum of its window and passed the ReLU.
template <class A>
__device__ inline void add_pooled_gradient(const Problem& problem, const Gradients<A>& gradients, int64_t image,
                                           int first_channel, const Quad& pixel, const A (&h)[kOwn<A>][kQuad],
                                           A (&dh)[kOwn<A>][kQuad]) {
  const int64_t pooled_pixels = problem.pooled_height() * problem.pooled_width();
  const int64_t origin = (image * problem.teacher_channels + first_channel) * pooled_pixels;
  const uint32_t kernel_h = static_cast<uint32_t>(problem.kernel_h), kernel_w = static_cast<uint32_t>(problem.kernel_w);
  const uint32_t width = static_cast<uint32_t>(problem.width);
  uint32_t row = static_cast<uint32_t>(pixel.first / problem.width);
  uint32_t column = static_cast<uint32_t>(pixel.first - row * problem.width);
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    if (j >= pixel.count) continue;
    const uint32_t window_row = row / kernel_h, window_column = column / kernel_w;
    const uint32_t offset = (row - window_row * kernel_h) * kernel_w + column - window_column * kernel_w;
    const int64_t window = origin + window_row * problem.pooled_width() + window_column;
#pragma unroll
    for (int i = 0; i < kOwn<A>; ++i) {
      if (first_channel + i >= problem.teacher_channels || stopped(problem, h[i][j])) continue;
      const int64_t at = window + i * pooled_pixels;
      if (problem.pools_nothing() || gradients.argmax[at] == offset) dh[i][j] += gradients.pooled[at];
    }
    if (++column == width) {
      column = 0;
      ++row;
    }
  }
}

// Replaces the teacher's features by dh of the cosine distance.
template <class A>
__device__ inline void replace_by_distance_gradient(const Problem& problem, const Gradients<A>& gradients, A eps,
                                                    int64_t image, const Quad& pixel, const A (&h)[kOwn<A>][kQuad],
                                                    A (&dh)[kOwn<A>][kQuad]) {
  const A grad_loss = *gradients.loss;
  const A* sums = gradients.statistics + image * kStatistics * problem.pixels() + pixel.first;
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    if (j >= pixel.count) continue;
    const Coefficients<A> scale =
        coefficients(grad_loss, sums[j], sums[problem.pixels() + j], sums[2 * problem.pixels() + j], eps);
#pragma unroll
    for (int i = 0; i < kOwn<A>; ++i) {
      const A value = scale.of_teacher * dh[i][j] + scale.of_student * h[i][j];
      dh[i][j] = stopped(problem, h[i][j]) ? A(0) : value;
    }
  }
}

// ds[k, p] += sum over the chunk's c of W[c, k] dh[c, p], for four pixels and Depth / kGroups neighbouring k.
template <class A, int Depth>
__device__ inline void add_student_gradient(const Tile<A>& grad, const Tile<A>& weight, const Share& share,
                                            A (&ds)[Depth / kGroups][kQuad]) {
#pragma unroll 1
  for (int c = 0; c < kChunk<A>; c += kQuad) {
    Pack<A, kQuad> dh[kQuad];
#pragma unroll
    for (int n = 0; n < kQuad; ++n) dh[n] = grad.quad(c + n, share.quad);
#pragma unroll
    for (int i = 0; i < Depth / kGroups; ++i) {
      const Pack<A, kQuad> w = weight.quad(share.group * (Depth / kGroups) + i, c / kQuad);
#pragma unroll
      for (int n = 0; n < kQuad; ++n) {
#pragma unroll
        for (int j = 0; j < kQuad; ++j) ds[i][j] += w.value[n] * dh[n].value[j];
      }
    }
  }
}

// dW[c, k] += sum over p of dh[c, p] s[k, p], and db[c] += sum over p of dh[c, p] if asked, over this group's pixels.
template <class A, int Depth>
__device__ inline void add_weight_gradient(const Tile<A>& grad, const Tile<A>& student, int row, int column, int group,
                                           bool with_bias, A (&dw)[kOwn<A>][4], A (&db)[kOwn<A>]) {
  constexpr int kQuads = kPixels / kQuad / weight_groups(Depth);
#pragma unroll 1
  for (int quad = group * kQuads; quad < (group + 1) * kQuads; ++quad) {
    Pack<A, kQuad> s[4];
#pragma unroll
    for (int n = 0; n < 4; ++n) s[n] = student.quad(column + n * (Depth / 4), quad);
#pragma unroll
    for (int i = 0; i < kOwn<A>; ++i) {
      const Pack<A, kQuad> dh = grad.quad(row + 16 * i, quad);
#pragma unroll
      for (int n = 0; n < 4; ++n) {
#pragma unroll
        for (int j = 0; j < kQuad; ++j) dw[i][n] += dh.value[j] * s[n].value[j];
      }
      if (with_bias) db[i] += (dh.value[0] + dh.value[1]) + (dh.value[2] + dh.value[3]);
    }
  }
}

// Writes ds[first_channel + i, pixel(j)] in the dtype and layout of the student's gradient.
template <class A, int Rows>
__device__ inline void store_student_gradient(const Source& to, int64_t image, int first_channel, int channels,
                                              const Quad& pixel, const A (&ds)[Rows][kQuad]) {
  void* const data = const_cast<void*>(to.data);
  const int64_t origin = image * to.image + first_channel * to.channel;
  if (to.packs == Packs::of_pixels) {
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
      if (pixel.count == 0 || first_channel + i >= channels) continue;
      write<kQuad>(data, to.storage, origin + i * to.channel + pixel.first,
                   Pack<A, kQuad>{ds[i][0], ds[i][1], ds[i][2], ds[i][3]});
    }
  } else if (to.packs == Packs::of_channels) {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      if (j >= pixel.count || first_channel >= channels) continue;
      Pack<A, Rows> pack;
#pragma unroll
      for (int i = 0; i < Rows; ++i) pack.value[i] = ds[i][j];
      write<Rows>(data, to.storage, origin + (pixel.first + j) * to.pixel, pack);
    }
  } else {
#pragma unroll
    for (int i = 0; i < Rows; ++i) {
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        if (j >= pixel.count || first_channel + i >= channels) continue;
        write<1>(data, to.storage, origin + i * to.channel + (pixel.first + j) * to.pixel, Pack<A, 1>{ds[i][j]});
      }
    }
  }
}

// Grid of at most as many blocks as there are tiles, block kThreads, backward_shared<A>(Depth) bytes of shared memory.
template <class A, int Depth>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor<A>)
    backward(const Problem problem, const A eps, const Gradients<A> gradients) {
  constexpr int kCount = kOwn<A>;
  constexpr int kOwnRows = Depth / kGroups;  // student channels of a thread in ds
  constexpr int kWeightGroups = weight_groups(Depth), kWeightRows = Depth / 4;
  SKT_DYNAMIC_SHARED(A, shared);
  const Tile<A> student{shared, kPixels};                               // [student channel][pixel]
  const Tile<A> weight{shared + Depth * kPixels, kChunk<A>};            // [student channel][teacher channel]
  const Tile<A> grad{shared + Depth * (kPixels + kChunk<A>), kPixels};  // [teacher channel][pixel]: dh

  const Share share = Share::of_this_thread();
  const int channels = problem.teacher_channels, depth = problem.student_channels;
  const int64_t pixels = problem.pixels();
  const int64_t tiles_of_image = divide_up(pixels, int64_t{kPixels}), tiles = problem.batch * tiles_of_image;
  const int parts = divide_up(depth, Depth);
  const bool one_chunk = channels <= kChunk<A>, one_part = parts == 1;
  const bool compares = problem.teacher.data != nullptr;

  // dW: rows c = weight_row + 16 i, columns k = weight_column + kWeightRows i.
  const int weight_row = threadIdx.x % 16, weight_column = threadIdx.x / 16 % kWeightRows;
  const int weight_group = threadIdx.x / (16 * kWeightRows);
  A* const partial = gradients.partial + (int64_t{blockIdx.x} * kWeightGroups + weight_group) * partial_size(problem);
  A* const unfinished = gradients.unfinished + int64_t{blockIdx.x} * unfinished_size<A>(problem, Depth);
  A dw[kCount][4] = {}, db[kCount] = {};

  int staged_weight = -1;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t image = tile / tiles_of_image, first_pixel = tile % tiles_of_image * kPixels;
    const auto locate = [&](int x) { return first_pixel + x < pixels ? first_pixel + x : int64_t{-1}; };
    int staged_student = -1;
    const auto stage_part = [&](int first, int part) {
      const int weight_id = first * parts + part;
      if (part == staged_student && weight_id == staged_weight) return;
      __syncthreads();
      if (part != staged_student) {
        stage(student, Depth, problem.student, image, part * Depth, depth, locate);
      }
      if (weight_id != staged_weight) {
        stage(weight, Depth, problem.weight, 0, part * Depth, depth,
              [&](int x) { return first + x < channels ? first + x : -1; });
      }
      staged_student = part;
      staged_weight = weight_id;
      __syncthreads();
    };

    const int64_t own_pixel = first_pixel + share.quad * kQuad;
    const Quad pixel{own_pixel, static_cast<int>(max(int64_t{0}, min(int64_t{kQuad}, pixels - own_pixel)))};
    A ds[kOwnRows][kQuad] = {};

    for (int first = 0; first < channels; first += kChunk<A>) {
      const int own_channel = first + share.group * kCount;
      A dh[kCount][kQuad] = {};  // first the teacher's features, loaded before the product, which hides the latency
      if (compares) load_teacher(problem, image, own_channel, pixel, dh);
      A h[kCount][kQuad];
      start_from_bias(problem, own_channel, h);
      for (int part = 0; part < parts; ++part) {
        stage_part(first, part);
        add_product(student, weight, Depth, share, h);
      }

      if (compares) replace_by_distance_gradient(problem, gradients, eps, image, pixel, h, dh);
      if (gradients.pooled != nullptr) {
        add_pooled_gradient(problem, gradients, image, own_channel, pixel, h, dh);
      }
      __syncthreads();  // the products with the previous dh are done
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        Pack<A, kQuad> pack;
#pragma unroll
        for (int j = 0; j < kQuad; ++j) {
          pack.value[j] = own_channel + i < channels && j < pixel.count ? dh[i][j] : A(0);
        }
        grad.quad(share.group * kCount + i, share.quad) = pack;
      }
      __syncthreads();

      // From the last part, which is staged, to the first, which the next chunk starts with.
      for (int part = parts - 1; part >= 0; --part) {
        stage_part(first, part);
        const bool last_chunk = first + kChunk<A> >= channels;
        if (!one_part) {
#pragma unroll
          for (int i = 0; i < kOwnRows; ++i) {
            const int k = part * Depth + share.group * kOwnRows + i;
            const Pack<A, kQuad> pack =
                first > 0 && k < depth
                    ? load<kQuad>(static_cast<const A*>(unfinished + k * kPixels + share.quad * kQuad))
                    : Pack<A, kQuad>{};
#pragma unroll
            for (int j = 0; j < kQuad; ++j) ds[i][j] = pack.value[j];
          }
        }
        add_student_gradient<A, Depth>(grad, weight, share, ds);
        if (last_chunk) {
          store_student_gradient<A, kOwnRows>(gradients.student, image, part * Depth + share.group * kOwnRows, depth,
                                              pixel, ds);
        } else if (!one_part) {
#pragma unroll
          for (int i = 0; i < kOwnRows; ++i) {
            const int k = part * Depth + share.group * kOwnRows + i;
            if (k < depth) {
              store<kQuad>(unfinished + k * kPixels + share.quad * kQuad,
                           Pack<A, kQuad>{ds[i][0], ds[i][1], ds[i][2], ds[i][3]});
            }
          }
        }

        // dW and db stay in registers from tile to tile if one tile of registers holds them all.
        const bool stays = one_chunk && one_part;
        const bool first_tile = tile == blockIdx.x, last_tile = tile + gridDim.x >= tiles;
        const bool with_bias = problem.bias != nullptr && weight_column == 0 && part == 0;
        const auto for_each_weight = [&](auto visit) {
#pragma unroll
          for (int i = 0; i < kCount; ++i) {
            const int c = first + weight_row + 16 * i;
            if (c >= channels) continue;
#pragma unroll
            for (int n = 0; n < 4; ++n) {
              const int k = part * Depth + weight_column + n * kWeightRows;
              if (k < depth) visit(dw[i][n], partial[int64_t{c} * (depth + 1) + k]);
            }
            if (with_bias) visit(db[i], partial[int64_t{c} * (depth + 1) + depth]);
          }
        };
        if (!stays) {
          if (first_tile) {
            for_each_weight([](A& sum, A&) { sum = A(0); });
          } else {
            for_each_weight([](A& sum, A& kept) { sum = kept; });
          }
        }
        add_weight_gradient<A, Depth>(grad, student, weight_row, weight_column, weight_group, with_bias, dw, db);
        if (!stays || last_tile) for_each_weight([](A& sum, A& kept) { kept = sum; });
      }
    }
  }
}

constexpr int kSumColumns = 32, kSumSlices = 32;

// Adds up the partial sums: one block (kSumColumns, kSumSlices) per kSumColumns elements of (Ct, Cs + 1); each slice
// adds every kSumSlices-th partial sum, and the slices are added in order. grad_bias may be null.
template <class A>
__global__ void __launch_bounds__(kSumColumns* kSumSlices)
    add_partials(const A* __restrict__ partial, int64_t partials, int64_t teacher_channels, int64_t student_channels,
                 A* __restrict__ grad_weight, A* __restrict__ grad_bias) {
  SKT_DYNAMIC_SHARED(A, sums);  // [kSumSlices][kSumColumns]
  const int64_t size = teacher_channels * (student_channels + 1);
  const int64_t element = int64_t{blockIdx.x} * kSumColumns + threadIdx.x;
  A sum = 0;
  if (element < size) {
#pragma unroll 8
    for (int64_t i = threadIdx.y; i < partials; i += kSumSlices) sum += partial[i * size + element];
  }
  sums[threadIdx.y * kSumColumns + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || element >= size) return;
  for (int slice = 1; slice < kSumSlices; ++slice) sum += sums[slice * kSumColumns + threadIdx.x];
  const int64_t c = element / (student_channels + 1), k = element % (student_channels + 1);
  if (k < student_channels) {
    grad_weight[c * student_channels + k] = sum;
  } else if (grad_bias != nullptr) {
    grad_bias[c] = sum;
  }
}

}  // namespace skt::gpu::embedding
