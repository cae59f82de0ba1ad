// Cosine distance and max-pool of the embedded student features h = relu(W s + b) on the GPU, without storing h.
//
// A block has a strip of pixels: one row of pooling windows, about 32 pixels wide, or 64 consecutive pixels without
// windows. It goes through the teacher's channels in chunks and through the strip in tiles of 64 pixels. A tile of h
// lives in registers: it is multiplied with the teacher there, and goes to shared memory only to be pooled. The order
// of every sum is fixed.
#pragma once

#include "cosine_formula.h"
#include "embedding_tile.h"
#include "reduce.h"

namespace skt::gpu::embedding {

constexpr int kStripPixels = 256;  // of a strip or a window, at most
constexpr int kStatistics = 3;     // h.t, h.h, t.t
constexpr int kChannelWarps = 4;   // warps that share the channels of a chunk
constexpr size_t kSharedLimit = 48 << 10;

// How the pixels are divided among blocks, and the shared memory of a block.
struct Strips {
  int rows, columns;     // of a strip, in pixels; columns is a multiple of the windows' width
  int windows;           // of a strip; 0: nothing is pooled
  int64_t down, across;  // strips of an image
  int depth;             // student channels that are staged at once
  size_t shared;         // bytes

  __host__ __device__ int pixels() const { return rows * columns; }
  __host__ __device__ int tiles() const { return divide_up(pixels(), kPixels); }
  __host__ __device__ int64_t blocks(int64_t batch) const { return batch * down * across; }
};

// The widest strip of whole windows within the wanted width: 32 pixels are 128 bytes of a float32 row.
inline int strip_columns(int kernel_h, int kernel_w) {
  const int wanted = kernel_h == 1 ? kPixels : 32;
  const int limit = wanted * kernel_h <= kStripPixels ? wanted : kStripPixels / kernel_h;
  int step = kernel_w;
  while (step % kQuad != 0) step += kernel_w;  // whole quads, if that strip is narrow enough
  if (step > limit) step = kernel_w;
  return limit < step ? step : limit / step * step;
}

template <class A>
size_t forward_shared(const Strips& strips, bool compares, int depth) {
  const size_t staged = sizeof(A) * depth * (kPixels + kChunk<A>);
  const size_t statistics =
      compares ? sizeof(A) * kStatistics * (kChannelWarps * kPixels + strips.tiles() * kPixels) : 0;
  const size_t pooled = strips.windows ? sizeof(A) * kChunk<A> * kPixels : 0;
  const size_t running = strips.windows && strips.tiles() > 1 ? (sizeof(A) + 1) * kChunk<A> * strips.windows : 0;
  return staged + statistics + pooled + running;
}

// Without windows a strip is 64 consecutive pixels, across rows.
template <class A>
Strips strips_for(const Problem& problem) {
  Strips strips{};
  if (problem.kernel_h * problem.kernel_w > 1) {
    strips.rows = problem.kernel_h;
    strips.columns = strip_columns(problem.kernel_h, problem.kernel_w);
    strips.windows = strips.columns / problem.kernel_w;
    strips.down = problem.pooled_height();
    strips.across = divide_up<int64_t>(problem.width, strips.columns);
  } else {
    strips.rows = 1;
    strips.columns = kPixels;
    strips.down = 1;
    strips.across = divide_up<int64_t>(problem.pixels(), kPixels);
  }
  // All student channels at once if they fit, else in parts of equal size.
  const bool compares = problem.teacher.data != nullptr;
  for (int parts = 1;; ++parts) {
    strips.depth = divide_up(divide_up(problem.student_channels, parts), kRowStep) * kRowStep;
    strips.shared = forward_shared<A>(strips, compares, strips.depth);
    if (strips.shared <= kSharedLimit || strips.depth == kRowStep) return strips;
  }
}

// Whether a strip's quads of pixels lie in one row each, at a multiple of four.
inline bool whole_quads(const Problem& problem, const Strips& strips) {
  return strips.windows ? strips.columns % kQuad == 0 && problem.width % kQuad == 0 : problem.pixels() % kQuad == 0;
}

template <class A>
struct Results {
  A* partial_loss;  // (blocks,); null without a teacher
  A* statistics;    // (N, 3, H, W)
  A* pooled;        // (N, Ct, h, w); null without windows
  uint8_t* argmax;  // (N, Ct, h, w)
};

// One strip of one image.
template <class A>
struct StripOfImage {
  int64_t image, top, left;  // its first pixel
  int columns, pixels;
  int64_t height, width;

