// Argument checks of max_pool_resize, the same for every device.
#pragma once

#include <limits>

#include "check.h"
#include "dispatch.h"

namespace skt {

inline ScalarType argmax_dtype(int64_t kernel_h, int64_t kernel_w) {
  return kernel_h * kernel_w <= 256 ? ScalarType::Byte : ScalarType::Int;
}

inline void check_kernel(const Arguments& check, int64_t kernel_h, int64_t kernel_w) {
  check.require(kernel_h > 0 && kernel_w > 0, "the kernel (kernel_h, kernel_w) must be positive; got ",
                list({kernel_h, kernel_w}));
  check.require(kernel_h <= std::numeric_limits<int32_t>::max() / kernel_w,
                "the kernel (kernel_h, kernel_w) must have fewer than 2^31 cells; got ", list({kernel_h, kernel_w}));
}

inline void check_max_pool_resize(const Tensor& input, int64_t kernel_h, int64_t kernel_w) {
  const Arguments check("max_pool_resize");
  check.rank("input", input, 4, "(N, C, H, W)");
  check.floating("input", input);
  check_kernel(check, kernel_h, kernel_w);
}

inline void check_max_pool_resize_backward(
    const Tensor& grad, const Tensor& argmax, int64_t kernel_h, int64_t kernel_w, int64_t height, int64_t width) {
  const Arguments check("max_pool_resize_backward");
  check.rank("grad", grad, 4, "(N, C, ceil(H / kernel_h), ceil(W / kernel_w))");
  check.floating("grad", grad);
  check_kernel(check, kernel_h, kernel_w);
  check.require(height >= 0 && width >= 0, "height and width must not be negative; got ", list({height, width}));
  const int64_t out_height = (height + kernel_h - 1) / kernel_h, out_width = (width + kernel_w - 1) / kernel_w;
  const char* axes = "(N, C, ceil(H / kernel_h), ceil(W / kernel_w))";
  check.shape("grad", grad, {grad.size(0), grad.size(1), out_height, out_width}, axes);
  check.shape("argmax", argmax, shape_of(grad), axes);
  check.dtype("argmax", argmax, {argmax_dtype(kernel_h, kernel_w)});
  check.same_device("argmax", argmax, "grad", grad);
}

}  // namespace skt
