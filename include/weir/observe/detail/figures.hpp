#pragma once
// observe: what a loop or thread counts of its work.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "weir/observe/detail/log_linear.hpp"

namespace weir::observe {

// Counters first: they only grow, and those of a worker process that has ended are kept. The rest are levels.
enum class figure : std::uint8_t {
  received_bytes,
  sent_bytes,
  accepted,     // connections that a handler was begun for, with those that came from another loop or worker
  connected,    // connections to other servers
  peer_closed,  // connections that have ended, by the reason that the handler was told: see ending
  peer_reset,
  idle,
  stopping,
  closed,
  moved,  // that went on elsewhere: another loop, another worker, or out of this server's hands
  requests,
  turns,             // times that the loop has waited and gone on
  busy_nanoseconds,  // CPU time of the loop's thread, the kernel's for its calls included
  timers_fired,
  stalls,
  jobs,         // offloaded ones that have begun
  evicted,      // connections that an outbox has reset, because their peers do not read
  tls_full,     // handshakes of clients
  tls_resumed,  // the same, of sessions that were there before
  tls_failed,
  tls_timed_out,
  // Of the process, among the figures of its first loop.
  refused,         // connections closed at once: limits.connections
  refused_per_ip,  // limits.connections_per_ip
  refused_header,  // without a right header of the PROXY protocol
  dropped,         // an error kept them from their loop
  accept_pauses,   // for want of descriptors or memory
  fruitless,       // wake-ups for a connection that another process has taken
  reloads,
  file_lines,       // written to files such as the access log
  lost_file_lines,  // that were not
  lost_log_lines,
  recorded_bytes,  // of the file of a recording
  record_lost,     // pieces that found no room on their way to it
  last_counter = record_lost,
  run_queue,  // chains that wait for their turn, when it was last looked
  timers,     // armed
  chunks,     // receive and reply buffers, in use and kept
  chunk_bytes,
  queued_jobs,
  frame_bytes,   // taken for frames of coroutines, of the process
  accept_queue,  // connections that the kernel holds for the listeners, of the process
  accept_queue_limit,
  thread,  // the id of the thread that runs the loop; 0: none
  last = thread
};

inline constexpr std::size_t figures_count = static_cast<std::size_t>(figure::last) + 1;

[[nodiscard]] constexpr bool is_level(figure f) noexcept { return f > figure::last_counter; }

// Thread: one writer for each figure, unless it is added to by add_from_any() alone. Any reads.
struct figures {
  std::array<owned_counter, figures_count> each;

  [[nodiscard]] owned_counter& operator[](figure f) noexcept { return each[static_cast<std::size_t>(f)]; }
  [[nodiscard]] const owned_counter& operator[](figure f) const noexcept {
    return each[static_cast<std::size_t>(f)];
  }
};

// What is measured, in nanoseconds.
enum class measure : std::uint8_t {
  turn,      // from the end of a wait to the next one; of some turns only
  lag,       // how much later than it should have a timer fired
  request,   // as protocols report it
  job_wait,  // of an offloaded job for its thread
  last = job_wait
};

inline constexpr std::size_t measures_count = static_cast<std::size_t>(measure::last) + 1;

using histograms = std::array<shared_histogram, measures_count>;

[[nodiscard]] inline shared_histogram& of(histograms& all, measure m) noexcept {
  return all[static_cast<std::size_t>(m)];
}

// The figures of one loop, in memory that several processes may share.
struct alignas(128) block {
  // The loop that counts in it; none: free.
  struct owner {
    enum class state : std::uint8_t { free, live, retired };
    state now = state::free;
    std::uint8_t model = 0;    // a model_kind: what a worker counts in one model is kept apart
    std::uint16_t row = 0;     // the worker's in the scoreboard, while it lives
    std::uint16_t worker = 0;  // its index
    std::uint16_t core = 0;
    bool operator==(const owner&) const = default;
  };
  static_assert(sizeof(owner) == 8);

  std::atomic<owner> whose;
  figures counted;
  histograms measured;
};

// Those of a thread of which there may be thousands: it shares histograms with others.
struct alignas(64) thread_block {
  std::atomic<block::owner> whose;
  figures counted;
};

static_assert(std::atomic<block::owner>::is_always_lock_free, "the atomics of another process need no lock");
static_assert(std::is_trivially_destructible_v<block>);

// Where a loop or thread writes.
struct recorder {
  figures* counted = nullptr;
  histograms* measured = nullptr;
};

}  // namespace weir::observe