  // The pixel at `position` of the strip, counted row by row, as row * width + column of the image; -1 outside of it.
  __device__ int64_t locate(int position) const {
    if (position >= pixels) return -1;
    const int64_t row = top + position / columns, column = left + position % columns;
    return row < height && column < width ? row * width + column : -1;
  }
};

// Adds a tile's products to the sums of its pixels. Group sums are added up in shared memory, in the order of the
// groups.
template <class A>
__device__ inline void add_statistics(const A (&h)[kOwn<A>][kQuad], const A (&t)[kOwn<A>][kQuad], const Share& share,
                                      A* scratch, A* sums, bool first) {
  Pack<A, kQuad> own[kStatistics] = {};
#pragma unroll
  for (int i = 0; i < kOwn<A>; ++i) {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      own[0].value[j] += h[i][j] * t[i][j];
      own[1].value[j] += h[i][j] * h[i][j];
      own[2].value[j] += t[i][j] * t[i][j];
    }
  }
  // The lanes of a warp that have the same pixels are 8 apart.
#pragma unroll
  for (int k = 0; k < kStatistics; ++k) {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      own[k].value[j] += __shfl_xor_sync(0xffffffffu, own[k].value[j], 8);
      own[k].value[j] += __shfl_xor_sync(0xffffffffu, own[k].value[j], 16);
    }
    if (threadIdx.x % kWarp < 8) {
      store<kQuad>(scratch + (share.group / 4 * kStatistics + k) * kPixels + share.quad * kQuad, own[k]);
    }
  }
  __syncthreads();
  const int i = threadIdx.x;
  if (i >= kStatistics * kPixels) return;
  A sum = first ? A(0) : sums[i];
  for (int warp = 0; warp < kChannelWarps; ++warp) sum += scratch[warp * kStatistics * kPixels + i];
  sums[i] = sum;
}

// The maximum of every window of the strip over the positions of one tile, written to `results` after the last tile. A
// thread keeps its windows from tile to tile; as in torch the first of equal maxima wins, and among NaNs the last.
template <class A>
__device__ inline void pool_tile(const Problem& problem, const Strips& strips, const StripOfImage<A>& strip,
                                 int64_t window_row, int tile, int first_channel, const Tile<A>& embedded,
                                 A* running_maximum, uint8_t* running_offset, const Results<A>& results) {
  const int kernel_h = problem.kernel_h, kernel_w = problem.kernel_w;
  const int begin = tile * kPixels, end = begin + kPixels;
  const int last_row = static_cast<int>(min(int64_t{kernel_h}, problem.height - strip.top)) - 1;
  const int first_row = begin / strip.columns, last_row_here = min(last_row, (end - 1) / strip.columns);
  for (int i = threadIdx.x; i < kChunk<A> * strips.windows; i += kThreads) {
    const int row_of_tile = i / strips.windows, window = i % strips.windows;
    const int c = first_channel + row_of_tile;
    const int64_t left = strip.left + window * kernel_w;
    if (c >= problem.teacher_channels || left >= problem.width) continue;
    const int columns = static_cast<int>(min(int64_t{kernel_w}, problem.width - left));
    A best = tile == 0 ? -A(INFINITY) : running_maximum[i];
    int offset = tile == 0 ? 0 : running_offset[i];
    for (int row = first_row; row <= last_row_here; ++row) {
      const int start = row * strip.columns + window * kernel_w;
      const int from = max(start, begin), to = min(start + columns, end);
      for (int quad = from / kQuad; quad * kQuad < to; ++quad) {
        const Pack<A, kQuad> pack = embedded.quad(row_of_tile, quad - begin / kQuad);
#pragma unroll
        for (int j = 0; j < kQuad; ++j) {
          const int position = quad * kQuad + j;
          const A value = pack.value[j];
          if (position >= from && position < to && (value > best || value != value)) {
            best = value;
            offset = row * kernel_w + position - start;
          }
        }
      }
    }
    if (tile + 1 < strips.tiles()) {
      running_maximum[i] = best;
      running_offset[i] = static_cast<uint8_t>(offset);
    } else {
      const int64_t to = ((strip.image * problem.teacher_channels + c) * problem.pooled_height() + window_row) *
                             problem.pooled_width() +
                         left / kernel_w;
      results.pooled[to] = best;
      results.argmax[to] = static_cast<uint8_t>(offset);
    }
  }
}

// Windows of one pixel: h itself is the result, (N, Ct, H * W).
template <class A>
__device__ inline void store_embedding(const Problem& problem, int64_t image, int first_channel,
                                       const int64_t (&pixel)[kQuad], const A (&h)[kOwn<A>][kQuad], A* pooled) {
  const int64_t pixels = problem.pixels();
#pragma unroll
  for (int i = 0; i < kOwn<A>; ++i) {
    if (pixel[0] < 0 || first_channel + i >= problem.teacher_channels) continue;
    A* to = pooled + (image * problem.teacher_channels + first_channel + i) * pixels + pixel[0];
    if (pixels % kQuad == 0) {
      store<kQuad>(to, Pack<A, kQuad>{h[i][0], h[i][1], h[i][2], h[i][3]});
    } else {
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        if (pixel[j] >= 0) to[j] = h[i][j];
      }
    }
  }
}

