#include "weir/task/use_task.hpp"

#include <typeinfo>

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
  if (queue_.push(root) && !std::exchange(posted_, true)) post();
}

void asio_run_queue::post() {
  asio::post(executor_, [self = shared_from_this()] {
    const entered here(*self);
    self->queue_.run(1, [](chain&) {});
    self->posted_ = !self->queue_.empty();
    if (self->posted_) self->post();
  });
}

void asio_run_queue::deliver(remote_wake* w) noexcept {
  asio::post(executor_, [self = shared_from_this(), w] {
    if (chain* const root = remote_wake::arrived(w)) self->schedule(*root);
  });
}

}  // namespace weir::detail
