#pragma once
// kv: what is on its way from the engine's thread to a subscribed client's.

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>

#include <weir/core/cross_channel.hpp>

namespace kv {

using message =
    std::shared_ptr<const std::string>;  // shared because each subscriber sends it at its own time

// Problem: messages are made on the core of the keys, sent on the cores of their clients, and must stay in
// order with a client's answers. So answers go the same way once a client has subscribed.
class inbox {
 public:
  static constexpr std::size_t most_messages = 65'536;
  static constexpr std::size_t most_bytes = std::size_t{32} << 20;  // as Redis: a slower client is cut

  // False: the client does not read, or has gone. Any thread.
  [[nodiscard]] bool post(message m) {
    const std::size_t size = m->size();
    if (pending_.fetch_add(size, std::memory_order_relaxed) + size <= most_bytes && messages_.try_send(m))
      return true;
    pending_.fetch_sub(size, std::memory_order_relaxed);
    return false;
  }
  // What was posted is still received, then nothing. Any thread.
  void close() { messages_.close(); }

  [[nodiscard]] auto receive() noexcept { return messages_.receive(); }
  [[nodiscard]] std::optional<message> try_receive() { return messages_.try_receive(); }
  void sent(std::size_t bytes) noexcept { pending_.fetch_sub(bytes, std::memory_order_relaxed); }
  // Bytes that were posted and not sent.
  [[nodiscard]] std::size_t pending() const noexcept { return pending_.load(std::memory_order_relaxed); }

 private:
  weir::cross_channel<message> messages_{most_messages};
  std::atomic<std::size_t> pending_{0};
};

}  // namespace kv
