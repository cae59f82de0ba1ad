// CUDA C++ for g++: kernels that are included after this file run on the CPU, for tests. See README.md.
#pragma once

#ifdef __CUDACC__
#error "nvcc compiles kernels for GPUs; the emulation is for g++"
#endif
#include <cuda_runtime_api.h>
#include <vector_functions.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <math.h>

#include "machine.h"

#undef __global__
#undef __device__
#undef __host__
#undef __constant__
#undef __shared__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __constant__
#define __launch_bounds__(...)
#define __shared__ static  // keeps the values of the block before: SKT_STATIC_SHARED is stricter

inline constexpr const uint3& threadIdx = skt::emulation::builtin.thread;
inline constexpr const uint3& blockIdx = skt::emulation::builtin.block;
inline constexpr const dim3& blockDim = skt::emulation::builtin.threads;
inline constexpr const dim3& gridDim = skt::emulation::builtin.blocks;
inline constexpr int warpSize = 32;

#include "atomics.h"
#include "intrinsics.h"
#include "warp.h"