// Grid strips.blocks(batch), block kThreads, strips.shared bytes of shared memory.
template <class A>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor<A>)
    forward(const Problem problem, const Strips strips, const A eps, const Results<A> results) {
  constexpr int kCount = kOwn<A>;
  SKT_DYNAMIC_SHARED(A, shared);
  A* free = shared;
  const auto take = [&free](int count) {
    A* taken = free;
    free += count;
    return taken;
  };
  const bool compares = problem.teacher.data != nullptr;
  const Tile<A> student{take(strips.depth * kPixels), kPixels};
  const Tile<A> weight{take(strips.depth * kChunk<A>), kChunk<A>};
  A* const scratch = take(compares ? kStatistics * kChannelWarps * kPixels : 0);
  A* const sums = take(compares ? kStatistics * kPixels * strips.tiles() : 0);  // [tile][statistic][pixel]
  const Tile<A> embedded{take(strips.windows ? kChunk<A> * kPixels : 0), kPixels};
  const bool running = strips.windows && strips.tiles() > 1;
  A* const running_maximum = take(running ? kChunk<A> * strips.windows : 0);
  uint8_t* const running_offset = reinterpret_cast<uint8_t*>(free);

  const int64_t in_image = blockIdx.x % (strips.down * strips.across);
  const int64_t window_row = in_image / strips.across, first_column = in_image % strips.across * strips.columns;
  const bool flat = strips.windows == 0;
  const StripOfImage<A> strip{blockIdx.x / (strips.down * strips.across),
                              window_row * strips.rows,
                              first_column,
                              strips.columns,
                              strips.pixels(),
                              flat ? 1 : problem.height,
                              flat ? problem.pixels() : problem.width};
  const Share share = Share::of_this_thread();
  int staged_student = -1, staged_weight = -1;

  for (int first = 0; first < problem.teacher_channels; first += kChunk<A>) {
    const int own_channel = first + share.group * kCount;
    for (int tile = 0; tile < strips.tiles(); ++tile) {
      int64_t pixel[kQuad];
#pragma unroll
      for (int j = 0; j < kQuad; ++j) pixel[j] = strip.locate(tile * kPixels + share.quad * kQuad + j);
      A t[kCount][kQuad];  // loaded before the product, which hides the latency
      if (compares) load_teacher(problem, strip.image, own_channel, [&](int j) { return pixel[j]; }, t);

      A h[kCount][kQuad];
      start_from_bias(problem, own_channel, h);
      for (int k = 0; k < problem.student_channels; k += strips.depth) {
        const int student_id = k * strips.tiles() + tile, weight_id = first * problem.student_channels + k;
        if (student_id != staged_student || weight_id != staged_weight) {
          __syncthreads();
          if (student_id != staged_student) {
            stage(student, strips.depth, problem.student, strip.image, k, problem.student_channels,
                  [&](int x) { return strip.locate(tile * kPixels + x); });
          }
          if (weight_id != staged_weight) {
            stage(weight, strips.depth, problem.weight, 0, k, problem.student_channels,
                  [&](int x) { return first + x < problem.teacher_channels ? first + x : -1; });
          }
          staged_student = student_id;
          staged_weight = weight_id;
          __syncthreads();
        }
        add_product(student, weight, strips.depth, share, h);
      }
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
#pragma unroll
        for (int j = 0; j < kQuad; ++j) {
          if (problem.relu && h[i][j] < A(0)) h[i][j] = A(0);
          if (own_channel + i >= problem.teacher_channels) h[i][j] = A(0);
        }
      }

      if (strips.windows) {
        __syncthreads();  // the maxima of the previous tile are taken
#pragma unroll
        for (int i = 0; i < kCount; ++i) {
          Pack<A, kQuad> pack;
#pragma unroll
          for (int j = 0; j < kQuad; ++j) pack.value[j] = h[i][j];
          embedded.quad(share.group * kCount + i, share.quad) = pack;
        }
      } else if (results.pooled != nullptr) {
        store_embedding(problem, strip.image, own_channel, pixel, h, results.pooled);
      }
      if (compares) {
        if (!strips.windows) __syncthreads();  // the sums of the previous tile are added
        add_statistics(h, t, share, scratch, sums + tile * kStatistics * kPixels, first == 0);
      } else if (strips.windows) {
        __syncthreads();
      }
      if (strips.windows) {
        pool_tile(problem, strips, strip, window_row, tile, first, embedded, running_maximum, running_offset, results);
      }
    }
  }
  if (!compares) return;

  __syncthreads();
  A loss = 0;
  const int64_t pixels = problem.pixels();
  for (int position = threadIdx.x; position < strips.pixels(); position += kThreads) {
    const int64_t p = strip.locate(position);
    if (p < 0) continue;
    const A* from = sums + position / kPixels * kStatistics * kPixels + position % kPixels;
    const A product = from[0], h_square = from[kPixels], t_square = from[2 * kPixels];
    A* to = results.statistics + strip.image * kStatistics * pixels + p;
    to[0] = product;
    to[pixels] = h_square;
    to[2 * pixels] = t_square;
    loss += distance_of(product, h_square, t_square, eps);
  }
  loss = block_sum<kThreads>(loss, scratch);
  if (threadIdx.x == 0) results.partial_loss[blockIdx.x] = loss;
}

}  // namespace skt::gpu::embedding
