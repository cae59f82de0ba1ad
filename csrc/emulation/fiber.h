// One fiber for each CUDA thread of a block: a stack of its own, and a switch between stacks in a few instructions.
#pragma once

#include <cstddef>

namespace skt::emulation {

class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  // The next switch to this fiber calls entry(), which must not return, on a fresh stack.
  void restart(void (*entry)());

  // Leaves the running fiber `from` and goes on where `to` was left. `for_good`: `from` will not be resumed.
  static void jump(Fiber& from, Fiber& to, bool for_good = false);

  // To be called first by every entry().
  static void arrived();

  bool owns(const void* address) const;

 private:
  char* stack_ = nullptr;    // none: the fiber that the process came with
  void* pointer_ = nullptr;  // of the stack, while the fiber is not running
  void* sanitizer_frames_ = nullptr;
};

}  // namespace skt::emulation
