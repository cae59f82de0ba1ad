#include "machine.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <numeric>
#include <sstream>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes)
#endif

namespace skt::emulation {

struct WarpCall {
  unsigned mask, left;  // left: lanes that have arrived and not yet read
  Collective kind;
  Site site;
  bool complete;
  LaneValues values;
};

namespace {

constexpr size_t kMostThreads = 1024, kMostShared = size_t{99} << 10;  // of sm_86, 89 and 120; sm_75 has 64 KiB
constexpr int kUnset = 0xff;

class Machine {
 public:
  Machine() {
    const char* order = std::getenv("SKT_EMULATION_ORDER");
    const char* seed = std::getenv("SKT_EMULATION_SEED");
    const std::string name = order ? order : "forward";
    set_order(name == "reverse"  ? Order::reverse
              : name == "random" ? Order::random
                                 : Order::forward,
              seed ? std::strtoull(seed, nullptr, 10) : 0);
  }

  void set_order(Order order, uint64_t seed) {
    order_ = order;
    random_ = 88172645463325252ull ^ (seed * 0x9e3779b97f4a7c15ull);
    if (random_ == 0) random_ = 1;
  }

  void run(dim3 blocks, dim3 threads, size_t shared_bytes, const std::function<void()>& body);

  Order order() const { return order_; }
  unsigned below(unsigned end) {  // xorshift
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return static_cast<unsigned>((random_ >> 11) % end);
  }

  void leave() { Fiber::jump(block.current->fiber, host_); }
  [[noreturn]] void leave_for_good() {
    block.current->state = Thread::State::done;
    Fiber::jump(block.current->fiber, host_, true);
    std::abort();  // a thread that is done is not resumed
  }

  const std::function<void()>* body = nullptr;
  std::string error;
  Votes votes{};
  std::deque<Thread> threads;
  std::vector<std::vector<std::unique_ptr<WarpCall>>> calls;  // of each warp

 private:
  void run_block(unsigned count);
  void resume(Thread& thread);
  void release_barrier(unsigned count);
  template <class Index>
  void arrange(std::vector<Index>& indices);

