#include "fiber.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__)
#error "the switch between fibers is written for x86-64"
#endif

extern "C" void skt_emulation_switch(void** save, void* to);

// The registers that a called function must preserve (System V ABI) go to the stack that is left.
__asm__(R"(
.text
.type skt_emulation_switch, @function
skt_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size skt_emulation_switch, . - skt_emulation_switch
)");

namespace skt::emulation {
namespace {

constexpr size_t kStackBytes = 256 << 10;
constexpr size_t kGuardBytes = 4096;
constexpr size_t kSavedRegisters = 6;

#if defined(__SANITIZE_ADDRESS__)
const void* host_stack = nullptr;
size_t host_stack_bytes = 0;
#endif

}  // namespace

Fiber::~Fiber() {
  if (stack_) munmap(stack_, kStackBytes);
}

bool Fiber::owns(const void* address) const {
  const char* byte = static_cast<const char*>(address);
  return stack_ && byte >= stack_ && byte < stack_ + kStackBytes;
}

void Fiber::restart(void (*entry)()) {
  if (!stack_) {
    void* memory =
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    stack_ = static_cast<char*>(memory);
    mprotect(stack_, kGuardBytes, PROT_NONE);
  }
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_ + kGuardBytes, kStackBytes - kGuardBytes);
#endif
  // As if entry's caller had just pushed a return address: the ABI wants the stack 16-byte aligned before that push.
  void** top = reinterpret_cast<void**>(stack_ + kStackBytes) - 2;
  top[0] = reinterpret_cast<void*>(entry);
  top[1] = nullptr;
  top -= kSavedRegisters;
  std::fill_n(top, kSavedRegisters, nullptr);
  pointer_ = static_cast<void*>(top);
  sanitizer_frames_ = nullptr;
}

void Fiber::jump(Fiber& from, Fiber& to, [[maybe_unused]] bool for_good) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &from.sanitizer_frames_, to.stack_ ? to.stack_ : host_stack,
                                 to.stack_ ? kStackBytes : host_stack_bytes);
#endif
  skt_emulation_switch(&from.pointer_, to.pointer_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.sanitizer_frames_, nullptr, nullptr);
#endif
}

void Fiber::arrived() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &host_stack, &host_stack_bytes);
#endif
}

}  // namespace skt::emulation
