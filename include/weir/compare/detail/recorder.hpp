#pragma once
// compare: writes down what clients send, beside the loops.

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "weir/base/unique_fd.hpp"
#include "weir/compare/detail/recording.hpp"
#include "weir/compare/detail/redaction.hpp"
#include "weir/config/settings.hpp"
#include "weir/connection/detail/stream_tap.hpp"
#include "weir/observe/detail/figures.hpp"

namespace weir::recording {

// Problem: a disk may hang, and no loop may wait for it, nor loops for each other. The taps of connections
// leave events in buffers of bounded size, each of which is shared by a part of the connections, and a thread
// writes them to the file. A tap that finds no room counts that, and says no more: a connection is recorded
// from its beginning to a point, without a gap. Thread: any, unless said otherwise. Lifetime: outlives its
// taps. Fork: it has a thread.
class recorder final : public tap_source {
 public:
  // Makes the file, with mode 0600, or goes on behind what it holds. Errors: std::system_error.
  recorder(const record_settings& s, const std::string& file, observe::recorder counts);
  ~recorder() override;

  [[nodiscard]] std::unique_ptr<stream_tap> tap(const peer_address& peer, bool is_secret) noexcept override;

 private:
  friend class connection_tap;

  // Events that are not written yet. A connection has one lane: its events stay in order.
  struct alignas(64) lane {
    std::mutex mutex;
    std::string filling;
    std::atomic<std::size_t> size{0};  // of `filling`
  };

  // `hides` replaces what must not be in the file; null: nothing. False: there is no room, or recording has
  // ended.
  [[nodiscard]] bool push(lane& to, event::kind what, std::uint32_t connection, redaction* hides,
                          std::string_view bytes) noexcept;
  [[nodiscard]] bool has_room(const lane& in, std::size_t size) const noexcept;
  void count_lost() noexcept;
  void work() noexcept;
  [[nodiscard]] bool write_lanes(std::string& writing);
  [[nodiscard]] bool write_out(std::string_view head, std::string_view payload);
  [[nodiscard]] std::chrono::microseconds now() const noexcept;

  record_settings settings_;
  std::vector<std::string> hidden_;
  std::string name_;
  unique_fd file_;
  observe::recorder counts_;
  std::uint64_t session_;
  std::chrono::steady_clock::time_point began_;
  std::atomic<bool> ended_{false};
  std::atomic<std::uint32_t> connections_{0};  // that there were, recorded or not
  std::array<lane, 8> lanes_;
  std::mutex mutex_;  // of the two that follow the condition
  std::condition_variable changed_;
  bool is_due_ = false;  // a lane has enough
  bool stops_ = false;
  std::uint64_t size_ = 0;    // of the file; the thread's
  std::uint32_t blocks_ = 0;  // the thread's
  std::thread thread_;
};

}  // namespace weir::recording
