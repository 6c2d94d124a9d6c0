#pragma once
// connection: what a program has that is linked with weir::tls.

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/unique_fd.hpp"
#include "weir/config/settings.hpp"
#include "weir/connection/detail/stream_layer.hpp"
#include "weir/connection/tls_info.hpp"
#include "weir/listen/peer_address.hpp"

namespace weir {

// Makes the layers of new connections.
// Thread: any.
class layer_source {
 public:
  layer_source(const layer_source&) = delete;
  layer_source& operator=(const layer_source&) = delete;
  virtual ~layer_source() = default;

  // Errors: std::bad_alloc.
  [[nodiscard]] virtual std::unique_ptr<stream_layer> accept() = 0;

  // A layer that this source has made could not be opened. Counts, and logs at most one line a second.
  enum class failure : std::uint8_t { handshake, timeout };
  virtual void has_failed(failure how, const stream_layer& layer, const peer_address& peer) noexcept = 0;

 protected:
  layer_source() = default;
};

// What a server presents, read before its privileges are dropped and before a fork.
class tls_files {
 public:
  tls_files(const tls_files&) = delete;
  tls_files& operator=(const tls_files&) = delete;
  virtual ~tls_files() = default;

 protected:
  tls_files() = default;
};

// Thread: any. Fork: read() and check() leave no state of OpenSSL that a child must not have.
struct tls_support {
  struct problem {
    std::string_view key;
    std::string text;
    bool is_warning = false;
  };
  // What is wrong with [tls] for a server that uses it.
  std::vector<problem> (*check)(const settings& s);
  // One line for each certificate: names, until when.
  std::vector<std::string> (*describe)(const settings& s);
  // Errors: config_error.
  std::shared_ptr<const tls_files> (*read)(const settings& s);
  std::shared_ptr<layer_source> (*load)(const settings& s, const tls_files& files);
  // What another process needs to read the tickets of this one, in a sealed memory file: for the program that
  // takes over, which calls the second one before it reads or loads. Errors: std::system_error.
  unique_fd (*pass_tickets)();
  void (*take_tickets)(int file);
  // This side is the client. Errors: std::system_error, std::bad_alloc.
  std::unique_ptr<stream_layer> (*connect)(const tls_client_options& how, const std::string& name);
};

// Null in a program that is not linked with weir::tls, which calls provide_tls() before main.
[[nodiscard]] const tls_support* tls_provided() noexcept;
void provide_tls(const tls_support& by) noexcept;

// The source of a server: another one after a reload. Thread: any.
class present_source {
 public:
  void set(std::shared_ptr<layer_source> s) noexcept {
    const std::lock_guard lock(mutex_);
    source_.swap(s);
  }
  [[nodiscard]] std::shared_ptr<layer_source> get() const noexcept {
    const std::lock_guard lock(mutex_);
    return source_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<layer_source> source_;
};

}  // namespace weir
