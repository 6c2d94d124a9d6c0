#include "weir/core/sleep.hpp"

namespace weir::detail {
namespace {

void expire(io::timer& t) noexcept { static_cast<sleep_operation&>(t).root->schedule(); }

constexpr operation_kind kind_of_sleep{
    .proceed = [](operation& op) noexcept { return !static_cast<sleep_operation&>(op).armed(); },
    .cancel =
        [](operation& op, int error) noexcept {
          auto& sleep = static_cast<sleep_operation&>(op);
          sleep.queue->disarm(sleep);
          sleep.error = error;
          return true;
        },
};

}  // namespace

sleep_operation::sleep_operation(saturated_duration d) noexcept : operation(kind_of_sleep), wait(d) {
  fire = expire;
}

void sleep_operation::start() {
  queue = &core::here().timers();
  queue->arm(*this, wait);
}

}  // namespace weir::detail
