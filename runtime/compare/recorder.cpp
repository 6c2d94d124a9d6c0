#include "weir/compare/detail/recorder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <random>
#include <utility>

#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/compare/detail/redaction.hpp"
#include "weir/server/detail/recording.hpp"

namespace weir {
namespace recording {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_waiting = std::size_t{8} * 1024 * 1024;  // bytes of events
constexpr std::size_t worth_a_block = std::size_t{256} * 1024;
constexpr auto longest_wait = 200ms;  // of an event for its block

std::uint64_t random_number() {
  std::random_device from;
  return (std::uint64_t{from()} << 32) | from();
}

}  // namespace

class connection_tap final : public stream_tap {
 public:
  connection_tap(recorder& to, std::uint32_t number)
      : to_(to), number_(number), from_client_(to.hidden_), to_client_(to.hidden_) {}
  ~connection_tap() override { tell(event::kind::end, {}); }

  void has_received(const void* bytes, std::size_t size) noexcept override {
    tell(event::kind::received, from_client_, {static_cast<const char*>(bytes), size});
  }
  void has_sent(const void* bytes, std::size_t size) noexcept override {
    if (to_.settings_.answers) tell(event::kind::sent, to_client_, {static_cast<const char*>(bytes), size});
  }
  void input_has_ended(bool by_reset) noexcept override {
    if (!std::exchange(input_ended_, true))
      tell(by_reset ? event::kind::input_reset : event::kind::input_ended, {});
  }

 private:
  void tell(event::kind what, redaction& hides, std::string_view bytes) noexcept {
    if (to_.hidden_.empty() || is_lost_) return tell(what, bytes);
    try {
      static thread_local std::string shown;
      shown.clear();
      hides.append(shown, bytes);
      tell(what, shown);
    } catch (const std::bad_alloc&) {
      is_lost_ = true;
      to_.count_lost();
    }
  }

  // An event that is lost is the last one: no gap is in what is recorded.
  void tell(event::kind what, std::string_view bytes) noexcept {
    if (is_lost_ || to_.push(what, number_, bytes)) return;
    is_lost_ = true;
    if (!to_.ended_.load(std::memory_order_relaxed)) to_.count_lost();
  }

  recorder& to_;
  std::uint32_t number_;
  bool is_lost_ = false;
  bool input_ended_ = false;
  redaction from_client_;
  redaction to_client_;
};

recorder::recorder(const record_settings& s, const std::string& file, observe::recorder counts)
    : settings_(s),
      hidden_(in_small_letters(s.redact)),
      name_(file),
      file_(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600)),
      counts_(counts),
      session_(random_number()),
      began_(std::chrono::steady_clock::now()) {
  struct stat now{};
  if (!file_ || ::fstat(file_.get(), &now) != 0) throw_system_error(errno, "record.file " + file);
  if (!S_ISREG(now.st_mode)) throw_system_error(EINVAL, "record.file " + file + " is no regular file");
  // One that was there may have been readable by others.
  if (::fchmod(file_.get(), 0600) != 0) throw_system_error(errno, "record.file " + file);
  size_ = static_cast<std::uint64_t>(now.st_size);
  filling_.reserve(worth_a_block);
  // The thread takes no signal that another one expects.
  ::sigset_t all;
  ::sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { work(); });
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  log::info("what clients send is recorded in {}", name_);
}

recorder::~recorder() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

std::chrono::microseconds recorder::now() const noexcept {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began_);
}

std::unique_ptr<stream_tap> recorder::tap(const peer_address&, bool is_secret) noexcept {
  if (is_secret && !settings_.tls_plaintext) return nullptr;
  if (ended_.load(std::memory_order_relaxed)) return nullptr;
  const std::uint32_t number = connections_.fetch_add(1, std::memory_order_relaxed);
  // Spread evenly: each at which the count of those that should be recorded grows.
  const auto due = [this](std::uint64_t n) { return n * settings_.share / 100; };
  if (due(std::uint64_t{number} + 1) == due(number)) return nullptr;
  try {
    auto made = std::make_unique<connection_tap>(*this, number);
    const char secret = is_secret ? 1 : 0;
    if (push(event::kind::begin, number, {&secret, 1})) return made;
    count_lost();
  } catch (const std::bad_alloc&) {
    count_lost();
  }
  return nullptr;
}

bool recorder::push(event::kind what, std::uint32_t connection, std::string_view bytes) noexcept {
  if (ended_.load(std::memory_order_relaxed)) return false;
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    const std::size_t before = filling_.size();
    if (before + event_head_size + bytes.size() > most_waiting) return false;
    try {
      // The whole of it at once: a part of an event would spoil what follows.
      const std::size_t needed = before + event_head_size + bytes.size();
      if (filling_.capacity() < needed) filling_.reserve(std::max(needed, filling_.capacity() * 2));
      append_event(filling_, what, connection, now(), bytes);
    } catch (const std::bad_alloc&) {
      return false;
    }
    wake = before < worth_a_block && filling_.size() >= worth_a_block;
  }
  if (wake) changed_.notify_one();
  return true;
}

void recorder::count_lost() noexcept { (*counts_.counted)[observe::figure::record_lost].add_from_any(1); }

void recorder::work() noexcept {
  ::pthread_setname_np(::pthread_self(), "weir record");
  std::string writing;
  bool last = false;
  try {
    session_facts facts;
    facts.began = std::chrono::duration_cast<std::chrono::microseconds>(
                      std::chrono::system_clock::now().time_since_epoch())
                      .count();
    facts.answers = settings_.answers;
    facts.redacted = !hidden_.empty();
    bool goes_on = write_out(session_block(session_, facts));
    while (goes_on && !last) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, longest_wait, [this] { return stops_ || filling_.size() >= worth_a_block; });
        last = stops_;
        writing.clear();
        writing.swap(filling_);
      }
      if (!writing.empty()) goes_on = write_out(events_block(session_, ++blocks_, writing));
      if (goes_on && now() >= settings_.time) {
        log::info("recording in {} has ended: record.time", name_);
        break;
      }
    }
  } catch (const std::exception& e) {
    try {
      log::error("recording in {} has ended: {}", name_, e.what());
    } catch (...) {  // no memory for the line
    }
  }
  ended_ = true;
  if (last) return;
  // What waits is not written any more.
  const std::lock_guard lock(mutex_);
  filling_ = std::string();
}

// A block is written whole or not at all, as far as the system lets it. Errors: std::system_error.
bool recorder::write_out(std::string_view block) {
  if (size_ + block.size() > settings_.size) {
    log::info("recording in {} has ended: record.size", name_);
    return false;
  }
  size_ += block.size();
  const std::size_t all = block.size();
  while (!block.empty()) {
    const ssize_t n = ::write(file_.get(), block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_system_error(errno, "write");
    block.remove_prefix(static_cast<std::size_t>(n));
  }
  (*counts_.counted)[observe::figure::recorded_bytes].add_from_any(all);
  return true;
}

}  // namespace recording

std::unique_ptr<tap_source> make_recorder(const record_settings& s, std::optional<unsigned> worker,
                                          observe::recorder counts) {
  if (s.file.empty()) return nullptr;
  return std::make_unique<recording::recorder>(s, worker ? fmt::format("{}.{}", s.file, *worker) : s.file,
                                               counts);
}

}  // namespace weir
