#include "weir/task/scope.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

namespace weir {
namespace {

bool is_cancellation(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const std::system_error& error) {
    return error.code() == std::errc::operation_canceled;
  } catch (...) {
    return false;
  }
}

struct scope_child final : detail::child_of<void> {
  using child_of::child_of;
  static void* operator new(std::size_t size) { return block_pool::allocate(size); }
  static void operator delete(void* p, std::size_t size) noexcept { block_pool::deallocate(p, size); }
};

}  // namespace

scope::~scope() {
  if (first() == nullptr) return;
  home_.assert_thread("the destruction of a scope with tasks");
  while (first() != nullptr) delete static_cast<scope_child*>(first());
}

void scope::spawn(task<> t) {
  home_.assert_thread("scope::spawn");
  auto* const c = new scope_child(*this, home_, std::move(t));
  add(*c);
  if (cancelled_ || error_) c->cancel();
  c->schedule();
}

void scope::cancel() noexcept {
  home_.assert_thread("scope::cancel");
  cancelled_ = true;
  cancel_all();
}

void scope::reap(detail::child& c) {
  if (c.error() && !error_ && !(cancelled_ && is_cancellation(c.error()))) error_ = c.error();
  delete static_cast<scope_child*>(&c);
}

void scope::join_operation::await_resume() const {
  scope_->forget_decisive();
  if (scope_->error_) std::rethrow_exception(std::exchange(scope_->error_, nullptr));
  if (cancelled) throw std::system_error(std::make_error_code(std::errc::operation_canceled), "scope");
}

}  // namespace weir
