#include "weir/server/detail/reload.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "weir/base/log.hpp"
#include "weir/config/config_error.hpp"
#include "weir/process/detail/service_manager.hpp"
#include "weir/server/detail/log_file.hpp"

namespace weir {
namespace {

constexpr auto live_keys = std::to_array<std::string_view>(
    {"limits.connections", "limits.connections_per_ip", "limits.drain_delay", "limits.drain_timeout",
     "limits.idle_timeout", "log.file", "log.level", "tls.alpn", "tls.ca", "tls.certificate", "tls.ciphers",
     "tls.ciphersuites", "tls.key", "tls.key_log", "tls.minimum_version", "tls.offload_keys",
     "tls.ticket_lifetime", "tls.tickets", "tls.verify"});

// There is no master that could start processes of another kind.
std::string_view pool_hint(std::string_view key) {
  if (key == "model")
    return "; a server of model \"process-pool\" takes processes.model, which is what its workers are, at a "
           "reload";
  return needs_restart_in_pool(key) ? "" : "; a server of model \"process-pool\" takes it at a reload";
}

bool is_live(std::string_view key, const settings& present, const settings& fresh) {
  // What standard error was before the log went to a file is gone.
  if (key == "log.file" && fresh.log.file.empty()) return false;
  // Without a limit the connections of an address are not counted.
  if (key == "limits.connections_per_ip" &&
      (present.limits.connections_per_ip == 0 || fresh.limits.connections_per_ip == 0))
    return false;
  return std::find(live_keys.begin(), live_keys.end(), key) != live_keys.end();
}

void take(settings& present, const settings& fresh,
          const std::function<void(const limit_settings&)>& take_limits,
          const std::function<void(const settings&)>& take_certificates) {
  std::string taken;
  settings next = present;
  for (const tunable& each : tunables()) {
    if (!is_live(each.key, present, fresh))
      tell_of_restart(each, present, fresh, pool_hint(each.key));
    else if (each.print(present) != each.print(fresh))
      taken += fmt::format("{}{} = {}", taken.empty() ? "" : ", ", each.key, each.print(fresh));
  }
  next.limits.connections = fresh.limits.connections;
  if (is_live("limits.connections_per_ip", present, fresh))
    next.limits.connections_per_ip = fresh.limits.connections_per_ip;
  next.limits.drain_delay = fresh.limits.drain_delay;
  next.limits.drain_timeout = fresh.limits.drain_timeout;
  next.limits.idle_timeout = fresh.limits.idle_timeout;
  next.log.level = fresh.log.level;
  if (!fresh.log.file.empty()) next.log.file = fresh.log.file;
  next.tls = fresh.tls;
  next.tls.handshake_timeout = present.tls.handshake_timeout;
  next.tls.handshakes = present.tls.handshakes;
  take_certificates(next);
  // Lines go nowhere else than to the file that can be written.
  open_log(next);
  log::set_level(next.log.level);
  take_limits(next.limits);
  present = std::move(next);
  log::info("the configuration was read again; taken: {}", taken.empty() ? "nothing new" : taken);
}

}  // namespace

bool needs_restart_in_pool(std::string_view key) {
  constexpr auto fixed = std::to_array<std::string_view>(
      {"model", "processes.accept", "processes.pid_file", "admin", "admin_token"});
  return key.starts_with("socket.") || std::find(fixed.begin(), fixed.end(), key) != fixed.end();
}

std::string_view model_hint(std::string_view key) {
  return key == "model" ? "; what its workers are is processes.model, which a reload changes" : "";
}

void tell_of_restart(const tunable& key, const settings& present, const settings& fresh,
                     std::string_view hint) {
  if (key.print(present) == key.print(fresh)) return;
  if (key.key == "admin_token")
    log::warning("admin_token has changed, which needs a restart");  // it is a secret
  else
    log::warning("{} = {} needs a restart; it stays {}{}", key.key, key.print(fresh), key.print(present),
                 hint);
}

void reload_live(settings& present, const std::function<settings()>& read_again,
                 const std::function<void(const limit_settings&)>& take_limits,
                 const std::function<void(const settings&)>& take_certificates) {
  process::tell_reloading();
  try {
    take(present, read_again(), take_limits, take_certificates);
    return process::tell_service_manager("READY=1");
  } catch (const config_error& e) {
    for (const std::string& message : e.messages()) log::error("{}", message);
  } catch (const std::exception& e) {
    log::error("{}", e.what());
  }
  log::error("the configuration is not taken; the present one serves on");
  process::tell_service_manager("READY=1");
}

}  // namespace weir
