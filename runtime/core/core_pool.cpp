#include "weir/core/core_pool.hpp"

#include <pthread.h>

#include <exception>
#include <mutex>
#include <thread>

namespace weir {

core_pool::core_pool(const std::vector<std::optional<int>>& cpus, const settings& s, core_role role,
                     offload_pool* offload)
    : own_offload_(offload == nullptr ? std::make_unique<offload_pool>(s.workers.count, s.workers.queue)
                                      : nullptr),
      offload_(offload == nullptr ? *own_offload_ : *offload) {
  for (const auto& cpu : cpus)
    cores_.emplace_back(static_cast<unsigned>(cores_.size()), cpu, s, &offload_, this, role);
}

// Offloaded work that still runs may wake a core.
core_pool::~core_pool() { offload_.stop(); }

void core_pool::run() {
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run_core = [&](core& c) {
    try {
      c.run();
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      stop();
    }
  };
  {
    std::vector<std::jthread> threads;
    try {
      threads.reserve(cores_.size());
      for (std::size_t i = 1; i < cores_.size(); ++i) {
        threads.emplace_back([&run_core, &c = cores_[i]] {
          // Its own name: that of another thread is set through a file, which would be a descriptor
          // meanwhile.
          ::pthread_setname_np(::pthread_self(), fmt::format("weir core {}", c.index()).c_str());
          run_core(c);
        });
      }
      run_core(cores_[0]);
    } catch (...) {
      stop();
      throw;
    }
  }
  if (failure) std::rethrow_exception(failure);
}

void core_pool::stop() noexcept {
  for (auto& c : cores_) c.stop();
}

}  // namespace weir
