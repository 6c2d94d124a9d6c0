#include "weir/base/detail/idle_descriptors.hpp"

#include <exception>
#include <mutex>
#include <utility>
#include <vector>

namespace weir::detail {

namespace {

struct registry {
  std::mutex mutex;
  std::vector<idle_descriptors*> all;
};

registry& of_process() {
  static registry& r = *new registry;  // never destroyed: a thread may outlive main
  return r;
}

}  // namespace

idle_descriptors::idle_descriptors(std::function<void()> release) : release_(std::move(release)) {
  registry& r = of_process();
  const std::lock_guard hold(r.mutex);
  r.all.push_back(this);
}

idle_descriptors::~idle_descriptors() {
  registry& r = of_process();
  const std::lock_guard hold(r.mutex);
  std::erase(r.all, this);
}

void release_idle_descriptors() noexcept {
  registry& r = of_process();
  const std::lock_guard hold(r.mutex);
  for (idle_descriptors* each : r.all) try {
      each->release_();
    } catch (const std::exception&) {  // no memory to have it done elsewhere: the next shortage asks again
    }
}

}  // namespace weir::detail
