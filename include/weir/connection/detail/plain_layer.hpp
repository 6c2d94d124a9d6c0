#pragma once
// connection: a layer that changes nothing, for a plain connection that a stream_tap listens to.

#include "weir/connection/detail/stream_layer.hpp"

namespace weir {

class plain_layer final : public stream_layer {
 public:
  [[nodiscard]] long recv(void* into, std::size_t size) noexcept override {
    if (const std::size_t early = take_early(into, size); early != 0) return static_cast<long>(early);
    return socket_recv(into, size);
  }
  [[nodiscard]] long send(const void* from, std::size_t size, int flags) noexcept override {
    return socket_send(from, size, flags);
  }
  [[nodiscard]] long flush() noexcept override { return 0; }
  [[nodiscard]] bool has_unsent() const noexcept override { return false; }
  [[nodiscard]] long open() noexcept override { return 0; }
  [[nodiscard]] bool opens_slowly() const noexcept override { return false; }
  [[nodiscard]] long hear() noexcept override { return 0; }
  void open_apart() noexcept override {}
  void come_home() noexcept override {}
  [[nodiscard]] bool holds_input() const noexcept override { return has_early(); }
  [[nodiscard]] bool is_secret() const noexcept override { return false; }
  [[nodiscard]] tls_info info() const override { return {}; }
  [[nodiscard]] bool was_resumed() const noexcept override { return false; }
  [[nodiscard]] std::string reason() const override { return {}; }
  void end_output() noexcept override {}
};

}  // namespace weir
