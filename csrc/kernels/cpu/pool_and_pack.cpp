#include "pool_and_pack.h"

#include <cmath>

#include "simd.h"

namespace skt::pool_and_pack {

constexpr double kEps = 1e-5;  // torch.nn.InstanceNorm2d's default

// Two passes over a row in the cache; the variance is the biased one.
template <class T>
SKT_SIMD T normalize(T* row, int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(row[i]);
  const T mean = static_cast<T>(sum / static_cast<double>(count));
  double square = 0;
#pragma omp simd reduction(+ : square)
  for (int64_t i = 0; i < count; ++i) {
    row[i] -= mean;
    square += static_cast<double>(row[i]) * static_cast<double>(row[i]);
  }
  const T inverse = static_cast<T>(1 / std::sqrt(square / static_cast<double>(count) + kEps));
  for (int64_t i = 0; i < count; ++i) row[i] *= inverse;
  return inverse;
}

template <class T>
SKT_SIMD void normalize_backward(const T* grad, const T* row, T inverse, int64_t count, T* SKT_RESTRICT out) {
  double sum = 0, along = 0;
#pragma omp simd reduction(+ : sum, along)
  for (int64_t i = 0; i < count; ++i) {
    sum += static_cast<double>(grad[i]);
    along += static_cast<double>(grad[i]) * static_cast<double>(row[i]);
  }
  const T mean = static_cast<T>(sum / static_cast<double>(count));
  const T slope = static_cast<T>(along / static_cast<double>(count));
  for (int64_t i = 0; i < count; ++i) out[i] = inverse * (grad[i] - mean - row[i] * slope);
}

template float normalize(float*, int64_t);
template double normalize(double*, int64_t);
template void normalize_backward(const float*, const float*, float, int64_t, float*);
template void normalize_backward(const double*, const double*, double, int64_t, double*);

}  // namespace skt::pool_and_pack
