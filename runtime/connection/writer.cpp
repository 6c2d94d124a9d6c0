#include "weir/connection/writer.hpp"

#include <algorithm>
#include <cerrno>

#include "kinds.hpp"

namespace weir {

template <class Way>
detail::attempt_result writer::try_flush(int& error, bool more_follows) noexcept {
  using detail::attempt_result;
  error = 0;
  connection_state& c = *state_;
  const bool all_taken = pending() == 0;
  if (all_taken) clear();
  if (all_taken && Way::knows_readiness) return attempt_result::done;
  if (Way::knows_readiness && !c.writable && c.is_open()) return attempt_result::blocked;
  const std::size_t part = std::min(pending(), detail::most_per_turn);
  const long n = all_taken ? Way::flush(c) : Way::send(c, begin_, part, more_follows ? MSG_MORE : 0);
  if (detail::interrupted(c, n)) return attempt_result::again;
  if (n == -EAGAIN || n == -EINTR) {
    if (c.mode != io::wait_mode::blocking) c.writable = false;
    return attempt_result::blocked;
  }
  if (n < 0) {
    error = static_cast<int>(-n);
    clear();
    c.owe();
    c.lost(error);
    return attempt_result::done;
  }
  c.has_sent(static_cast<std::size_t>(n));
  begin_ += n;
  c.moved_slowly();
  if (begin_ == end_) {
    clear();
    return Way::flush(c) == 0 ? attempt_result::done : attempt_result::blocked;
  }
  if (static_cast<std::size_t>(n) == part) {
    c.driver->end_round();
    return attempt_result::again;
  }
  // A short count: the send buffer is full.
  if (c.mode != io::wait_mode::blocking) c.writable = false;
  return attempt_result::blocked;
}

template detail::attempt_result writer::try_flush<detail::by_call>(int&, bool) noexcept;
template detail::attempt_result writer::try_flush<detail::by_layer>(int&, bool) noexcept;

namespace detail {

attempt_result flush_operation::attempt() noexcept { return attempt_by<by_call>(); }

template <class Way>
attempt_result flush_operation::attempt_by() noexcept {
  int error = 0;
  const attempt_result result = out->try_flush<Way>(error, more_follows);
  if (error != 0) outcome = error == ENOMEM || error == ENOBUFS ? -error : peer_gone;
  return result;
}

namespace {

// What is not sent stays in the writer, so nothing is owed yet.
bool cancel_flush(operation& op, int error) noexcept {
  auto& self = static_cast<flush_operation&>(op);
  self.leave_writing();
  self.outcome = -error;
  return true;
}

const operation_kind kind_of_layered_flush{.proceed = proceed_writing<flush_operation, by_layer>,
                                           .cancel = cancel_flush,
                                           .layered = &kind_of_layered_flush};

}  // namespace

const operation_kind kind_of_flush{
    .proceed = proceed_writing<flush_operation>, .cancel = cancel_flush, .layered = &kind_of_layered_flush};

}  // namespace detail
}  // namespace weir
