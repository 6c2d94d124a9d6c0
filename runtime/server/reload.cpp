#include "weir/server/detail/reload.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <string>
#include <string_view>

#include "weir/base/log.hpp"
#include "weir/config/config_error.hpp"
#include "weir/process/detail/service_manager.hpp"
#include "weir/server/detail/log_file.hpp"

namespace weir {
namespace {

constexpr auto live_keys = std::to_array<std::string_view>({"log.level", "log.file"});

void take(settings& present, const settings& fresh) {
  std::string taken;
  for (const tunable& each : tunables()) {
    const bool live = std::find(live_keys.begin(), live_keys.end(), each.key) != live_keys.end() &&
                      // What standard error was before the log went to a file is gone.
                      !(each.key == "log.file" && fresh.log.file.empty());
    if (!live)
      tell_of_restart(each, present, fresh);
    else if (each.print(present) != each.print(fresh))
      taken += fmt::format("{}{} = {}", taken.empty() ? "" : ", ", each.key, each.print(fresh));
  }
  settings next = present;
  next.log.level = fresh.log.level;
  if (!fresh.log.file.empty()) next.log.file = fresh.log.file;
  // Lines go nowhere else than to the file that can be written.
  open_log(next);
  log::set_level(next.log.level);
  present = next;
  log::info("the configuration was read again; taken: {}", taken.empty() ? "nothing new" : taken);
}

}  // namespace

void tell_of_restart(const tunable& key, const settings& present, const settings& fresh) {
  if (key.print(present) != key.print(fresh))
    log::warning("{} = {} needs a restart; it stays {}", key.key, key.print(fresh), key.print(present));
}

void reload_live(settings& present, const std::function<settings()>& read_again) {
  process::tell_reloading();
  try {
    take(present, read_again());
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
