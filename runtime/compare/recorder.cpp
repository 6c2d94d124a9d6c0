#include "weir/compare/detail/recorder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <random>
#include <utility>

#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/server/detail/recording.hpp"

namespace weir {
namespace recording {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_waiting = std::size_t{8} * 1024 * 1024;  // bytes of events, of all lanes,
constexpr std::size_t always_room = std::size_t{256} * 1024;        // and of one beyond that
constexpr std::size_t worth_a_block = std::size_t{32} * 1024;       // of one: together they make 256 KiB
constexpr auto longest_wait = 200ms;                                // of an event for its block

std::uint64_t random_number() {
  std::random_device from;
  return (std::uint64_t{from()} << 32) | from();
}

}  // namespace

class connection_tap final : public stream_tap {
 public:
  connection_tap(recorder& to, recorder::lane& in, std::uint32_t number)
      : to_(to), in_(in), number_(number), from_client_(to.hidden_), to_client_(to.hidden_) {}
  ~connection_tap() override { tell(event::kind::end); }

  void has_received(const void* bytes, std::size_t size) noexcept override {
    tell(event::kind::received, from_client_, {static_cast<const char*>(bytes), size});
  }
  void has_sent(const void* bytes, std::size_t size) noexcept override {
    if (to_.settings_.answers) tell(event::kind::sent, to_client_, {static_cast<const char*>(bytes), size});
  }
  void input_has_ended(bool by_reset) noexcept override {
    if (!std::exchange(input_ended_, true))
      tell(by_reset ? event::kind::input_reset : event::kind::input_ended);
  }

 private:
  void tell(event::kind what, redaction& hides, std::string_view bytes) noexcept {
    keep(what, to_.hidden_.empty() ? nullptr : &hides, bytes);
  }
  void tell(event::kind what) noexcept { keep(what, nullptr, {}); }

  // An event that is lost is the last one: no gap is in what is recorded.
  void keep(event::kind what, redaction* hides, std::string_view bytes) noexcept {
    if (is_lost_ || to_.push(in_, what, number_, hides, bytes)) return;
    is_lost_ = true;
    if (!to_.ended_.load(std::memory_order_relaxed)) to_.count_lost();
  }

  recorder& to_;
  recorder::lane& in_;
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
    lane& in = lanes_[due(number) % lanes_.size()];
    auto made = std::make_unique<connection_tap>(*this, in, number);
    const char secret = is_secret ? 1 : 0;
    if (push(in, event::kind::begin, number, nullptr, {&secret, 1})) return made;
    count_lost();
  } catch (const std::bad_alloc&) {
    count_lost();
  }
  return nullptr;
}

// Without a look at the other lanes, which would cost their cache lines, as long as this one has little.
bool recorder::has_room(const lane& in, std::size_t size) const noexcept {
  const std::size_t before = in.filling.size();
  if (before + size <= always_room) return true;
  std::size_t all = size;
  for (const lane& each : lanes_) all += each.size.load(std::memory_order_relaxed);
  return all <= most_waiting;
}

bool recorder::push(lane& to, event::kind what, std::uint32_t connection, redaction* hides,
                    std::string_view bytes) noexcept {
  if (ended_.load(std::memory_order_relaxed)) return false;
  bool wake = false;
  {
    const std::lock_guard lock(to.mutex);
    std::string& all = to.filling;
    const std::size_t before = all.size();
    if (!has_room(to, event_head_size + bytes.size())) return false;
    try {
      const std::size_t needed = before + event_head_size + bytes.size();
      if (all.capacity() < needed) all.reserve(std::max({needed, all.capacity() * 2, worth_a_block}));
      append_event_head(all, what, connection, now(), bytes.size());
      if (hides != nullptr)
        hides->append(all, bytes);
      else
        all.append(bytes);
    } catch (const std::bad_alloc&) {
      all.resize(before);  // a part of an event would spoil what follows
      return false;
    }
    to.size.store(all.size(), std::memory_order_relaxed);
    wake = before < worth_a_block && all.size() >= worth_a_block;
  }
  if (wake) {
    {
      const std::lock_guard lock(mutex_);
      is_due_ = true;
    }
    changed_.notify_one();
  }
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
    bool goes_on = write_out(session_block(session_, facts), {});
    while (goes_on && !last) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, longest_wait, [this] { return stops_ || is_due_; });
        last = stops_;
        is_due_ = false;
      }
      goes_on = write_lanes(writing);
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
  for (lane& each : lanes_) {
    const std::lock_guard lock(each.mutex);
    each.filling = std::string();
  }
}

// A block for each lane. False: the file is full.
bool recorder::write_lanes(std::string& writing) {
  for (lane& each : lanes_) {
    writing.clear();
    {
      const std::lock_guard lock(each.mutex);
      writing.swap(each.filling);
      each.size.store(0, std::memory_order_relaxed);
    }
    if (!writing.empty() && !write_out(events_head(session_, ++blocks_, writing), writing)) return false;
  }
  return true;
}

// A block is written whole or not at all, as far as the system lets it. Errors: std::system_error.
bool recorder::write_out(std::string_view head, std::string_view payload) {
  const std::size_t all = head.size() + payload.size();
  if (size_ + all > settings_.size) {
    log::info("recording in {} has ended: record.size", name_);
    return false;
  }
  size_ += all;
  while (!head.empty() || !payload.empty()) {
    const std::array<::iovec, 2> parts{::iovec{const_cast<char*>(head.data()), head.size()},
                                       ::iovec{const_cast<char*>(payload.data()), payload.size()}};
    const ssize_t n = ::writev(file_.get(), parts.data(), static_cast<int>(parts.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_system_error(errno, "write");
    const std::size_t of_head = std::min(head.size(), static_cast<std::size_t>(n));
    head.remove_prefix(of_head);
    payload.remove_prefix(static_cast<std::size_t>(n) - of_head);
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
