#include "native_stack.hpp"

#include <asm/perf_regs.h>
#include <dlfcn.h>
#include <elfutils/libdwfl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "weir/base/unique_fd.hpp"

namespace weir::dump {
namespace {

constexpr std::size_t deepest = 48;
constexpr std::size_t stack_copied = 8192;
constexpr std::size_t stack_register = 7;

// In the order in which the kernel writes them, with their numbers in DWARF: what a function keeps for its
// caller, the stack, and where it runs.
constexpr std::pair<unsigned, std::size_t> sampled[] = {{PERF_REG_X86_BX, 3},
                                                        {PERF_REG_X86_BP, 6},
                                                        {PERF_REG_X86_SP, stack_register},
                                                        {PERF_REG_X86_IP, native_state::runs_at},
                                                        {PERF_REG_X86_R12, 12},
                                                        {PERF_REG_X86_R13, 13},
                                                        {PERF_REG_X86_R14, 14},
                                                        {PERF_REG_X86_R15, 15}};

std::uint64_t sampled_mask() noexcept {
  std::uint64_t mask = 0;
  for (const auto& [bit, number] : sampled) mask |= std::uint64_t{1} << bit;
  return mask;
}

// A sample of the kind that is asked for below.
std::optional<native_state> read_sample(const std::byte* data, std::size_t size) {
  const auto take = [&]() -> std::uint64_t {
    std::uint64_t value = 0;
    if (size < sizeof value) return 0;
    std::memcpy(&value, data, sizeof value);
    data += sizeof value;
    size -= sizeof value;
    return value;
  };
  native_state out;
  if (take() != PERF_SAMPLE_REGS_ABI_64) return std::nullopt;
  for (const auto& [bit, number] : sampled) out.values[number] = take();
  const std::uint64_t copied = take();
  if (copied > size) return std::nullopt;
  out.stack = {*out.values[stack_register], {data, data + copied}};
  data += copied;
  size -= copied;
  if (copied != 0) out.stack.bytes.resize(std::min<std::uint64_t>(take(), copied));  // as much as there was
  return out;
}

}  // namespace

std::optional<native_state> state_of_waiting(const std::string& system_call) {
  // The number of the call and its arguments, or -1; then the stack and where it runs.
  const auto last = system_call.rfind(' ');
  const auto before = last == std::string::npos || last == 0 ? last : system_call.rfind(' ', last - 1);
  std::uint64_t stack = 0;
  std::uint64_t at = 0;
  if (before == std::string::npos || std::sscanf(system_call.c_str() + before, " %lx %lx", &stack, &at) != 2)
    return std::nullopt;
  native_state out;
  out.values[stack_register] = stack;
  out.values[native_state::runs_at] = at;
  return out;
}

std::optional<native_state> state_of_running(int thread) {
  constexpr std::size_t pages = 8;  // and one for the head
  perf_event_attr what{};
  what.type = PERF_TYPE_SOFTWARE;
  what.size = sizeof what;
  what.config = PERF_COUNT_SW_CPU_CLOCK;
  what.sample_period = 1'000'000;  // ns
  what.sample_type = PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER;
  what.sample_regs_user = sampled_mask();
  what.sample_stack_user = stack_copied;
  what.exclude_kernel = 1;
  what.wakeup_events = 1;
  const unique_fd watch(
      static_cast<int>(::syscall(SYS_perf_event_open, &what, thread, -1, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!watch) return std::nullopt;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const ring = ::mmap(nullptr, (1 + pages) * page, PROT_READ | PROT_WRITE, MAP_SHARED, watch.get(), 0);
  if (ring == MAP_FAILED) return std::nullopt;
  pollfd until{watch.get(), POLLIN, 0};
  ::poll(&until, 1, 20);
  std::optional<native_state> found;
  auto& head = *static_cast<perf_event_mmap_page*>(ring);
  perf_event_header first{};
  if (const auto there = __atomic_load_n(&head.data_head, __ATOMIC_ACQUIRE); there >= sizeof first) {
    const auto* const data = static_cast<const std::byte*>(ring) + page;
    std::memcpy(&first, data, sizeof first);
    if (first.type == PERF_RECORD_SAMPLE && first.size <= there && first.size <= pages * page)
      found = read_sample(data + sizeof first, first.size - sizeof first);
  }
  ::munmap(ring, (1 + pages) * page);
  return found;
}

struct native_stacks::library {
  template <class F>
  void take(F*& f, const char* name) noexcept {
    f = handle == nullptr ? nullptr : reinterpret_cast<F*>(::dlsym(handle, name));
    complete = complete && f != nullptr;
  }

  explicit library(::pid_t process) : handle(::dlopen("libdw.so.1", RTLD_NOW | RTLD_LOCAL)) {
    take(begin, "dwfl_begin");
    take(end, "dwfl_end");
    take(report, "dwfl_linux_proc_report");
    take(report_end, "dwfl_report_end");
    take(find_elf, "dwfl_linux_proc_find_elf");
    take(find_debuginfo, "dwfl_standard_find_debuginfo");
    take(attach, "dwfl_attach_state");
    take(frames, "dwfl_getthread_frames");
    take(set_registers, "dwfl_thread_state_registers");
    take(set_runs_at, "dwfl_thread_state_register_pc");
    take(frame_at, "dwfl_frame_pc");
    if (!complete) return;
    callbacks.find_elf = find_elf;
    callbacks.find_debuginfo = find_debuginfo;
    all = begin(&callbacks);
    if (all != nullptr && (report(all, process) != 0 || report_end(all, nullptr, nullptr) != 0))
      end(std::exchange(all, nullptr));
  }
  library(const library&) = delete;
  library& operator=(const library&) = delete;
  ~library() {
    if (all != nullptr) end(all);
  }

  void* handle;  // never closed
  bool complete = true;
  decltype(&::dwfl_begin) begin;
  decltype(&::dwfl_end) end;
  decltype(&::dwfl_linux_proc_report) report;
  decltype(&::dwfl_report_end) report_end;
  decltype(&::dwfl_linux_proc_find_elf) find_elf;
  decltype(&::dwfl_standard_find_debuginfo) find_debuginfo;
  decltype(&::dwfl_attach_state) attach;
  decltype(&::dwfl_getthread_frames) frames;
  decltype(&::dwfl_thread_state_registers) set_registers;
  decltype(&::dwfl_thread_state_register_pc) set_runs_at;
  decltype(&::dwfl_frame_pc) frame_at;
  Dwfl_Callbacks callbacks{};
  Dwfl* all = nullptr;
  bool attached = false;
  reading* present = nullptr;
};

// What the callbacks of libdw are given.
struct native_stacks::reading {
  library& uses;
  remote_memory memory;
  const native_state* state;
  std::vector<std::uintptr_t> found;

  static ::pid_t next_thread(Dwfl*, void* self, void** thread) {
    return std::exchange(*thread, self) == nullptr ? 1 : 0;
  }
  static bool get_thread(Dwfl*, ::pid_t, void* self, void** thread) {
    *thread = self;
    return true;
  }
  static bool read(Dwfl*, Dwarf_Addr at, Dwarf_Word* into, void* all) {
    const reading& self = **static_cast<reading**>(all);
    return self.state->stack.read(at, into, sizeof *into) || self.memory.read(at, into, sizeof *into);
  }
  static bool set_registers(Dwfl_Thread* thread, void* all) {
    const reading& self = **static_cast<reading**>(all);
    const auto& values = self.state->values;
    for (std::size_t i = 0; i < native_state::runs_at; ++i)
      if (values[i]) self.uses.set_registers(thread, static_cast<int>(i), 1, &*values[i]);
    if (values[native_state::runs_at]) self.uses.set_runs_at(thread, *values[native_state::runs_at]);
    return true;
  }
  static int frame(Dwfl_Frame* f, void* into) {
    auto& self = *static_cast<reading*>(into);
    Dwarf_Addr at = 0;
    bool is_exact = false;
    if (!self.uses.frame_at(f, &at, &is_exact)) return DWARF_CB_ABORT;
    self.found.push_back(is_exact || self.found.empty() ? at : at - 1);
    return self.found.size() < deepest ? DWARF_CB_OK : DWARF_CB_ABORT;
  }
};

native_stacks::native_stacks(::pid_t process) : process_(process) {}
native_stacks::~native_stacks() = default;

std::vector<std::uintptr_t> native_stacks::of(const native_state& s) {
  if (!library_) library_ = std::make_unique<library>(process_);
  library& l = *library_;
  reading now{l, remote_memory(process_), &s, {}};
  l.present = &now;
  static constexpr Dwfl_Thread_Callbacks callbacks{
      &reading::next_thread, &reading::get_thread, &reading::read, &reading::set_registers, nullptr, nullptr};
  if (l.all != nullptr && !l.attached)
    l.attached = l.attach(l.all, nullptr, process_, &callbacks, static_cast<void*>(&l.present));
  if (l.attached) l.frames(l.all, 1, &reading::frame, &now);
  l.present = nullptr;
  if (now.found.empty() && s.values[native_state::runs_at])
    now.found.push_back(*s.values[native_state::runs_at]);
  return std::move(now.found);
}

}  // namespace weir::dump
