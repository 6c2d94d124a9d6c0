#include "weir/base/detail/line_file.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <new>
#include <system_error>
#include <utility>

#include "weir/base/error.hpp"

namespace weir::log {
namespace {

using namespace std::chrono_literals;

constexpr auto gathering = 50ms;  // lines that come meanwhile are written together
constexpr auto shortage_pause = 100ms;

std::atomic<std::uint64_t> written_lines{0};
std::atomic<std::uint64_t> lost_file_lines{0};
std::atomic<std::uint64_t> last_number{0};

// Those that exist.
constinit std::mutex listing;
std::vector<line_file*>& files() {
  static auto* const all = new std::vector<line_file*>;  // never destroyed: files may be, after main
  return *all;
}

template <class Word>
void sleep_on(std::atomic<Word>& word, Word while_it_is, const ::timespec* at_most) noexcept {
  static_assert(sizeof word == sizeof(std::uint32_t));
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, static_cast<std::uint32_t>(while_it_is), at_most, nullptr,
            0);
}

template <class Word>
void wake_one(std::atomic<Word>& word) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

::timespec to_timespec(std::chrono::milliseconds d) noexcept {
  return {.tv_sec = d.count() / 1000, .tv_nsec = d.count() % 1000 * 1'000'000};
}

bool is_regular(const unique_fd& file) noexcept {
  struct stat what{};
  return ::fstat(file.get(), &what) == 0 && S_ISREG(what.st_mode);
}

}  // namespace

std::uint64_t lines_in_files() noexcept { return written_lines.load(std::memory_order_relaxed); }
std::uint64_t lost_lines_of_files() noexcept { return lost_file_lines.load(std::memory_order_relaxed); }
void count_lost_lines_of_files(std::uint64_t n) noexcept {
  lost_file_lines.fetch_add(n, std::memory_order_relaxed);
}

void reopen_line_files(::uid_t user, ::gid_t group) noexcept {
  const std::lock_guard lock(listing);
  for (line_file* const each : files()) {
    try {
      each->reopen(user, group);
    } catch (const std::exception& e) {
      log::error("{}", e.what());
    }
  }
}

void flush_line_files() noexcept {
  const std::lock_guard lock(listing);
  for (line_file* const each : files()) each->flush();
}

// ---- the thread that makes lines ----

line_file::lines::lines(line_file& of) : of_(of), filling_(new block), reading_(filling_) {}

line_file::lines::~lines() {
  const auto drop = [](block* b) {
    while (b != nullptr) delete std::exchange(b, b->next.load(std::memory_order_relaxed));
  };
  drop(reading_);
  drop(free_);
  drop(emptied_.load(std::memory_order_acquire));
}

line_file::lines::block* line_file::lines::take_block() noexcept {
  if (free_ == nullptr) free_ = emptied_.exchange(nullptr, std::memory_order_acquire);
  if (free_ != nullptr) {
    block* const b = free_;
    free_ = b->next.load(std::memory_order_relaxed);
    b->next.store(nullptr, std::memory_order_relaxed);
    b->filled.store(0, std::memory_order_relaxed);
    return b;
  }
  if (blocks_.load(std::memory_order_relaxed) >= most_blocks) return nullptr;
  block* const b = new (std::nothrow) block;
  if (b != nullptr) blocks_.fetch_add(1, std::memory_order_relaxed);
  return b;
}

char* line_file::lines::begin_in_next() noexcept {
  block* const b = take_block();
  if (b == nullptr) {
    lost_.fetch_add(1, std::memory_order_relaxed);
    count_lost_lines_of_files(1);
  } else {
    // Hazard: from here on the writer may take the block that was filled, and give it back.
    filling_->next.store(b, std::memory_order_release);
    filling_ = b;
    at_ = 0;
  }
  of_.wake();
  return b == nullptr ? nullptr : b->text;
}

