#include "weir/task/use_task.hpp"

#include <chrono>
#include <memory>
#include <thread>
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

namespace {

// A foreign executor takes memory for what is posted to it. Nothing repeats a turn or a wake-up that is lost,
// and nothing tells when there is memory again, so this thread tries until it succeeds.
template <class F>
void until_it_succeeds(const F& f) noexcept {
  for (;;) try {
      return f();
    } catch (...) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

// A delivery on its way through an executor, which may be destroyed instead of calling it.
struct delivery {
  delivery() = default;
  delivery(const delivery&) = delete;
  delivery& operator=(const delivery&) = delete;
  ~delivery() {
    if (wake != nullptr) remote_wake::dropped(wake);
  }
  [[nodiscard]] chain* arrived() noexcept { return remote_wake::arrived(std::exchange(wake, nullptr)); }

  remote_wake* wake = nullptr;
};

}  // namespace

void asio_run_queue::schedule(chain& root) noexcept {
  assert_thread("waking a spawned task");
  if (queue_.push(root) && !std::exchange(posted_, true)) post();
}

void asio_run_queue::post() noexcept {
  until_it_succeeds([this] {
    asio::post(strand_, [self = shared_from_this()] {
      const entered here(*self);
      self->queue_.run(1, [](chain&) {});
      self->posted_ = !self->queue_.empty();
      if (self->posted_) self->post();
    });
  });
}

void asio_run_queue::deliver(remote_wake* w) noexcept {
  std::shared_ptr<delivery> arriving;
  until_it_succeeds([&arriving] { arriving = std::make_shared<delivery>(); });
  arriving->wake = w;
  // Once posted, `w` may be received on another thread, and with it go what else keeps this queue. Nothing
  // may be thrown here, as shared_from_this() could.
  const auto self = weak_from_this().lock();
  until_it_succeeds([&self, &arriving] {
    asio::post(self->strand_, [self, arriving] {
      const entered here(*self);
      if (chain* const root = arriving->arrived()) self->schedule(*root);
    });
  });
}

}  // namespace weir::detail
