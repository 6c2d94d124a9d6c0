#pragma once
// tls: what a server presents to its clients.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "key_files.hpp"
#include "weir/base/log.hpp"
#include "weir/base/unique_fd.hpp"

namespace weir::tls {

// Thread: any.
class server_source final : public layer_source, public std::enable_shared_from_this<server_source> {
 public:
  // What is wrong is added to `problems`; the source must not be used then.
  server_source(const settings& s, const key_files& files, std::vector<tls_support::problem>& problems);

  [[nodiscard]] std::unique_ptr<stream_layer> accept() override;
  void has_failed(failure how, const stream_layer& layer, const peer_address& peer) noexcept override;

  // For OpenSSL's callbacks. Null: no certificate has that name.
  [[nodiscard]] ssl_ctx_st* certificate_for(std::string_view server_name) const;
  [[nodiscard]] const std::string& protocols() const noexcept { return alpn_; }
  // The keys of the present period, and those of the one before in `before`, if there are any.
  [[nodiscard]] ticket_secret::keys ticket_keys(ticket_secret::keys& before, bool& has_before);
  void log_key(const char* line) const noexcept;

 private:
  [[nodiscard]] context make_context(const settings& s, const key_files& files,
                                     std::vector<tls_support::problem>& problems);

  std::vector<context> contexts_;  // the first is for clients that ask for no name that there is
  std::map<std::string, ssl_ctx_st*, std::less<>> by_name_;  // "*.example.org" too
  std::string alpn_;                                         // as in the protocol: each behind its length
  bool offloads_keys_;
  unique_fd key_log_;
  std::mutex mutex_;
  ticket_secret secret_;
  ticket_secret::keys present_;
  ticket_secret::keys before_{};
  bool has_before_ = false;
  std::atomic<std::uint64_t> failed_{0};
  std::atomic<std::uint64_t> late_{0};
  log::limiter limit_;
};

}  // namespace weir::tls
