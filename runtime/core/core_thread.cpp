#include "weir/core/detail/core_thread.hpp"

#include <pthread.h>
#include <sched.h>

#include <chrono>

#include "weir/base/log.hpp"

namespace weir {

core_thread::core_thread(unsigned index, std::vector<int> cpus, const settings& s, offload_pool& offload,
                         core_role role)
    : cpus_(std::move(cpus)), core_(index, std::nullopt, s, &offload, nullptr, role) {
  core_.endure();
}

void core_thread::start(const std::string& name) {
  if (thread_.joinable()) thread_.join();
  core_.context().restart();
  running_ = true;
  try {
    thread_ = std::thread([this, name] {
      ::pthread_setname_np(::pthread_self(),
                           name.c_str());  // the name of another thread is set through a descriptor
      if (!cpus_.empty()) {
        cpu_set_t mask;
        CPU_ZERO(&mask);
        for (const int cpu : cpus_) CPU_SET(static_cast<unsigned>(cpu), &mask);
        ::sched_setaffinity(0, sizeof mask, &mask);  // these are allowed: the settings were checked
      }
      try {
        core_.run();
      } catch (const std::exception& e) {
        log::error("thread {}: {}", core_.index(), e.what());
      }
      running_ = false;
    });
  } catch (...) {
    running_ = false;
    throw;
  }
}

void core_thread::rest() noexcept {
  try {
    core_.post([&c = core_] { c.stop(); });
  } catch (const std::exception&) {  // without memory: at once
    core_.stop();
  }
}

void core_thread::stop(int signal) noexcept {
  core_.stop();
  while (signal != 0 && running_) {
    core_.interrupt(signal);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace weir
