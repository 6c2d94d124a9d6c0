#include "weir/task/use_task.hpp"

#include <typeinfo>
#include <utility>

namespace weir::detail {

std::exception_ptr comparable(const std::exception_ptr& error) noexcept {
  if (!error) return error;
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& e) {
    const error_code known = comparable(e.code());
    if (known.category() == e.code().category() || typeid(e) != typeid(std::system_error)) return error;
    return std::make_exception_ptr(std::system_error(known));
  } catch (...) {
    return error;
  }
}

void asio_run_queue::schedule(chain& root) noexcept {
  assert_thread("waking a spawned task");
  if (queue_.push(root) && !std::exchange(posted_, true)) post();
}

void asio_run_queue::post() {
  asio::post(strand_, [self = shared_from_this()] {
    const entered here(*self);
    self->queue_.run(1, [](chain&) {});
    self->posted_ = !self->queue_.empty();
    if (self->posted_) self->post();
  });
}

namespace {

// A delivery on its way through an executor, which may be destroyed instead of calling it.
class delivery {
 public:
  explicit delivery(remote_wake* w) noexcept : wake_(w) {}
  delivery(delivery&& other) noexcept : wake_(std::exchange(other.wake_, nullptr)) {}
  delivery(const delivery&) = delete;
  delivery& operator=(const delivery&) = delete;
  ~delivery() {
    if (wake_ != nullptr) remote_wake::dropped(wake_);
  }
  [[nodiscard]] chain* arrived() noexcept { return remote_wake::arrived(std::exchange(wake_, nullptr)); }

 private:
  remote_wake* wake_;
};

}  // namespace

void asio_run_queue::deliver(remote_wake* w) noexcept {
  // Once posted, `w` may be received on another thread, and with it go what else keeps this queue.
  const auto self = shared_from_this();
  asio::post(strand_, [self, arriving = delivery(w)]() mutable {
    const entered here(*self);
    if (chain* const root = arriving.arrived()) self->schedule(*root);
  });
}

}  // namespace weir::detail
