// The race checker. Kernels compiled with -fsanitize=thread call a function at every load and store; those functions
// are here, and the library that the compiler expects them in is not linked. Two accesses to one byte, of which one
// writes, race unless a barrier (or __syncwarp, within a warp) or the end of a launch lies between them.
//
// It also counts the accesses to global memory, by size.
#include <dlfcn.h>
#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <unordered_map>
#include <utility>

#include "machine.h"
#include "race.h"

// The linker and the compiler choose these names. NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
// The static data of this library, where a plain __shared__ array lies.
extern char __bss_start[] __attribute__((visibility("hidden")));
extern char _end[] __attribute__((visibility("hidden")));
}
// NOLINTEND(bugprone-reserved-identifier)

namespace skt::emulation {
namespace {

struct Visit {
  const void* instruction = nullptr;  // null: none yet
  uint64_t launch = 0, block = 0;
  uint32_t barriers = 0, warp_syncs = 0;
  uint16_t thread = 0;
  bool atomic = false;
};

struct Byte {
  Visit write, read, other_read;  // the last ones; the two reads are of different threads
};

constexpr uintptr_t kPage = 1024;
std::unordered_map<uintptr_t, std::unique_ptr<Byte[]>> pages;
uint64_t pages_of_launch = 0;

Counts counts{};

bool within(const void* address, const void* begin, size_t bytes) {
  return static_cast<const char*>(address) >= begin &&
         static_cast<const char*>(address) < static_cast<const char*>(begin) + bytes;
}

// Where the arguments of a launch lie, which a GPU has in constant memory.
bool on_host_stack(const void* address) {
  static const std::pair<void*, size_t> stack = [] {
    pthread_attr_t attributes;
    void* lowest = nullptr;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
      pthread_attr_getstack(&attributes, &lowest, &size);
      pthread_attr_destroy(&attributes);
    }
    return std::pair(lowest, size);
  }();
  return within(address, stack.first, stack.second);
}

bool in_shared(const void* address) {
  if (within(address, block.dynamic_shared, block.dynamic_shared_bytes)) return true;
  for (const Block::StaticShared& array : block.static_shared) {
    if (within(address, array.memory, array.bytes)) return true;
  }
  return within(address, __bss_start, static_cast<size_t>(_end - __bss_start));
}

// Whether a lies before whatever the running thread does now.
bool is_over(const Visit& a, const Visit& now) {
  if (!a.instruction || a.launch != now.launch) return true;
  if (a.block != now.block) return false;
  if (a.thread == now.thread || a.barriers < now.barriers) return true;
  return a.thread / kLanes == now.thread / kLanes && a.warp_syncs < now.warp_syncs;
}

Byte& shadow_of(uintptr_t address) {
  std::unique_ptr<Byte[]>& page = pages[address / kPage];
  if (!page) page = std::make_unique<Byte[]>(kPage);
  return page[address % kPage];
}

std::string place(const void* instruction) {
  Dl_info library{};
  dladdr(instruction, &library);
  char offset[32];
  // The instruction before the one that the hook returns to.
  std::snprintf(offset, sizeof(offset), "+0x%tx]",
                static_cast<const char*>(instruction) - 1 - static_cast<char*>(library.dli_fbase));
  return "[" + std::string(library.dli_fname ? library.dli_fname : "?") + offset;
}

void count(size_t bytes, Access kind) {
  if (kind != Access::write) counts.loads += 1, counts.loaded_bytes += bytes, counts.wide_loads += bytes == 16;
  if (kind != Access::read) counts.stores += 1, counts.stored_bytes += bytes, counts.wide_stores += bytes == 16;
}

[[gnu::noinline]] void check(const void* address, size_t bytes, Access kind, const void* instruction) {
  const Thread* thread = block.current;
  if (!thread || thread->fiber.owns(address) || within(address, &builtin, sizeof(builtin)) ||
      within(address, &block, sizeof(block)) || within(address, thread, sizeof(Thread)) ||
      within(address, static_cast<const void*>(&access_hook), sizeof(access_hook)) || on_host_stack(address)) {
    return;
  }
  if (pages_of_launch != block.launch) {
    pages.clear();
    pages_of_launch = block.launch;
  }
  const bool shared = in_shared(address);
  if (!shared) count(bytes, kind);
  const bool atomic = kind == Access::atomic, writes = kind != Access::read;
  const Visit now{instruction,
                  block.launch,
                  block.number,
                  block.barriers,
                  block.warp_syncs[thread->warp()],
                  static_cast<uint16_t>(thread->number),
                  atomic};
  for (size_t i = 0; i < bytes; ++i) {
    Byte& byte = shadow_of(reinterpret_cast<uintptr_t>(address) + i);
    if (shared) {  // another block had other memory here
      for (Visit* visit : {&byte.write, &byte.read, &byte.other_read}) {
        if (visit->block != now.block) *visit = Visit();
      }
    }
    const Visit* other = nullptr;
    if (!is_over(byte.write, now) && !(atomic && byte.write.atomic)) other = &byte.write;
    if (writes && !is_over(byte.read, now)) other = &byte.read;
    if (writes && !is_over(byte.other_read, now)) other = &byte.other_read;
    if (other) {
      fail(std::string("race on ") + (shared ? "shared" : "global") +
           " memory: " + (other == &byte.write ? "written" : "read") + " by thread number " +
           std::to_string(other->thread) + (other->block == now.block ? " of the same block" : " of another block") +
           " at " + place(other->instruction) + " and " + (writes ? "written" : "read") + " at " + place(instruction) +
           (other->block == now.block ? ", no barrier between" : ""));
    }
    if (writes) {
      byte.write = now;
    } else {
      if (byte.read.instruction && byte.read.thread != now.thread) byte.other_read = byte.read;
      byte.read = now;
    }
  }
}

[[maybe_unused]] const bool installed = (access_hook = check, true);

}  // namespace

Counts take_counts() { return std::exchange(counts, {}); }

}  // namespace skt::emulation

// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {

#define SKT_HOOKS(bytes)                                                                          \
  void __tsan_read##bytes(void* at) {                                                             \
    skt::emulation::check(at, bytes, skt::emulation::Access::read, __builtin_return_address(0));  \
  }                                                                                               \
  void __tsan_write##bytes(void* at) {                                                            \
    skt::emulation::check(at, bytes, skt::emulation::Access::write, __builtin_return_address(0)); \
  }                                                                                               \
  void __tsan_unaligned_read##bytes(void* at) {                                                   \
    skt::emulation::check(at, bytes, skt::emulation::Access::read, __builtin_return_address(0));  \
  }                                                                                               \
  void __tsan_unaligned_write##bytes(void* at) {                                                  \
    skt::emulation::check(at, bytes, skt::emulation::Access::write, __builtin_return_address(0)); \
  }
SKT_HOOKS(1)
SKT_HOOKS(2)
SKT_HOOKS(4)
SKT_HOOKS(8)
SKT_HOOKS(16)
#undef SKT_HOOKS

void __tsan_read_range(void* at, size_t bytes) {
  skt::emulation::check(at, bytes, skt::emulation::Access::read, __builtin_return_address(0));
}
void __tsan_write_range(void* at, size_t bytes) {
  skt::emulation::check(at, bytes, skt::emulation::Access::write, __builtin_return_address(0));
}
int __tsan_atomic32_fetch_add(volatile int* at, int value, int) {  // used by host code for reference counts
  return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
}
void __tsan_vptr_read(void*) {}
void __tsan_vptr_update(void*, void*) {}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
}
// NOLINTEND(bugprone-reserved-identifier)