void line_file::lines::commit(std::size_t size) noexcept {
  at_ += static_cast<std::uint32_t>(size);
  made_.store(made_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  // In the total order with the writer's look before it sleeps: one of the two sees what the other has done.
  filling_->filled.store(at_, std::memory_order_seq_cst);
  if (of_.sleep_.load(std::memory_order_seq_cst) >= sleep::until_a_line) of_.wake();
}

// ---- the file ----

struct line_file::added {
  std::shared_ptr<lines> what;
  added* next;
};

line_file::line_file(std::string path) : path_(std::move(path)), number_(++last_number), fd_(opened(0, 0)) {
  is_regular_ = is_regular(fd_);
  const std::lock_guard lock(listing);
  files().push_back(this);
}

line_file::~line_file() {
  {
    const std::lock_guard lock(listing);
    std::erase(files(), this);
  }
  stops_ = true;
  if (writer_.joinable()) {
    wake();
    writer_.join();
  }
  flush();
  for (const auto& each : all_) {  // what could not be written
    std::uint64_t left = 0;
    for (auto* b = each->reading_; b != nullptr; b = b->next.load())
      left += static_cast<std::uint64_t>(std::count(b->text + b->written, b->text + b->filled.load(), '\n'));
    count_lost_lines_of_files(left);
    lost_ += left;
  }
  tell_of_losses();
}

unique_fd line_file::opened(::uid_t user, ::gid_t group) const {
  // A FIFO is not waited for: without a reader it cannot be opened.
  constexpr int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  unique_fd made(::open(path_.c_str(), flags, 0640));
  if (!made) throw_system_error(errno, "log to " + path_);
  // Otherwise a process that has become another user could not open it again.
  if (user != 0 && ::geteuid() == 0 && ::fchown(made.get(), user, group) != 0)
    throw_system_error(errno, "chown " + path_);
  return made;
}

void line_file::reopen(::uid_t user, ::gid_t group) {
  const unique_fd fresh = opened(user, group);
  is_regular_ = is_regular(fresh);
  // A write that is under way goes to the old file.
  if (::dup3(fresh.get(), fd_.get(), O_CLOEXEC) < 0) throw_system_error(errno, "log to " + path_);
}

std::shared_ptr<line_file::lines> line_file::add() {
  auto made = std::make_shared<lines>(*this);
  auto* const entry = new added{made, added_.load(std::memory_order_relaxed)};
  while (!added_.compare_exchange_weak(entry->next, entry)) {
  }
  return made;
}

void line_file::wake() noexcept {
  switch (sleep_.load()) {
    case sleep::none: return;
    case sleep::not_begun: return begin_writing();
    case sleep::for_a_while:
    case sleep::until_a_line: break;
  }
  if (const sleep was = sleep_.exchange(sleep::none); was != sleep::none) wake_one(sleep_);
}

// Lines are kept until the thread can be started.
void line_file::begin_writing() noexcept {
  sleep expected = sleep::not_begun;
  if (!begins_.pass() || !sleep_.compare_exchange_strong(expected, sleep::none)) return;
  try {
    writer_ = std::thread([this] { work(); });
  } catch (const std::exception& e) {
    sleep_ = sleep::not_begun;
    log::error("{}: the thread that writes it cannot be started: {}", path_, e.what());
  }
}

void line_file::work() noexcept {
  ::pthread_setname_np(::pthread_self(), "weir lines");
  ::sigset_t pipe;  // of a FIFO without a reader
  ::sigemptyset(&pipe);
  ::sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  const ::timespec a_while = to_timespec(gathering);
  const ::timespec pause = to_timespec(shortage_pause);
  for (progress last = progress::some; !stops_.load();) {
    // In the order that commit() relies on: the state first, then a look at the lines.
    sleep_.store(sleep::until_a_line);
    if (last == progress::none && !stops_.load()) last = write_all();
    if (last == progress::none && !stops_.load()) sleep_on(sleep_, sleep::until_a_line, nullptr);
    sleep_.store(sleep::for_a_while);
    if (!stops_.load()) sleep_on(sleep_, sleep::for_a_while, last == progress::blocked ? &pause : &a_while);
    sleep_.store(sleep::none);
    last = write_all();
  }
}

void line_file::take_added() noexcept {
  const auto before = static_cast<std::ptrdiff_t>(all_.size());
  for (added* each = added_.exchange(nullptr); each != nullptr;) {
    try {
      all_.push_back(each->what);
    } catch (const std::bad_alloc&) {  // this one and those before it: later
      added* first = each;
      while (first->next != nullptr) first = first->next;
      first->next = added_.load();
      while (!added_.compare_exchange_weak(first->next, each)) {
      }
      break;
    }
    delete std::exchange(each, each->next);
  }
  std::reverse(all_.begin() + before, all_.end());  // the last one came first
}

line_file::progress line_file::write_all() noexcept {
  const std::lock_guard lock(writing_);
  take_added();
  error_ = 0;
  bool any = false;
  for (std::size_t i = 0; i < all_.size() && error_ == 0;) {
    lines& each = *all_[i];
    const bool was_retired = each.retired_.load(std::memory_order_acquire);
    const bool is_empty = write_some(each, any);
    const std::uint64_t lost = each.lost_.load(std::memory_order_relaxed);
    lost_ += lost - std::exchange(each.lost_seen_, lost);
    if (was_retired && is_empty)
      all_.erase(all_.begin() + static_cast<std::ptrdiff_t>(i));
    else
      ++i;
  }
  tell_of_losses();
  if (error_ != 0) return progress::blocked;
  return any ? progress::some : progress::none;
}

// Whether nothing is left of what had come.
bool line_file::write_some(lines& of, bool& any) noexcept {
  for (;;) {
    lines::block& b = *of.reading_;
    lines::block* const next =
        b.next.load(std::memory_order_acquire);  // first: then `filled` is the last one
    const std::uint32_t filled = b.filled.load(std::memory_order_seq_cst);
    while (b.written < filled) {
      any = true;
      const std::size_t n = append({b.text + b.written, filled - b.written});
      b.written += static_cast<std::uint32_t>(n);
      if (error_ != 0) return false;
    }
    if (next == nullptr) break;
    of.reading_ = next;
    of.give_back(&b);
  }
  const std::uint64_t made = of.made_.load(std::memory_order_relaxed);
  written_lines.fetch_add(made - std::exchange(of.counted_, made), std::memory_order_relaxed);
  return true;
}

void line_file::lines::give_back(block* b) noexcept {
  if (blocks_.load(std::memory_order_relaxed) > kept_blocks) {
    blocks_.fetch_sub(1, std::memory_order_relaxed);
    delete b;
    return;
  }
  b->written = 0;
  block* head = emptied_.load(std::memory_order_relaxed);
  do {
    b->next.store(head, std::memory_order_relaxed);
  } while (!emptied_.compare_exchange_weak(head, b, std::memory_order_release, std::memory_order_relaxed));
}

// How many bytes of whole lines the file has taken.
std::size_t line_file::append(std::string_view text) noexcept {
  // Of a pipe each call takes so much whole or not at all: lines of several processes do not mix.
  if (!is_regular_.load(std::memory_order_relaxed) && text.size() >= PIPE_BUF)
    text = text.substr(0, text.rfind('\n', PIPE_BUF - 2) + 1);
  std::array<::iovec, 2> parts{
      {{const_cast<char*>("\n"), is_cut_ ? 1U : 0U}, {const_cast<char*>(text.data()), text.size()}}};
  ssize_t n = -1;
  do {
    n = ::writev(fd_.get(), parts.data(), static_cast<int>(parts.size()));
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    error_ = errno;
    return 0;
  }
  std::size_t taken = static_cast<std::size_t>(n);
  if (is_cut_ && taken != 0) --taken;
  is_cut_ = is_cut_ && n == 0;
  if (taken == text.size()) return taken;
  // The disk is full: the line that was cut is written once more, as a whole, when there is room.
  error_ = ENOSPC;
  const std::size_t whole = text.substr(0, taken).rfind('\n') + 1;
  is_cut_ = is_cut_ || whole != taken;
  return whole;
}

void line_file::tell_of_losses() noexcept {
  if (error_ == 0 && lost_ == told_) return;
  if (!tells_.pass()) return;
  const std::uint64_t fresh = lost_ - std::exchange(told_, lost_);
  if (error_ != 0)
    log::error("{}: {}; {} lines were lost, others wait", path_, std::generic_category().message(error_),
               fresh);
  else
    log::warning("{}: {} lines were lost: they came faster than they can be written", path_, fresh);
}

void line_file::flush() noexcept { static_cast<void>(write_all()); }

}  // namespace weir::log
