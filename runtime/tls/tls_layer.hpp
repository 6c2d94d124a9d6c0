#pragma once
// tls: one connection's TLS.

#include <cstddef>
#include <memory>
#include <string>

#include "openssl.hpp"
#include "weir/connection/detail/tls_support.hpp"

namespace weir::tls {

// What OpenSSL writes while a call runs is gathered, and goes to the socket at once when it returns: many
// records cost one system call. What the socket has no room for is kept, so that OpenSSL never waits for
// room. Thread: the one that holds the connection.
class tls_layer final : public stream_layer {
 public:
  // Errors: std::bad_alloc.
  [[nodiscard]] static std::unique_ptr<tls_layer> accept(ssl_ctx_st& of, std::shared_ptr<const void> keeps);
  [[nodiscard]] static std::unique_ptr<tls_layer> connect(ssl_ctx_st& of, std::shared_ptr<const void> keeps);

  [[nodiscard]] long recv(void* into, std::size_t size) noexcept override;
  [[nodiscard]] long send(const void* from, std::size_t size, int flags) noexcept override;
  [[nodiscard]] long flush() noexcept override;
  [[nodiscard]] bool has_unsent() const noexcept override { return !away_ && !unsent_.empty(); }
  [[nodiscard]] long open() noexcept override;
  [[nodiscard]] bool opens_slowly() const noexcept override;
  [[nodiscard]] long hear() noexcept override;
  void open_apart() noexcept override;
  void come_home() noexcept override { away_ = false; }
  [[nodiscard]] bool holds_input() const noexcept override { return holds_input_; }
  [[nodiscard]] tls_info info() const override;
  [[nodiscard]] bool was_resumed() const noexcept override;
  [[nodiscard]] std::string reason() const override { return away_ ? "it was given up" : reason_; }
  void end_output() noexcept override;

  [[nodiscard]] ssl_st& ssl() noexcept { return *ssl_; }

  // Before the opening: it may be done on other threads.
  void offload_keys() noexcept { offloads_ = true; }

  // For OpenSSL's callbacks: they answer as a socket does.
  [[nodiscard]] long read_socket(void* into, std::size_t size) noexcept;
  [[nodiscard]] bool write_later(const void* from, std::size_t size) noexcept;
  [[nodiscard]] bool at_end() const noexcept { return at_end_; }

 private:
  tls_layer(ssl_ctx_st& of, std::shared_ptr<const void> keeps);
  [[nodiscard]] long receive(void* into, std::size_t size) noexcept;
  [[nodiscard]] long push(int flags) noexcept;
  [[nodiscard]] long failed() noexcept;
  [[nodiscard]] long step() noexcept;
  [[nodiscard]] bool has_input() const noexcept;
  [[nodiscard]] std::size_t worth_a_step() noexcept;

  session ssl_;
  std::shared_ptr<const void> keeps_;  // what the context refers to
  std::string unsent_;                 // encrypted; between calls, what the socket had no room for
  std::string reason_;
  std::size_t offered_ = 0;  // to a step on another thread: bytes of early()
  int error_ = 0;            // of the socket
  bool holds_input_ = false;
  bool at_end_ = false;  // the socket's input has ended
  bool failed_ = false;  // for good
  bool output_ended_ = false;
  bool offloads_ = false;
  bool sends_records_ = true;  // the peer
  bool away_ = false;  // another thread has it: OpenSSL's object and all above but the two that hold it
};

// What every context of weir has.
void set_modes(ssl_ctx_st* c) noexcept;
// Believes the authorities of a PEM text. False: there are none; see last_reason().
[[nodiscard]] bool believe(ssl_ctx_st* c, const std::string& authorities);

}  // namespace weir::tls