  Order order_ = Order::forward;
  uint64_t random_ = 1;
  Fiber host_;
};

Machine machine;

std::string text(uint3 index) {
  std::ostringstream out;
  out << '(' << index.x << ", " << index.y << ", " << index.z << ')';
  return out.str();
}

std::string name_of(const Thread& thread) {
  return "thread " + text(thread.index) + " of block " + text(builtin.block);
}

std::string place_of(const Thread& thread) {
  return name_of(thread) + " at " + thread.site.file + ":" + std::to_string(thread.site.line);
}

void enter() {
  Fiber::arrived();
  (*machine.body)();
  machine.leave_for_good();
}

template <class Index>
void Machine::arrange(std::vector<Index>& indices) {
  std::iota(indices.begin(), indices.end(), Index(0));
  if (order_ == Order::reverse) std::reverse(indices.begin(), indices.end());
  if (order_ != Order::random) return;
  for (size_t i = indices.size(); i > 1; --i) std::swap(indices[i - 1], indices[below(static_cast<unsigned>(i))]);
}

void Machine::resume(Thread& thread) {
  block.current = &thread;
  builtin.thread = thread.index;
  Fiber::jump(host_, thread.fiber);
  block.current = nullptr;
  if (!error.empty()) throw Error(std::exchange(error, {}));
}

void Machine::release_barrier(unsigned count) {
  const Thread *waiting = nullptr, *in_call = nullptr, *gone = nullptr;
  for (unsigned i = 0; i < count; ++i) {
    const Thread& thread = threads[i];
    (thread.state == Thread::State::done         ? gone
     : thread.state == Thread::State::at_barrier ? waiting
                                                 : in_call) = &thread;
  }
  if (in_call) {
    throw Error("deadlock: " + place_of(*in_call) + " waits for lanes of its mask that never arrive" +
                (waiting ? "; " + place_of(*waiting) + " waits at a barrier" : ""));
  }
  if (gone) {
    throw Error("divergent barrier: " + place_of(*waiting) + " waits, but " + name_of(*gone) + " has left the kernel");
  }
  votes = {false, true, 0};
  for (unsigned i = 0; i < count; ++i) {
    Thread& thread = threads[i];
    if (!(thread.site == waiting->site)) {
      throw Error("divergent barrier: " + place_of(*waiting) + ", but " + place_of(thread));
    }
    votes.any |= thread.vote != 0;
    votes.all &= thread.vote != 0;
    votes.count += thread.vote != 0;
  }
  for (unsigned i = 0; i < count; ++i) threads[i].state = Thread::State::ready;
  ++block.barriers;
}

void Machine::run_block(unsigned count) {
  const unsigned warps = (count + kLanes - 1) / kLanes;
  calls.clear();
  calls.resize(warps);
  block.barriers = 0;
  block.warp_syncs.assign(warps, 0);
  for (unsigned i = 0; i < count; ++i) {
    Thread& thread = threads[i];
    thread.number = i;
    thread.index = {i % builtin.threads.x, i / builtin.threads.x % builtin.threads.y,
                    i / (builtin.threads.x * builtin.threads.y)};
    thread.copies.clear();
    thread.copy_group = 0;
    thread.state = Thread::State::ready;
    thread.fiber.restart(enter);
  }
  std::vector<unsigned> turn(count);
  for (;;) {
    bool any = false;
    arrange(turn);
    for (const unsigned i : turn) {
      if (threads[i].state != Thread::State::ready) continue;
      resume(threads[i]);
      any = true;
    }
    if (any) continue;
    const auto done = [](const Thread& thread) { return thread.state == Thread::State::done; };
    if (std::all_of(threads.begin(), threads.begin() + count, done)) return;
    release_barrier(count);
  }
}

// Memory of a block, with all bits set (a NaN in every floating type) so that a read before the first write shows.
char* new_shared(size_t bytes) {
  const size_t room = (bytes + 255) / 256 * 256;
  char* memory = static_cast<char*>(std::aligned_alloc(256, room));
  std::memset(memory, kUnset, room);
  ASAN_POISON_MEMORY_REGION(memory + bytes, room - bytes);
  return memory;
}

void delete_shared(char* memory, [[maybe_unused]] size_t bytes) {
  ASAN_UNPOISON_MEMORY_REGION(memory, (bytes + 255) / 256 * 256);
  std::free(memory);
}

void Machine::run(dim3 blocks, dim3 block_shape, size_t shared_bytes, const std::function<void()>& kernel) {
  const uint64_t count = uint64_t{block_shape.x} * block_shape.y * block_shape.z;
  const uint64_t total = uint64_t{blocks.x} * blocks.y * blocks.z;
  if (count == 0 || count > kMostThreads || block_shape.z > 64) {
    throw Error("a block of " + std::to_string(count) + " threads; CUDA takes 1 to 1024, and 64 along z");
  }
  if (total == 0 || blocks.x > 0x7fffffffu || blocks.y > 65535 || blocks.z > 65535) {
    throw Error("a grid of " + text({blocks.x, blocks.y, blocks.z}) +
                " blocks; CUDA takes 1 to 2^31 - 1 along x and 1 to 65535 along y and z");
  }
  if (shared_bytes > kMostShared) throw Error(std::to_string(shared_bytes) + " bytes of shared memory; at most 101376");
  while (threads.size() < count) threads.emplace_back();
  builtin.threads = block_shape;
  builtin.blocks = blocks;
  body = &kernel;
  ++block.launch;
  std::vector<uint64_t> turn(total);
  arrange(turn);
  for (const uint64_t number : turn) {
    builtin.block = {static_cast<unsigned>(number % blocks.x), static_cast<unsigned>(number / blocks.x % blocks.y),
                     static_cast<unsigned>(number / (uint64_t{blocks.x} * blocks.y))};
    block.number = number;
    block.dynamic_shared = new_shared(shared_bytes);
    block.dynamic_shared_bytes = shared_bytes;
    const auto clean_up = [&] {
      block.current = nullptr;
      delete_shared(block.dynamic_shared, shared_bytes);
      for (const Block::StaticShared& array : block.static_shared) delete_shared(array.memory, array.bytes);
      block.dynamic_shared = nullptr;
      block.static_shared.clear();
    };
    try {
      run_block(static_cast<unsigned>(count));
    } catch (...) {
      clean_up();
      throw;
    }
    clean_up();
  }
}

void land(AsyncCopy& copy) {
  if (copy.landed) return;
  std::memcpy(copy.to, copy.from, copy.bytes - copy.zeros);
  std::memset(static_cast<char*>(copy.to) + copy.bytes - copy.zeros, 0, copy.zeros);
  copy.landed = true;
}

void note(const void* address, size_t bytes, Access kind, const void* instruction) {
  if (access_hook && bytes) access_hook(address, bytes, kind, instruction);
}

}  // namespace

void set_order(Order order, uint64_t seed) { machine.set_order(order, seed); }

void run(dim3 blocks, dim3 threads, size_t dynamic_shared_bytes, const std::function<void()>& body) {
  machine.run(blocks, threads, dynamic_shared_bytes, body);
}

void fail(const std::string& what) {
  machine.error = what + " (" + name_of(*block.current) + ")";
  machine.leave_for_good();
}

Votes barrier(int vote, Site site) {
  Thread& thread = *block.current;
  thread.state = Thread::State::at_barrier;
  thread.vote = vote;
  thread.site = site;
  machine.leave();
  return machine.votes;
}

LaneValues exchange(unsigned mask, const void* value, size_t bytes, Collective kind, Site site) {
  Thread& thread = *block.current;
  const unsigned lane = thread.lane(), first = thread.number - lane;
  const unsigned threads = builtin.threads.x * builtin.threads.y * builtin.threads.z;
  const unsigned present = threads - first >= kLanes ? ~0u : (1u << (threads - first)) - 1;
  thread.site = site;
  if (!(mask >> lane & 1)) fail("a lane that is not in the mask of its own collective, " + place_of(thread));

  auto& open = machine.calls[thread.warp()];
  const auto found = std::find_if(open.begin(), open.end(), [&](const auto& call) {
    return !call->complete && call->mask == mask && call->kind == kind && call->site == site &&
           !(call->values.arrived >> lane & 1);
  });
  WarpCall* call = found == open.end() ? nullptr : found->get();
  if (!call) {
    open.push_back(std::make_unique<WarpCall>());
    call = open.back().get();
    call->mask = mask;
    call->left = 0;
    call->kind = kind;
    call->site = site;
    call->complete = false;
    std::memset(call->values.bytes, kUnset, sizeof(call->values.bytes));
  }
  std::memcpy(call->values.bytes[lane], value, bytes);
  call->values.arrived |= 1u << lane;
  ++call->left;
  while ((mask & present) & ~call->values.arrived) {
    for (unsigned missing = 0; missing < kLanes && first + missing < threads; ++missing) {
      if (!(mask >> missing & 1) || call->values.arrived >> missing & 1) continue;
      if (machine.threads[first + missing].state == Thread::State::done) {
        fail(place_of(thread) + " waits for " + name_of(machine.threads[first + missing]) +
             ", which has left the kernel");
      }
    }
    thread.state = Thread::State::in_warp_call;
    thread.call = call;
    machine.leave();
  }
  if (!call->complete) {  // the last to arrive wakes the others
    call->complete = true;
    if (kind == Collective::sync) ++block.warp_syncs[thread.warp()];
    for (unsigned i = first; i < std::min(first + kLanes, threads); ++i) {
      Thread& other = machine.threads[i];
      if (other.state == Thread::State::in_warp_call && other.call == call) other.state = Thread::State::ready;
    }
  }
  const LaneValues values = call->values;
  if (--call->left == 0) {
    open.erase(std::find_if(open.begin(), open.end(), [&](const auto& owned) { return owned.get() == call; }));
  }
  return values;
}

char* static_shared(const void* key, size_t bytes) {
  for (const Block::StaticShared& array : block.static_shared) {
    if (array.key == key) return array.memory;
  }
  block.static_shared.push_back({key, new_shared(bytes), bytes});
  return block.static_shared.back().memory;
}

// The bytes land at once (forward), at the wait (reverse), or either (random): a forgotten wait shows in one order, a
// buffer that is overwritten while it is still read in another.
void copy_async(void* to, const void* from, size_t bytes, size_t zeros) {
  const void* instruction = __builtin_return_address(0);
  const bool misaligned = reinterpret_cast<uintptr_t>(to) % bytes || reinterpret_cast<uintptr_t>(from) % bytes;
  if (misaligned || (bytes != 4 && bytes != 8 && bytes != 16)) {
    fail("an asynchronous copy of " + std::to_string(bytes) + " bytes that is not aligned to its own size");
  }
  // Read here, so that AddressSanitizer names the line that asks for the copy.
  for (size_t i = 0; i < bytes; ++i) {
    [[maybe_unused]] const volatile char target = static_cast<const volatile char*>(to)[i];
    if (i < bytes - zeros) [[maybe_unused]]
      const volatile char source = static_cast<const volatile char*>(from)[i];
  }
  note(to, bytes, Access::write, instruction);
  note(from, bytes - zeros, Access::read, instruction);
  Thread& thread = *block.current;
  thread.copies.push_back({to, from, bytes, zeros, thread.copy_group, false});
  const bool at_once = machine.order() == Order::forward || (machine.order() == Order::random && machine.below(2));
  if (at_once) land(thread.copies.back());
}

void commit_async() { ++block.current->copy_group; }

void wait_async(int pending_groups) {
  const void* instruction = __builtin_return_address(0);
  Thread& thread = *block.current;
  const int end = thread.copy_group - pending_groups;
  for (AsyncCopy& copy : thread.copies) {
    if (copy.group >= end) continue;
    land(copy);
    note(copy.to, copy.bytes, Access::write, instruction);
  }
  const auto over = [&](const AsyncCopy& copy) { return copy.group < end; };
  thread.copies.erase(std::remove_if(thread.copies.begin(), thread.copies.end(), over), thread.copies.end());
}

}  // namespace skt::emulation
