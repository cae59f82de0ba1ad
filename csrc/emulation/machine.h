// The machine that emulated kernels run on: one block at a time, one CUDA thread at a time. A thread runs until it
// meets a barrier or a warp collective; which one runs next is the order under test.
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "fiber.h"

namespace skt::emulation {

constexpr int kLanes = 32;

// A kernel did something that CUDA leaves undefined; the message names the thread, the block and the line.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Order in which blocks run and the ready threads of a block are resumed.
enum class Order { forward, reverse, random };

struct Site {
  const char* file;
  int line;

  static Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
  bool operator==(const Site& other) const { return file == other.file && line == other.line; }
};

struct AsyncCopy {
  void* to;
  const void* from;
  size_t bytes, zeros;  // the last `zeros` of the bytes are not read but zero
  int group;
  bool landed;
};

struct WarpCall;

struct Thread {
  enum class State { ready, at_barrier, in_warp_call, done };

  Fiber fiber;
  State state = State::done;
  uint3 index{};
  unsigned number = 0;  // in the block
  Site site{};          // of the barrier or collective it waits at
  int vote = 0;         // given to the barrier
  WarpCall* call = nullptr;
  std::vector<AsyncCopy> copies;
  int copy_group = 0;

  unsigned warp() const { return number / kLanes; }
  unsigned lane() const { return number % kLanes; }
};

// threadIdx and so on, kept apart so that the race checker can tell them from the kernel's memory.
struct BuiltinVariables {
  uint3 thread{}, block{};
  dim3 threads, blocks;
};
inline BuiltinVariables builtin;

struct Votes {
  bool any, all;
  int count;
};

// What the lanes of a warp put into a collective. The value of a lane that does not exist has all bits set, a NaN.
struct LaneValues {
  unsigned arrived = 0;
  alignas(16) unsigned char bytes[kLanes][16];

  template <class Value>
  Value of(unsigned lane) const {
    Value value;
    std::memcpy(static_cast<void*>(&value), bytes[lane % kLanes], sizeof(value));
    return value;
  }
};

enum class Collective { sync, shuffle, vote, reduce, matrix };

// The block that is running.
struct Block {
  Thread* current = nullptr;  // null outside kernels
  uint64_t launch = 0, number = 0;
  uint32_t barriers = 0;             // passed so far by the block
  std::vector<uint32_t> warp_syncs;  // passed so far by each warp
  char* dynamic_shared = nullptr;
  size_t dynamic_shared_bytes = 0;
  struct StaticShared {
    const void* key;
    char* memory;
    size_t bytes;
  };
  std::vector<StaticShared> static_shared;
};
inline Block block;

// Called for every load and store of a kernel that is compiled for the race checker, and for atomics and cp.async.
enum class Access { read, write, atomic };
using AccessHook = void (*)(const void* address, size_t bytes, Access kind, const void* instruction);
inline AccessHook access_hook = nullptr;

// All blocks of a launch, one after the other; throws Error.
void run(dim3 blocks, dim3 threads, size_t dynamic_shared_bytes, const std::function<void()>& body);

template <class... Parameters, class... Values>
void launch(dim3 blocks, dim3 threads, size_t dynamic_shared_bytes, void (*kernel)(Parameters...), Values... values) {
  const auto body = [&] { kernel(static_cast<Parameters>(values)...); };
  run(blocks, threads, dynamic_shared_bytes,
      std::ref(body));  // not copied to the heap: the arguments stay on the stack
}

void set_order(Order order, uint64_t seed);

// For the running thread.
[[noreturn]] void fail(const std::string& what);  // ends the launch
Votes barrier(int vote, Site site);
LaneValues exchange(unsigned mask, const void* value, size_t bytes, Collective kind, Site site);
char* static_shared(const void* key, size_t bytes);  // the same for all threads of a block; all bits set at first
void copy_async(void* to, const void* from, size_t bytes, size_t zeros);
void commit_async();
void wait_async(int pending_groups);

}  // namespace skt::emulation
